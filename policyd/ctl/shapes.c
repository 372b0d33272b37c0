/*
 * shapes: see shapes.h.
 */
#include "policyd/ctl/shapes.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "lib/core/addr.h"
#include "lib/core/logpos.h"
#include "lib/core/xalloc.h"

#define SHAPES_SLOTS (SHAPES_MAX * 2)
#define EXAMPLE_LEN 300

struct shapes {
	struct shape shapes[SHAPES_MAX];
	size_t n;
	uint32_t slots[SHAPES_SLOTS]; /* index + 1 */
	uint64_t lines, other;
};

struct shapes *
shapes_create(void)
{
	return x_calloc(1, sizeof(struct shapes));
}

void
shapes_destroy(struct shapes **sp)
{
	struct shapes *s = *sp;

	if (s == NULL)
		return;
	for (size_t i = 0; i < s->n; i++) {
		free(s->shapes[i].text);
		free(s->shapes[i].example);
	}
	free(s);
	*sp = NULL;
}

static bool
is_word(char c)
{
	return isalnum((unsigned char)c) || c == '.' || c == ':' || c == '-' ||
	    c == '_' || c == '@' || c == '=' || c == '+';
}

static bool
is_address(const char *s, size_t len)
{
	struct addr a;

	return len >= 3 && addr_parse_host(s, len, &a);
}

/* What a word becomes: a placeholder, or NULL to keep it. */
static const char *
placeholder(const char *s, size_t len)
{
	bool digit = false, alpha = false, dot = false;

	for (size_t i = 0; i < len; i++) {
		digit |= isdigit((unsigned char)s[i]) != 0;
		alpha |= isalpha((unsigned char)s[i]) != 0;
		dot |= s[i] == '.';
		if (s[i] == '@')
			return "USER";
	}
	if (digit && !alpha)
		return "N";
	if (digit && dot)
		return "HOST";
	return digit && len >= 5 ? "ID" : NULL;
}

struct out {
	char text[SHAPES_LEN];
	size_t len;
	bool address;
};

static void
out_put(struct out *o, const char *s, size_t len)
{
	size_t room = sizeof(o->text) - o->len;

	if (len > room)
		len = room;
	memcpy(o->text + o->len, s, len);
	o->len += len;
}

static void
out_word(struct out *o, const char *s, size_t len)
{
	const char *eq = memchr(s, '=', len);
	const char *as;
	size_t n;

	/* name=value: the name says what it is. */
	if (eq != NULL && eq > s) {
		out_put(o, s, (size_t)(eq + 1 - s));
		len -= (size_t)(eq + 1 - s);
		s = eq + 1;
	}
	n = len;
	while (n > 0 && (s[n - 1] == '.' || s[n - 1] == ':'))
		n--;
	if (is_address(s, len) || is_address(s, n)) {
		o->address = true;
		as = "ADDR";
	} else {
		as = placeholder(s, n);
	}
	if (as != NULL) {
		out_put(o, as, strlen(as));
		out_put(o, s + n, is_address(s, len) ? 0 : len - n);
	} else {
		out_put(o, s, len);
	}
}

/* Behind the closing one of a pair that begins at `p`, or NULL. */
static const char *
closing(const char *p, const char *end)
{
	char close = *p == '<' ? '>' : *p;
	const char *q = memchr(p + 1, close, (size_t)(end - p - 1));

	return q != NULL ? q + 1 : NULL;
}

static void
shape_of(const struct logline *line, struct out *o)
{
	const char *p = line->msg, *end = p + line->msg_len;

	out_put(o, line->program, line->program_len);
	out_put(o, ": ", 2);
	while (p < end) {
		const char *q;

		if ((*p == '<' || *p == '"') && (q = closing(p, end)) != NULL) {
			out_put(o, *p == '<' ? "<>" : "\"\"", 2);
			p = q;
			continue;
		}
		q = p;
		while (q < end && is_word(*q))
			q++;
		if (q == p) {
			out_put(o, p++, 1);
			continue;
		}
		out_word(o, p, (size_t)(q - p));
		p = q;
	}
}

void
shapes_add(struct shapes *s, const struct logline *line)
{
	struct out o = { .len = 0 };
	size_t i;

	shape_of(line, &o);
	if (!o.address)
		return;
	s->lines++;
	for (i = logpos_hash(o.text, o.len) % SHAPES_SLOTS; s->slots[i] != 0;
	     i = (i + 1) % SHAPES_SLOTS) {
		struct shape *have = &s->shapes[s->slots[i] - 1];

		if (strlen(have->text) == o.len &&
		    memcmp(have->text, o.text, o.len) == 0) {
			have->count++;
			return;
		}
	}
	if (s->n == SHAPES_MAX) {
		s->other++;
		return;
	}
	s->shapes[s->n].text = x_strndup(o.text, o.len);
	s->shapes[s->n].example = x_strndup(line->msg,
	    line->msg_len < EXAMPLE_LEN ? line->msg_len : EXAMPLE_LEN);
	s->shapes[s->n].count = 1;
	s->slots[i] = (uint32_t)++s->n;
}

static int
shape_compare(const void *a, const void *b)
{
	const struct shape *x = a, *y = b;

	if (x->count != y->count)
		return x->count < y->count ? 1 : -1;
	return strcmp(x->text, y->text);
}

size_t
shapes_top(struct shapes *s, size_t n, const struct shape **out)
{
	/* The index is of no use afterwards. */
	memset(s->slots, 0, sizeof(s->slots));
	qsort(s->shapes, s->n, sizeof(s->shapes[0]), shape_compare);
	*out = s->shapes;
	return n < s->n ? n : s->n;
}

uint64_t
shapes_lines(const struct shapes *s)
{
	return s->lines;
}

uint64_t
shapes_other(const struct shapes *s)
{
	return s->other;
}
