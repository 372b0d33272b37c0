/*
 * log: see log.h. State is per process: there is one operator.
 */
#include "lib/core/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/core/utf8.h"

static log_sink *log_sink_fn;
static void *log_sink_ctx;
static const char *log_prefix = "mxwarden";
static enum msg_level log_min = MSG_NOTICE;

void
log_set_sink(log_sink *sink, void *ctx)
{
	log_sink_fn = sink;
	log_sink_ctx = ctx;
}

void
log_set_prefix(const char *prefix)
{
	log_prefix = prefix;
}

void
log_set_level(enum msg_level level)
{
	log_min = level;
}

enum msg_level
log_level(void)
{
	return log_min;
}

const char *
log_level_name(enum msg_level level)
{
	static const char *const names[] = { "debug", "info", "notice",
		"warning", "error", "fatal" };

	return names[level];
}

static void __attribute__((format(printf, 2, 0)))
log_vmsg(enum msg_level level, const char *fmt, va_list ap)
{
	char text[2048];

	vsnprintf(text, sizeof(text), fmt, ap);
	/* Peers' text is part of messages: it must not drive a terminal or
	 * start a new line. */
	utf8_clean(text, strlen(text), text, sizeof(text));
	if (log_sink_fn != NULL)
		log_sink_fn(log_sink_ctx, level, text);
	else if (level == MSG_NOTICE || level == MSG_INFO)
		fprintf(stderr, "%s: %s\n", log_prefix, text);
	else
		fprintf(stderr, "%s: %s: %s\n", log_prefix,
		    log_level_name(level), text);
}

void
log_msg(enum msg_level level, const char *fmt, ...)
{
	va_list ap;

	if (level < log_min)
		return;
	va_start(ap, fmt);
	log_vmsg(level, fmt, ap);
	va_end(ap);
}

void
log_fatal(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_vmsg(MSG_FATAL, fmt, ap);
	va_end(ap);
	exit(2);
}

bool
loglimit_pass(struct loglimit *l, double now, unsigned long *held_r)
{
	double most = LOGLIMIT_BURST * LOGLIMIT_INTERVAL;

	/* Far ahead it is only after the clock was put back. */
	if (l->next < now || l->next > now + 2 * most)
		l->next = now;
	if (l->next + LOGLIMIT_INTERVAL > now + most) {
		l->held++;
		return false;
	}
	l->next += LOGLIMIT_INTERVAL;
	*held_r = l->held;
	l->held = 0;
	return true;
}
