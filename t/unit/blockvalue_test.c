/* blockvalue: keys and values, written by us, by hand, and by nobody sane. */
#include "lib/core/blockvalue.h"

#include <stdlib.h>

#include "t/unit/rnd.h"
#include "t/unit/tap.h"

#define NOW 1797242400.0

static void
test_keys(void)
{
	static const struct {
		const char *text;
		bool good;
	} cases[] = { { "192.0.2.1", true }, { "192.0.2.0/24", true },
		{ "10.0.0.0/8", true }, { "2001:db8::1", true },
		{ "2001:db8:1:2::/64", true }, { "2001::/16", true },
		{ "10.0.0.0/7", false }, { "0.0.0.0/0", false },
		{ "2000::/15", false }, { "::/0", false },
		{ "192.0.2.1/24", false }, { "192.0.2.1/32", false },
		{ "2001:DB8::1", false }, { "2001:db8:0::1", false },
		{ "::ffff:192.0.2.1", false }, { "192.0.2.01", false },
		{ "example.org", false }, { "", false },
		{ " 192.0.2.1", false }, { "192.0.2.1 ", false } };
	struct addr a;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *why = NULL;
		bool good = blockvalue_addr(
		    cases[i].text, strlen(cases[i].text), &a, &why);

		ok(good == cases[i].good && (good || why != NULL), "key '%s'",
		    cases[i].text);
	}
}

static bool
parse(const char *s, int64_t left, struct block *b)
{
	memset(b, 0, sizeof(*b));
	return blockvalue_parse(s, strlen(s), NOW, left, b);
}

static void
test_values(void)
{
	static const char *const bad[] = { "", " ", "score=5", "=",
		"a=b reject", "reject score=x",
		"reject score=", "reject until=soon", "reject since=inf",
		"reject strikes=-1", "reject strikes=1.5", "reject score=nan",
		"reject\nscore=5", "reject\tx", "a\x7f" };
	struct block b;

	ok(parse("reject", 60000, &b), "typed by hand");
	is_str(name_text(b.level), "reject", "the level");
	ok(b.until == NOW + 60 && b.since == NOW && b.score == 0 &&
		b.rule == 0 && b.by == 0 && b.strikes == 0,
	    "and what follows from it");
	ok(parse("  reject   rule=x  unknown=1 word by=mx2 ", -1, &b),
	    "blanks and words that are not known");
	ok(b.until == BLOCKVALUE_FOREVER, "a key without TTL");
	is_str(name_text(b.rule), "x", "the rule");
	is_str(name_text(b.by), "mx2", "the host");
	ok(parse("reject until=1797242461.5 score=12.25 since=1797242000 "
		 "strikes=3 rule=a=b",
	       60500, &b),
	    "all of them");
	ok(b.until == NOW + 61.5 && b.score == 12.25 && b.since == NOW - 400 &&
		b.strikes == 3,
	    "an end that agrees with the TTL");
	is_str(name_text(b.rule), "a=b", "a value with '='");
	ok(parse("reject until=1797243000", 60000, &b) && b.until == NOW + 60,
	    "the TTL decides where they do not agree");
	ok(parse("reject until=1797243000", BLOCKVALUE_ALONE, &b) &&
		b.until == NOW + 600,
	    "or the word, where there is no key");
	ok(!parse("reject", BLOCKVALUE_ALONE, &b), "which must be there then");
	ok(parse("reject strikes=99999999999", 1, &b) &&
		b.strikes == UINT16_MAX,
	    "many strikes");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ok(!parse(bad[i], 1000, &b), "refused: '%s'", bad[i]);
}

static void
test_round_trip(void)
{
	static const char *const names[] = { "defer", "postfix-auth", "mx1",
		"caf\xc3\xa9", "a=b", "x" };
	unsigned wrong = 0;
	char longest[300];

	memset(longest, 'y', sizeof(longest));
	for (int i = 0; i < 20000; i++) {
		struct block b = { .level = name_intern_str(names[0]),
			.rule = i % 50 ? name_intern_str(names[rnd_below(6)])
				       : name_intern(longest, 300),
			.by = name_intern_str(names[rnd_below(6)]),
			.score = rnd_real() * 100,
			.since = NOW - rnd_real() * 1e6,
			.until = NOW + rnd_real() * 1e6,
			.strikes = rnd_below(65536) };
		struct block out = b;
		char text[BLOCKVALUE_MAX];
		size_t len = blockvalue_format(&b, text);
		int64_t left = (int64_t)((b.until - NOW) * 1000);

		wrong += len == 0 || len != strlen(text) ||
		    !blockvalue_parse(text, len, NOW, left, &out) ||
		    out.level != b.level || out.rule != b.rule ||
		    out.by != b.by || out.score != b.score ||
		    out.since != b.since || out.until != b.until ||
		    out.strikes != b.strikes;
	}
	is_int(wrong, 0, "what is written is read, to the last bit");
}

/* Exact copies of damaged values: nothing is read behind them, and what is
 * taken is finite. */
static void
test_damage(void)
{
	static const char good[] =
	    "reject score=12.5 rule=r by=mx1 "
	    "since=1797242000 until=1797242500 strikes=1";
	unsigned wrong = 0;

	for (int i = 0; i < 50000; i++) {
		size_t len =
		    i < (int)sizeof(good) ? (size_t)i : sizeof(good) - 1;
		char *p = malloc(len > 0 ? len : 1);
		struct block b;

		if (p == NULL)
			exit(1);
		memcpy(p, good, len);
		for (unsigned n = rnd_below(4); i > 200 && n > 0; n--)
			p[rnd_below((unsigned)len)] = rnd_below(2)
			    ? (char)rnd_below(256)
			    : " =.0123456789einf"[rnd_below(17)];
		if (blockvalue_parse(p, len, NOW, 1000, &b))
			wrong += !isfinite(b.until) || !isfinite(b.score) ||
			    !isfinite(b.since) || b.strikes > UINT16_MAX;
		free(p);
	}
	is_int(wrong, 0, "damaged values");
}

int
main(void)
{
	test_keys();
	test_values();
	test_round_trip();
	test_damage();
	names_destroy();
	return tap_done();
}
