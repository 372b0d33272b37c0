/*
 * record: see record.h.
 *
 * Both directions treat the other side as hostile: what is built is escaped
 * and bounded, what is taken apart is checked down to the values, so that
 * nobody behind record_parse() has to check the form of a number again.
 */
#include "lib/core/record.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

#include "lib/core/num.h"

static void
record_append(struct record_out *o, const char *s, size_t len)
{
	/* One byte is kept back for the newline. */
	if (o->failed || len > RECORD_MAX - 1 - o->len) {
		o->failed = true;
		return;
	}
	if (o->size - o->len < len + 1) {
		size_t size = o->size != 0 ? o->size : 256;
		char *p;

		while (size - o->len < len + 1)
			size *= 2;
		p = realloc(o->buf, size);
		if (p == NULL) {
			o->failed = true;
			return;
		}
		o->buf = p;
		o->size = size;
	}
	memcpy(o->buf + o->len, s, len);
	o->len += len;
}

static bool
record_is_plain(char c, bool name)
{
	unsigned char u = (unsigned char)c;

	return u >= 0x20 && u != 0x7f && u != '\\' && !(name && u == '=');
}

static void
record_escape(struct record_out *o, const char *s, size_t len, bool name)
{
	static const char hex[] = "0123456789ABCDEF";

	while (len > 0) {
		size_t n = 0;

		while (n < len && record_is_plain(s[n], name))
			n++;
		record_append(o, s, n);
		if (n < len) {
			unsigned char u = (unsigned char)s[n];
			char esc[4] = { '\\', 'x', hex[u >> 4], hex[u & 15] };

			record_append(o, esc, sizeof(esc));
			n++;
		}
		s += n;
		len -= n;
	}
}

static void
record_field(struct record_out *o, const char *name, enum record_type type)
{
	char t[2] = { '=', (char)type };

	record_append(o, "\t", 1);
	record_escape(o, name, strlen(name), true);
	record_append(o, t, 2);
}

void
record_begin(struct record_out *o, const char *kind)
{
	o->len = 0;
	o->failed = false;
	record_escape(o, kind, strlen(kind), true);
}

void
record_strn(
    struct record_out *o, const char *name, const char *value, size_t len)
{
	record_field(o, name, RECORD_STRING);
	record_escape(o, value, len, false);
}

void
record_str(struct record_out *o, const char *name, const char *value)
{
	if (value == NULL)
		record_null(o, name);
	else
		record_strn(o, name, value, strlen(value));
}

static void
record_number(struct record_out *o, enum record_type type, double value)
{
	char text[NUM_DOUBLE_LEN];
	char t = isfinite(value) ? (char)type : (char)RECORD_NULL;

	record_append(o, &t, 1);
	if (!isfinite(value))
		return;
	num_format_double(value, text);
	record_append(o, text, strlen(text));
}

static void
record_typed(
    struct record_out *o, const char *name, enum record_type type, double value)
{
	record_append(o, "\t", 1);
	record_escape(o, name, strlen(name), true);
	record_append(o, "=", 1);
	record_number(o, type, value);
}

void
record_num(struct record_out *o, const char *name, double value)
{
	record_typed(o, name, RECORD_NUMBER, value);
}

void
record_time(struct record_out *o, const char *name, double value)
{
	record_typed(o, name, RECORD_TIME, value);
}

void
record_duration(struct record_out *o, const char *name, double value)
{
	record_typed(o, name, RECORD_DURATION, value);
}

void
record_bool(struct record_out *o, const char *name, bool value)
{
	record_field(o, name, RECORD_BOOL);
	record_append(o, value ? "1" : "0", 1);
}

void
record_null(struct record_out *o, const char *name)
{
	record_field(o, name, RECORD_NULL);
}

void
record_object(struct record_out *o, const char *name)
{
	record_field(o, name, RECORD_OBJECT);
}

void
record_member_num(
    struct record_out *o, const char *object, const char *member, double value)
{
	record_append(o, "\t", 1);
	record_escape(o, object, strlen(object), true);
	record_append(o, ".", 1);
	record_escape(o, member, strlen(member), true);
	record_append(o, "=", 1);
	record_number(o, RECORD_NUMBER, value);
}

const char *
record_end(struct record_out *o, size_t *len_r)
{
	if (o->failed || o->buf == NULL)
		return NULL;
	o->buf[o->len] = '\n'; /* there is room: see record_append() */
	*len_r = o->len + 1;
	return o->buf;
}

void
record_free(struct record_out *o)
{
	free(o->buf);
	*o = (struct record_out){ 0 };
}

static int
record_hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

/* In place; -1 on a bad escape or a raw control byte. The result is
 * NUL-terminated: s[len] is a separator that has been seen, or the end. */
static ssize_t
record_unescape(char *s, size_t len)
{
	size_t out = 0;

	for (size_t i = 0; i < len; i++) {
		unsigned char u = (unsigned char)s[i];

		if (u < 0x20 || u == 0x7f)
			return -1;
		if (u == '\\') {
			int high, low;

			if (len - i < 4 || s[i + 1] != 'x')
				return -1;
			high = record_hex(s[i + 2]);
			low = record_hex(s[i + 3]);
			if (high < 0 || low < 0)
				return -1;
			s[out++] = (char)(high * 16 + low);
			i += 3;
		} else {
			s[out++] = s[i];
		}
	}
	s[out] = '\0';
	return (ssize_t)out;
}

/* A kind or name: not empty, and a C string. */
static bool
record_parse_name(char *s, size_t len)
{
	ssize_t n = record_unescape(s, len);

	return n > 0 && strlen(s) == (size_t)n;
}

static bool
record_check_value(const struct record_field *f)
{
	double d;

	switch (f->type) {
	case RECORD_STRING:
		return true;
	case RECORD_NUMBER:
	case RECORD_TIME:
	case RECORD_DURATION:
		return num_parse_double(f->value, f->len, &d);
	case RECORD_BOOL:
		return f->len == 1 &&
		    (f->value[0] == '0' || f->value[0] == '1');
	case RECORD_NULL:
	case RECORD_OBJECT:
		return f->len == 0;
	}
	return false;
}

static bool
record_parse_field(char *s, size_t len, struct record_field *f)
{
	char *eq = memchr(s, '=', len);
	size_t name_len;
	ssize_t n;

	if (eq == NULL || eq + 1 == s + len)
		return false;
	name_len = (size_t)(eq - s);
	f->type = (enum record_type)eq[1];
	if (!record_parse_name(s, name_len))
		return false;
	f->name = s;
	f->value = eq + 2;
	n = record_unescape(eq + 2, len - name_len - 2);
	if (n < 0)
		return false;
	f->len = (size_t)n;
	return record_check_value(f);
}

bool
record_parse(char *line, size_t len, struct record *out)
{
	char *end = line + len;
	char *tab = memchr(line, '\t', len);
	char *next = tab != NULL ? tab : end;

	out->n_fields = 0;
	out->kind = line;
	if (len >= RECORD_MAX ||
	    !record_parse_name(line, (size_t)(next - line)))
		return false;
	while (tab != NULL) {
		char *s = tab + 1;

		if (out->n_fields == RECORD_FIELDS_MAX)
			return false;
		tab = memchr(s, '\t', (size_t)(end - s));
		next = tab != NULL ? tab : end;
		if (!record_parse_field(
			s, (size_t)(next - s), &out->fields[out->n_fields]))
			return false;
		out->n_fields++;
	}
	return true;
}

const struct record_field *
record_get(const struct record *r, const char *name)
{
	for (size_t i = 0; i < r->n_fields; i++)
		if (strcmp(r->fields[i].name, name) == 0)
			return &r->fields[i];
	return NULL;
}

const char *
record_get_str(const struct record *r, const char *name, const char *dflt)
{
	const struct record_field *f = record_get(r, name);

	return f != NULL && f->type == RECORD_STRING ? f->value : dflt;
}

double
record_get_num(const struct record *r, const char *name, double dflt)
{
	const struct record_field *f = record_get(r, name);
	double d;

	if (f == NULL)
		return dflt;
	switch (f->type) {
	case RECORD_NUMBER:
	case RECORD_TIME:
	case RECORD_DURATION:
	case RECORD_BOOL:
		return num_parse_double(f->value, f->len, &d) ? d : dflt;
	case RECORD_STRING:
	case RECORD_NULL:
	case RECORD_OBJECT:
		break;
	}
	return dflt;
}
