/*
 * control_show: everything about one address: its score, the block that a
 * client of this address meets, and the log lines of its last offences.
 *
 * Lines come from this host's history and, through the store, from the other
 * hosts; the same line may come both ways.
 */
#include <stdlib.h>
#include <string.h>

#include "lib/core/history.h"
#include "policyd/daemon/control_int.h"

#define CONTROL_SHOW_KEPT 64 /* lines of the store that are looked at */
#define CONTROL_SHOW_LINES 10

void
control_show(struct control_client *c, const struct record *req)
{
	if (control_get_addr(c, req))
		engine_fetch(c->server->engine, control_pend(c), &c->scope);
}

static void
control_show_block(struct record_out *o, const struct block *b)
{
	char text[ADDR_STRLEN];

	if (b == NULL) {
		record_null(o, "rule");
		record_null(o, "since");
		record_null(o, "until");
		record_null(o, "by");
		record_null(o, "block");
		return;
	}
	record_str(o, "rule", name_text(b->rule));
	record_time(o, "since", b->since);
	record_time(o, "until", b->until);
	record_str(o, "by", name_text(b->by));
	record_str(o, "block", addr_format(&b->addr, text));
}

static void
control_show_score(struct record_out *o, const struct control_client *c)
{
	static const char *const names[] = { "score", "first", "last", "hits",
		"strikes" };

	if (!c->has_info) {
		for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
			record_null(o, names[i]);
		record_object(o, "rules");
		return;
	}
	record_num(o, "score", c->info.score.score);
	record_time(o, "first", c->info.score.first);
	record_time(o, "last", c->info.score.last);
	record_num(o, "hits", c->info.hits);
	record_num(o, "strikes", c->info.strikes);
	control_put_rules(o, &c->info);
}

static void
control_keep_line(
    struct control_client *c, const struct history_line *line, size_t max)
{
	if (c->lines == NULL)
		c->lines = calloc(
		    CONTROL_SHOW_KEPT + HISTORY_LINES, sizeof(*c->lines));
	if (c->lines != NULL && c->n_lines < max)
		c->lines[c->n_lines++] = *line;
}

void
control_show_line(struct control_client *c, const struct history_line *line)
{
	control_keep_line(c, line, CONTROL_SHOW_KEPT);
}

static int
control_compare_lines(const void *a, const void *b)
{
	const struct history_line *x = a, *y = b;
	size_t n = x->len < y->len ? x->len : y->len;
	int d;

	if (x->t != y->t)
		return x->t < y->t ? -1 : 1;
	if (x->host != y->host)
		return x->host < y->host ? -1 : 1;
	d = memcmp(x->text, y->text, n);
	return d != 0 ? d : (int)x->len - (int)y->len;
}

static void
control_put_line(struct control_client *c, const struct history_line *line)
{
	struct record_out *o = control_put(c, "line");

	record_time(o, "time", line->t);
	record_str(o, "host", name_text(line->host));
	record_str(o, "log", name_text(line->log));
	record_str(o, "rule", name_text(line->rule));
	record_num(o, "weight", line->weight);
	record_strn(o, "text", line->text, line->len);
	control_put_end(c);
}

/* The last ones, oldest first. */
static void
control_show_lines(struct control_client *c)
{
	const struct history *h = engine_history(c->server->engine);
	struct history_line mine[HISTORY_LINES];
	size_t n = 0, unique = 0;

	if (h != NULL)
		n = history_get(h, &c->scope, mine);
	for (size_t i = 0; i < n; i++)
		control_keep_line(
		    c, &mine[i], CONTROL_SHOW_KEPT + HISTORY_LINES);
	if (c->n_lines == 0)
		return;
	qsort(c->lines, c->n_lines, sizeof(*c->lines), control_compare_lines);
	for (size_t i = 0; i < c->n_lines; i++)
		if (i == 0 ||
		    control_compare_lines(
			&c->lines[i], &c->lines[unique - 1]) != 0)
			c->lines[unique++] = c->lines[i];
	for (size_t i =
		 unique > CONTROL_SHOW_LINES ? unique - CONTROL_SHOW_LINES : 0;
	     i < unique; i++)
		control_put_line(c, &c->lines[i]);
}

void
control_show_finish(
    struct control_client *c, enum store_result result, const char *said)
{
	const struct control *s = c->server;
	char text[ADDR_STRLEN];
	struct record_out *o;
	struct block b;
	bool blocked = control_match_block(s, &c->addr, &b);

	o = control_put(c, "show");
	record_str(o, "address", addr_format(&c->addr, text));
	record_str(o, "scope", addr_format(&c->scope, text));
	record_bool(o, "blocked", blocked);
	record_bool(o, "allowed", engine_is_allowed(s->engine, &c->addr));
	record_str(o, "level", blocked ? name_text(b.level) : NULL);
	control_show_score(o, c);
	control_show_block(o, blocked ? &b : NULL);
	control_put_end(c);
	control_show_lines(c);
	if (result == STORE_UNAVAILABLE)
		control_finish(c, result, said);
	else
		control_answer(c, blocked ? "ok" : "no", "%s", "");
}
