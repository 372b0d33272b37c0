/*
 * watch: events as they happen, a line for each.
 *
 * In a pipe a line has every field, for programs (table_event()). On a terminal
 * it has what one looks for, coloured, and is never wider than the terminal:
 *
 *     12:01:13 raised  2001:db8:1:2::/64        reject   1h  postfix-relay
 *     12:01:13 offence 2001:db8:1:2:3:4:5:6     +2 postfix-relay
 *
 * NO_COLOR (no-color.org) and TERM=dumb are respected.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lib/core/json.h"
#include "lib/core/num.h"
#include "policyd/ctl/client.h"
#include "policyd/ctl/ctl.h"
#include "policyd/ctl/request.h"
#include "policyd/ctl/table.h"

#define WATCH_TEXT 300

struct watch {
	const struct ctl *ctl;
	bool terminal, colour;
};

enum watch_colour { RED = 31, GREEN = 32, YELLOW = 33, MAGENTA = 35 };

/* What has happened, in at most seven letters. */
static const char *
watch_word(const struct record *r, enum watch_colour *colour_r)
{
	const char *why = record_get_str(r, "why", "");

	*colour_r = YELLOW;
	if (strcmp(r->kind, "blocked") == 0) {
		*colour_r = RED;
		return strcmp(why, "raised") == 0 ? "raised" : "blocked";
	}
	if (strcmp(r->kind, "unblocked") == 0) {
		*colour_r = GREEN;
		return strcmp(why, "expired") == 0 ? "expired" : "lifted";
	}
	if (strcmp(r->kind, "offence") == 0)
		return "offence";
	*colour_r = MAGENTA;
	return "lost";
}

/* What stands behind the address. */
static void
watch_detail(const struct record *r, char *buf, size_t size)
{
	char level[WATCH_TEXT], rule[WATCH_TEXT], by[WATCH_TEXT];
	char weight[NUM_SCORE_LEN], rel[TABLE_TIME_LEN];
	const char *why = record_get_str(r, "why", "");

	table_clean(record_get_str(r, "rule", ""), rule, sizeof(rule));
	table_clean(record_get_str(r, "level", ""), level, sizeof(level));
	table_clean(record_get_str(r, "by", ""), by, sizeof(by));
	if (strcmp(r->kind, "offence") == 0) {
		num_format_score(record_get_num(r, "weight", 0), weight);
		snprintf(buf, size, "%s%s %s", weight[0] == '-' ? "" : "+",
		    weight, rule);
	} else if (strcmp(r->kind, "blocked") == 0) {
		table_relative(record_get_num(r, "until", 0),
		    record_get_num(r, "time", 0), rel);
		/* "in 12h" */
		snprintf(buf, size, "%-8s %-3s %s%s%s", level,
		    strncmp(rel, "in ", 3) == 0 ? rel + 3 : rel, rule,
		    strcmp(why, "shared") == 0 ? " by " : "",
		    strcmp(why, "shared") == 0 ? by : "");
	} else if (strcmp(r->kind, "unblocked") == 0) {
		snprintf(buf, size, "%-8s     %s", level, rule);
	} else {
		snprintf(buf, size, "%.0f events: too fast to be shown",
		    record_get_num(r, "events", 0));
	}
}

static void
watch_line(const struct watch *w, const struct record *r)
{
	char line[6 * WATCH_TEXT], detail[4 * WATCH_TEXT];
	char addr[WATCH_TEXT], clock[16] = "";
	double at = record_get_num(r, "time", 0);
	time_t t;
	enum watch_colour colour;
	const char *word = watch_word(r, &colour);
	struct tm tm;

	/* As num_format_time() has it; what is beyond is no time. */
	if (at > -6e10 && at < 2.5e11) {
		t = (time_t)at;
		if (localtime_r(&t, &tm) != NULL)
			strftime(clock, sizeof(clock), "%H:%M:%S", &tm);
	}
	table_clean(record_get_str(r, "address", ""), addr, sizeof(addr));
	watch_detail(r, detail, sizeof(detail));
	snprintf(line, sizeof(line), "%s %-7s %s%*s%s", clock, word, addr,
	    addr[0] == '\0'	    ? 0
		: strlen(addr) < 24 ? (int)(25 - strlen(addr))
				    : 1,
	    "", detail);
	if (w->colour)
		printf("\033[%dm", colour);
	table_cut(stdout, line);
	printf("%s\n", w->colour ? "\033[0m" : "");
}

static void
watch_record(void *ctx, const struct record *r)
{
	const struct watch *w = ctx;
	struct json j = { .f = stdout };

	if (strcmp(r->kind, "watching") == 0)
		return;
	if (w->ctl->json) {
		json_open(&j, NULL, '{');
		json_str(&j, "event", r->kind);
		json_fields(&j, r);
		json_close(&j, '}');
		json_newline(&j);
	} else if (w->terminal) {
		watch_line(w, r);
	} else {
		table_event(stdout, r);
	}
	fflush(stdout);
}

enum ctl_status
verb_watch(const struct ctl *ctl)
{
	const char *term = getenv("TERM"), *plain = getenv("NO_COLOR");
	struct watch w = { .ctl = ctl, .terminal = isatty(STDOUT_FILENO) };
	struct record_out req = { 0 };

	w.colour = w.terminal && (plain == NULL || plain[0] == '\0') &&
	    term != NULL && strcmp(term, "dumb") != 0;
	record_begin(&req, "watch");
	record_bool(&req, "offences", ctl->offences);
	return request_run(ctl, &req, 0, watch_record, &w, false);
}
