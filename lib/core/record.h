/*
 * record: the control protocol's lines. One record is one line:
 *
 *     kind TAB name=Tvalue TAB name=Tvalue ... NEWLINE
 *
 * T is the type: s string, n number, b boolean (0/1), t time (seconds since
 * 1970), d duration (seconds), z null. In values backslash, tab, newline and
 * other control bytes are \xHH. So a client can show any record, also of a
 * newer daemon, as a table or as JSON, without knowing it.
 *
 * A session: the server greets `mxwarden 1 <version>`; the client sends one
 * request record (kind = verb, arguments as fields); the server answers with
 * records and at last `ok`, `no` or `error` with a field `text`; either side
 * closes.
 */
#ifndef MXW_RECORD_H
#define MXW_RECORD_H

#include <stdbool.h>
#include <stddef.h>

#define RECORD_PROTOCOL 1
#define RECORD_MAX 65536 /* bytes of one line */
#define RECORD_FIELDS_MAX 64

enum record_type {
	RECORD_STRING = 's',
	RECORD_NUMBER = 'n',
	RECORD_BOOL = 'b',
	RECORD_TIME = 't',
	RECORD_DURATION = 'd',
	RECORD_NULL = 'z',
};

/* Building. Text grows in buf; too much is an error reported by record_end. */
struct record_out {
	char *buf;
	size_t len, size;
	bool failed; /* no memory, or over RECORD_MAX */
};

/* The buffer is reused for record after record; record_free() frees it. */
void record_begin(struct record_out *, const char *kind);
void record_str(struct record_out *, const char *name, const char *value);
void record_strn(struct record_out *, const char *name, const char *value,
    size_t len);
void record_num(struct record_out *, const char *name, double value);
void record_bool(struct record_out *, const char *name, bool value);
void record_time(struct record_out *, const char *name, double value);
void record_duration(struct record_out *, const char *name, double value);
void record_null(struct record_out *, const char *name);
/* Ends the line; returns it with its newline (len in *len_r), or NULL. */
const char *record_end(struct record_out *, size_t *len_r);
void record_free(struct record_out *);

/* Taking apart. */
struct record_field {
	const char *name;
	enum record_type type;
	const char *value; /* unescaped, NUL-terminated */
	size_t len;	   /* may hold NULs */
};

struct record {
	const char *kind;
	size_t n_fields;
	struct record_field fields[RECORD_FIELDS_MAX];
};

/* Parses one line without its newline, in place: `line` is changed and owns
 * the strings. line[len] must be writable. False on any bad form. */
bool record_parse(char *line, size_t len, struct record *out);
/* NULL if there is no such field. */
const struct record_field *record_get(const struct record *, const char *name);
/* The string value, or `dflt`. */
const char *record_get_str(const struct record *, const char *name,
    const char *dflt);


#endif
