/*
 * logline: a log line taken apart: time, host, tag, pid, message.
 *
 *   <time> <host> <tag>[<pid>]: <message>
 *
 * with a time of logtime's forms. The program is the last component of the
 * tag ("postfix/submission/smtpd" -> "smtpd"). Nothing is copied and nothing
 * is searched for behind the colon: the message is the peer's to a large part.
 */
#ifndef MXW_LOGLINE_H
#define MXW_LOGLINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct logline {
	const char *time; /* text of the timestamp */
	size_t time_len;
	const char *host;
	size_t host_len;
	const char *tag; /* without pid */
	size_t tag_len;
	const char *program; /* inside tag */
	size_t program_len;
	uint64_t pid; /* 0 = none */
	const char *msg;
	size_t msg_len;
};

/* False when the line has no such header: it is counted, not matched. */
bool logline_parse(const char *line, size_t len, struct logline *out);

#endif
