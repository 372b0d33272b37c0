/*
 * logline: a log line taken apart: time, host, tag, pid, message.
 *
 *   <time> <host> <tag>[<pid>]: <message>          syslog, postlogd
 *   <date> <time> [<zone>] [[<pid>]] <message>   Exim's main and reject log
 *   <time> <service>[(<user>...)]: <level>: <...>   Dovecot's log_path
 *
 * with a time of logtime's forms. Exim's own form has neither host nor tag:
 * its program is "exim"; that of Dovecot's is "dovecot", with all behind the
 * time as the message. Where Exim writes to syslog with its own time and pid
 * before the message, they are taken off. "message repeated N times: [ ... ]"
 * of rsyslog is the message inside, with `repeat` N.
 * The program is the last component of the
 * tag ("postfix/submission/smtpd" -> "smtpd"). Nothing is copied and nothing
 * is searched for behind the colon: the message is the peer's to a large part.
 */
#ifndef MXW_LOGLINE_H
#define MXW_LOGLINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LOGLINE_REPEAT_MAX 1000

struct logline {
	const char *time; /* text of the timestamp */
	size_t time_len;
	const char *host;
	size_t host_len;
	const char *tag; /* without pid */
	size_t tag_len;
	const char *program; /* inside tag */
	size_t program_len;
	uint64_t pid;	 /* 0 = none */
	unsigned repeat; /* how often it happened: 1..LOGLINE_REPEAT_MAX */
	const char *msg;
	size_t msg_len;
};

/* False when the line has no such header: it is counted, not matched. */
bool logline_parse(const char *line, size_t len, struct logline *out);

#endif
