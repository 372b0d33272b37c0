/*
 * report: see report.h.
 */
#include "policyd/daemon/report.h"

#include <stdio.h>
#include <syslog.h>
#include <time.h>

#include "lib/core/log.h"
#include "lib/core/num.h"

static void
report_syslog(void *ctx, enum msg_level level, const char *text)
{
	static const int priority[] = { LOG_DEBUG, LOG_INFO, LOG_NOTICE,
		LOG_WARNING, LOG_ERR, LOG_CRIT };

	(void)ctx;
	/* Postfix's way: the words say how bad it is, whatever syslog drops. */
	if (level >= MSG_WARNING)
		syslog(priority[level], "%s: %s", log_level_name(level), text);
	else
		syslog(priority[level], "%s", text);
}

static void
report_stderr(void *ctx, enum msg_level level, const char *text)
{
	time_t now = time(NULL);
	char stamp[32] = "";
	struct tm tm;

	(void)ctx;
	if (localtime_r(&now, &tm) != NULL)
		strftime(stamp, sizeof(stamp), "%H:%M:%S ", &tm);
	if (level >= MSG_WARNING)
		fprintf(stderr, "%s%s: %s\n", stamp, log_level_name(level),
		    text);
	else
		fprintf(stderr, "%s%s\n", stamp, text);
}

void
report_open(bool foreground, bool verbose)
{
	log_set_level(verbose ? MSG_INFO : MSG_NOTICE);
	if (foreground) {
		log_set_sink(report_stderr, NULL);
		return;
	}
	openlog("mxwardend", LOG_PID | LOG_NDELAY, LOG_MAIL);
	log_set_sink(report_syslog, NULL);
}

void
report_close(void)
{
	closelog();
}

void
report_offence(const struct offence *o)
{
	char addr[ADDR_STRLEN], weight[NUM_SCORE_LEN];

	log_info("offence %s rule=%s weight=%s attempts=%u log=%s",
	    addr_format(&o->addr, addr), name_text(o->rule->name),
	    num_format_score(o->weight, weight), o->attempts, o->source);
}

void
report_blocked(const struct block *b, enum store_why why)
{
	char addr[ADDR_STRLEN], score[NUM_SCORE_LEN], until[NUM_TIME_LEN];
	static const char *const words[] = {
		[STORE_DECIDED] = "blocked",
		[STORE_RAISED] = "raised",
		[STORE_MANUAL] = "blocked by hand",
		[STORE_SHARED] = "blocked elsewhere",
	};

	if (why == STORE_LOADED || why == STORE_EXPIRED)
		return;
	log_notice("%s %s level=%s score=%s rule=%s until=%s by=%s strikes=%u",
	    words[why], addr_format(&b->addr, addr), name_text(b->level),
	    num_format_score(b->score, score), name_text(b->rule),
	    num_format_time(b->until, until), name_text(b->by), b->strikes);
}

void
report_unblocked(const struct block *b, enum store_why why)
{
	char addr[ADDR_STRLEN];

	log_notice("unblocked %s level=%s rule=%s reason=%s",
	    addr_format(&b->addr, addr), name_text(b->level),
	    name_text(b->rule),
	    why == STORE_EXPIRED	? "expired"
		: why == STORE_MANUAL	? "by-hand"
					: "elsewhere");
}
