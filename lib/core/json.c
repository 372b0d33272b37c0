/*
 * json: see json.h.
 */
#include "lib/core/json.h"

#include <math.h>
#include <string.h>

#include "lib/core/num.h"
#include "lib/core/utf8.h"

static void
json_quote(struct json *j, const char *value, size_t len)
{
	const unsigned char *s = (const unsigned char *)value;

	putc('"', j->f);
	while (len > 0) {
		size_t n = utf8_span((const char *)s, len);

		if (n == 0)
			fputs("\\ufffd", j->f);
		else if (*s == '"' || *s == '\\')
			fprintf(j->f, "\\%c", *s);
		else if (*s == '\n')
			fputs("\\n", j->f);
		else if (*s == '\t')
			fputs("\\t", j->f);
		else if (*s < 0x20 || *s == 0x7f)
			fprintf(j->f, "\\u%04x", *s);
		else if (*s == 0xc2 && s[1] < 0xa0) /* C1 */
			fprintf(j->f, "\\u%04x", s[1]);
		else
			fwrite(s, 1, n, j->f);
		n = n != 0 ? n : 1;
		s += n;
		len -= n;
	}
	putc('"', j->f);
}

/* What stands before a value. */
static void
json_lead(struct json *j, const char *key)
{
	if (j->depth > 0) {
		bool *some = &j->some[j->depth - 1];

		if (*some)
			putc(',', j->f);
		if (j->depth == 1 && j->lines)
			putc('\n', j->f);
		else if (*some)
			putc(' ', j->f);
		*some = true;
	}
	if (key != NULL) {
		json_quote(j, key, strlen(key));
		fputs(": ", j->f);
	}
}

void
json_open(struct json *j, const char *key, char bracket)
{
	json_lead(j, key);
	putc(bracket, j->f);
	/* Deeper than this is a mistake of ours, not of any input. */
	if (j->depth < JSON_DEPTH)
		j->some[j->depth] = false;
	j->depth++;
}

void
json_close(struct json *j, char bracket)
{
	j->depth--;
	if (j->depth == 0 && j->lines && j->some[0])
		putc('\n', j->f);
	putc(bracket, j->f);
}

void
json_strn(struct json *j, const char *key, const char *value, size_t len)
{
	json_lead(j, key);
	json_quote(j, value, len);
}

void
json_str(struct json *j, const char *key, const char *value)
{
	if (value == NULL)
		json_null(j, key);
	else
		json_strn(j, key, value, strlen(value));
}

void
json_num(struct json *j, const char *key, double value)
{
	char buf[NUM_DOUBLE_LEN];

	if (!isfinite(value)) {
		json_null(j, key);
		return;
	}
	json_lead(j, key);
	fputs(num_format_double(value, buf), j->f);
}

void
json_bool(struct json *j, const char *key, bool value)
{
	json_lead(j, key);
	fputs(value ? "true" : "false", j->f);
}

void
json_null(struct json *j, const char *key)
{
	json_lead(j, key);
	fputs("null", j->f);
}

void
json_time(struct json *j, const char *key, double value)
{
	char buf[NUM_TIME_LEN];

	if (isfinite(value))
		json_str(j, key, num_format_time(value, buf));
	else
		json_null(j, key);
}

void
json_newline(struct json *j)
{
	putc('\n', j->f);
}

static void
json_field(struct json *j, const char *key, const struct record_field *f)
{
	double d = 0;

	switch (f->type) {
	case RECORD_STRING:
		json_strn(j, key, f->value, f->len);
		return;
	case RECORD_NUMBER:
	case RECORD_DURATION:
		num_parse_double(f->value, f->len, &d);
		json_num(j, key, d);
		return;
	case RECORD_TIME:
		num_parse_double(f->value, f->len, &d);
		json_time(j, key, d);
		return;
	case RECORD_BOOL:
		json_bool(j, key, f->value[0] == '1');
		return;
	case RECORD_NULL:
	case RECORD_OBJECT:
		json_null(j, key);
		return;
	}
}

/* Is the field a member of this object? */
static bool
json_is_member(const struct record_field *f, const char *object, size_t len)
{
	return strncmp(f->name, object, len) == 0 && f->name[len] == '.';
}

void
json_fields(struct json *j, const struct record *r)
{
	for (size_t i = 0; i < r->n_fields; i++) {
		const struct record_field *f = &r->fields[i];
		size_t len = strlen(f->name);

		if (f->type != RECORD_OBJECT) {
			json_field(j, f->name, f);
			continue;
		}
		json_open(j, f->name, '{');
		while (i + 1 < r->n_fields &&
		    json_is_member(&r->fields[i + 1], f->name, len)) {
			i++;
			json_field(
			    j, r->fields[i].name + len + 1, &r->fields[i]);
		}
		json_close(j, '}');
	}
}
