/*
 * verbs_show: the verbs that ask the daemon and show what it says: status,
 * list, top, show, allow list, watch.
 *
 * Records are shown as they come, also a million of them: JSON is a stream, and
 * tables keep no more than TABLE_ROWS_MAX rows.
 */
#include <stdio.h>
#include <string.h>

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

enum ctl_status
verb_top(const struct ctl *ctl)
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
	uint64_t n;

	record_begin(&req, "top");
	if (ctl->count != NULL) {
		if (!num_parse_u64(ctl->count, strlen(ctl->count), &n)) {
			log_error("top: '%s' is not a number", ctl->count);
			record_free(&req);
			return CTL_ERROR;
		}
		record_num(&req, "n", (double)n);
	}
	return listing_run(ctl, &req, "score", COLUMNS(columns), NULL);
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

static void
show_record(void *ctx, const struct record *r)
{
	const struct ctl *ctl = ctx;
	struct json j = { .f = stdout };

	if (!ctl->json) {
		table_fields(stdout, r, ctl_now());
		return;
	}
	json_open(&j, NULL, '{');
	json_fields(&j, r);
	json_close(&j, '}');
	json_newline(&j);
}

enum ctl_status
verb_show(const struct ctl *ctl)
{
	struct record_out req = { 0 };
	struct ctl copy = *ctl;

	record_begin(&req, "show");
	record_str(&req, "address", ctl->argv[0]);
	return request_run(
	    ctl, &req, CLIENT_TIMEOUT, show_record, &copy, false);
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

/* Watching: a line for each event, at once. */
static void
watch_record(void *ctx, const struct record *r)
{
	const struct ctl *ctl = ctx;
	struct json j = { .f = stdout };

	if (strcmp(r->kind, "watching") == 0)
		return;
	if (ctl->json) {
		json_open(&j, NULL, '{');
		json_str(&j, "event", r->kind);
		json_fields(&j, r);
		json_close(&j, '}');
		json_newline(&j);
	} else {
		table_event(stdout, r);
	}
	fflush(stdout);
}

enum ctl_status
verb_watch(const struct ctl *ctl)
{
	struct record_out req = { 0 };
	struct ctl copy = *ctl;

	record_begin(&req, "watch");
	record_bool(&req, "offences", ctl->offences);
	return request_run(ctl, &req, 0, watch_record, &copy, false);
}
