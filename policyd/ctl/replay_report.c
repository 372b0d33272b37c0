/*
 * replay_report: what a replay found, as text or JSON.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/core/num.h"
#include "lib/core/json.h"
#include "policyd/ctl/replay.h"
#include "policyd/ctl/table.h"

#define COUNT(x) ((unsigned long long)(x))

void
replay_decision(const struct replay *r, const struct block *b)
{
	char when[NUM_TIME_LEN], until[NUM_TIME_LEN], score[NUM_SCORE_LEN];
	char addr[ADDR_STRLEN], line[1024];
	struct json j = { .f = stdout };

	if (!r->ctl->json) {
		snprintf(line, sizeof(line),
		    "%s %s %s score=%s rule=%s until=%s",
		    num_format_time(r->offence, when),
		    addr_format(&b->addr, addr), name_text(b->level),
		    num_format_score(b->score, score), name_text(b->rule),
		    num_format_time(b->until, until));
		if (r->terminal)
			table_fold(stdout, line, 0, 6);
		else
			puts(line);
		return;
	}
	json_open(&j, NULL, '{');
	json_time(&j, "time", r->offence);
	json_str(&j, "address", addr_format(&b->addr, addr));
	json_str(&j, "level", name_text(b->level));
	json_num(&j, "score", b->score);
	json_str(&j, "rule", name_text(b->rule));
	json_time(&j, "until", b->until);
	json_close(&j, '}');
	json_newline(&j);
}

static double
replay_rate(const struct replay *r)
{
	return r->elapsed > 0 ? (double)r->sum.lines / r->elapsed : 0;
}

static void
replay_json_totals(struct json *j, const struct replay *r)
{
	const struct source_stats *s = &r->sum;

	json_open(j, "files", '[');
	for (int i = 0; i < r->ctl->argc; i++)
		json_str(j, NULL, r->ctl->argv[i]);
	json_close(j, ']');
	json_num(j, "lines", (double)s->lines);
	json_num(j, "parsed", (double)(s->lines - s->unparsed));
	json_num(j, "unparsed", (double)s->unparsed);
	json_num(j, "matched", (double)s->matched);
	json_num(j, "scored", (double)s->scored);
	json_num(j, "allowed", (double)s->allowed);
	json_num(j, "own_refusals", (double)s->own);
	json_num(j, "faults", (double)s->faults);
	json_num(j, "bad_times", (double)s->badtime);
	json_num(j, "cut", (double)s->cut);
	json_num(j, "limits", (double)s->limits);
	json_time(j, "first", r->has_span ? r->first : INFINITY);
	json_time(j, "last", r->has_span ? r->last : INFINITY);
	json_num(j, "elapsed", r->elapsed);
	json_num(j, "lines_per_second", floor(replay_rate(r)));
	json_num(j, "addresses", (double)tally_offenders(r->tally));
	json_num(j, "untold", (double)tally_untold(r->tally));
	json_num(j, "blocked", (double)r->decided);
	json_num(j, "raised", (double)r->raised);
}

static void
replay_json_offender(struct json *j, const struct tally_offender *o)
{
	char addr[ADDR_STRLEN];

	json_open(j, NULL, '{');
	json_str(j, "address", addr_format(&o->addr, addr));
	json_num(j, "peak", o->peak);
	json_num(j, "score", o->score.score);
	json_time(j, "last", o->score.last);
	json_num(j, "hits", o->hits);
	json_num(j, "blocks", o->blocks);
	json_str(j, "level", o->level != 0 ? name_text(o->level) : NULL);
	json_open(j, "rules", '{');
	for (size_t i = 0; i < o->n_rules; i++)
		json_num(j, name_text(o->rules[i].rule), o->rules[i].hits);
	json_close(j, '}');
	json_close(j, '}');
}

static void
replay_json_shapes(struct json *j, const struct replay *r)
{
	const struct shape *shapes;
	size_t n = shapes_top(r->shapes, r->top_shapes, &shapes);

	json_open(j, "unmatched", '[');
	for (size_t i = 0; i < n; i++) {
		json_open(j, NULL, '{');
		json_num(j, "lines", (double)shapes[i].count);
		json_str(j, "shape", shapes[i].text);
		json_str(j, "example", shapes[i].example);
		json_close(j, '}');
	}
	json_close(j, ']');
}

static void
replay_report_json(const struct replay *r, struct tally_offender *const *top,
    size_t n_top, const struct tally_count *rules, size_t n_rules)
{
	const struct conf *conf = r->off.conf;
	struct json j = { .f = stdout, .lines = true };

	json_open(&j, NULL, '{');
	replay_json_totals(&j, r);
	json_open(&j, "rules", '[');
	for (size_t i = 0; i < n_rules; i++) {
		json_open(&j, NULL, '{');
		json_str(&j, "rule", name_text(rules[i].name));
		json_num(&j, "hits", (double)rules[i].hits);
		json_close(&j, '}');
	}
	json_close(&j, ']');
	json_open(&j, "blocks", '{');
	for (size_t i = 0; i < conf->n_levels; i++)
		json_num(&j, name_text(conf->levels[i].name),
		    (double)tally_level(r->tally, conf->levels[i].name));
	json_close(&j, '}');
	json_open(&j, "offenders", '[');
	for (size_t i = 0; i < n_top; i++)
		replay_json_offender(&j, top[i]);
	json_close(&j, ']');
	if (r->shapes != NULL)
		replay_json_shapes(&j, r);
	json_close(&j, '}');
	json_newline(&j);
}

static void
replay_print_totals(const struct replay *r)
{
	const struct source_stats *s = &r->sum;
	char first[NUM_TIME_LEN], last[NUM_TIME_LEN];

	printf("lines      %llu", COUNT(s->lines));
	if (s->unparsed > 0)
		printf(", %llu of them without a known header",
		    COUNT(s->unparsed));
	printf("\n");
	if (r->has_span)
		printf("span       %s to %s\n",
		    num_format_time(r->first, first),
		    num_format_time(r->last, last));
	printf("matched    %llu lines, %llu attempts scored\n",
	    COUNT(s->matched), COUNT(s->scored));
	if (s->allowed > 0)
		printf("allowed    %llu attempts by clients on the allow "
		       "list\n",
		    COUNT(s->allowed));
	if (s->own > 0)
		printf("own        %llu refusals of our own\n", COUNT(s->own));
	if (s->faults > 0)
		printf("faults     %llu troubles of the server itself\n",
		    COUNT(s->faults));
	if (s->limits > 0 || s->badtime > 0 || s->cut > 0)
		printf("oddities   %llu over the match limit, %llu with an "
		       "impossible time, %llu cut\n",
		    COUNT(s->limits), COUNT(s->badtime), COUNT(s->cut));
	printf("addresses  %zu\n", tally_offenders(r->tally));
	printf("blocked    %llu\n", COUNT(r->decided));
	printf("raised     %llu\n", COUNT(r->raised));
	if (tally_untold(r->tally) > 0)
		printf("           %llu attempts by addresses beyond "
		       "max_addresses\n",
		    COUNT(tally_untold(r->tally)));
	printf("elapsed    %.2f s, %.0f lines/s\n", r->elapsed, replay_rate(r));
}

static void
replay_print_counts(
    const struct replay *r, const struct tally_count *rules, size_t n_rules)
{
	static const struct table_column columns[] = {
		{ NULL, "RULE", false, 0 },
		{ NULL, "HITS", true, 0 },
	};
	static const struct table_column level_columns[] = {
		{ NULL, "LEVEL", false, 0 },
		{ NULL, "BLOCKS", true, 0 },
	};
	const struct conf *conf = r->off.conf;
	struct table *t = table_create(stdout, columns, 2, NULL, 0);
	char text[32];
	const char *cells[2] = { NULL, text };

	if (n_rules > 0)
		printf("\n");
	for (size_t i = 0; i < n_rules; i++) {
		cells[0] = name_text(rules[i].name);
		snprintf(text, sizeof(text), "%llu", COUNT(rules[i].hits));
		table_row(t, 0, cells);
	}
	table_finish(&t);
	if (conf->n_levels > 0)
		printf("\n");
	t = table_create(stdout, level_columns, 2, NULL, 0);
	for (size_t i = 0; i < conf->n_levels; i++) {
		cells[0] = name_text(conf->levels[i].name);
		snprintf(text, sizeof(text), "%llu",
		    COUNT(tally_level(r->tally, conf->levels[i].name)));
		table_row(t, 0, cells);
	}
	table_finish(&t);
}

/* The rule that hit most, and how many others did. */
static void
replay_rules_text(const struct tally_offender *o, char buf[300])
{
	size_t best = 0;

	for (size_t i = 1; i < o->n_rules; i++)
		if (o->rules[i].hits > o->rules[best].hits)
			best = i;
	if (o->n_rules > 1)
		snprintf(buf, 300, "%s +%u", name_text(o->rules[best].rule),
		    o->n_rules - 1u);
	else
		snprintf(buf, 300, "%s", name_text(o->rules[best].rule));
}

static void
replay_print_offenders(struct tally_offender *const *top, size_t n)
{
	static const struct table_column columns[] = {
		{ NULL, "ADDRESS", false, 0 },
		{ NULL, "PEAK", true, 0 },
		{ NULL, "HITS", true, 0 },
		{ NULL, "BLOCKS", true, 2 },
		{ NULL, "LEVEL", false, 1 },
		{ NULL, "RULES", false, 0 },
	};
	struct table *t = table_create(stdout, columns, 6, NULL, 0);
	char addr[ADDR_STRLEN], peak[NUM_SCORE_LEN], hits[16], blocks[16];
	char rules[300];

	if (n > 0)
		printf("\n");
	for (size_t i = 0; i < n; i++) {
		const char *cells[] = { addr, peak, hits, blocks, "-", rules };

		addr_format(&top[i]->addr, addr);
		num_format_score(top[i]->peak, peak);
		snprintf(hits, sizeof(hits), "%u", (unsigned)top[i]->hits);
		snprintf(
		    blocks, sizeof(blocks), "%u", (unsigned)top[i]->blocks);
		replay_rules_text(top[i], rules);
		if (top[i]->level != 0)
			cells[4] = name_text(top[i]->level);
		table_row(t, 0, cells);
	}
	table_finish(&t);
}

static void
replay_print_shapes(const struct replay *r)
{
	static const struct table_column columns[] = {
		{ NULL, "LINES", true, 0 },
		{ NULL, "SHAPE", false, 0 },
	};
	const struct shape *shapes;
	struct table *t;
	size_t n;

	if (r->shapes == NULL)
		return;
	printf("\nunmatched  %llu lines that name an address\n",
	    COUNT(shapes_lines(r->shapes)));
	if (shapes_other(r->shapes) > 0)
		printf("           %llu of them of shapes that were not kept\n",
		    COUNT(shapes_other(r->shapes)));
	n = shapes_top(r->shapes, r->top_shapes, &shapes);
	t = table_create(stdout, columns, 2, NULL, 0);
	for (size_t i = 0; i < n; i++) {
		char count[32];
		const char *cells[] = { count, shapes[i].text };

		snprintf(count, sizeof(count), "%llu", COUNT(shapes[i].count));
		table_row(t, 0, cells);
	}
	table_finish(&t);
}

void
replay_report(const struct replay *r)
{
	size_t n_top, n_rules;
	struct tally_offender **top = tally_top(r->tally, r->top, &n_top);
	struct tally_count *rules = tally_rules(r->tally, &n_rules);

	if (r->ctl->json) {
		replay_report_json(r, top, n_top, rules, n_rules);
	} else {
		replay_print_totals(r);
		replay_print_counts(r, rules, n_rules);
		replay_print_offenders(top, n_top);
		replay_print_shapes(r);
	}
	free(top);
	free(rules);
}
