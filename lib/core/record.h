/*
 * record: the control protocol's lines. One record is one line:
 *
 *     kind TAB name=Tvalue TAB name=Tvalue ... NEWLINE
 *
 * T is the type: s string, n number, b boolean (0/1), t time (seconds since
 * 1970), d duration (seconds), z null, o object. In values backslash, tab,
 * newline and other control bytes are \xHH; in kinds and names '=' as well. So
 * a client can show any record, also of a newer daemon, as a table or as JSON,
 * without knowing it.
 *
 * One thing may hold others: an object is a field of type o without a value,
 * and its members follow it as fields named `object.member`. Only the first dot
 * of a name counts, so members may be called anything:
 *
 *     rules=o TAB rules.postfix-auth-lost=n3 TAB rules.my.own=n1
 *
 * is {"rules": {"postfix-auth-lost": 3, "my.own": 1}} in JSON.
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
	RECORD_OBJECT = 'o',
};

/* Building. Text grows in buf; too much is an error reported by record_end. */
struct record_out {
	char *buf;
	size_t len, size;
	bool failed; /* no memory, or over RECORD_MAX */
};

/* Zero-initialised. The buffer is reused for record after record;
 * record_free() frees it. A value that is no number (inf, nan) becomes null,
 * so does a NULL string. */
void record_begin(struct record_out *, const char *kind);
void record_str(struct record_out *, const char *name, const char *value);
void record_strn(
    struct record_out *, const char *name, const char *value, size_t len);
void record_num(struct record_out *, const char *name, double value);
void record_bool(struct record_out *, const char *name, bool value);
void record_time(struct record_out *, const char *name, double value);
void record_duration(struct record_out *, const char *name, double value);
void record_null(struct record_out *, const char *name);
/* Opens an object (it may stay empty); its members are added under their full
 * names, "object.member", or with record_member_num(). */
void record_object(struct record_out *, const char *name);
void record_member_num(
    struct record_out *, const char *object, const char *member, double value);
/* Ends the line; returns it with its newline (len in *len_r), or NULL. The
 * result is valid until the next record_begin(). */
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
const char *record_get_str(
    const struct record *, const char *name, const char *dflt);
/* The value of a number, time, duration or boolean, or `dflt`. */
double record_get_num(const struct record *, const char *name, double dflt);

#endif
