/* logline: tags, pids, Exim's form, repeated messages, damaged input. */
#include "lib/core/logline.h"

#include <stdlib.h>

#include "t/unit/rnd.h"
#include "t/unit/tap.h"

#define T "Dec 14 09:58:37 "
#define T5424 "2026-12-14T09:58:37.123456+01:00 "

static const char *
field(const char *p, size_t len)
{
	static char buf[4][512];
	static unsigned n;

	n = (n + 1) % 4;
	snprintf(buf[n], sizeof(buf[n]), "%.*s", (int)len, p);
	return buf[n];
}

static void
test_headers(void)
{
	static const struct {
		const char *line;
		const char *host, *tag, *program; /* host NULL: refused */
		unsigned long long pid;
		const char *msg;
	} cases[] = {
		{ T "mx1 postfix/smtpd[123]: connect from a[192.0.2.1]", "mx1",
		    "postfix/smtpd", "smtpd", 123,
		    "connect from a[192.0.2.1]" },
		{ "Dec  4 09:58:37 mx1 postfix/smtpd[123]: x", "mx1",
		    "postfix/smtpd", "smtpd", 123, "x" },
		{ "Dec 04 09:58:37 mx1 postfix/smtpd[123]: x", "mx1",
		    "postfix/smtpd", "smtpd", 123, "x" },
		{ T5424 "mx1 postfix/submission/smtpd[123]: x", "mx1",
		    "postfix/submission/smtpd", "smtpd", 123, "x" },
		{ T "mx1 postfix-out/smtpd[7]: x", "mx1", "postfix-out/smtpd",
		    "smtpd", 7, "x" },
		{ T "mx1 postfix-out/submission/smtpd[7]: x", "mx1",
		    "postfix-out/submission/smtpd", "smtpd", 7, "x" },
		{ T "mx1 dovecot: imap-login: x", "mx1", "dovecot", "dovecot",
		    0, "imap-login: x" },
		{ T "mx1 sendmail[99999]: x", "mx1", "sendmail", "sendmail",
		    99999, "x" },
		{ T "mx1 sm-mta[1]:no blank", "mx1", "sm-mta", "sm-mta", 1,
		    "no blank" },
		{ T "mx1 a: : x", "mx1", "a", "a", 0, ": x" },
		{ T "mx1 a:  x", "mx1", "a", "a", 0, " x" },
		{ T "mx1 a:", "mx1", "a", "a", 0, "" },
		{ T "mx1 a: ", "mx1", "a", "a", 0, "" },
		{ T "::1 a[1]: x", "::1", "a", "a", 1, "x" },
		{ T "2001:db8::25 a[1]: x", "2001:db8::25", "a", "a", 1, "x" },
		{ T "[2001:db8::25] a[1]: x", "[2001:db8::25]", "a", "a", 1,
		    "x" },
		{ T "192.0.2.1:514 a[1]: x", "192.0.2.1:514", "a", "a", 1,
		    "x" },
		{ T "mx1 a[18446744073709551615]: x", "mx1", "a", "a",
		    18446744073709551615u, "x" },
		{ T "mx1 a[00012]: x", "mx1", "a", "a", 12, "x" },
		{ T "mx1 a[18446744073709551616]: x", NULL, NULL, NULL, 0,
		    NULL },
		{ T "mx1 a[]: x", NULL, NULL, NULL, 0, NULL },
		{ T "mx1 a[-1]: x", NULL, NULL, NULL, 0, NULL },
		{ T "mx1 a[1 ]: x", NULL, NULL, NULL, 0, NULL },
		{ T "mx1 a[1]b[2]]: x", NULL, NULL, NULL, 0, NULL },
		{ T "mx1 [12]: x", NULL, NULL, NULL, 0, NULL },
		{ T "mx1 postfix/[12]: x", NULL, NULL, NULL, 0, NULL },
		{ T "mx1 postfix/: x", NULL, NULL, NULL, 0, NULL },
		{ T "mx1 : x", NULL, NULL, NULL, 0, NULL },
		{ T "mx1 no colon here", NULL, NULL, NULL, 0, NULL },
		{ T "mx1 two words: x", NULL, NULL, NULL, 0, NULL },
		{ T "mx1 -- MARK --", NULL, NULL, NULL, 0, NULL },
		{ T "mx1", NULL, NULL, NULL, 0, NULL },
		{ T "mx1 ", NULL, NULL, NULL, 0, NULL },
		{ T " a[1]: x", NULL, NULL, NULL, 0, NULL },
		{ "Dec 14 09:58:37", NULL, NULL, NULL, 0, NULL },
		{ "Dec 14 09:58:37xmx1 a[1]: x", NULL, NULL, NULL, 0, NULL },
		{ "mx1 postfix/smtpd[123]: connect", NULL, NULL, NULL, 0,
		    NULL },
		{ " " T "mx1 a[1]: x", NULL, NULL, NULL, 0, NULL },
		{ "", NULL, NULL, NULL, 0, NULL },
		/* Nothing behind the colon makes a difference. */
		{ T "mx1 smtpd[1]: x " T "mx2 smtpd[9]: y", "mx1", "smtpd",
		    "smtpd", 1, "x " T "mx2 smtpd[9]: y" },
		/* Exim's own logs. */
		{ "2026-12-14 09:58:37 x", "", "exim", "exim", 0, "x" },
		{ "2026-12-14 09:58:37 [77] x", "", "exim", "exim", 77, "x" },
		{ "2026-12-14 09:58:37.123 [77] x", "", "exim", "exim", 77,
		    "x" },
		{ "2026-12-14 09:58:37 +0100 [77] x", "", "exim", "exim", 77,
		    "x" },
		{ "2026-12-14 09:58:37 +0100 x", "", "exim", "exim", 0, "x" },
		{ "2026-12-14 09:58:37 [192.0.2.1] x", "", "exim", "exim", 0,
		    "[192.0.2.1] x" },
		{ "2026-12-14 09:58:37 [77]", "", "exim", "exim", 0, "[77]" },
		{ "2026-12-14 09:58:37 [77]x", "", "exim", "exim", 0, "[77]x" },
		{ "2026-12-14 09:58:37 [] x", "", "exim", "exim", 0, "[] x" },
		{ "2026-12-14 09:58:37 [99999999999999999999999] x", "", "exim",
		    "exim", 0, "[99999999999999999999999] x" },
		{ "2026-12-14 09:58:37 ", "", "exim", "exim", 0, "" },
		/* Dovecot's. */
		{ T "imap-login: Info: x: y", "", "dovecot", "dovecot", 0,
		    "imap-login: Info: x: y" },
		{ T "auth: Error: x", "", "dovecot", "dovecot", 0,
		    "auth: Error: x" },
		{ T "imap(user)<7><abc>: Info: x", "", "dovecot", "dovecot", 0,
		    "imap(user)<7><abc>: Info: x" },
		{ T "auth-worker(a smtpd[1]: x): Info: y", "", "dovecot",
		    "dovecot", 0, "auth-worker(a smtpd[1]: x): Info: y" },
		{ T "imap(a", "", "dovecot", "dovecot", 0, "imap(a" },
		{ "2026-12-14 09:58:37 pop3-login: Info: x", "", "dovecot",
		    "dovecot", 0, "pop3-login: Info: x" },
		{ "2026-12-14 09:58:37 pop3-login: Infos: x", "", "exim",
		    "exim", 0, "pop3-login: Infos: x" },
		{ "2026-12-14 09:58:37 imap(user): Info: x", "", "exim", "exim",
		    0, "imap(user): Info: x" },
		{ "2026-12-14 09:58:37 auth: Info:", "", "exim", "exim", 0,
		    "auth: Info:" },
		{ T "mx1: a: x", "mx1:", "a", "a", 0, "x" },
		{ T "mx1: Info:x", "mx1:", "Info", "Info", 0, "x" },
		{ T "abc", NULL, NULL, NULL, 0, NULL },
		{ T "abc:", NULL, NULL, NULL, 0, NULL },
		{ T "mx1 exim[5]: x", "mx1", "exim", "exim", 5, "x" },
		{ T "mx1 exim[5]: 2026-12-14 09:58:37 x", "mx1", "exim", "exim",
		    5, "x" },
		{ T "mx1 exim4[5]: 2026-12-14 09:58:37 [6] x", "mx1", "exim4",
		    "exim4", 6, "x" },
		{ T "mx1 exim[5]: [6] x", "mx1", "exim", "exim", 6, "x" },
		{ T "mx1 smtpd[5]: 2026-12-14 09:58:37 x", "mx1", "smtpd",
		    "smtpd", 5, "2026-12-14 09:58:37 x" },
		{ T "mx1 smtpd[5]: [6] x", "mx1", "smtpd", "smtpd", 5,
		    "[6] x" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct logline l;
		bool parsed =
		    logline_parse(cases[i].line, strlen(cases[i].line), &l);

		if (cases[i].host == NULL) {
			ok(!parsed, "'%s' has no header", cases[i].line);
			continue;
		}
		if (!ok(parsed, "'%s' has a header", cases[i].line))
			continue;
		is_str(field(l.host, l.host_len), cases[i].host, "host");
		is_str(field(l.tag, l.tag_len), cases[i].tag, "tag");
		is_str(field(l.program, l.program_len), cases[i].program,
		    "program");
		ok(l.pid == cases[i].pid, "pid %llu", cases[i].pid);
		is_str(field(l.msg, l.msg_len), cases[i].msg, "message");
		is_int(l.repeat, 1, "happened once");
	}
}

static void
test_repeat(void)
{
	static const struct {
		const char *msg;
		unsigned repeat;
		const char *inside;
	} cases[] = {
		{ "message repeated 3 times: [ connect from a[192.0.2.1]]", 3,
		    "connect from a[192.0.2.1]" },
		{ "message repeated 1 times: [ x]", 1, "x" },
		{ "message repeated 1000 times: [ x]", 1000, "x" },
		{ "message repeated 4000000 times: [ x]", LOGLINE_REPEAT_MAX,
		    "x" },
		{ "message repeated 2 times: [ ]", 2, "" },
		{ "message repeated 2 times: [ message repeated 9 times: "
		  "[ x]]",
		    2, "message repeated 9 times: [ x]" },
		{ "message repeated 0 times: [ x]", 1, NULL },
		{ "message repeated  times: [ x]", 1, NULL },
		{ "message repeated -3 times: [ x]", 1, NULL },
		{ "message repeated 99999999999 times: [ x]", 1, NULL },
		{ "message repeated 3 times: [ x", 1, NULL },
		{ "message repeated 3 times: x]", 1, NULL },
		{ "message repeated 3 times: [", 1, NULL },
		{ "message repeated 3 times:]", 1, NULL },
		{ "message repeated 33333333333]", 1, NULL },
		{ "a message repeated 3 times: [ x]", 1, NULL },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct logline l;
		char line[256];

		snprintf(
		    line, sizeof(line), T "mx1 smtpd[1]: %s", cases[i].msg);
		if (!ok(logline_parse(line, strlen(line), &l), "%s",
			cases[i].msg))
			continue;
		is_int(l.repeat, cases[i].repeat, "how often");
		is_str(field(l.msg, l.msg_len),
		    cases[i].inside ? cases[i].inside : cases[i].msg,
		    "message");
	}
}

static bool
inside(const char *p, size_t len, const char *line, size_t line_len)
{
	return p >= line && len <= line_len &&
	    (size_t)(p - line) <= line_len - len;
}

/* Everything points into the line (or is Exim's name) and is as promised. */
static bool
sane(const struct logline *l, const char *line, size_t len)
{
	bool own = l->host_len == 0;

	return inside(l->time, l->time_len, line, len) && l->time == line &&
	    l->time_len > 0 && inside(l->msg, l->msg_len, line, len) &&
	    (own ? strcmp(l->program, "exim") == 0 ||
			strcmp(l->program, "dovecot") == 0
		 : inside(l->host, l->host_len, line, len) &&
			inside(l->tag, l->tag_len, line, len) &&
			inside(
			    l->program, l->program_len, l->tag, l->tag_len)) &&
	    l->program_len > 0 && l->repeat >= 1 &&
	    l->repeat <= LOGLINE_REPEAT_MAX && l->msg >= line + l->time_len;
}

/* An exact copy, so that a read behind the end is seen by the sanitizers. */
static bool
parse_copy(const char *s, size_t len, bool *sane_r)
{
	char *p = malloc(len > 0 ? len : 1);
	struct logline l;
	bool parsed = false;

	*sane_r = true;
	if (p != NULL) {
		memcpy(p, s, len);
		parsed = logline_parse(p, len, &l);
		*sane_r = !parsed || sane(&l, p, len);
	}
	free(p);
	return parsed;
}

static const char *const good[] = {
	T "mx1 postfix/smtpd[123]: connect from a[192.0.2.1]",
	T5424 "mx1 postfix/submission/smtpd[123]: x: y",
	T "mx1 dovecot: imap-login: Login aborted",
	T "imap-login: Info: Login aborted",
	T "auth(x postfix/smtpd[1]: y): Info: z",
	T "mx1 smtpd[1]: message repeated 3 times: [ x y z]",
	"2026-12-14 09:58:37.123 +0100 [77] H=(x) [192.0.2.1] rejected",
	T "mx1 exim[5]: 2026-12-14 09:58:37 [6] x",
};

static void
test_prefixes(void)
{
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		size_t len = strlen(good[i]), bad = 0, first = len;
		bool is_sane;

		for (size_t n = 0; n <= len; n++) {
			bool parsed = parse_copy(good[i], n, &is_sane);

			bad += !is_sane;
			if (parsed && n < first)
				first = n;
			/* A header that is complete stays so; in Exim's form
			 * what may still become a zone does not end it. */
			if (!parsed && n > first && n != 29)
				bad++;
		}
		is_int(bad, 0, "every prefix of '%s'", good[i]);
		ok(first < len, "the header is enough");
	}
}

static void
test_noise(void)
{
	unsigned bad = 0, parsed = 0;

	for (int i = 0; i < 200000; i++) {
		const char *g = good[rnd_below(6)];
		size_t len = strlen(g);
		char buf[128];
		bool is_sane;

		memcpy(buf, g, len);
		for (unsigned n = 1 + rnd_below(5); n > 0; n--)
			buf[rnd_below((unsigned)len)] = rnd_below(2) == 0
			    ? (char)rnd_below(256)
			    : " :[]/0123456789"[rnd_below(15)];
		parsed += parse_copy(buf, len - rnd_below(10), &is_sane);
		bad += !is_sane;
	}
	is_int(bad, 0, "changed bytes");
	ok(parsed > 10000, "%u of them still have a header", parsed);
	bad = 0;
	for (int i = 0; i < 100000; i++) {
		char buf[100];
		bool is_sane;
		size_t len = rnd_below(sizeof(buf));

		for (size_t j = 0; j < len; j++)
			buf[j] = (char)rnd_below(256);
		if (i % 2 && len > 16)
			memcpy(buf, T, 16);
		parse_copy(buf, len, &is_sane);
		bad += !is_sane;
	}
	is_int(bad, 0, "random bytes");
}

static void
test_bytes(void)
{
	static const char nul[] = T "m\0x s\0d[1]: a\0b";
	static const char raw[] = T "m\xff\xc3 s\xe9[1]: \x80\x81";
	char tag[400];
	struct logline l;

	ok(logline_parse(nul, sizeof(nul) - 1, &l), "NUL bytes are data");
	is_int(l.host_len, 3, "in the host");
	is_int(l.tag_len, 3, "in the tag");
	is_int(l.msg_len, 3, "in the message");
	ok(logline_parse(raw, sizeof(raw) - 1, &l), "bytes that are not UTF-8");
	is_int(l.msg_len, 2, "are kept");
	/* A tag has a bound: no hunt for a colon through a long message. */
	snprintf(tag, sizeof(tag), T "mx1 %0127d:x", 0);
	ok(logline_parse(tag, strlen(tag), &l), "a tag of 127 bytes");
	snprintf(tag, sizeof(tag), T "mx1 %0128d:x", 0);
	ok(!logline_parse(tag, strlen(tag), &l), "a tag of 128 bytes");
}

int
main(void)
{
	test_headers();
	test_repeat();
	test_prefixes();
	test_noise();
	test_bytes();
	return tap_done();
}
