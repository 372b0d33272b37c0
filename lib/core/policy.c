/*
 * policy: see policy.h.
 *
 * The parser is on the path of every RCPT command, so it looks at bytes only
 * through memchr(3): for the end of a line, for its '=', and once per call for
 * NUL. Which attribute a line is follows from the length of its name. A
 * request that came in pieces is taken apart a second time when it is
 * complete, because pointers into the buffer do not survive between calls;
 * so the work stays linear in the request's size however it was cut.
 *
 * Actions are what Postfix makes of them in check_table_result()
 * (src/smtpd/smtpd_check.c): a first word up to a blank, then text. A word
 * that is no verb there is a restriction name, so "OK", "permit" and a bare
 * number all let the client pass, and anything else is a configuration error.
 * The check works on the template, whose verb must be literal; the formatter
 * puts nothing but printable ASCII behind it (RFC 5321 section 4.2 knows no
 * other reply text) and always ends with the tag.
 */
#include "lib/core/policy.h"

#include <string.h>
#include <strings.h>

#include "lib/core/errbuf.h"

#define REQUEST_VALUE "smtpd_access_policy"
#define LATER_LINES 12 /* of about 20 that Postfix sends behind the address */

#define IS_NAME(s) (memcmp(line, s, sizeof(s) - 1) == 0)

/* The attribute with this name, or POLICY_NATTRS. */
static inline enum policy_attr
policy_name(const char *line, size_t len)
{
	switch (len) {
	case sizeof("sender") - 1:
		if (IS_NAME("sender"))
			return POLICY_SENDER;
		break;
	case sizeof("request") - 1:
		if (IS_NAME("request"))
			return POLICY_REQUEST;
		break;
	case sizeof("helo_name") - 1:
		if (IS_NAME("helo_name"))
			return POLICY_HELO_NAME;
		if (IS_NAME("recipient"))
			return POLICY_RECIPIENT;
		break;
	case sizeof("client_name") - 1:
		if (IS_NAME("client_name"))
			return POLICY_CLIENT_NAME;
		break;
	case sizeof("sasl_username") - 1:
		if (IS_NAME("sasl_username"))
			return POLICY_SASL_USERNAME;
		break;
	case sizeof("client_address") - 1:
		if (IS_NAME("client_address"))
			return POLICY_CLIENT_ADDRESS;
		if (IS_NAME("protocol_state"))
			return POLICY_PROTOCOL_STATE;
		break;
	default:
		break;
	}
	return POLICY_NATTRS;
}

/* Keeps the attribute if it is a known one, and the first of its name; which it
 * is, or POLICY_NATTRS. */
static inline enum policy_attr
policy_keep(struct policy_request *req, const char *line, const char *eq,
    const char *nl)
{
	enum policy_attr attr = policy_name(line, (size_t)(eq - line));

	if (attr == POLICY_NATTRS || req->attr[attr].ptr != NULL)
		return POLICY_NATTRS;
	req->attr[attr].ptr = eq + 1;
	req->attr[attr].len = (size_t)(nl - eq) - 1;
	return attr;
}

/* Takes apart lines that are known to be whole and well-formed. */
static void
policy_extract(struct policy_request *req, const char *p, const char *end)
{
	while (p < end) {
		const char *nl = memchr(p, '\n', (size_t)(end - p));
		const char *eq = memchr(p, '=', (size_t)(nl - p));

		policy_keep(req, p, eq, nl);
		p = nl + 1;
	}
}

/* After a line whose attribute has been kept, or none. *later counts lines. */
static inline void
policy_hint(const struct policy_hints *hints, const struct policy_request *req,
    enum policy_attr kept, unsigned *later)
{
	const struct policy_str *client = &req->attr[POLICY_CLIENT_ADDRESS];

	if (kept == POLICY_CLIENT_ADDRESS) {
		hints->client(hints->ctx, client->ptr, client->len);
		*later = LATER_LINES;
	} else if (*later > 0 && --*later == 0) {
		hints->later(hints->ctx);
	}
}

static enum policy_status
policy_bad(const char **reason_r, const char *reason)
{
	*reason_r = reason;
	return POLICY_BAD;
}

static enum policy_status
policy_finish(
    struct policy_scan *scan, struct policy_request *req, const char **reason_r)
{
	const struct policy_str *request = &req->attr[POLICY_REQUEST];

	if (scan->done == 0)
		return policy_bad(reason_r, "empty request");
	if (request->ptr != NULL &&
	    (request->len != sizeof(REQUEST_VALUE) - 1 ||
		memcmp(request->ptr, REQUEST_VALUE, request->len) != 0))
		return policy_bad(reason_r, "unknown kind of request");
	scan->done = scan->partial = 0;
	return POLICY_COMPLETE;
}

enum policy_status
policy_parse(struct policy_scan *scan, const char *buf, size_t len,
    struct policy_request *req, size_t *used_r, const char **reason_r)
{
	const size_t start = scan->done;
	size_t known = scan->partial; /* no newline in these */
	/* What is beyond the largest request is not looked at. */
	const size_t max = len < POLICY_REQUEST_MAX ? len : POLICY_REQUEST_MAX;
	unsigned later = 0;
	bool whole = false;

	memset(req, 0, sizeof(*req));
	while (scan->done < max) {
		const char *line = buf + scan->done;
		const char *nl, *eq;

		nl = memchr(line + known, '\n', max - scan->done - known);
		if (nl == NULL)
			break;
		known = 0;
		if (nl == line) {
			whole = true;
			break;
		}
		if (nl - line > POLICY_LINE_MAX)
			return policy_bad(reason_r, "line too long");
		eq = memchr(line, '=', (size_t)(nl - line));
		if (eq == NULL)
			return policy_bad(reason_r, "line without '='");
		if (start == 0) {
			enum policy_attr kept = policy_keep(req, line, eq, nl);

			if (scan->hints != NULL)
				policy_hint(scan->hints, req, kept, &later);
		}
		scan->done += (size_t)(nl - line) + 1;
	}
	if (memchr(buf + start, '\0', scan->done - start) != NULL)
		return policy_bad(reason_r, "NUL byte");
	if (whole) {
		*used_r = scan->done + 1;
		if (start != 0)
			policy_extract(req, buf, buf + scan->done);
		return policy_finish(scan, req, reason_r);
	}
	scan->partial = max - scan->done;
	if (scan->partial > POLICY_LINE_MAX)
		return policy_bad(reason_r, "line too long");
	if (max == POLICY_REQUEST_MAX)
		return policy_bad(reason_r, "request too long");
	return POLICY_MORE;
}

/* An enhanced status code (RFC 3463) at the start of s, as dsn_valid() of
 * Postfix sees it: its length, or 0. */
static size_t
action_dsn(const char *s)
{
	size_t i = 0;

	if (*s != '2' && *s != '4' && *s != '5')
		return 0;
	i++;
	for (int part = 0; part < 2; part++) {
		size_t digits;

		if (s[i++] != '.')
			return 0;
		digits = strspn(s + i, "0123456789");
		if (digits < 1 || digits > 3)
			return 0;
		i += digits;
	}
	return s[i] == '\0' || s[i] == ' ' ? i : 0;
}

/* What can block, and the class of its enhanced code ('\0': takes none). */
struct action_verb {
	const char *name;
	char class;
};

static const struct action_verb action_verbs[] = {
	{ "REJECT", '5' },
	{ "DEFER", '4' },
	{ "DEFER_IF_PERMIT", '4' },
	{ "DEFER_IF_REJECT", '4' },
	{ "HOLD", '\0' },
};

/* Verbs and restrictions that an administrator might try, and why not. */
static const struct {
	const char *name;
	const char *why;
} action_refused[] = {
	{ "OK", "Postfix reads it as permit" },
	{ "RELAY", "Postfix reads it as permit" },
	{ "permit", "Postfix reads it as permit" },
	{ "DISCARD", "Postfix accepts the message and throws it away" },
	{ "DUNNO", "it does not block" },
	{ "WARN", "it does not block; see dry_run" },
	{ "INFO", "it does not block; see dry_run" },
	{ "PREPEND", "it does not block" },
	{ "BCC", "it does not block" },
	{ "FILTER", "it does not block" },
	{ "REDIRECT", "it does not block" },
	{ "HANGUP", "Postfix does not support it; use \"521 5.7.1 text\"" },
};

struct action {
	size_t verb_len;  /* of the first word */
	char class;	  /* of its enhanced code, '\0' if it takes none */
	const char *text; /* behind the verb and blanks */
};

static bool
action_is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Splits a template as Postfix would; false if the verb does not block. */
static bool
action_parse(const char *tmpl, struct action *out)
{
	const size_t len = strcspn(tmpl, " ");

	*out = (struct action){ .verb_len = len, .text = tmpl + len };
	out->text += strspn(out->text, " ");
	if (len == 3 && (tmpl[0] == '4' || tmpl[0] == '5') && tmpl[1] >= '0' &&
	    tmpl[1] <= '5' && action_is_digit(tmpl[2])) {
		out->class = tmpl[0];
		return *out->text != '\0';
	}
	for (size_t i = 0; i < sizeof(action_verbs) / sizeof(*action_verbs);
	     i++) {
		const struct action_verb *v = &action_verbs[i];

		if (strlen(v->name) == len &&
		    strncasecmp(v->name, tmpl, len) == 0) {
			out->class = v->class;
			return true;
		}
	}
	return false;
}

/* Says what Postfix would do with a template that is no blocking action. */
static int
action_explain(const char *tmpl, size_t len, struct errbuf *err)
{
	if (tmpl[strspn(tmpl, "0123456789")] == '\0')
		return errbuf_set(err,
		    "action \"%s\" is a bare number, which Postfix reads as "
		    "permit; add a text",
		    tmpl);
	for (size_t i = 0; i < sizeof(action_refused) / sizeof(*action_refused);
	     i++) {
		const char *name = action_refused[i].name;

		if (strlen(name) == len && strncasecmp(name, tmpl, len) == 0)
			return errbuf_set(
			    err, "action %s: %s", name, action_refused[i].why);
	}
	if (action_is_digit(tmpl[0]) && strspn(tmpl, "0123456789") == len)
		return errbuf_set(err,
		    "action \"%s\": an SMTP reply code that refuses is 4xx or "
		    "5xx (400-459, 500-559), with a text behind it",
		    tmpl);
	return errbuf_set(err,
	    "action \"%s\" starts with no verb that blocks: use REJECT, DEFER, "
	    "DEFER_IF_PERMIT, DEFER_IF_REJECT, HOLD, or a code like 521 with a "
	    "text",
	    tmpl);
}

enum action_arg { ARG_ADDRESS, ARG_RULE, ARG_LEVEL, ARG_UNTIL, ARG_NONE };

/* Names, and the length that the check counts for each: the longest address
 * and time; names that are longer than this shorten the text behind them. */
static const struct {
	const char *name;
	size_t typical;
} action_args[ARG_NONE] = {
	[ARG_ADDRESS] = { "{address}", 43 },
	[ARG_RULE] = { "{rule}", 64 },
	[ARG_LEVEL] = { "{level}", 32 },
	[ARG_UNTIL] = { "{until}", 24 },
};

/* The placeholder at s, or ARG_NONE. */
static enum action_arg
action_arg(const char *s, size_t *len_r)
{
	for (int i = 0; i < ARG_NONE; i++) {
		*len_r = strlen(action_args[i].name);
		if (strncmp(s, action_args[i].name, *len_r) == 0)
			return (enum action_arg)i;
	}
	return ARG_NONE;
}

/* Braces of a template; sets its typical length. */
static int
action_check_braces(const char *tmpl, size_t *len_r, struct errbuf *err)
{
	size_t len = 0, n;

	for (const char *s = tmpl; *s != '\0';) {
		enum action_arg arg;

		if (*s != '{' && *s != '}') {
			len++;
			s++;
		} else if (s[1] == *s) {
			len++;
			s += 2;
		} else if ((arg = action_arg(s, &n)) != ARG_NONE) {
			len += action_args[arg].typical;
			s += n;
		} else if (*s == '{' && s[strcspn(s, "}")] == '}') {
			return errbuf_set(err,
			    "unknown %.*s in action; there are {address}, "
			    "{rule}, {level} and {until}, and {{ for a brace",
			    (int)strcspn(s, "}") + 1, s);
		} else {
			return errbuf_set(err,
			    "unbalanced brace in action \"%s\"; write {{ or }} "
			    "for a brace",
			    tmpl);
		}
	}
	*len_r = len;
	return 0;
}

static int
action_check_bytes(const char *tmpl, struct errbuf *err)
{
	for (const char *s = tmpl; *s != '\0'; s++) {
		const unsigned char c = (unsigned char)*s;

		if (c == '\n' || c == '\r')
			return errbuf_set(err, "line break in action");
		if (c < 0x20 || c == 0x7f)
			return errbuf_set(
			    err, "control character 0x%02x in action", c);
		if (c == '<' || c == '>')
			return errbuf_set(err,
			    "'%c' in action: our refusals would not be "
			    "recognised when they come back in the log",
			    c);
		if (c > 0x7f)
			return errbuf_set(err,
			    "action \"%s\" is not ASCII, which SMTP replies "
			    "must be (RFC 5321)",
			    tmpl);
	}
	return 0;
}

int
policy_check_action(const char *tmpl, struct errbuf *err)
{
	struct action act;
	size_t len = 0;

	if (tmpl[strspn(tmpl, " ")] == '\0')
		return errbuf_set(
		    err, "empty action, which Postfix reads as permit");
	if (action_check_bytes(tmpl, err) != 0)
		return -1;
	if (tmpl[0] == ' ')
		return errbuf_set(err, "action begins with a blank");
	if (!action_parse(tmpl, &act))
		return action_explain(tmpl, strcspn(tmpl, " "), err);
	if (act.class != '\0' && action_dsn(act.text) != 0 &&
	    act.text[0] != act.class)
		return errbuf_set(err,
		    "action \"%s\": enhanced status code %.*s does not go with "
		    "%.*s, which needs %c.x.x",
		    tmpl, (int)action_dsn(act.text), act.text,
		    (int)act.verb_len, tmpl, act.class);
	if (action_check_braces(tmpl, &len, err) != 0)
		return -1;
	if (len + sizeof(POLICY_TAG) - 1 > POLICY_ACTION_MAX)
		return errbuf_set(err,
		    "action is too long: up to %zu bytes with its placeholders "
		    "filled in; Postfix would cut it, %zu are safe",
		    len, POLICY_ACTION_MAX - (sizeof(POLICY_TAG) - 1));
	return 0;
}

struct action_out {
	char *buf;
	size_t len;
	size_t max;
};

static void
action_put(struct action_out *out, const char *s, size_t len)
{
	for (size_t i = 0; i < len && out->len < out->max; i++)
		out->buf[out->len++] =
		    s[i] >= 0x20 && s[i] < 0x7f && s[i] != '<' && s[i] != '>'
		    ? s[i]
		    : '?';
}

static void
action_put_str(struct action_out *out, const char *s)
{
	if (s != NULL)
		action_put(out, s, strlen(s));
}

/* The text of a template, filled in. */
static void
action_expand(struct action_out *out, const char *s,
    const struct policy_action_args *args)
{
	const char *const values[ARG_NONE] = {
		[ARG_ADDRESS] = args->address,
		[ARG_RULE] = args->rule,
		[ARG_LEVEL] = args->level,
		[ARG_UNTIL] = args->until,
	};

	while (*s != '\0') {
		const size_t plain = strcspn(s, "{}");
		enum action_arg arg;
		size_t n;

		action_put(out, s, plain);
		s += plain;
		if (*s == '\0')
			break;
		arg = action_arg(s, &n);
		if (arg != ARG_NONE) {
			action_put_str(out, values[arg]);
			s += n;
		} else {
			action_put(out, s, 1);
			s += s[1] == *s ? 2 : 1;
		}
	}
}

size_t
policy_format_action(const char *tmpl, const struct policy_action_args *args,
    char buf[POLICY_ACTION_MAX + 1])
{
	struct action_out out = { .buf = buf,
		.max = POLICY_ACTION_MAX - (sizeof(POLICY_TAG) - 1) };
	struct action act;
	size_t dsn;

	if (!action_parse(tmpl, &act)) {
		/* Never passed policy_check_action(): do no harm. */
		memcpy(buf, POLICY_DUNNO, sizeof(POLICY_DUNNO));
		return sizeof(POLICY_DUNNO) - 1;
	}
	action_put(&out, tmpl, act.verb_len);
	if (act.class != '\0') {
		/* What is filled in at the front of the text must not become
		 * the status code by looking like one. */
		dsn = action_dsn(act.text);
		if (dsn > 0)
			action_put(&out, " ", 1);
		else if (act.text[strcspn(act.text, "{ ")] == '{')
			action_put_str(
			    &out, act.class == '5' ? " 5.7.1" : " 4.7.1");
		action_put(&out, act.text, dsn);
		act.text += dsn + strspn(act.text + dsn, " ");
		if (act.text[0] == '\0')
			act.text = "Access denied";
	}
	if (act.text[0] != '\0')
		action_put(&out, " ", 1);
	action_expand(&out, act.text, args);
	out.max = POLICY_ACTION_MAX;
	action_put(&out, POLICY_TAG, sizeof(POLICY_TAG) - 1);
	buf[out.len] = '\0';
	return out.len;
}
