/*
 * The policy protocol: every way to cut a stream of requests, its bounds, and
 * the action texts that Postfix would misread.
 */
#include "lib/core/policy.h"

#include <stdlib.h>

#include "lib/core/errbuf.h"
#include "t/unit/tap.h"

static const char stream[] =
    "request=smtpd_access_policy\nprotocol_state=RCPT\nprotocol_name=ESMTP\n"
    "client_address=192.0.2.1\nclient_name=unknown\n"
    "reverse_client_name=a=b\nhelo_name=\nsender=bounce+a=b@example.org\n"
    "recipient=x@example.net\nsasl_username=\nsender=second@example.org\n"
    "unknown_name=1\nclient_address=203.0.113.9\n\n"
    "client_address=2001:db8::1\nrequest=smtpd_access_policy\n"
    "helo_name=\xff\x80 \t\r\nsasl_username=joe\n\n"
    "x=\n\n"
    "protocol_state=DATA\nrequest=smtpd_access_policy\nsender=\n"
    "recipient=\ncc=\n\n";
#define STREAM_LEN (sizeof(stream) - 1)
#define STREAM_REQUESTS 4

static bool
same(const struct policy_str *s, const char *want)
{
	if (want == NULL)
		return s->ptr == NULL;
	return s->ptr != NULL && s->len == strlen(want) &&
	    memcmp(s->ptr, want, s->len) == 0;
}

/* Does the nth request of the stream hold what it should? */
static bool
as_sent(size_t n, const struct policy_request *req)
{
	static const char *const want[STREAM_REQUESTS][POLICY_NATTRS] = {
		{ [POLICY_CLIENT_ADDRESS] = "192.0.2.1",
		    [POLICY_CLIENT_NAME] = "unknown",
		    [POLICY_HELO_NAME] = "",
		    [POLICY_SENDER] = "bounce+a=b@example.org",
		    [POLICY_RECIPIENT] = "x@example.net",
		    [POLICY_SASL_USERNAME] = "",
		    [POLICY_PROTOCOL_STATE] = "RCPT",
		    [POLICY_REQUEST] = "smtpd_access_policy" },
		{ [POLICY_CLIENT_ADDRESS] = "2001:db8::1",
		    [POLICY_HELO_NAME] = "\xff\x80 \t\r",
		    [POLICY_SASL_USERNAME] = "joe",
		    [POLICY_REQUEST] = "smtpd_access_policy" },
		{ NULL },
		{ [POLICY_PROTOCOL_STATE] = "DATA",
		    [POLICY_SENDER] = "",
		    [POLICY_RECIPIENT] = "",
		    [POLICY_REQUEST] = "smtpd_access_policy" },
	};

	if (n >= STREAM_REQUESTS)
		return false;
	for (size_t i = 0; i < POLICY_NATTRS; i++)
		if (!same(&req->attr[i], want[n][i]))
			return false;
	return true;
}

/* A connection: bytes come in pieces into a buffer that moves. */
struct feed {
	struct policy_scan scan;
	char *buf;
	size_t len;
	size_t requests;
	bool wrong;
	const char *bad;
};

static void
feed_bytes(struct feed *f, const char *data, size_t len)
{
	/* Exactly sized and fresh: reads beyond it are seen by ASan, and
	 * pointers kept from the old one too. */
	char *buf = malloc(f->len + len + 1);
	size_t at = 0;

	memcpy(buf, f->buf != NULL ? f->buf : "", f->len);
	memcpy(buf + f->len, data, len);
	free(f->buf);
	f->buf = buf;
	f->len += len;
	while (f->bad == NULL && at < f->len) {
		struct policy_request req;
		enum policy_status st;
		size_t used = 0;

		st = policy_parse(
		    &f->scan, f->buf + at, f->len - at, &req, &used, &f->bad);
		if (st != POLICY_COMPLETE)
			break;
		if (!as_sent(f->requests++, &req) || f->scan.done != 0 ||
		    f->scan.partial != 0)
			f->wrong = true;
		at += used;
	}
	f->len -= at;
	memmove(f->buf, f->buf + at, f->len);
}

static bool
feed_ok(const struct feed *f)
{
	return !f->wrong && f->bad == NULL && f->len == 0 &&
	    f->requests == STREAM_REQUESTS;
}

static void
test_splits(void)
{
	size_t failed = 0;
	struct feed one = { .bad = NULL };

	for (size_t cut = 0; cut <= STREAM_LEN; cut++) {
		struct feed f = { .bad = NULL };

		feed_bytes(&f, stream, cut);
		feed_bytes(&f, stream + cut, STREAM_LEN - cut);
		if (!feed_ok(&f))
			failed++;
		free(f.buf);
	}
	is_int(failed, 0, "%zu requests cut at every position",
	    (size_t)STREAM_REQUESTS);
	for (size_t i = 0; i < STREAM_LEN; i++)
		feed_bytes(&one, stream + i, 1);
	ok(feed_ok(&one), "every byte alone");
	free(one.buf);

	failed = 0;
	for (size_t step = 2; step < 60; step++) {
		struct feed f = { .bad = NULL };

		for (size_t i = 0; i < STREAM_LEN; i += step)
			feed_bytes(&f, stream + i,
			    step < STREAM_LEN - i ? step : STREAM_LEN - i);
		if (!feed_ok(&f))
			failed++;
		free(f.buf);
	}
	is_int(failed, 0, "pieces of 2 to 59 bytes");
}

/* Whole, and byte by byte; both must come to the same end. */
static enum policy_status
parse_both(const char *data, size_t len, struct policy_request *req,
    const char **reason)
{
	struct policy_scan whole = { .done = 0 }, steps = { .done = 0 };
	struct policy_request req2;
	enum policy_status st, st2 = POLICY_MORE;
	const char *reason2 = NULL;
	size_t used = 0, used2 = 0;

	*reason = NULL;
	st = policy_parse(&whole, data, len, req, &used, reason);
	for (size_t i = 1; i <= len && st2 == POLICY_MORE; i++)
		st2 = policy_parse(&steps, data, i, &req2, &used2, &reason2);
	if (st != st2 || used != used2 ||
	    (st == POLICY_BAD && *reason == NULL)) {
		printf("# whole %d used %zu, bytes %d used %zu\n", (int)st,
		    used, (int)st2, used2);
		return (enum policy_status) - 1;
	}
	if (st == POLICY_COMPLETE && memcmp(req, &req2, sizeof(*req)) != 0)
		return (enum policy_status) - 1;
	return st;
}

#define BAD(text, why)                                                    \
	do {                                                              \
		struct policy_request r_;                                 \
		const char *reason_;                                      \
		is_int(parse_both(text, sizeof(text) - 1, &r_, &reason_), \
		    POLICY_BAD, "garbage: " why);                         \
		is_str(reason_, why, "reason: " why);                     \
	} while (0)

static void
test_garbage(void)
{
	struct policy_request req;
	const char *reason;

	BAD("\n", "empty request");
	BAD("GET / HTTP/1.1\r\nHost: x\r\n\r\n", "line without '='");
	BAD("request=smtpd_access_policy\n\r\n\n", "line without '='");
	BAD("request\nx=y\n\n", "line without '='");
	BAD("a=b\nno equal sign\n\n", "line without '='");
	BAD("sender=a\0b\nx=y\n\n", "NUL byte");
	BAD("sender=ab\nx\0=y\n\n", "NUL byte");
	BAD("request=junk\nclient_address=192.0.2.1\n\n",
	    "unknown kind of request");
	BAD("request=\n\n", "unknown kind of request");
	BAD("client_address=192.0.2.1\nrequest=smtpd_access_policy \n\n",
	    "unknown kind of request");
	BAD("request=smtpd_access_polic\n\n", "unknown kind of request");

	is_int(
	    parse_both("a=b", 3, &req, &reason), POLICY_MORE, "no newline yet");
	is_int(parse_both("a=b\n", 4, &req, &reason), POLICY_MORE,
	    "no empty line yet");
	is_int(parse_both("", 0, &req, &reason), POLICY_MORE, "nothing yet");
	is_int(parse_both("=x\n=\n\n", 6, &req, &reason), POLICY_COMPLETE,
	    "a line with an empty name is skipped");
	is_int(parse_both("sender=a\nxender=b\nSENDER=c\nsenders=d\n\n", 39,
		   &req, &reason),
	    POLICY_COMPLETE, "names are exact");
	ok(same(&req.attr[POLICY_SENDER], "a"), "and the right one is taken");
	is_int(parse_both("sender=a\n\nx\0", 12, &req, &reason),
	    POLICY_COMPLETE, "what follows a request does not spoil it");
}

/* A request whose line 2 has n bytes, padded with more lines to `total`. */
static char *
make_request(size_t line, size_t total)
{
	char *p = malloc(total);
	size_t at = 0;

	memset(p, 'x', total);
	while (at + line + 2 < total) {
		memcpy(p + at, "sender=", 7);
		at += line;
		p[at++] = '\n';
	}
	if (at + 2 < total)
		p[at] = '=';
	p[total - 2] = '\n';
	p[total - 1] = '\n';
	return p;
}

static enum policy_status
bounds(size_t line, size_t total, const char **reason)
{
	char *p = make_request(line, total);
	struct policy_scan scan = { .done = 0 };
	struct policy_request req;
	enum policy_status st, st2 = POLICY_MORE;
	size_t used = 0, cut;

	*reason = NULL;
	st = policy_parse(&scan, p, total, &req, &used, reason);
	if (st == POLICY_COMPLETE && used != total)
		st = (enum policy_status) - 1;
	/* In pieces, as a socket would give it. */
	memset(&scan, 0, sizeof(scan));
	for (cut = 1000; st2 == POLICY_MORE && cut < total + 1000; cut += 1000)
		st2 = policy_parse(
		    &scan, p, cut < total ? cut : total, &req, &used, reason);
	free(p);
	return st == st2 ? st : (enum policy_status) - 1;
}

static void
test_bounds(void)
{
	const char *reason;
	struct policy_scan scan = { .done = 0 };
	struct policy_request req;
	size_t used;
	char *p;

	is_int(bounds(POLICY_LINE_MAX, POLICY_LINE_MAX + 100, &reason),
	    POLICY_COMPLETE, "a line of exactly the limit");
	is_int(bounds(POLICY_LINE_MAX + 1, POLICY_LINE_MAX + 100, &reason),
	    POLICY_BAD, "a line one byte longer");
	is_str(reason, "line too long", "and why");
	is_int(bounds(1000, POLICY_REQUEST_MAX, &reason), POLICY_COMPLETE,
	    "a request of exactly the limit");
	is_int(bounds(1000, POLICY_REQUEST_MAX + 1, &reason), POLICY_BAD,
	    "a request one byte longer");
	is_str(reason, "request too long", "and why");

	/* An endless line and an endless request are given up in time. */
	p = malloc(POLICY_REQUEST_MAX);
	memset(p, 'a', POLICY_REQUEST_MAX);
	is_int(policy_parse(&scan, p, POLICY_LINE_MAX, &req, &used, &reason),
	    POLICY_MORE, "a line of the limit may still end");
	is_int(
	    policy_parse(&scan, p, POLICY_LINE_MAX + 1, &req, &used, &reason),
	    POLICY_BAD, "no line is waited for longer");
	memset(&scan, 0, sizeof(scan));
	for (size_t i = 0; i + 4 <= POLICY_REQUEST_MAX; i += 4)
		memcpy(p + i, "a=b\n", 4);
	is_int(policy_parse(
		   &scan, p, POLICY_REQUEST_MAX - 1, &req, &used, &reason),
	    POLICY_MORE, "a request may fill the limit");
	is_int(policy_parse(&scan, p, POLICY_REQUEST_MAX, &req, &used, &reason),
	    POLICY_BAD, "and no more");
	free(p);
}

static void
test_check_accepts(void)
{
	static const char *const good[] = {
		"DEFER 4.7.1 Too many errors from {address}, try again later",
		"REJECT 5.7.1 Abuse from {address} ({rule})",
		"521 5.7.1 Abuse from {address} ({rule})",
		"421 4.7.1 Go away until {until}",
		"521 Go away",
		"550 5.7.1",
		"REJECT",
		"defer",
		"Reject text",
		"DEFER 4.7.1",
		"DEFER_IF_PERMIT",
		"DEFER_IF_REJECT 4.7.1 text",
		"defer_if_permit text",
		"HOLD",
		"HOLD abuse ({level})",
		"REJECT {{braces}} {{{rule}}}",
		"REJECT 192.0.2.1 is blocked",
		"REJECT 5.7 is no status code",
		"REJECT a: b; c = d",
		"REJECT  5.7.1  two blanks",
		"450 text",
		"554 {rule}",
		"REJECT {address}",
		"REJECT permit",
		"451 4.3.5 x",
		"HOLD 5.7.1",
	};

	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
		struct errbuf err = { "" };

		ok(policy_check_action(good[i], &err) == 0,
		    "may be an action: %s", good[i]);
		is_str(err.text, "", "and no complaint");
	}
}

static void
test_check_refuses(void)
{
	static const struct {
		const char *action;
		const char *says;
	} bad[] = {
		{ "", "permit" },
		{ "   ", "permit" },
		{ "550", "permit" },
		{ "421", "permit" },
		{ "521", "permit" },
		{ "0", "permit" },
		{ "1700000000", "permit" },
		{ "OK", "permit" },
		{ "ok whatever", "permit" },
		{ "relay", "permit" },
		{ "permit", "permit" },
		{ "PERMIT", "permit" },
		{ "permit_mynetworks", "no verb" },
		{ "reject_unauth_destination", "no verb" },
		{ "check_client_access hash:/etc/x", "no verb" },
		{ "REJECTED", "no verb" },
		{ "REJ", "no verb" },
		{ "REJECT:", "no verb" },
		{ "Abuse from here", "no verb" },
		{ "DUNNO", "does not block" },
		{ "dunno text", "block" },
		{ "WARN text", "does not block" },
		{ "INFO text", "block" },
		{ "PREPEND X-Abuse: yes", "does not block" },
		{ "BCC a@example.org", "block" },
		{ "FILTER smtp:x", "block" },
		{ "REDIRECT a@example.org", "block" },
		{ "DISCARD", "accepts" },
		{ "HANGUP", "521" },
		{ "250 fine", "4xx" },
		{ "354 go", "4xx" },
		{ "600 x", "4xx" },
		{ "461 x", "4xx" },
		{ "5500 x", "4xx" },
		{ "55 x", "4xx" },
		{ "550 ", "text" },
		{ "550  ", "text" },
		{ "5x0 text", "no verb" },
		{ "550-text", "no verb" },
		{ "REJECT 4.7.1 text", "4.7.1" },
		{ "DEFER 5.7.1 text", "5.7.1" },
		{ "DEFER_IF_PERMIT 5.7.1", "5.7.1" },
		{ "DEFER_IF_REJECT 5.7.1 x", "5.7.1" },
		{ "550 4.7.1 text", "4.7.1" },
		{ "450 5.7.1 text", "5.7.1" },
		{ "421 2.0.0 text", "2.0.0" },
		{ "REJECT 2.7.1 text", "2.7.1" },
		{ "521  4.7.1 two blanks", "4.7.1" },
		{ "REJECT {adress}", "{adress}" },
		{ "REJECT {}", "{}" },
		{ "REJECT {Address}", "{Address}" },
		{ "REJECT {rule", "brace" },
		{ "REJECT rule}", "brace" },
		{ "REJECT {", "brace" },
		{ "REJECT {{{", "brace" },
		{ "REJECT {{rule}", "brace" },
		{ "{rule}", "no verb" },
		{ "REJECT{rule}", "no verb" },
		{ "55{level} text", "no verb" },
		{ "REJECT a\nb", "line break" },
		{ "REJECT a\n", "line break" },
		{ "REJECT a\r", "line break" },
		{ "REJECT\ta", "0x09" },
		{ "REJECT \x1b[31m", "0x1b" },
		{ "REJECT \x7f", "0x7f" },
		{ "REJECT zu viele Fehler f\xc3\xbcr", "ASCII" },
		{ "REJECT \xff", "ASCII" },
		{ "REJECT see <https://mx.example.org/>", "'<'" },
		{ "REJECT ->", "'>'" },
		{ " REJECT x", "blank" },
		{ "\"REJECT x\"", "no verb" },
		{ "action=REJECT", "no verb" },
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		struct errbuf err = { "" };

		ok(policy_check_action(bad[i].action, &err) == -1,
		    "no action for a level: '%s'", bad[i].action);
		if (!ok(strstr(err.text, bad[i].says) != NULL,
			"and it is said why"))
			printf("#   got: %s\n", err.text);
	}
	ok(policy_check_action("OK", NULL) == -1, "nobody need listen");
}

static void
test_check_length(void)
{
	struct errbuf err = { "" };
	char text[POLICY_ACTION_MAX + 10];
	size_t room = POLICY_ACTION_MAX - strlen(POLICY_TAG);

	memset(text, 'x', sizeof(text));
	memcpy(text, "REJECT ", 7);
	text[room] = '\0';
	ok(policy_check_action(text, &err) == 0, "as long as it may be");
	text[room] = 'x';
	text[room + 1] = '\0';
	ok(policy_check_action(text, &err) == -1, "one byte more is too long");
	ok(strstr(err.text, "too long") != NULL, "and it is said why");
	memcpy(text + 20, "{address}", 9);
	text[room - 20] = '\0';
	ok(policy_check_action(text, &err) == -1,
	    "counted with an address filled in");
}

static const char *
format(const char *tmpl, const char *address, const char *rule)
{
	static char buf[POLICY_ACTION_MAX + 1];
	const struct policy_action_args args = { address, rule, "reject",
		"2026-01-31T09:05:00Z" };
	size_t len;

	memset(buf, 'Z', sizeof(buf));
	len = policy_format_action(tmpl, &args, buf);
	if (len > POLICY_ACTION_MAX || buf[len] != '\0' || strlen(buf) != len)
		return NULL;
	return buf;
}

static void
test_format(void)
{
	is_str(format("REJECT 5.7.1 Abuse from {address} ({rule})", "192.0.2.1",
		   "postfix-auth"),
	    "REJECT 5.7.1 Abuse from 192.0.2.1 (postfix-auth) [mxw]",
	    "the usual");
	is_str(format("521 5.7.1 {level} until {until} {{}}", "", ""),
	    "521 5.7.1 reject until 2026-01-31T09:05:00Z {} [mxw]",
	    "level, time and braces");
	is_str(format("REJECT go away", "", ""), "REJECT go away [mxw]",
	    "no status code, none added");
	is_str(
	    format("REJECT", "", ""), "REJECT Access denied [mxw]", "no text");
	is_str(format("550 5.7.1", "", ""), "550 5.7.1 Access denied [mxw]",
	    "only a status code");
	is_str(format("HOLD", "", ""), "HOLD [mxw]", "HOLD needs none");
	is_str(format("421 4.7.1  x", "", ""), "421 4.7.1 x [mxw]",
	    "blanks are not repeated");

	/* Names that come from other hosts. */
	is_str(format("REJECT {rule}", "", "4.7.1 all is well"),
	    "REJECT 5.7.1 4.7.1 all is well [mxw]",
	    "a rule cannot become the status code");
	is_str(format("450 4.7{rule}", "", ".9"), "450 4.7.1 4.7.9 [mxw]",
	    "not even half of it");
	is_str(format("REJECT 5.7.1 {rule}", "",
		   "a\n\naction=OK\r\x1b\xff\xc3\xa9"),
	    "REJECT 5.7.1 a??action=OK????? [mxw]",
	    "a rule cannot end the line");
	is_str(format("REJECT 5.7.1 {rule}", "", "{address}{"),
	    "REJECT 5.7.1 {address}{ [mxw]", "nor hold placeholders");
	is_str(format("550 {rule}", "", ""), "550 5.7.1  [mxw]",
	    "an empty name leaves no bare number");
	is_str(format("550 {rule}", NULL, NULL), "550 5.7.1  [mxw]",
	    "nor does a missing one");
}

static void
test_format_length(void)
{
	char rule[1000];
	const char *s;

	memset(rule, 'r', sizeof(rule));
	rule[sizeof(rule) - 1] = '\0';
	s = format("REJECT 5.7.1 {rule} and more", "192.0.2.1", rule);
	ok(s != NULL && strlen(s) == POLICY_ACTION_MAX, "a long name is cut");
	ok(s != NULL &&
		strcmp(s + POLICY_ACTION_MAX - strlen(POLICY_TAG),
		    POLICY_TAG) == 0,
	    "and the tag stays");

	/* What was never checked must not become a permit either. */
	is_str(format("550", "", ""), "DUNNO", "unchecked: bare number");
	is_str(format("", "", ""), "DUNNO", "unchecked: empty");
	is_str(format("{rule}", "", "OK"), "DUNNO", "unchecked: verb");
	is_str(format("REJECT {x} } {", "", ""), "REJECT 5.7.1 {x} } { [mxw]",
	    "unchecked: braces");
}

struct hinted {
	char address[64];
	unsigned clients, later;
};

static void
hint_client(void *ctx, const char *address, size_t len)
{
	struct hinted *h = ctx;

	snprintf(h->address, sizeof(h->address), "%.*s", (int)len, address);
	h->clients++;
}

static void
hint_later(void *ctx)
{
	struct hinted *h = ctx;

	h->later += h->clients;
}

/* Hints from the first `first` bytes of a request, then from all. */
static struct hinted
hints_of(const char *request, size_t first)
{
	struct hinted got = { "", 0, 0 };
	const struct policy_hints hints = { hint_client, hint_later, &got };
	struct policy_scan scan = { .hints = &hints };
	const char *reason;
	struct policy_request req;
	size_t used;

	if (policy_parse(&scan, request, first, &req, &used, &reason) ==
	    POLICY_MORE)
		policy_parse(
		    &scan, request, strlen(request), &req, &used, &reason);
	return got;
}

static void
test_hints(void)
{
	static const char first[] =
	    "request=smtpd_access_policy\nclient_address=192.0.2.1\n"
	    "a=\nb=\nc=\nd=\ne=\nf=\ng=\nh=\ni=\nj=\nk=\nl=\nm=\nn=\n"
	    "client_address=192.0.2.2\no=\np=\nq=\nr=\ns=\nt=\nu=\n\n";
	const char *whole;
	struct hinted got = hints_of(first, strlen(first));
	unsigned wrong = 0;

	is_int(got.clients, 1, "told of the client once");
	is_str(got.address, "192.0.2.1", "of the first that is given");
	is_int(got.later, 1, "and once later");
	for (size_t len = 0; len <= strlen(first); len++) {
		got = hints_of(first, len);
		wrong += got.clients > 1 || got.later > got.clients ||
		    (got.clients > 0 && strcmp(got.address, "192.0.2.1") != 0);
	}
	is_int(wrong, 0, "in pieces: at most once");
	whole = "client_address=192.0.2.1\nsender=\n\n";
	got = hints_of(whole, strlen(whole));
	ok(got.clients == 1 && got.later == 0, "no later in a short one");
	whole = "sender=a\nrecipient=b\nx=\n\n";
	got = hints_of(whole, strlen(whole));
	ok(got.clients == 0 && got.later == 0, "nothing without a client");
}

int
main(void)
{
	test_splits();
	test_hints();
	test_garbage();
	test_bounds();
	test_check_accepts();
	test_check_refuses();
	test_check_length();
	test_format();
	test_format_length();
	return tap_done();
}
