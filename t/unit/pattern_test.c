/*
 * pattern and literals: what is refused, shorthands, groups, limits, bytes;
 * and, on random expressions, that a match always holds the literals and
 * begins with a byte of pattern_first().
 */
#include "lib/core/pattern.h"

#include <stdlib.h>

#include "lib/core/errbuf.h"
#include "lib/core/literals.h"
#include "t/unit/rnd.h"
#include "t/unit/tap.h"

static struct pattern_scratch *scratch;

static enum pattern_result
match(const char *pattern, const char *subject, size_t len,
    struct pattern_match *m)
{
	struct errbuf err;
	struct pattern *p = pattern_create(pattern, &err);
	enum pattern_result r;

	if (p == NULL) {
		ok(false, "%s: %s", pattern, err.text);
		return PATTERN_LIMIT;
	}
	r = pattern_match(p, scratch, subject, len, m);
	pattern_destroy(&p);
	return r;
}

static bool
matches(const char *pattern, const char *subject)
{
	struct pattern_match m;

	return match(pattern, subject, strlen(subject), &m) == PATTERN_YES;
}

static void
test_refused(void)
{
	static const struct {
		const char *pattern, *part; /* of the message */
	} cases[] = {
		{ "", "must start with '^'" },
		{ "lost connection", "must start with '^'" },
		{ "\\^x", "must start with '^'" },
		{ "^a(b", "parenthes" },
		{ "^a[b", "class" },
		{ "^a(?<addr", "" },
		{ "^{adr}", "unknown shorthand {adr}" },
		{ "^a {cli", "unknown shorthand {cli" },
		{ "^{Client}x{client", "unknown shorthand {client" },
		{ "^(?<ok>a)(?<ok>b)", "twice" },
		{ "^(?<attempts>a)(?<attempts>b)", "twice" },
		{ "^(?<queue>a){queue}", "twice" },
		{ "^{addr}{addr}{addr}{addr}{addr}{addr}{addr}{addr}{addr}",
		    "more than 8 groups 'addr'" },
		{ "^((((((((((((((((((((((((((((((((a))))))))))))))))))))))))))"
		  "))))))",
		    "more than 31 groups" },
		{ "^\\C", "" },
		{ "^(*UTF)a", "" },
		{ "^a\\", "" },
		{ "^a**", "" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct errbuf err = { "" };
		struct pattern *p = pattern_create(cases[i].pattern, &err);

		ok(p == NULL, "'%s' is refused", cases[i].pattern);
		if (!ok(err.text[0] != '\0' &&
			    strstr(err.text, cases[i].part) != NULL,
			"and said why"))
			printf("#   '%s'\n", err.text);
		pattern_destroy(&p);
	}
	ok(pattern_create("a", NULL) == NULL, "without a place for the reason");
}

static void
test_anchor(void)
{
	ok(matches("^abc", "abcdef"), "the beginning");
	ok(!matches("^abc", "xabc"), "and nothing else");
	ok(!matches("^abc", "x\nabc"), "not that of a line inside");
	ok(!matches("^a|b", "xb"), "all alternatives are anchored");
	ok(matches("^a|b", "b"), "each of them");
	ok(!matches("^abc$", "abc\n"), "$ is the end, not before a newline");
	ok(matches("^a.b", "a\nb"), ". is any byte");
}

static void
test_bytes(void)
{
	struct pattern_match m;

	is_int(match("^a\\x00b.c", "a\0b\0c", 5, &m), PATTERN_YES, "NUL");
	is_int(match("^a[^ ]+ \xe9", "a\xff\xfe\x80 \xe9", 6, &m), PATTERN_YES,
	    "bytes that are not UTF-8");
	is_int(match("^.{3}$", "\xe2\x82\xac", 3, &m), PATTERN_YES,
	    "are counted as bytes");
	is_int(match("^abc", "abcdef", 2, &m), PATTERN_NO,
	    "nothing behind the subject is read");
	is_int(match("^", "", 0, &m), PATTERN_YES, "an empty subject");
}

static void
test_groups(void)
{
	static const struct {
		const char *pattern, *subject, *addr; /* NULL: no match */
	} cases[] = {
		{ "^x {addr} y", "x 192.0.2.1 y", "192.0.2.1" },
		{ "^x {addr}", "x 2001:db8::1", "2001:db8::1" },
		{ "^x {addr}", "x unknown", NULL },
		{ "^from {client}: ", "from a.example[192.0.2.1]: ",
		    "192.0.2.1" },
		{ "^from {client}: ", "from unknown[2001:db8::1]:25: ",
		    "2001:db8::1" },
		{ "^from {client}: ", "from unknown[unknown]: ", NULL },
		{ "^from {client}: ", "from a[192.0.2.1]:123456: ", NULL },
		{ "^from {client}", "from a b[192.0.2.1]", NULL },
		{ "^from {client}", "from [192.0.2.1]", NULL },
		{ "^from {client}", "from a[1.2.3.4][192.0.2.1]", "1.2.3.4" },
		{ "^from {bracketed}: ", "from [192.0.2.1]:25: ", "192.0.2.1" },
		{ "^from {bracketed}: ", "from a[192.0.2.1]:25: ", NULL },
		{ "^{queueid}: {addr}", "NOQUEUE: 192.0.2.1", "192.0.2.1" },
		{ "^{queueid}: {addr}", "4XyZ12abcDEF: 192.0.2.1",
		    "192.0.2.1" },
		{ "^{queueid}: {addr}", "ABCD: 192.0.2.1", NULL },
		{ "^{reply} {addr}", "554 5.7.1 192.0.2.1", "192.0.2.1" },
		{ "^{reply} {addr}", "450 192.0.2.1", "192.0.2.1" },
		{ "^{reply} {addr}", "250 2.0.0 192.0.2.1", NULL },
		{ "^(?:a {addr}|b {addr}|c {addr})", "b 192.0.2.2",
		    "192.0.2.2" },
		{ "^(?:a {addr}|b {addr}|c {addr})", "c 192.0.2.3",
		    "192.0.2.3" },
		{ "^\\{addr\\} {addr}", "{addr} 192.0.2.1", "192.0.2.1" },
		{ "^\\\\{addr}", "\\192.0.2.1", "192.0.2.1" },
		{ "^{2}", "{2}", NULL },
		{ "^a{2} {addr}", "aa 192.0.2.1", "192.0.2.1" },
	};
	struct pattern_match m;
	struct errbuf err;
	struct pattern *p;
	struct pattern_span s;
	int group;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *subject = cases[i].subject;
		bool found;

		/* "{2}" without anything to repeat means itself, or is an
		 * error, by the version of PCRE2. */
		if (strcmp(cases[i].pattern, "^{2}") == 0)
			continue;
		found = match(cases[i].pattern, subject, strlen(subject), &m) ==
		    PATTERN_YES;
		if (cases[i].addr == NULL)
			ok(!found, "%s: not '%s'", cases[i].pattern, subject);
		else
			ok(found && m.addr.ptr != NULL &&
				m.addr.len == strlen(cases[i].addr) &&
				memcmp(m.addr.ptr, cases[i].addr, m.addr.len) ==
				    0,
			    "%s: '%s'", cases[i].pattern, subject);
	}
	p = pattern_create("^x=(?<ok>\\d+)/(?<attempts>\\d+)(?: {queue})?"
			   "(?: (?<user>\\w+))?",
	    &err);
	ok(p != NULL && pattern_has_attempts(p) && pattern_has_queue(p) &&
		!pattern_has_addr(p),
	    "what the groups are");
	is_int(pattern_match(p, scratch, "x=1/34", 6, &m), PATTERN_YES,
	    "optional groups");
	ok(m.ok.len == 1 && m.attempts.len == 2 && m.queue.ptr == NULL,
	    "those that took no part are NULL");
	group = pattern_field(p, "user");
	ok(group > 0, "another group is a field");
	is_int(pattern_field(p, "nobody"), 0, "or not");
	s = pattern_taken(scratch, group, "x=1/34");
	ok(s.ptr == NULL, "a field that took no part");
	pattern_match(p, scratch, "x=1/34 ABCDEF bob", 17, &m);
	s = pattern_taken(scratch, group, "x=1/34 ABCDEF bob");
	ok(m.queue.len == 6 && s.len == 3 && memcmp(s.ptr, "bob", 3) == 0,
	    "and those that did");
	pattern_destroy(&p);
	pattern_destroy(&p);
	ok(p == NULL, "destroyed");
}

static void
test_limits(void)
{
	char *subject = malloc(1000000);
	struct pattern_match m;

	if (subject == NULL)
		exit(1);
	memset(subject, 'a', 1000000);
	is_int(match("^(?:a|aa|aaa)+[bc]", subject, 5000, &m), PATTERN_LIMIT,
	    "a pattern that explodes ends at a limit");
	is_int(match("^(?:(?:a+)+)+[bc]", subject, 5000, &m), PATTERN_LIMIT,
	    "another one");
	is_int(match("^a+$", subject, 1000000, &m), PATTERN_YES,
	    "a long subject is not one in itself");
	is_int(match("^.{1,2000}? x", subject, 8192, &m), PATTERN_NO,
	    "nor is a bounded search");
	is_int(match("^(?:a(?=.))*b", subject, 100, &m), PATTERN_NO,
	    "a pattern after a limit was hit");
	free(subject);
}

static void
test_literals(void)
{
	static const struct {
		const char *expr, *want; /* separated by blanks */
	} cases[] = {
		{ "abc", "abc" },
		{ "ab", "" },
		{ "abc.defgh", "defgh abc" },
		{ "abc\\.def", "abc.def" },
		{ "abc?def", "def" },
		{ "abcd?", "abc" },
		{ "abcd*efg", "abc efg" },
		{ "abcd+efg", "abcd efg" },
		{ "abcd{0}efg", "abc efg" },
		{ "abcd{2,3}efg", "abc efg" },
		{ "abcd{,3}efg", "abc efg" },
		{ "abc{(def)", "abc{" },
		{ "abc}d]ef", "abc}d]ef" },
		{ "abc|def", "" },
		{ "a(b|c)defg", "defg" },
		{ "abc(?:def)?ghi", "abc ghi" },
		{ "abc(?=def)ghi", "abc ghi" },
		{ "abc[d|e]fgh", "abc fgh" },
		{ "abc[]|]fgh", "abc fgh" },
		{ "abc[^]|]fgh", "abc fgh" },
		{ "abc[[:alpha:]|]fgh", "abc fgh" },
		{ "abc[\\]|]fgh", "abc fgh" },
		{ "[[:x]|foo:]bar]baz", "" },
		{ "abc\\dfgh", "abc fgh" },
		{ "abc\\x41fgh", "" },
		{ "abc\\101fgh", "" },
		{ "abc\\pLfgh", "" },
		{ "abc\\cAfgh", "" },
		{ "abc[\\c]]fgh", "" },
		{ "abc[\\x41]fgh", "abc fgh" },
		{ "(x)abc\\1fgh", "" },
		{ "(?<n>x)abc\\g<n>fgh", "" },
		{ "(?i)abc", "" },
		{ "(?i:abc)def", "" },
		{ "a(?#|)bcd", "" },
		{ "(?:x(*ACCEPT)y)abc", "" },
		{ "(?:\\Q)\\E)abc", "" },
		{ "(?:\\Q[\\E)|foo(?:])bar", "" },
		{ "a{1|foo}bar", "" },
		{ "aaa.bbbb.ccccc.dddddd.eeeeeee",
		    "eeeeeee dddddd ccccc bbbb" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct literals l;
		char got[200] = "";

		literals_find(&l, cases[i].expr);
		for (size_t j = 0; l.text[j] != NULL; j++)
			snprintf(got + strlen(got), sizeof(got) - strlen(got),
			    "%s%s", j > 0 ? " " : "", l.text[j]);
		is_str(got, cases[i].want, "literals of %s", cases[i].expr);
		literals_clear(&l);
	}
}

/* --- Random expressions, each with a subject that has a chance. --- */

struct gen {
	char re[2000], subject[2000];
	size_t re_len, subject_len;
	unsigned groups;
};

static void
put(struct gen *g, const char *re, const char *subject)
{
	size_t n = strlen(re), m = strlen(subject);

	if (g->re_len + n + 1 > sizeof(g->re) ||
	    g->subject_len + m + 1 > sizeof(g->subject))
		return;
	memcpy(g->re + g->re_len, re, n + 1);
	g->re_len += n;
	memcpy(g->subject + g->subject_len, subject, m + 1);
	g->subject_len += m;
}

static void
gen_atom(struct gen *g)
{
	static const struct {
		const char *re, *subject;
	} odd[] = { { "\\.", "." }, { "\\|", "|" }, { "\\(", "(" },
		{ "\\)", ")" }, { "\\[", "[" }, { "\\]", "]" }, { "\\{", "{" },
		{ "\\\\", "\\" }, { "{", "{" }, { "}", "}" }, { "]", "]" },
		{ ",", "," }, { "{1(", "{1(" }, { "\\x41", "A" },
		{ "\\x41bc", "Abc" }, { "\\101", "A" }, { "\\cA", "\001" },
		{ "\\pL", "a" }, { "\\N", "x" }, { "\\R", "\n" }, { "\\K", "" },
		{ "\\b", "" }, { "\\B", "" }, { "\\1", "a" }, { "\\g1", "a" },
		{ "\\g{1}", "a" }, { "\\d", "1" }, { "\\D", "a" },
		{ "\\w", "b" }, { "\\s", " " }, { "\\t", "\t" }, { ".", "c" },
		{ "^", "" }, { "$", "" }, { "[ab]", "a" }, { "[^a]", "b" },
		{ "[]a]", "]" }, { "[^]a]", "b" }, { "[a\\]b]", "]" },
		{ "[[:alpha:]]", "a" }, { "[[:x]", "x" },
		{ "[[:x]|a:]b]", "a:]b]" }, { "[|]", "|" }, { "[(]", "(" },
		{ "[)]", ")" }, { "[\\x41]", "A" }, { "[\\c]]", "\x1d" },
		{ "[[]", "[" }, { "[a-c]", "b" }, { "\\Qa|b\\E", "a|b" },
		{ "\\Q)\\E", ")" }, { "\\Q[\\E", "[" }, { "\\E", "" },
		{ "(?#a|b)", "" }, { "(?i)", "" }, { "(?-i)", "" },
		{ "(?i:abc)", "ABC" }, { "(*ACCEPT)", "" }, { "(*FAIL)", "" },
		{ "(?x)", "" }, { "(?x: a b # |\n)", "ab" },
		{ "(?|(a)|(b))", "b" }, { "(?R)?", "" }, { "(?1)", "a" },
		{ "(?'q'a)", "a" }, { "{2}", "" }, { "{,3}", "" },
		{ "{1|b}c", "{1" } };

	if (rnd_below(4)) {
		for (unsigned n = 1 + rnd_below(5); n > 0; n--) {
			char c[2] = { "abcABC1,"[rnd_below(8)], '\0' };

			put(g, c, c);
		}
	} else {
		unsigned i = rnd_below(sizeof(odd) / sizeof(odd[0]));

		put(g, odd[i].re, odd[i].subject);
	}
}

static void gen_alternatives(struct gen *g, unsigned depth);

static void
gen_piece(struct gen *g, unsigned depth)
{
	static const char *const opens[] = { "(", "(?:", "(?>", "(?=", "(?!",
		"(?<=", "(?<!", "(?<n>" };
	static const char *const repeats[] = { "?", "*", "+", "{0}", "{2}",
		"{1,2}", "{0,2}", "{,2}", "??", "*?", "++", "?+", "{0,1}?" };
	size_t before = g->subject_len;

	if (depth > 0 && rnd_below(3) == 0) {
		unsigned kind = rnd_below(8);

		put(g, opens[kind], "");
		gen_alternatives(g, depth - 1);
		put(g, ")", "");
		if (kind >= 3 && kind <= 6 && rnd_below(4)) {
			g->subject_len = before;
			g->subject[before] = '\0';
		}
	} else {
		gen_atom(g);
	}
	if (rnd_below(4) == 0) {
		unsigned kind = rnd_below(13);

		put(g, repeats[kind], "");
		if (kind != 2 && kind != 4 && rnd_below(2)) {
			g->subject_len = before +
			    (g->subject_len > before && g->re_len > 0 &&
				rnd_below(2));
			g->subject[g->subject_len] = '\0';
		}
	}
}

static void
gen_branch(struct gen *g, unsigned depth)
{
	for (unsigned n = 1 + rnd_below(4); n > 0; n--)
		gen_piece(g, depth);
}

static void
gen_alternatives(struct gen *g, unsigned depth)
{
	unsigned n = rnd_below(4) == 0 ? 2 : 1, chosen = rnd_below(n);

	for (unsigned i = 0; i < n; i++) {
		size_t before = g->subject_len;

		if (i > 0)
			put(g, "|", "");
		gen_branch(g, depth);
		if (i != chosen) {
			g->subject_len = before;
			g->subject[before] = '\0';
		}
	}
}

struct tally {
	unsigned compiled, matched, checked, wrong;
};

static void
check_subject(const struct pattern *p, const char *re, const char *s,
    size_t len, struct tally *t)
{
	struct pattern_match m;
	uint64_t first[4];
	bool bad = false;

	if (pattern_match(p, scratch, s, len, &m) != PATTERN_YES)
		return;
	t->matched++;
	for (const char *const *l = pattern_literals(p); *l != NULL; l++) {
		t->checked++;
		bad |= memmem(s, len, *l, strlen(*l)) == NULL;
	}
	pattern_first(p, first);
	if (len > 0)
		bad |= ((first[(unsigned char)s[0] / 64] >>
			    ((unsigned char)s[0] % 64)) &
			   1) == 0;
	if (bad && t->wrong++ < 5)
		printf("#   /%s/ matches '%.*s'\n", re, (int)len, s);
}

static void
test_random(void)
{
	struct tally t = { 0, 0, 0, 0 };

	for (int i = 0; i < 15000; i++) {
		struct gen g = { .re_len = 0 };
		struct pattern *p;

		put(&g, "^", "");
		gen_alternatives(&g, 3);
		p = pattern_create(g.re, NULL);
		if (p == NULL)
			continue;
		t.compiled++;
		check_subject(p, g.re, g.subject, g.subject_len, &t);
		for (int k = 0; k < 12; k++) {
			char s[2000];
			size_t len = g.subject_len;

			memcpy(s, g.subject, len);
			for (unsigned n = rnd_below(3); len > 0 && n > 0; n--)
				s[rnd_below((unsigned)len)] =
				    "abcABC1,]{}|()[:"[rnd_below(16)];
			if (len > 0 && rnd_below(2)) /* one byte less */
				memmove(s, s + 1, --len);
			if (len > 0)
				len -= rnd_below(2) * rnd_below((unsigned)len);
			check_subject(p, g.re, s, len, &t);
		}
		pattern_destroy(&p);
	}
	is_int(t.wrong, 0, "matches hold the literals and the first byte");
	ok(t.compiled > 5000 && t.matched > 5000 && t.checked > 1000,
	    "%u expressions, %u matches, %u literals", t.compiled, t.matched,
	    t.checked);
}

int
main(void)
{
	scratch = pattern_scratch_create();
	test_refused();
	test_anchor();
	test_bytes();
	test_groups();
	test_limits();
	test_literals();
	test_random();
	pattern_scratch_destroy(&scratch);
	return tap_done();
}
