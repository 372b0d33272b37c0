/* rules: what a rule must be, sets, fields limited to lists, tuning. */
#include "lib/core/rules.h"

#include "lib/core/wordset.h"
#include "t/unit/ruleskit.h"
#include "t/unit/tap.h"

static void
refused(struct rules *rs, struct rule_def d, const char *part)
{
	struct errbuf err = { "" };
	size_t before = rules_count(rs), sets = rules_set_count(rs);

	is_int(rules_add(rs, &d, &err), -1, "refused: %s", part);
	if (!ok(strstr(err.text, part) != NULL, "and said why"))
		printf("#   %s\n", err.text);
	ok(rules_count(rs) == before && rules_set_count(rs) == sets,
	    "and left nothing");
	wordset_destroy(&d.in);
	wordset_destroy(&d.not_in);
}

static void
test_refused(void)
{
	static const char *const bad[][1] = { { "" }, { "postfix/smtpd" },
		{ "smtpd[1]" }, { "a b" }, { "smtpd:" } };
	struct rules *rs = rules_create();
	struct rule_def d;
	char name[65];

	is_int(rules_count(rs), 1, "one rule is built in");
	is_str(name_text(rules_nth(rs, 0)->name), "own-refusal", "this one");
	ok(rules_nth(rs, 1) == NULL, "and no more");
	add(rs, def("a", "^a {addr}"));
	refused(rs, def("a", "^b {addr}"), "exists");
	refused(rs, def("own-refusal", "^b {addr}"), "exists");
	refused(rs, def("", "^b {addr}"), "name");
	refused(rs, def("a b", "^b {addr}"), "name");
	refused(rs, def("a\nb", "^b {addr}"), "name");
	memset(name, 'x', 64);
	name[64] = '\0';
	refused(rs, def(name, "^b {addr}"), "name");
	refused(rs, def("b", "b {addr}"), "'^'");
	refused(rs, def("b", "^b"), "no address");
	d = def("b", "^b {addr}");
	d.set = "";
	refused(rs, d, "set");
	d = def("b", "^b {addr}");
	d.n_programs = 0;
	refused(rs, d, "program");
	for (size_t i = 0; i < 5; i++) {
		d = def("b", "^b {addr}");
		d.programs = bad[i];
		refused(rs, d, "is not a program");
	}
	d = def("b", "^b {addr}");
	d.weight = NAN;
	refused(rs, d, "weight");
	d.weight = 1e7;
	refused(rs, d, "weight");
	d = def("b", "^b {addr}");
	d.counts = RULE_COUNTS_TOTAL;
	refused(rs, d, "(?<ok>");
	d.counts = RULE_COUNTS_ONCE;
	refused(rs, d, "evidence");
	d = def("b", "^b {addr}");
	d.kind = RULE_JOIN;
	refused(rs, d, "{queue}");
	d = def("b", "^b {queue}");
	d.evidence = "e";
	refused(rs, d, "no evidence");
	d = def("b", "^b {queue}");
	d.kind = RULE_END;
	refused(rs, d, "no address");
	d = def("b", "^b {addr}");
	d.field = "user";
	d.in = wordset_create();
	refused(rs, d, "no field 'user'");
	d = def("b", "^b {addr} (?<user>x)");
	d.field = "user";
	refused(rs, d, "`in` or `not_in`");
	d = def("b", "^b {addr} (?<user>x)");
	d.in = wordset_create();
	refused(rs, d, "need a field");
	d = def("b", "^b {addr} (?<user>x)");
	d.not_in = wordset_create();
	refused(rs, d, "need a field");
	rules_destroy(&rs);
	rules_destroy(&rs);
	ok(rs == NULL, "destroyed");
}

static void
test_sets(void)
{
	struct rules *rs = rules_create();
	struct errbuf err;
	char text[16], name[16];
	struct rule_def d;

	for (int i = 0; i < RULES_SETS_MAX; i++) {
		snprintf(text, sizeof(text), "set%d", i);
		snprintf(name, sizeof(name), "r%d", i);
		d = def(name, "^a {addr}");
		d.set = text;
		add(rs, d);
	}
	is_int(rules_set_count(rs), RULES_SETS_MAX, "as many sets as bits");
	ok(rules_set_bit(rs, "set63") == (uint64_t)1 << 63, "the last bit");
	is_int(rules_set_bit(rs, "other"), 0, "none for an unknown set");
	is_str(rules_set_name(rs, 1), "set1", "names");
	ok(rules_set_name(rs, 64) == NULL, "and the end");
	d = def("more", "^a {addr}");
	d.set = "set64";
	is_int(rules_add(rs, &d, &err), -1, "one set more is refused");
	d.set = "set7";
	is_int(rules_add(rs, &d, &err), 0, "one rule more is not");
	rules_destroy(&rs);
}

static void
test_fields(void)
{
	static const struct {
		const char *field, *in, *not_in, *msg;
		bool holds;
	} cases[] = {
		{ "to", "bob", NULL, "x 192.0.2.1 to=bob", true },
		{ "to", "bob", NULL, "x 192.0.2.1 to=BOB", true },
		{ "to", "bob", NULL, "x 192.0.2.1 to=bo", false },
		{ "to", "bob", NULL, "x 192.0.2.1", false },
		{ "to", NULL, "bob", "x 192.0.2.1 to=bob", false },
		{ "to", NULL, "bob", "x 192.0.2.1 to=al", true },
		{ "to", NULL, "bob", "x 192.0.2.1", true },
		{ "to", "bob", "bob", "x 192.0.2.1 to=bob", false },
		{ "to_domain", "a.example", NULL,
		    "x 192.0.2.1 to=bob@a.example", true },
		{ "to_domain", "a.example", NULL,
		    "x 192.0.2.1 to=\"a.example@\"@b.example", false },
		{ "to_domain", "a.example", NULL, "x 192.0.2.1 to=a.example",
		    false },
		{ "to_domain", NULL, "a.example", "x 192.0.2.1 to=a.example",
		    true },
		{ "to_domain", ".example", NULL, "x 192.0.2.1 to=bob@a.example",
		    true },
		{ "to_domain", "bob", NULL, "x 192.0.2.1 to=bob@", false },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct rules *rs = rules_create();
		struct rule_def d = def("r", "^x {addr}(?: to=(?<to>\\S+))?");
		struct rule_match out;
		struct matcher *m;

		d.field = cases[i].field;
		if (cases[i].in != NULL)
			wordset_add(d.in = wordset_create(), cases[i].in);
		if (cases[i].not_in != NULL)
			wordset_add(
			    d.not_in = wordset_create(), cases[i].not_in);
		add(rs, d);
		m = matcher_create(rs, UINT64_MAX);
		is_str(decides(m, "smtpd", cases[i].msg, &out),
		    cases[i].holds ? "r" : "-", "%s in %s not in %s: %s",
		    cases[i].field, cases[i].in ? cases[i].in : "-",
		    cases[i].not_in ? cases[i].not_in : "-", cases[i].msg);
		matcher_destroy(&m);
		rules_destroy(&rs);
	}
}

static void
test_tune(void)
{
	struct rules *rs = rules_create();
	struct wordset *ws = wordset_create(), *more = wordset_create();
	struct errbuf err;
	struct rule_match out;
	struct matcher *m;

	wordset_add(ws, "bob");
	wordset_add(more, "al");
	add(rs, def("r", "^x {addr} (?<to>\\S+)"));
	is_int(rules_tune(rs, "r", 7, NULL, NULL, NULL, &err), 0, "a weight");
	is_num(rules_find(rs, name_intern_str("r"))->weight, 7, "is set");
	is_int(rules_tune(rs, "r", NAN, "to", ws, NULL, &err), 0, "a limit");
	is_num(rules_find(rs, name_intern_str("r"))->weight, 7,
	    "leaves the weight");
	is_int(rules_tune(rs, "r", NAN, "to", NULL, more, &err), 0,
	    "another replaces it");
	is_int(rules_tune(rs, "none", 1, NULL, NULL, NULL, &err), -1,
	    "an unknown rule");
	is_int(rules_tune(rs, "own-refusal", 1, NULL, NULL, NULL, &err), -1,
	    "the built-in rule is not for tuning");
	is_int(rules_tune(rs, "r", NAN, "from", more, NULL, &err), -1,
	    "an unknown field");
	is_int(rules_tune(rs, "r", NAN, "to", NULL, NULL, &err), -1,
	    "a field without a list");
	is_int(rules_tune(rs, "r", NAN, NULL, more, NULL, &err), -1,
	    "a list without a field");
	m = matcher_create(rs, UINT64_MAX);
	is_str(decides(m, "smtpd", "x 192.0.2.1 zoe", &out), "r", "holds");
	is_str(decides(m, "smtpd", "x 192.0.2.1 al", &out), "-", "or not");
	matcher_destroy(&m);
	rules_destroy(&rs);
}

/* A guard that is not needed. */
static void
test_tune_ambiguous(void)
{
	struct rules *rs = rules_create();
	struct rule_def guard = def("g", "^x \\S+ \\S+$");
	struct errbuf err;
	struct rule_match out;
	struct matcher *m;

	guard.kind = RULE_AMBIGUOUS;
	add(rs, guard);
	add(rs, def("r", "^x {addr} (?<to>\\S+)"));
	m = matcher_create(rs, UINT64_MAX);
	is_str(decides(m, "smtpd", "x 192.0.2.1 al", &out), "g", "guarded");
	matcher_destroy(&m);
	is_int(
	    rules_tune(rs, "g", 0, NULL, NULL, NULL, &err), 0, "switched off");
	m = matcher_create(rs, UINT64_MAX);
	is_str(decides(m, "smtpd", "x 192.0.2.1 al", &out), "r", "not tried");
	matcher_destroy(&m);
	rules_destroy(&rs);
}

int
main(void)
{
	test_refused();
	test_sets();
	test_fields();
	test_tune();
	test_tune_ambiguous();
	names_destroy();
	return tap_done();
}
