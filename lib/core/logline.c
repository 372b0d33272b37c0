/*
 * logline: see logline.h.
 */
#include "lib/core/logline.h"

#include <string.h>

#include "lib/core/logtime.h"
#include "lib/core/num.h"

#define TAG_MAX 128

/* "postfix/smtpd[123]" -> tag without pid, pid. */
static bool
logline_tag(const char *s, size_t len, struct logline *out)
{
	const char *open;

	out->pid = 0;
	if (len > 0 && s[len - 1] == ']' &&
	    (open = memrchr(s, '[', len)) != NULL) {
		size_t n = (size_t)(s + len - 1 - (open + 1));

		if (!num_parse_u64(open + 1, n, &out->pid))
			return false;
		len = (size_t)(open - s);
	}
	if (len == 0)
		return false;
	out->tag = s;
	out->tag_len = len;
	out->program = memrchr(s, '/', len);
	out->program = out->program == NULL ? s : out->program + 1;
	out->program_len = (size_t)(s + len - out->program);
	return out->program_len > 0;
}

/* "[123] " at the start of a message of Exim's. */
static void
logline_exim_pid(struct logline *out)
{
	const char *close;

	if (out->msg_len < 4 || out->msg[0] != '[')
		return;
	close = memchr(out->msg, ']', out->msg_len < 24 ? out->msg_len : 24);
	if (close == NULL || close + 1 >= out->msg + out->msg_len ||
	    close[1] != ' ' ||
	    !num_parse_u64(
		out->msg + 1, (size_t)(close - out->msg - 1), &out->pid))
		return;
	out->msg_len -= (size_t)(close + 2 - out->msg);
	out->msg = close + 2;
}

/* A program's own log: the time is followed by the message. */
static void
logline_own(
    const char *program, const char *p, const char *end, struct logline *out)
{
	out->host = p;
	out->host_len = 0;
	out->tag = out->program = program;
	out->tag_len = out->program_len = strlen(program);
	out->pid = 0;
	out->msg = p;
	out->msg_len = (size_t)(end - p);
}

/* "imap-login: Info: ", the start of a message in Dovecot's own log; or, where
 * no host stands before it, "auth(USER,": no host has a parenthesis, and what
 * follows there is the client's. */
static bool
logline_is_dovecot(const char *p, const char *end, bool users)
{
	static const char *const levels[] = { "Info: ", "Warning: ", "Error: ",
		"Debug: ", "Fatal: ", "Panic: " };
	const char *s = p;

	if (s == end || *s < 'a' || *s > 'z')
		return false;
	while (s < end &&
	    ((*s >= 'a' && *s <= 'z') || (*s >= '0' && *s <= '9') ||
		*s == '-' || *s == '_'))
		s++;
	if (s == end || (*s != ':' && *s != '(' && *s != '<'))
		return false;
	if (*s != ':')
		return users;
	if (end - s < 2 || s[1] != ' ')
		return false;
	s += 2;
	for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++) {
		size_t n = strlen(levels[i]);

		if ((size_t)(end - s) >= n && memcmp(s, levels[i], n) == 0)
			return true;
	}
	return false;
}

/* With a date before the time it is Exim's, or Dovecot's with another
 * log_timestamp. */
static bool
logline_dated(const char *p, const char *end, struct logline *out)
{
	if (logline_is_dovecot(p, end, false)) {
		logline_own("dovecot", p, end, out);
		return true;
	}
	logline_own("exim", p, end, out);
	logline_exim_pid(out);
	return true;
}

/* Exim through syslog may have its own time (syslog_timestamp) and pid. */
static void
logline_exim_syslog(struct logline *out)
{
	size_t n;

	if (out->program_len < 4 || memcmp(out->program, "exim", 4) != 0)
		return;
	n = logtime_span(out->msg, out->msg_len);
	if (n > 0 && n < out->msg_len && out->msg[10] == ' ' &&
	    out->msg[n] == ' ') {
		out->msg += n + 1;
		out->msg_len -= n + 1;
	}
	logline_exim_pid(out);
}

/* "message repeated 3 times: [ TEXT]" (rsyslog). No program writes this
 * itself, and a client cannot write the beginning of a message. */
static void
logline_repeat(struct logline *out)
{
	static const char head[] = "message repeated ";
	static const char mid[] = " times: [ ";
	const char *p = out->msg + sizeof(head) - 1;
	const char *end = out->msg + out->msg_len;
	size_t digits = 0;
	uint64_t n;

	if (out->msg_len < sizeof(head) + sizeof(mid) || end[-1] != ']' ||
	    memcmp(out->msg, head, sizeof(head) - 1) != 0)
		return;
	while (digits < 10 && p[digits] >= '0' && p[digits] <= '9')
		digits++;
	if (!num_parse_u64(p, digits, &n) || n == 0 ||
	    (size_t)(end - p) < digits + sizeof(mid) ||
	    memcmp(p + digits, mid, sizeof(mid) - 1) != 0)
		return;
	out->repeat = n < LOGLINE_REPEAT_MAX ? (unsigned)n : LOGLINE_REPEAT_MAX;
	out->msg = p + digits + sizeof(mid) - 1;
	out->msg_len = (size_t)(end - 1 - out->msg);
}

bool
logline_parse(const char *line, size_t len, struct logline *out)
{
	const char *p = line, *end = line + len, *q;
	size_t n = logtime_span(line, len);

	if (n == 0 || n >= len || line[n] != ' ')
		return false;
	out->time = line;
	out->time_len = n;
	out->repeat = 1;
	p += n + 1;
	if (n >= 19 && line[10] == ' ')
		return logline_dated(p, end, out);
	if (logline_is_dovecot(p, end, true)) {
		logline_own("dovecot", p, end, out);
		return true;
	}
	q = memchr(p, ' ', (size_t)(end - p));
	if (q == NULL || q == p)
		return false;
	out->host = p;
	out->host_len = (size_t)(q - p);
	p = q + 1;
	/* The tag ends at the first colon; it has no blank. */
	n = (size_t)(end - p) < TAG_MAX ? (size_t)(end - p) : TAG_MAX;
	q = memchr(p, ':', n);
	if (q == NULL || q == p || memchr(p, ' ', (size_t)(q - p)) != NULL ||
	    !logline_tag(p, (size_t)(q - p), out))
		return false;
	p = q + 1;
	if (p < end && *p == ' ')
		p++;
	out->msg = p;
	out->msg_len = (size_t)(end - p);
	if (out->msg_len > 0 && (*p == 'm' || *p == '2' || *p == '[')) {
		logline_repeat(out);
		logline_exim_syslog(out);
	}
	return true;
}
