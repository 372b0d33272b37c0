/*
 * log: what the programs tell their operator.
 *
 * Levels: debug (for developers), info (one line per offence, only with -v),
 * notice (blocks, state changes), warning (something to look at; service goes
 * on), error (something does not work until somebody acts), fatal (before the
 * loop starts only: ends the program). Nothing a peer sends may reach fatal.
 *
 * The core never decides where messages go: a program installs a sink. The
 * default sink is stderr. Control characters in messages are replaced by '?',
 * so a peer cannot forge lines. Repeated messages about peers go through a
 * loglimit.
 */
#ifndef MXW_LOG_H
#define MXW_LOG_H

#include <stdbool.h>

enum msg_level {
	MSG_DEBUG,
	MSG_INFO,
	MSG_NOTICE,
	MSG_WARNING,
	MSG_ERROR,
	MSG_FATAL,
};

typedef void log_sink(void *ctx, enum msg_level level, const char *text);

/* NULL restores stderr with `prefix: level: text`. */
void log_set_sink(log_sink *sink, void *ctx);
/* The name before each message of the default sink; borrowed. */
void log_set_prefix(const char *prefix);
/* Messages below `level` are dropped. Default: notice. */
void log_set_level(enum msg_level level);
enum msg_level log_level(void);
const char *log_level_name(enum msg_level level);

void log_msg(enum msg_level level, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
void log_fatal(const char *fmt, ...)
    __attribute__((format(printf, 1, 2), noreturn));

#define log_debug(...) log_msg(MSG_DEBUG, __VA_ARGS__)
#define log_info(...) log_msg(MSG_INFO, __VA_ARGS__)
#define log_notice(...) log_msg(MSG_NOTICE, __VA_ARGS__)
#define log_warning(...) log_msg(MSG_WARNING, __VA_ARGS__)
#define log_error(...) log_msg(MSG_ERROR, __VA_ARGS__)

/*
 * A loglimit lets a burst of LOGLIMIT_BURST messages through, then one every
 * LOGLIMIT_INTERVAL seconds, and counts what it held back. Each interval
 * without a message gives one of the burst back. Zero-initialised.
 */
#define LOGLIMIT_BURST 5
#define LOGLIMIT_INTERVAL 10.0

struct loglimit {
	double next;	    /* when all of the burst will be given back */
	unsigned long held; /* messages held back since the last one */
};

/*
 * May a message be written at `now` (seconds, any epoch, not going back by
 * more than it matters)? If so, *held_r is how many were held back before it.
 */
bool loglimit_pass(struct loglimit *l, double now, unsigned long *held_r);

#define log_limited(limit, now, level, fmt, ...)                              \
	do {                                                                  \
		unsigned long held_;                                          \
		if (loglimit_pass((limit), (now), &held_)) {                  \
			if (held_ > 0)                                        \
				log_msg((level), fmt " (%lu more like this)", \
				    __VA_ARGS__, held_);                      \
			else                                                  \
				log_msg((level), fmt, __VA_ARGS__);           \
		}                                                             \
	} while (0)

#endif
