/*
 * verbs_show: the verbs that ask the daemon and show what it says: status,
 * list, top, allow list.
 *
 * Records are shown as they come, also a million of them: JSON is a stream, and
 * tables keep no more than TABLE_ROWS_MAX rows.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "lib/core/log.h"
#include "lib/core/num.h"
#include "policyd/ctl/client.h"
#include "policyd/ctl/ctl.h"
#include "lib/core/json.h"
#include "policyd/ctl/request.h"
#include "policyd/ctl/table.h"

#define COLUMNS(c) (c), sizeof(c) / sizeof((c)[0])

/* A listing: one row or array element per record of this kind. */
struct listing {
	const char *kind;
	struct json *json; /* NULL: a table */
	struct table *table;
};

static void
listing_record(void *ctx, const struct record *r)
{
	struct listing *l = ctx;

	if (strcmp(r->kind, l->kind) != 0)
		return;
	if (l->json == NULL) {
		table_add(l->table, r);
		return;
	}
	if (l->json->depth == 0)
		json_open(l->json, NULL, '[');
	json_open(l->json, NULL, '{');
	json_fields(l->json, r);
	json_close(l->json, '}');
}

static enum ctl_status
listing_run(const struct ctl *ctl, struct record_out *req, const char *kind,
    const struct table_column *columns, size_t n, const char *sort)
{
	struct json j = { .f = stdout, .lines = true };
	struct listing l = { .kind = kind };
	enum ctl_status status;

	if (ctl->json)
		l.json = &j;
	else
		l.table = table_create(stdout, columns, n, sort, ctl_now());
	status =
	    request_run(ctl, req, CLIENT_TIMEOUT, listing_record, &l, false);
	if (l.table != NULL)
		table_finish(&l.table);
	/* What is not complete shall not look as if it were. */
	if (ctl->json && status != CTL_ERROR) {
		if (j.depth == 0)
			json_open(&j, NULL, '[');
		json_close(&j, ']');
		json_newline(&j);
	}
	return status;
}

enum ctl_status
verb_list(const struct ctl *ctl)
{
	static const struct table_column columns[] = {
		{ "address", "ADDRESS", false, 0 },
		{ "level", "LEVEL", false, 0 },
		{ "score", "SCORE", true, 2 },
		{ "since", "SINCE", false, 1 },
		{ "until", "UNTIL", false, 0 },
		{ "rule", "RULE", false, 0 },
	};
	struct record_out req = { 0 };

	record_begin(&req, "list");
	if (ctl->level != NULL)
		record_str(&req, "level", ctl->level);
	return listing_run(ctl, &req, "block", COLUMNS(columns), "since");
}

/* n < 0: as many as the daemon likes. */
static enum ctl_status
top_once(const struct ctl *ctl, double n)
{
	static const struct table_column columns[] = {
		{ "address", "ADDRESS", false, 0 },
		{ "score", "SCORE", true, 0 },
		{ "hits", "HITS", true, 0 },
		{ "strikes", "STRIKES", true, 2 },
		{ "first", "FIRST", false, 1 },
		{ "last", "LAST", false, 3 },
		{ "rules", "RULES", false, 0 },
	};
	struct record_out req = { 0 };

	record_begin(&req, "top");
	if (n >= 0)
		record_num(&req, "n", n);
	return listing_run(ctl, &req, "score", COLUMNS(columns), NULL);
}

/* As many scores as fit below the two lines of the heading. */
static double
top_rows(void)
{
	struct winsize w;

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) != 0 || w.ws_row == 0)
		return 20;
	return w.ws_row > 4 ? w.ws_row - 3 : 1;
}

/* A screen for each turn on a terminal, else one table after the other; until
 * interrupted, or until the daemon is gone. */
static enum ctl_status
top_refresh(const struct ctl *ctl, double n, double interval)
{
	const struct timespec nap = { .tv_sec = (time_t)interval,
		.tv_nsec = (long)((interval - floor(interval)) * 1e9) };
	bool screen = isatty(STDOUT_FILENO) && !ctl->json;
	enum ctl_status status;

	for (;;) {
		char clock[16] = "";
		time_t now = (time_t)ctl_now();
		struct tm tm;

		if (screen) {
			if (localtime_r(&now, &tm) != NULL)
				strftime(clock, sizeof(clock), "%H:%M:%S", &tm);
			/* Home, and clear. */
			printf("\033[H\033[2Jmxwarden top  %s\n", clock);
		}
		status = top_once(ctl, n < 0 && screen ? top_rows() : n);
		if (status == CTL_ERROR || fflush(stdout) != 0)
			return status;
		nanosleep(&nap, NULL);
		if (!screen && !ctl->json)
			printf("\n");
	}
}

enum ctl_status
verb_top(const struct ctl *ctl)
{
	double n = -1, interval = 0;
	uint64_t count;

	if (ctl->count != NULL) {
		if (!num_parse_u64(ctl->count, strlen(ctl->count), &count)) {
			log_error("top: '%s' is not a number", ctl->count);
			return CTL_ERROR;
		}
		n = (double)count;
	}
	if (ctl->interval == NULL)
		return top_once(ctl, n);
	if ((!num_parse_duration(ctl->interval, &interval) &&
		!num_parse_double(
		    ctl->interval, strlen(ctl->interval), &interval)) ||
	    !(interval >= 0.1 && interval <= 86400)) {
		log_error("top: '%s' is not an interval from 100ms to 1d",
		    ctl->interval);
		return CTL_ERROR;
	}
	return top_refresh(ctl, n, interval);
}

enum ctl_status
verb_allow_list(const struct ctl *ctl)
{
	static const struct table_column columns[] = {
		{ "address", "ADDRESS", false, 0 },
		{ "source", "SOURCE", false, 0 },
	};
	struct record_out req = { 0 };

	record_begin(&req, "allow-list");
	return listing_run(ctl, &req, "allow", COLUMNS(columns), NULL);
}

/* Status: one object for each kind of record; of logs there may be several. */
struct status {
	const struct ctl *ctl;
	struct json json;
	bool in_logs, had_logs;
};

static void
status_close_logs(struct status *s)
{
	if (s->in_logs)
		json_close(&s->json, ']');
	s->in_logs = false;
}

static void
status_json(struct status *s, const struct record *r)
{
	struct json *j = &s->json;
	bool is_log = strcmp(r->kind, "log") == 0;

	if (j->depth == 0)
		json_open(j, NULL, '{');
	if (!is_log)
		status_close_logs(s);
	else if (!s->in_logs)
		json_open(j, "logs", '[');
	s->in_logs = is_log;
	s->had_logs |= is_log;
	json_open(j, is_log ? NULL : r->kind, '{');
	json_fields(j, r);
	json_close(j, '}');
}

static void
status_record(void *ctx, const struct record *r)
{
	struct status *s = ctx;
	char kind[64];

	if (s->ctl->json) {
		status_json(s, r);
		return;
	}
	printf("%s\n", table_clean(r->kind, kind, sizeof(kind)));
	table_fields(stdout, r, ctl_now());
}

enum ctl_status
verb_status(const struct ctl *ctl)
{
	struct status s = { .ctl = ctl, .json = { .f = stdout } };
	struct record_out req = { 0 };
	enum ctl_status status;

	record_begin(&req, "status");
	status =
	    request_run(ctl, &req, CLIENT_TIMEOUT, status_record, &s, false);
	if (!ctl->json || status == CTL_ERROR)
		return status;
	if (s.json.depth == 0)
		json_open(&s.json, NULL, '{');
	status_close_logs(&s);
	if (!s.had_logs) {
		json_open(&s.json, "logs", '[');
		json_close(&s.json, ']');
	}
	json_close(&s.json, '}');
	json_newline(&s.json);
	return status;
}
