/*
 * matcher: the prefilter against trying every rule in order, over the shipped
 * rules and random ones.
 */
#include "lib/core/rules.h"

#include <stdlib.h>

#include "lib/core/logpos.h"
#include "lib/core/num.h"
#include "lib/core/pattern.h"
#include "lib/core/wordset.h"
#include "t/unit/rnd.h"
#include "t/unit/ruleskit.h"
#include "t/unit/tap.h"

static bool
has_program(const struct rule *r, const char *program)
{
	for (size_t i = 0; i < r->n_programs; i++)
		if (strcmp(name_text(r->programs[i]), program) == 0)
			return true;
	return false;
}

/* What stands behind the last '@' of a field, or the field. */
static bool
field_holds(const struct rule *r, struct pattern_span s)
{
	if (r->field == 0)
		return true;
	if (s.ptr != NULL && r->field_domain) {
		const char *at = memrchr(s.ptr, '@', s.len);

		if (at == NULL)
			return r->in == NULL;
		s = (struct pattern_span){ at + 1,
			(size_t)(s.ptr + s.len - at - 1) };
	}
	if (s.ptr == NULL)
		return r->in == NULL;
	return (r->in == NULL || wordset_has(r->in, s.ptr, s.len)) &&
	    (r->not_in == NULL || !wordset_has(r->not_in, s.ptr, s.len));
}

static bool
rule_matches(const struct rule *r, struct pattern_scratch *scratch,
    const struct logline *l, struct rule_match *out, bool *limit_r)
{
	size_t len = l->msg_len < RULES_LINE_MAX ? l->msg_len : RULES_LINE_MAX;
	struct pattern_match pm;
	enum pattern_result res =
	    pattern_match(r->pattern, scratch, l->msg, len, &pm);
	uint64_t ok_n, all;

	*limit_r |= res == PATTERN_LIMIT;
	memset(out, 0, sizeof(*out));
	if (res != PATTERN_YES)
		return false;
	out->rule = r;
	out->attempts = 1;
	out->has_addr = pm.addr.ptr != NULL;
	if (pattern_has_addr(r->pattern) &&
	    (!out->has_addr ||
		!addr_parse_host(pm.addr.ptr, pm.addr.len, &out->addr)))
		return false;
	out->has_queue = pm.queue.ptr != NULL;
	if (out->has_queue)
		out->queue = logpos_hash(pm.queue.ptr, pm.queue.len);
	if (!field_holds(r, pattern_taken(scratch, r->field, l->msg)))
		return false;
	if (r->counts != RULE_COUNTS_TOTAL)
		return true;
	if (pm.ok.ptr == NULL || pm.attempts.ptr == NULL ||
	    !num_parse_u64(pm.ok.ptr, pm.ok.len, &ok_n) ||
	    !num_parse_u64(pm.attempts.ptr, pm.attempts.len, &all) ||
	    ok_n >= all)
		return false;
	out->attempts = all - ok_n < 10000 ? (unsigned)(all - ok_n) : 10000;
	return true;
}

static enum rules_result
brute(const struct rules *rs, uint64_t sets, struct pattern_scratch *scratch,
    const struct logline *l, struct rule_match *out)
{
	bool limit = false, any = false;
	char program[64];

	snprintf(
	    program, sizeof(program), "%.*s", (int)l->program_len, l->program);
	for (size_t i = 1; i < rules_count(rs); i++)
		any |= (rules_nth(rs, i)->set & sets) != 0 &&
		    has_program(rules_nth(rs, i), program);
	if (!any || l->msg_len == 0)
		return RULES_NONE;
	for (size_t i = 0; i < rules_count(rs); i++) {
		const struct rule *r = rules_nth(rs, i);

		if (i > 0 && ((r->set & sets) == 0 || !has_program(r, program)))
			continue;
		if (rule_matches(r, scratch, l, out, &limit))
			return RULES_MATCH;
	}
	return limit ? RULES_LIMIT : RULES_NONE;
}

/* One line by both, and by explain. */
static bool
agree(struct matcher *m, const struct rules *rs, uint64_t sets,
    struct pattern_scratch *scratch, const struct logline *l)
{
	struct rule_match a, b, c;
	enum rules_result got, want, explained;

	memset(&a, 0, sizeof(a));
	memset(&c, 0, sizeof(c));
	got = matcher_match(m, l, &a);
	explained = matcher_explain(m, l, &c, NULL, NULL);
	want = brute(rs, sets, scratch, l, &b);
	if (want == RULES_LIMIT && got == RULES_NONE)
		return true; /* ruled out without a try */
	if (got != want || explained != got)
		return false;
	return got != RULES_MATCH ||
	    (a.rule == b.rule && c.rule == b.rule && a.has_addr == b.has_addr &&
		a.attempts == b.attempts && a.has_queue == b.has_queue &&
		(!a.has_queue || a.queue == b.queue) &&
		(!a.has_addr || addr_equal(&a.addr, &b.addr)));
}

static const char *const addresses[] = { "192.0.2.1", "2001:db8::1", "unknown",
	"1.2.3.256", "::ffff:192.0.2.7" };
static const char *const words[] = { "lost connection after AUTH", "AUTH",
	"from", "to=", "reject: RCPT", "reject",
	"warning: ", "NOQUEUE: ", "4XyZabcdefGH: ", "554 5.7.1 ",
	"SASL LOGIN authentication failed: ", "Relay access denied",
	"User unknown", "disconnect from ", "auth=0/3", "ehlo=1",
	"commands=3/9", ": ", "; ", " ", "<", ">", "a@b.example",
	"proto=ESMTP helo=<x>", "Client host rejected: ", "[mxw]; ",
	"improper command pipelining after ", "too many errors after ",
	"connect from ", "PREGREET 11 after 0.1 from ", "\xff", "x.example" };

static void
random_message(char *out, size_t size)
{
	size_t len = 0;

	out[0] = '\0';
	for (unsigned n = 1 + rnd_below(9); n > 0 && len + 100 < size; n--) {
		switch (rnd_below(4)) {
		case 0:
			len += (size_t)snprintf(out + len, size - len,
			    "%s[%s]%s", rnd_below(5) ? "a.example" : "",
			    addresses[rnd_below(5)],
			    rnd_below(4) ? "" : ":4711");
			break;
		default:
			len += (size_t)snprintf(out + len, size - len, "%s%s",
			    words[rnd_below(sizeof(words) / sizeof(words[0]))],
			    rnd_below(2) ? " " : "");
		}
	}
}

/* Lines that the shipped rules are about. */
static void
corpus_message(char *out, size_t size)
{
	static const char *const forms[] = {
		"lost connection after $1 from $2[$3]",
		"warning: $2[$3]: SASL LOGIN authentication failed: $1",
		"NOQUEUE: reject: RCPT from $2[$3]: 554 5.7.1 <$1>: "
		"Relay access denied; from=<a@b> to=<c@d> proto=SMTP helo=<x>",
		"NOQUEUE: reject: RCPT from $2[$3]: 550 5.1.1 <$1>: "
		"Recipient address rejected: User unknown in local recipient "
		"table; from=<a@b> to=<c@d> proto=ESMTP helo=<x>",
		"disconnect from $2[$3] ehlo=1 auth=0/3 rset=$1 "
		"commands=1/4",
		"disconnect from $2[$3] ehlo=1 quit=1 commands=2",
		"NOQUEUE: reject: RCPT from $2[$3]: 554 5.7.1 Service "
		"unavailable; Client host [$3] blocked using $1; from=<a>",
		"NOQUEUE: reject: RCPT from $2[$3]: 504 5.5.2 <$1>: Helo "
		"command rejected: need fully-qualified hostname; from=<a@b>",
		"warning: non-SMTP command from $2[$3]: $1",
		"PREGREET 11 after 0.05 from [$3]:$1",
		"warning: hostname $2 does not resolve to address $3: $1",
		"timeout after $1 from $2[$3]",
		"NOQUEUE: reject: RCPT from $2[$3]: 554 5.7.1 <$2[$3]>: Client "
		"host rejected: $1 [mxw]; from=<a@b> to=<c@d> proto=ESMTP "
		"helo=<x>",
	};

	fill(out, size, forms[rnd_below(13)],
	    words[rnd_below(sizeof(words) / sizeof(words[0]))],
	    rnd_below(3) ? "unknown" : "mail.a.example",
	    addresses[rnd_below(5)]);
	for (unsigned n = rnd_below(4); out[0] != '\0' && n > 0; n--)
		if (rnd_below(3) == 0)
			out[rnd_below((unsigned)strlen(out))] =
			    (char)(1 + rnd_below(255));
}

static void
test_shipped(void)
{
	static const char *const programs[] = { "smtpd", "postscreen",
		"cleanup", "smtp", "qmgr" };
	struct pattern_scratch *scratch = pattern_scratch_create();
	struct conf *shipped = shipped_conf();
	unsigned differ = 0, matched = 0;
	struct matcher *m;

	if (shipped == NULL)
		return;
	m = matcher_create(shipped->rules, UINT64_MAX);

	for (int i = 0; i < 30000; i++) {
		char msg[2000];
		struct rule_match out;
		struct logline l;

		if (i % 3)
			corpus_message(msg, sizeof(msg));
		else
			random_message(msg, sizeof(msg));
		l = line_of(programs[rnd_below(20) < 16 ? 0 : rnd_below(5)],
		    msg, strlen(msg));
		if (!agree(m, shipped->rules, UINT64_MAX, scratch, &l) &&
		    differ++ < 5)
			printf("#   %s\n", msg);
		matched += matcher_match(m, &l, &out) == RULES_MATCH;
	}
	is_int(differ, 0, "shipped rules: as if each were tried in order");
	ok(matched > 4000, "%u lines match", matched);
	matcher_destroy(&m);
	conf_destroy(&shipped);
	pattern_scratch_destroy(&scratch);
}

static void
random_rule(struct rules *rs, unsigned n)
{
	static const char *const pieces[] = { "lost connection", "after [A-Z]+",
		"(?:NOQUEUE: )?", "reject", "from ", "{client}", "{bracketed}",
		"\\S*", ".*", "[a-z]+", " ?", "(?:warning|reject): ", ": ",
		"<[^>]*>", "SASL ", "auth=(?<ok>\\d)/(?<attempts>\\d+)",
		"(?i)AUTH", "disconnect from ", "[lw].", "(?<to>\\S+)",
		"{queue}: ", "a.example", "\\[" };
	static const char *const progs[] = { "smtpd", "postscreen", "cleanup" };
	static const char *const sets[] = { "s", "t", "u" };
	char name[16], pattern[300] = "^";
	struct rule_def d = def(name, pattern);

	snprintf(name, sizeof(name), "r%u", n);
	for (unsigned k = 1 + rnd_below(5); k > 0; k--)
		snprintf(pattern + strlen(pattern),
		    sizeof(pattern) - strlen(pattern), "%s",
		    pieces[rnd_below(23)]);
	if (rnd_below(3))
		snprintf(pattern + strlen(pattern),
		    sizeof(pattern) - strlen(pattern), "%s",
		    rnd_below(2) ? ".*{client}" : "{client}");
	d.set = sets[rnd_below(3)];
	d.programs = progs + rnd_below(2);
	d.n_programs = 1 + rnd_below(2);
	d.kind = rnd_below(4) ? RULE_OFFENCE : RULE_FAULT;
	if (rnd_below(3) == 0)
		d.counts = RULE_COUNTS_TOTAL;
	if (rnd_below(3) == 0) {
		d.field = rnd_below(2) ? "to" : "to_domain";
		wordset_add(d.in = wordset_create(), words[rnd_below(32)]);
	}
	if (rules_add(rs, &d, NULL) != 0)
		wordset_destroy(&d.in);
}

static void
test_random_rules(void)
{
	static const char *const programs[] = { "smtpd", "postscreen",
		"cleanup" };
	struct pattern_scratch *scratch = pattern_scratch_create();
	unsigned differ = 0, matched = 0;

	for (int round = 0; round < 60; round++) {
		struct rules *rs = rules_create();
		uint64_t sets;
		struct matcher *m;

		for (unsigned n = 0; n < 60; n++)
			random_rule(rs, n);
		sets = rnd() & 7;
		m = matcher_create(rs, sets);
		for (int i = 0; i < 300; i++) {
			char msg[2000];
			struct rule_match out;
			struct logline l;

			if (i % 2)
				corpus_message(msg, sizeof(msg));
			else
				random_message(msg, sizeof(msg));
			l = line_of(programs[rnd_below(3)], msg, strlen(msg));
			if (!agree(m, rs, sets, scratch, &l) && differ++ < 5)
				printf("#   %s\n", msg);
			matched += matcher_match(m, &l, &out) == RULES_MATCH;
		}
		matcher_destroy(&m);
		rules_destroy(&rs);
	}
	is_int(differ, 0, "random rules: as if each were tried in order");
	ok(matched > 1000, "%u lines match", matched);
	pattern_scratch_destroy(&scratch);
}

int
main(void)
{
	test_shipped();
	test_random_rules();
	names_destroy();
	return tap_done();
}
