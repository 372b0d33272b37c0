/*
 * show: everything about one address: fields, the block in words, the log
 * lines that led to it, and how to end it.
 *
 * Text of log lines is hostile and may be long: cleaned (table_clean()), and
 * on a terminal folded by us, so that a line is never taken for another one.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/core/json.h"
#include "lib/core/num.h"
#include "lib/core/xalloc.h"
#include "policyd/ctl/client.h"
#include "policyd/ctl/ctl.h"
#include "policyd/ctl/request.h"
#include "policyd/ctl/table.h"

#define SHOW_TEXT 1024

struct show {
	const struct ctl *ctl;
	struct json json;
	bool shown; /* the record of the address has come */
	bool hits;  /* it has offended */
	size_t n_lines;
	char *advice; /* what stands at the end, or NULL */
};

/* A field of a record, fit for a terminal. */
static const char *
show_text(const struct record *r, const char *name, char buf[SHOW_TEXT])
{
	return table_clean(record_get_str(r, name, ""), buf, SHOW_TEXT);
}

/* What the fields say, in words. */
static void
show_block(struct show *s, const struct record *r)
{
	char block[SHOW_TEXT], level[SHOW_TEXT], rule[SHOW_TEXT], by[SHOW_TEXT];
	char addr[SHOW_TEXT], time[NUM_DURATION_LEN], count[64] = "", *line;
	double left = record_get_num(r, "until", 0) - ctl_now();
	double score = record_get_num(r, "score", 0);
	double strikes = record_get_num(r, "strikes", 0);

	show_text(r, "block", block);
	line = x_asprintf("%s is blocked at level %s for another %s.", block,
	    show_text(r, "level", level),
	    num_format_duration(left > 0 ? floor(left) : 0, time));
	putchar('\n');
	table_fold(stdout, line, 0, 0);
	free(line);
	if (score > 0)
		snprintf(count, sizeof(count), "; its score is %g now", score);
	line = x_asprintf("Decided by %s, because of %s%s.",
	    show_text(r, "by", by), show_text(r, "rule", rule), count);
	table_fold(stdout, line, 0, 0);
	free(line);
	if (strikes > 1)
		printf("Blocked %g times of late, so the block lasts longer.\n",
		    strikes);
	if (record_get_num(r, "allowed", 0) != 0)
		printf("It is on the allow list: mail passes all the same.\n");
	free(s->advice);
	show_text(r, "address", addr);
	s->advice = x_asprintf("\nTo end it:        mxwarden unblock %s\n"
			       "and its strikes:  mxwarden forgive %s\n"
			       "for good:         mxwarden allow add %s\n",
	    block, addr, addr);
}

static void
show_line(struct show *s, const struct record *r)
{
	char text[SHOW_TEXT], rule[SHOW_TEXT], host[SHOW_TEXT], log[SHOW_TEXT];
	char when[NUM_TIME_LEN], rel[TABLE_TIME_LEN], weight[NUM_SCORE_LEN];
	double t = floor(record_get_num(r, "time", 0));
	char *head;

	if (s->n_lines++ == 0)
		printf("\nIts last offences:\n");
	num_format_score(record_get_num(r, "weight", 0), weight);
	head = x_asprintf("%s (%s)  %s %s%s  %s:%s", num_format_time(t, when),
	    table_relative(t, ctl_now(), rel), show_text(r, "rule", rule),
	    weight[0] == '-' ? "" : "+", weight, show_text(r, "host", host),
	    show_text(r, "log", log));
	table_fold(stdout, head, 2, 6);
	table_fold(stdout, show_text(r, "text", text), 6, 6);
	free(head);
}

static void
show_plain(struct show *s, const struct record *r)
{
	if (strcmp(r->kind, "line") == 0) {
		show_line(s, r);
		return;
	}
	table_fields(stdout, r, ctl_now());
	s->hits = record_get_num(r, "hits", 0) > 0;
	if (record_get_num(r, "blocked", 0) != 0)
		show_block(s, r);
}

/* One object; the lines are the array at its end. */
static void
show_json(struct show *s, const struct record *r)
{
	struct json *j = &s->json;

	if (strcmp(r->kind, "line") == 0) {
		json_open(j, NULL, '{');
		json_fields(j, r);
		json_close(j, '}');
		return;
	}
	json_open(j, NULL, '{');
	json_fields(j, r);
	json_open(j, "lines", '[');
}

static void
show_record(void *ctx, const struct record *r)
{
	struct show *s = ctx;
	bool line = strcmp(r->kind, "line") == 0;

	if (line != s->shown)
		return;
	s->shown = true;
	if (s->ctl->json)
		show_json(s, r);
	else
		show_plain(s, r);
}

static void
show_end(struct show *s)
{
	if (s->ctl->json) {
		json_close(&s->json, ']');
		json_close(&s->json, '}');
		json_newline(&s->json);
		return;
	}
	if (s->hits && s->n_lines == 0)
		printf("\nIts lines are not kept any more: look for it in the "
		       "log.\n");
	if (s->advice != NULL)
		fputs(s->advice, stdout);
}

enum ctl_status
verb_show(const struct ctl *ctl)
{
	struct show s = { .ctl = ctl, .json = { .f = stdout } };
	struct record_out req = { 0 };
	enum ctl_status status;

	record_begin(&req, "show");
	record_str(&req, "address", ctl->argv[0]);
	status = request_run(ctl, &req, CLIENT_TIMEOUT, show_record, &s, false);
	if (s.shown)
		show_end(&s);
	free(s.advice);
	return status;
}
