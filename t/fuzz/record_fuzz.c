/*
 * record: a line of the control protocol. What can be parsed can be written
 * again and parsed to the same, unless escapes make it too long; what cannot
 * be is refused however it is written. As JSON it ends.
 */
#include <string.h>

#include "lib/core/json.h"
#include "lib/core/record.h"
#include "t/fuzz/fuzz.h"

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	return 0;
}

static void
write_field(struct record_out *o, const struct record *rec,
    const struct record_field *f)
{
	/* By the first field of this name, as any reader has it. */
	double d = record_get_num(rec, f->name, 0);

	switch (f->type) {
	case RECORD_STRING:
		record_strn(o, f->name, f->value, f->len);
		return;
	case RECORD_NUMBER:
		record_num(o, f->name, d);
		return;
	case RECORD_TIME:
		record_time(o, f->name, d);
		return;
	case RECORD_DURATION:
		record_duration(o, f->name, d);
		return;
	case RECORD_BOOL:
		record_bool(o, f->name, f->value[0] == '1');
		return;
	case RECORD_NULL:
		record_null(o, f->name);
		return;
	case RECORD_OBJECT:
		record_object(o, f->name);
		return;
	}
}

static void
check_same(const struct record *a, const struct record *b)
{
	must(strcmp(a->kind, b->kind) == 0 && a->n_fields == b->n_fields);
	for (size_t i = 0; i < a->n_fields; i++) {
		const struct record_field *f = &a->fields[i];
		const struct record_field *g = &b->fields[i];

		must(strcmp(f->name, g->name) == 0 && f->type == g->type);
		if (f->type == RECORD_STRING || f->type == RECORD_BOOL)
			must(f->len == g->len &&
			    memcmp(f->value, g->value, f->len) == 0);
		must(record_get_num(a, f->name, 7) ==
		    record_get_num(b, f->name, 7));
	}
}

static void
check_again(const struct record *rec)
{
	struct record_out o = { 0 };
	struct record again;
	const char *text;
	char *copy;
	size_t len;

	record_begin(&o, rec->kind);
	for (size_t i = 0; i < rec->n_fields; i++)
		write_field(&o, rec, &rec->fields[i]);
	text = record_end(&o, &len);
	if (text != NULL) {
		must(len <= RECORD_MAX && text[len - 1] == '\n');
		must(memchr(text, '\n', len - 1) == NULL);
		copy = malloc(len);
		must(copy != NULL);
		memcpy(copy, text, len);
		must(record_parse(copy, len - 1, &again));
		check_same(rec, &again);
		free(copy);
	}
	record_free(&o);
}

static void
check_json(const struct record *rec)
{
	char *text = NULL;
	size_t len = 0;
	struct json j = { .f = open_memstream(&text, &len) };

	must(j.f != NULL);
	json_open(&j, NULL, '{');
	json_fields(&j, rec);
	json_close(&j, '}');
	must(j.depth == 0 && fclose(j.f) == 0);
	must(len >= 2 && text[0] == '{' && text[len - 1] == '}');
	for (size_t i = 0; i < len; i++)
		must((unsigned char)text[i] >= 0x20 && text[i] != 0x7f);
	free(text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *line = malloc(size + 1);
	struct record rec;

	must(line != NULL);
	memcpy(line, data, size);
	line[size] = '\0';
	if (record_parse(line, size, &rec)) {
		must(rec.n_fields <= RECORD_FIELDS_MAX);
		for (size_t i = 0; i < rec.n_fields; i++) {
			const struct record_field *f = &rec.fields[i];

			must(f->value >= line &&
			    f->value + f->len <= line + size);
			must(f->value[f->len] == '\0');
			must(record_get(&rec, f->name) != NULL);
		}
		check_again(&rec);
		check_json(&rec);
	}
	free(line);
	return 0;
}
