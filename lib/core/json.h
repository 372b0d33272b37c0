/*
 * json: a writer of JSON (RFC 8259), as a stream.
 *
 * Commas and nesting are kept by the writer. Strings may hold any bytes: what
 * is not UTF-8 becomes U+FFFD. Numbers that JSON has no form for are null.
 * Times are RFC 3339 strings in UTC, durations numbers of seconds.
 */
#ifndef MXW_JSON_H
#define MXW_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "lib/core/record.h"

#define JSON_DEPTH 8

/* Zero-initialised but for `f`. */
struct json {
	FILE *f;
	unsigned depth;
	bool some[JSON_DEPTH]; /* has this level a member already? */
	bool lines;	       /* one member of the outermost array per line */
};

/* `key` NULL: an element of an array, or the outermost value. */
void json_open(struct json *, const char *key, char bracket);
void json_close(struct json *, char bracket);
void json_str(struct json *, const char *key, const char *value);
void json_strn(struct json *, const char *key, const char *value, size_t len);
void json_num(struct json *, const char *key, double value);
void json_bool(struct json *, const char *key, bool value);
void json_null(struct json *, const char *key);
void json_time(struct json *, const char *key, double value);
/* Ends an outermost value. */
void json_newline(struct json *);

/* The fields of a record as members of the open object; see record.h for
 * objects in records. */
void json_fields(struct json *, const struct record *);

#endif
