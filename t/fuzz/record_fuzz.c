/*
 * record: a line of the control protocol. What can be parsed can be written
 * again and parsed to the same.
 */
#include <string.h>

#include "lib/core/record.h"
#include "t/fuzz/fuzz.h"

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	return 0;
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
	}
	free(line);
	return 0;
}
