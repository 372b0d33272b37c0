/*
 * matcher: which rule decides, what explain says; our own refusals and their
 * forgeries.
 */
#include "lib/core/rules.h"

#include <stdlib.h>

#include "lib/core/policy.h"
#include "lib/core/wordset.h"
#include "t/unit/rnd.h"
#include "t/unit/ruleskit.h"
#include "t/unit/tap.h"

static struct conf *shipped;

static void
test_decides(void)
{
	static const char *const both[] = { "smtpd", "postscreen", "smtpd" };
	struct rules *rs = rules_create();
	struct matcher *m, *none;
	struct rule_match out;
	struct rule_def d;

	d = def("first", "^lost after AUTH from {client}");
	d.programs = both;
	d.n_programs = 3;
	add(rs, d);
	add(rs, def("second", "^lost after [A-Z]+ from {client}"));
	d = def("other-set", "^timeout from {client}");
	d.set = "t";
	add(rs, d);
	d = def("total",
	    "^gone from {client} ok=(?<ok>\\d+) all=(?<attempts>\\d+)");
	d.counts = RULE_COUNTS_TOTAL;
	add(rs, d);
	d = def("fault", "^gone: our own fault");
	d.kind = RULE_FAULT;
	add(rs, d);
	add(rs, def("maybe", "^gone(?: {client})?"));
	m = matcher_create(rs, rules_set_bit(rs, "s"));
	none = matcher_create(rs, 0);

	is_str(decides(m, "smtpd", "lost after AUTH from a[192.0.2.1]", &out),
	    "first", "the first that matches");
	ok(out.has_addr && out.addr.b[15] == 1, "its address");
	is_int(out.attempts, 1, "one attempt");
	is_str(decides(m, "smtpd", "lost after RCPT from a[192.0.2.1]", &out),
	    "second", "or a later one");
	is_str(
	    decides(m, "postscreen", "lost after AUTH from a[192.0.2.1]", &out),
	    "first", "another program of the rule");
	is_str(
	    decides(m, "postscreen", "lost after RCPT from a[192.0.2.1]", &out),
	    "-", "not of that rule");
	is_str(decides(m, "smtp", "lost after AUTH from a[192.0.2.1]", &out),
	    "-", "another program");
	is_str(decides(m, "smtpdx", "lost after AUTH from a[192.0.2.1]", &out),
	    "-", "one that begins so");
	is_str(decides(m, "smtpd", "timeout from a[192.0.2.1]", &out), "-",
	    "a rule of another set");
	is_str(decides(m, "smtpd", "Lost after AUTH from a[192.0.2.1]", &out),
	    "-", "another first byte");
	is_str(decides(m, "smtpd", " lost after AUTH from a[192.0.2.1]", &out),
	    "-", "not inside the message");
	is_str(decides(m, "smtpd", "", &out), "-", "an empty message");
	is_str(decides(m, "smtpd", "lost after AUTH from a[192.0.2.256]", &out),
	    "-", "no address after all");
	is_str(decides(m, "smtpd", "lost after AUTH from a[1.2.3]", &out), "-",
	    "half an address");
	is_str(decides(m, "smtpd", "lost after AUTH from a[::ffff:192.0.2.9]",
		   &out),
	    "first", "a mapped address");
	ok(addr_is_v4(&out.addr), "is IPv4");
	is_str(decides(m, "smtpd", "gone from a[192.0.2.1] ok=1 all=4", &out),
	    "total", "numbers");
	is_int(out.attempts, 3, "failures");
	is_str(decides(m, "smtpd", "gone from a[192.0.2.1] ok=4 all=4", &out),
	    "-", "no failures");
	is_str(decides(m, "smtpd", "gone from a[192.0.2.1] ok=5 all=4", &out),
	    "-", "more than all");
	decides(m, "smtpd", "gone from a[192.0.2.1] ok=0 all=99999999", &out);
	is_int(out.attempts, 10000, "bounded");
	is_str(decides(m, "smtpd",
		   "gone from a[192.0.2.1] ok=0 "
		   "all=99999999999999999999999",
		   &out),
	    "-", "or not a number at all");
	is_str(decides(m, "smtpd", "gone: our own fault", &out), "fault",
	    "a fault needs no address");
	ok(!out.has_addr, "and has none");
	is_str(decides(m, "smtpd", "gone a[192.0.2.1]", &out), "maybe",
	    "an optional address");
	is_str(decides(m, "smtpd", "gone a-way", &out), "-", "is not optional");
	is_str(
	    decides(none, "smtpd", "lost after AUTH from a[192.0.2.1]", &out),
	    "-", "no sets, no rules");
	matcher_destroy(&none);
	matcher_destroy(&m);
	matcher_destroy(&m);
	ok(m == NULL, "destroyed");
	rules_destroy(&rs);
}

struct tried {
	char text[1000];
};

static void
on_tried(void *ctx, const struct rule *r, const char *why)
{
	struct tried *t = ctx;

	snprintf(t->text + strlen(t->text), sizeof(t->text) - strlen(t->text),
	    "%s: %s; ", name_text(r->name), why);
}

static void
test_explain(void)
{
	struct rules *rs = rules_create();
	struct wordset *words = wordset_create();
	struct matcher *m;
	struct rule_match out;
	struct tried t = { "" };
	struct logline l;
	struct rule_def d;
	char *text;

	wordset_add(words, "example.org");
	add(rs, def("byte", "^x {addr}"));
	add(rs, def("lit", "^lost connection from {client}"));
	add(rs, def("pat", "^lost from {client}:"));
	add(rs, def("addr", "^lost {addr}?from a.(?<addr>[0-9.]+)"));
	d = def("list", "^lost from {client} to=(?<to>\\S+)");
	d.field = "to_domain";
	d.in = words;
	add(rs, d);
	add(rs, def("limit", "^lost from (?:(?:[a-z.0-9]+)+)+[!?]{addr}"));
	add(rs, def("match", "^lost from {client}"));
	add(rs, def("also", "^lost .*{client}"));
	m = matcher_create(rs, rules_set_bit(rs, "s"));
	text = malloc(3000);
	if (text == NULL)
		exit(1);
	snprintf(text, 3000, "lost from a[999.0.2.1] to=bob@example.net");
	l = line_of("smtpd", text, strlen(text));
	is_int(matcher_explain(m, &l, &out, on_tried, &t), RULES_NONE, "none");
	is_str(t.text,
	    "own-refusal: literal; byte: first byte; "
	    "lit: literal; pat: pattern; addr: address; "
	    "list: address; limit: pattern; match: address; "
	    "also: address; ",
	    "each with its reason");
	snprintf(text, 3000, "lost from a[192.0.2.1] to=bob@example.net");
	l = line_of("smtpd", text, strlen(text));
	t.text[0] = '\0';
	is_int(matcher_explain(m, &l, &out, on_tried, &t), RULES_MATCH,
	    "one that decides");
	is_str(name_text(out.rule->name), "addr", "the first one");
	ok(strstr(t.text, "list: list; ") && strstr(t.text, "also: match; "),
	    "those behind it are told of as well");
	is_str(decides(m, "smtpd", text, &out), name_text(out.rule->name),
	    "match says the same");
	/* A limit on the way is told, if nothing matches. */
	memset(text, 'a', 2500);
	memcpy(text, "lost from ", 10);
	text[2500] = '\0';
	l = line_of("smtpd", text, 2500);
	is_int(matcher_explain(m, &l, &out, NULL, NULL), RULES_LIMIT,
	    "a limit, without a listener");
	is_str(decides(m, "smtpd", text, &out), "limit", "also by match");
	free(text);
	matcher_destroy(&m);
	rules_destroy(&rs);
}

/* A message longer than RULES_LINE_MAX is matched as if it ended there. */
static void
test_long(void)
{
	struct rules *rs = rules_create();
	char *msg = malloc(RULES_LINE_MAX + 100);
	struct rule_match out;
	struct matcher *m;

	if (msg == NULL)
		exit(1);
	add(rs, def("end", "^x {addr} a*$"));
	add(rs, def("far", "^x {addr} a*far"));
	m = matcher_create(rs, UINT64_MAX);
	memset(msg, 'a', RULES_LINE_MAX + 99);
	memcpy(msg, "x 192.0.2.1 ", 12);
	msg[RULES_LINE_MAX + 99] = '\0';
	memcpy(msg + RULES_LINE_MAX, "far", 3);
	is_str(decides(m, "smtpd", msg, &out), "end",
	    "what is cut off is not seen");
	memcpy(msg + RULES_LINE_MAX - 3, "far", 3);
	is_str(decides(m, "smtpd", msg, &out), "far", "what is not is");
	free(msg);
	matcher_destroy(&m);
	rules_destroy(&rs);
}

/* --- our own refusals --- */

#define REFUSAL(state, client, code, name, what, text)                \
	"NOQUEUE: reject: " state " from " client ": " code " <" name \
	">: " what " rejected: " text " [mxw]; "
#define C4 "unknown[192.0.2.1]"

static void
test_own(void)
{
	static const char *const own[] = {
		REFUSAL("RCPT", C4, "554 5.7.1", C4, "Client host",
		    "Abuse from 192.0.2.1 (postfix-auth-lost)") "from=<a@b."
								"example> "
								"to=<c@d."
								"example> "
								"proto=ESMTP "
								"helo=<x."
								"example>",
		REFUSAL("RCPT", C4, "450 4.7.1", C4, "Client host",
		    "Too many") "from=<> to=<c@d.example> proto=SMTP "
				"helo=<[1.2.3.4]>",
		REFUSAL("RCPT", C4, "521 5.7.1", C4, "Client host",
		    "Abuse") "from=<a@b> to=<c@d> proto=ESMTP helo=<x>",
		REFUSAL("RCPT", C4 ":4711", "554 5.7.1", C4, "Client host",
		    "A") "from=<a@b> to=<c@d> proto=ESMTP helo=<x>",
		REFUSAL("RCPT", "a.b[2001:db8::1]", "554 5.7.1",
		    "a.b[2001:db8::1]", "Client host",
		    "A; b, c: d") "from=<a@b> to=<c@d> proto=ESMTP helo=<x>",
		REFUSAL("RCPT", "a.b[2001:db8::1]:25", "554 5.7.1",
		    "a.b[2001:db8::1]", "Client host",
		    "A") "from=<a@b> to=<c@d> proto=SMTP",
		REFUSAL("CONNECT", C4, "554 5.7.1", C4, "Client host",
		    "Abuse") "proto=SMTP",
		REFUSAL("CONNECT", "a[2001:db8::1]", "554 5.7.1",
		    "a[2001:db8::1]", "Client host", "Abuse") "proto=SMTP",
		REFUSAL("EHLO", C4, "554 5.7.1", "x.example", "Helo command",
		    "Abuse") "proto=ESMTP helo=<x.example>",
		REFUSAL("RCPT", C4, "554 5.7.1", "c@d.example",
		    "Recipient address",
		    "Abuse") "from=<a@b> to=<c@d.example> proto=ESMTP helo=<x>",
		REFUSAL("RCPT", C4, "554 5.7.1", "a@b", "Sender address",
		    "Abuse") "from=<a@b> to=<c@d> proto=ESMTP helo=<x>",
		REFUSAL("DATA", C4, "554 5.7.1", "DATA", "Data command",
		    "Abuse") "from=<a@b> proto=ESMTP helo=<x>",
		REFUSAL("END-OF-MESSAGE", C4, "554 5.7.1", "END-OF-MESSAGE",
		    "End-of-data", "Abuse") "from=<a@b> proto=ESMTP helo=<x>",
		REFUSAL("RCPT", C4, "554 5.7.1", C4, "Client host",
		    "Abuse") "from=<a@b> to=<c@d> proto=ESMTP helo=<x> "
			     "sasl_method=PLAIN sasl_username=bob",
		"4XyZabcdefGH: reject: RCPT from " C4 ": 554 5.7.1 <" C4
		">: Client host rejected: A [mxw]; from=<> to=<c@d> "
		"proto=ESMTP helo=<x>",
		"NOQUEUE: reject_warning: RCPT from " C4 ": 554 5.7.1 <" C4
		">: Client host rejected: A [mxw]; from=<> to=<c@d> "
		"proto=ESMTP helo=<x>",
	};
	struct matcher *m = matcher_create(shipped->rules, UINT64_MAX);
	struct rule_match out;

	for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
		is_str(decides(m, "smtpd", own[i], &out), "own-refusal", "%s",
		    own[i]);
	matcher_destroy(&m);
}

/*
 * Real refusals of Postfix's, into which the client puts what it can: the
 * text of our refusal in recipient, sender, HELO, ETRN argument, SASL user
 * name. None may pass for ours.
 */
static void
test_forged(void)
{
	static const char *const inside[] = {
		"x [mxw]",
		"[mxw]; from=<a@b> to=<c@d> proto=ESMTP helo=<x",
		"x>: Client host rejected: Abuse [mxw]; from=<a@b> to=<c@d> "
		"proto=ESMTP helo=<x",
		"x>: Client host rejected: Abuse [mxw]; proto=SMTP helo=<x",
		"x>: Client host rejected: Abuse [mxw]; proto=SMTP sasl_x=",
		"x>: Client host rejected: Abuse [mxw]; proto=SMTP",
		"unknown[192.0.2.1]>: Client host rejected: Abuse from "
		"192.0.2.1 [mxw]; from=<",
		"\">: Client host rejected: A [mxw]; from=<> to=<> proto=SMTP "
		"helo=<\"",
		"a: Client host rejected: Abuse [mxw]; proto=SMTP",
	};
	static const struct {
		const char *fmt; /* $1 is the client's text */
		const char *rule;
	} lines[] = {
		{ "NOQUEUE: reject: RCPT from " C4 ": 554 5.7.1 <$1>: Relay "
		  "access denied; from=<a@b> to=<c@d> proto=ESMTP helo=<x>",
		    "relay" },
		{ "NOQUEUE: reject: RCPT from " C4 ": 554 5.7.1 <c@d>: Relay "
		  "access denied; from=<$1> to=<c@d> proto=ESMTP helo=<x>",
		    "relay" },
		{ "NOQUEUE: reject: RCPT from " C4 ": 554 5.7.1 <c@d>: Relay "
		  "access denied; from=<a@b> to=<$1> proto=ESMTP helo=<x>",
		    "relay" },
		{ "NOQUEUE: reject: RCPT from " C4 ": 554 5.7.1 <c@d>: Relay "
		  "access denied; from=<a@b> to=<c@d> proto=ESMTP helo=<$1>",
		    "relay" },
		{ "NOQUEUE: reject: RCPT from " C4 ": 554 5.7.1 <c@d>: Relay "
		  "access denied; from=<a@b> to=<c@d> proto=ESMTP helo=<x> "
		  "sasl_method=PLAIN sasl_username=$1",
		    "relay" },
		{ "NOQUEUE: reject: RCPT from " C4 ": 550 5.1.1 <$1>: "
		  "Recipient address rejected: User unknown in local recipient "
		  "table; from=<a@b> to=<c@d> proto=ESMTP helo=<x>",
		    "recipient" },
		{ "NOQUEUE: reject: RCPT from " C4 ": 550 5.1.1 <c@d>: "
		  "Recipient address rejected: User unknown; from=<$1> "
		  "to=<c@d> "
		  "proto=ESMTP helo=<x>",
		    "recipient" },
		{ "NOQUEUE: reject: RCPT from " C4 ": 504 5.5.2 <$1>: Helo "
		  "command rejected: need fully-qualified hostname; from=<a@b> "
		  "to=<c@d> proto=ESMTP helo=<x>",
		    "helo" },
		{ "NOQUEUE: reject: EHLO from " C4 ": 504 5.5.2 <$1>: Helo "
		  "command rejected: Invalid name; proto=ESMTP helo=<$1>",
		    "helo" },
		{ "NOQUEUE: reject: RCPT from " C4 ": 450 4.1.8 <$1>: Sender "
		  "address rejected: Domain not found; from=<$1> to=<c@d> "
		  "proto=ESMTP helo=<x>",
		    "sender" },
		{ "NOQUEUE: reject: ETRN from " C4 ": 554 5.7.1 <$1>: Etrn "
		  "command rejected: Access denied; proto=SMTP",
		    "etrn" },
		{ "NOQUEUE: reject: VRFY from " C4 ": 550 5.1.1 <$1>: "
		  "Recipient address rejected: User unknown; to=<$1> "
		  "proto=SMTP",
		    "vrfy" },
		{ "NOQUEUE: reject: RCPT from " C4 ": 550 5.1.1 <c@d>: "
		  "Recipient address rejected: undeliverable address: host "
		  "mx.example[192.0.2.9] said: 550 $1 (in reply to RCPT TO "
		  "command); from=<a@b> to=<c@d> proto=ESMTP helo=<x>",
		    "recipient" },
		{ "NOQUEUE: reject: RCPT from " C4 ": 554 5.7.1 Service "
		  "unavailable; Client host [192.0.2.1] blocked using "
		  "bl.example; $1; from=<a@b> to=<c@d> proto=ESMTP helo=<x>",
		    "dnsbl" },
	};
	struct matcher *m = matcher_create(shipped->rules, UINT64_MAX);
	unsigned forged = 0, wrong = 0, scored = 0;

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		for (size_t j = 0; j < sizeof(inside) / sizeof(inside[0]);
		     j++) {
			char msg[1500];
			struct rule_match out;
			const char *got;

			fill(msg, sizeof(msg), lines[i].fmt, inside[j], "", "");
			got = decides(m, "smtpd", msg, &out);
			if (strcmp(got, "own-refusal") == 0) {
				forged++;
				printf("#   %s\n", msg);
			}
			if (strcmp(got, "-") == 0)
				continue;
			scored++;
			/* And the address is the client's. */
			wrong += !out.has_addr || out.addr.b[12] != 192 ||
			    out.addr.b[15] != 1;
		}
	is_int(forged, 0, "nothing a client writes passes for our refusal");
	is_int(wrong, 0, "and the address is the client's own");
	ok(scored > 80, "%u of them score", scored);
	matcher_destroy(&m);
}

/*
 * Our refusals, with everything odd that a client can put into the other
 * fields. Where all are free of angle brackets, or of our tag, they are known.
 * Else nobody can tell them from a forgery: then only the rules about such
 * addresses may score.
 */
static void
test_own_scores_never(void)
{
	static const char *const odd[] = { "x", "", "a; proto=SMTP", "[mxw]",
		"a\x80\xff", "a>: Relay access denied; from=<", "\"a>b\"@c",
		"<<>>", "\"> to=<x> proto=SMTP helo=<\"@d",
		"x>: Recipient address rejected: User unknown; from=<a" };
	struct matcher *m = matcher_create(shipped->rules, UINT64_MAX);
	unsigned unknown = 0, tagless = 0, offences = 0;

	for (int i = 0; i < 3000; i++) {
		struct policy_action_args args = { "192.0.2.1",
			i % 2 ? odd[rnd_below(10)] : "postfix-auth", "reject",
			NULL };
		const struct level *level =
		    &shipped->levels[rnd_below((unsigned)shipped->n_levels)];
		unsigned n = i % 2 ? 5 : 10;
		char action[POLICY_ACTION_MAX + 1], msg[3000];
		const char *reason, *got;
		struct rule_match out;

		policy_format_action(level->action, &args, action);
		/* Behind the verb or code, and the status code. */
		reason = strchr(action, ' ') + 1;
		reason = strchr(reason, ' ') + 1;
		snprintf(msg, sizeof(msg),
		    "NOQUEUE: reject: RCPT from " C4 ": 554 5.7.1 <%s>: %s "
		    "rejected: %s; from=<%s> to=<%s> proto=ESMTP helo=<%s>",
		    i % 2 ? odd[rnd_below(5)] : C4,
		    rnd_below(2) ? "Client host" : "Recipient address", reason,
		    odd[rnd_below(n)], odd[rnd_below(n)], odd[rnd_below(n)]);
		got = decides(m, "smtpd", msg, &out);
		if (n == 5 && strcmp(got, "own-refusal") != 0 && unknown++ < 5)
			printf("#   %s: %s\n", got, msg);
		if (n == 10 && strcmp(got, "own-refusal") != 0 &&
		    strstr(strstr(msg, "[mxw]; from=<") + 5, "[mxw]") == NULL &&
		    strstr(strstr(msg, "[mxw]; from=<") + 9, "; ") == NULL &&
		    tagless++ < 5)
			printf("#   %s: %s\n", got, msg);
		if (n == 10 && strcmp(got, "-") != 0 &&
		    strcmp(got, "own-refusal") != 0 &&
		    strcmp(got, "postfix-odd-address") != 0 &&
		    strcmp(got, "postfix-odd-relay") != 0 && offences++ < 5)
			printf("#   %s: %s\n", got, msg);
	}
	is_int(unknown, 0, "our refusals are known");
	is_int(tagless, 0, "also with angle brackets");
	is_int(offences, 0, "or at least no offence of another kind");
	matcher_destroy(&m);
}

int
main(void)
{
	shipped = shipped_conf();
	if (shipped == NULL)
		return tap_done();
	test_decides();
	test_explain();
	test_long();
	test_own();
	test_forged();
	test_own_scores_never();
	conf_destroy(&shipped);
	names_destroy();
	return tap_done();
}
