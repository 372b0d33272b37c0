/*
 * blockvalue: see blockvalue.h.
 */
#include "lib/core/blockvalue.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "lib/core/num.h"

bool
blockvalue_addr(const char *s, size_t len, struct addr *out, const char **why_r)
{
	char text[ADDR_STRLEN];

	if (!addr_parse(s, len, out)) {
		*why_r = "not an address or prefix";
		return false;
	}
	addr_format(out, text);
	if (strlen(text) != len || memcmp(text, s, len) != 0) {
		*why_r = "not the canonical form of the address";
		return false;
	}
	if (addr_prefix_len(out) < (addr_is_v4(out) ? 8u : 16u)) {
		*why_r = "too wide: /8 is the widest, /16 for IPv6";
		return false;
	}
	return true;
}

struct words {
	const char *at, *end;
};

/* The next word, or NULL. */
static const char *
words_next(struct words *w, size_t *len_r)
{
	const char *word;

	while (w->at < w->end && *w->at == ' ')
		w->at++;
	word = w->at;
	while (w->at < w->end && *w->at != ' ')
		w->at++;
	*len_r = (size_t)(w->at - word);
	return *len_r > 0 ? word : NULL;
}

static bool
is_key(const char *word, const char *eq, const char *key)
{
	return (size_t)(eq - word) == strlen(key) &&
	    memcmp(word, key, strlen(key)) == 0;
}

/* False if a known word has a value that it cannot have. */
static bool
parse_word(const char *word, size_t len, struct block *b, double *until_r)
{
	const char *eq = memchr(word, '=', len), *v;
	uint64_t n;
	size_t vlen;

	if (eq == NULL)
		return true;
	v = eq + 1;
	vlen = len - (size_t)(v - word);
	if (is_key(word, eq, "score"))
		return num_parse_double(v, vlen, &b->score);
	if (is_key(word, eq, "since"))
		return num_parse_double(v, vlen, &b->since);
	if (is_key(word, eq, "until"))
		return num_parse_double(v, vlen, until_r);
	if (is_key(word, eq, "rule"))
		b->rule = name_intern(v, vlen);
	else if (is_key(word, eq, "by"))
		b->by = name_intern(v, vlen);
	else if (is_key(word, eq, "strikes")) {
		if (!num_parse_u64(v, vlen, &n))
			return false;
		b->strikes = n < UINT16_MAX ? (unsigned)n : UINT16_MAX;
	}
	return true;
}

bool
blockvalue_parse(
    const char *s, size_t len, double now, int64_t left_ms, struct block *out)
{
	struct words w = { s, s + len };
	const char *word;
	double until = NAN;
	size_t n;

	if (len >= BLOCKVALUE_MAX)
		return false;
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)s[i] < ' ' || s[i] == 0x7f)
			return false;
	out->score = 0;
	out->since = now;
	out->rule = out->by = 0;
	out->strikes = 0;
	out->own_strike = false;
	word = words_next(&w, &n);
	if (word == NULL || memchr(word, '=', n) != NULL)
		return false;
	out->level = name_intern(word, n);
	while ((word = words_next(&w, &n)) != NULL)
		if (!parse_word(word, n, out, &until))
			return false;
	if (left_ms == BLOCKVALUE_ALONE) {
		out->until = until;
		return !isnan(until);
	}
	out->until =
	    left_ms < 0 ? BLOCKVALUE_FOREVER : now + (double)left_ms / 1000;
	if (fabs(until - out->until) < BLOCKVALUE_SKEW)
		out->until = until;
	return true;
}

/* The shortest of the forms that give the same number again. */
static const char *
number(double v, char buf[40])
{
	double again;

	snprintf(buf, 40, "%.15g", v);
	if (!num_parse_double(buf, strlen(buf), &again) || again != v)
		snprintf(buf, 40, "%.17g", v);
	return buf;
}

size_t
blockvalue_format(const struct block *b, char buf[BLOCKVALUE_MAX])
{
	char score[40], since[40], until[40];
	int n;

	n = snprintf(buf, BLOCKVALUE_MAX,
	    "%s score=%s rule=%s by=%s since=%s until=%s strikes=%u",
	    name_text(b->level), number(b->score, score), name_text(b->rule),
	    name_text(b->by), number(b->since, since), number(b->until, until),
	    b->strikes);
	return n > 0 && n < BLOCKVALUE_MAX ? (size_t)n : 0;
}
