/*
 * explain: what a log line is to mxwarden: its header, every rule that was
 * tried with the reason why it does not match, the one that decides, and what
 * that means. Nothing is scored.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/core/linesplit.h"
#include "lib/core/log.h"
#include "lib/core/num.h"
#include "lib/core/xalloc.h"
#include "policyd/ctl/ctl.h"
#include "lib/core/json.h"
#include "policyd/ctl/offline.h"
#include "policyd/ctl/table.h"

struct tried {
	const struct rule *rule;
	const char *why;
};

struct explain {
	const struct ctl *ctl;
	struct offline off;
	struct source *source;
	struct tried *tried;
	size_t n_tried, size;
	struct explanation x;
	bool many; /* lines of standard input */
	bool some; /* one has been printed */
};

static const char *
explain_kind(enum rule_kind kind)
{
	switch (kind) {
	case RULE_OFFENCE:
		return "offence";
	case RULE_FAULT:
		return "server fault";
	case RULE_END:
		return "end of connection";
	case RULE_JOIN:
		return "queue id joined";
	case RULE_AMBIGUOUS:
		return "ambiguous";
	case RULE_OWN:
		return "own refusal";
	}
	return "";
}

static const char *
explain_counts(enum rule_counts counts)
{
	switch (counts) {
	case RULE_COUNTS_EACH:
		return "each line";
	case RULE_COUNTS_ONCE:
		return "once a connection";
	case RULE_COUNTS_TOTAL:
		return "the line's total";
	}
	return "";
}

static void
explain_tried(void *ctx, const struct rule *rule, const char *why)
{
	struct explain *ex = ctx;

	if (ex->n_tried == ex->size) {
		ex->size = ex->size == 0 ? 64 : ex->size * 2;
		ex->tried =
		    x_reallocarray(ex->tried, ex->size, sizeof(*ex->tried));
	}
	ex->tried[ex->n_tried].rule = rule;
	ex->tried[ex->n_tried++].why = why;
}

/* Would it decide if the rules before it were not there? */
static bool
explain_is_also(const struct explain *ex, const struct tried *t)
{
	return t->rule != ex->x.match.rule && t->rule->kind == RULE_OFFENCE &&
	    strcmp(t->why, "match") == 0;
}

static const struct rule *
explain_rule(const struct explain *ex)
{
	return ex->x.result == RULES_MATCH ? ex->x.match.rule : NULL;
}

static const struct rule *
explain_offence(const struct explain *ex)
{
	const struct rule *r = explain_rule(ex);

	return r != NULL && r->kind == RULE_OFFENCE ? r : NULL;
}

/*
 * Does the message hold another address in brackets than that of the client?
 * Servers write their own, and others' replies; in a line of an offence it is
 * mostly somebody who wants another one blocked. *out (may be NULL) gets it.
 */
static bool
explain_injection(const struct explain *ex, struct addr *out)
{
	const struct logline *l = &ex->x.line;
	const char *p = l->msg, *end = p + l->msg_len, *close;

	if (explain_offence(ex) == NULL || !ex->x.match.has_addr)
		return false;
	while ((p = memchr(p, '[', (size_t)(end - p))) != NULL) {
		struct addr a;

		p++;
		close = memchr(p, ']', (size_t)(end - p));
		if (close == NULL)
			break;
		if (!addr_parse_host(p, (size_t)(close - p), &a) ||
		    addr_equal(&a, &ex->x.match.addr))
			continue;
		if (out != NULL)
			*out = a;
		return true;
	}
	return false;
}

static void
explain_json_header(struct json *j, const struct explanation *x)
{
	const struct logline *l = &x->line;

	if (!x->header) {
		json_null(j, "time");
		json_null(j, "host");
		json_null(j, "tag");
		json_null(j, "program");
		json_null(j, "pid");
		json_null(j, "message");
		return;
	}
	json_time(j, "time", x->has_time ? x->t : INFINITY);
	json_strn(j, "host", l->host, l->host_len);
	json_strn(j, "tag", l->tag, l->tag_len);
	json_strn(j, "program", l->program, l->program_len);
	json_num(j, "pid", l->pid != 0 ? (double)l->pid : INFINITY);
	json_strn(j, "message", l->msg, l->msg_len);
}

/* `rule` and `address` are those of an offence. A rule that only knows what is
 * none (the end of a connection, a fault of our own) is the `marker`. */
static void
explain_json_rule(struct json *j, const struct explain *ex)
{
	const struct rule *any = explain_rule(ex);
	const struct rule *r = explain_offence(ex);
	const struct rule_match *m = &ex->x.match;
	char text[ADDR_STRLEN];

	if (any != NULL && m->has_addr)
		addr_format(&m->addr, text);
	json_str(j, "rule", r != NULL ? name_text(r->name) : NULL);
	json_str(j, "address", r != NULL && m->has_addr ? text : NULL);
	json_str(j, "verdict", ex->x.verdict);
	json_str(j, "marker",
	    any != NULL && r == NULL ? name_text(any->name) : NULL);
	json_str(j, "client", any != NULL && m->has_addr ? text : NULL);
	json_bool(j, "injection_suspected", explain_injection(ex, NULL));
	json_num(j, "weight", r != NULL ? r->weight : INFINITY);
	json_str(j, "evidence",
	    r != NULL && r->evidence != 0 ? name_text(r->evidence) : NULL);
	json_num(j, "attempts", r != NULL ? (double)m->attempts : INFINITY);
}

static void
explain_print_json(const struct explain *ex)
{
	struct json j = { .f = stdout };

	json_open(&j, NULL, '{');
	explain_json_rule(&j, ex);
	explain_json_header(&j, &ex->x);
	json_open(&j, "also", '[');
	for (size_t i = 0; i < ex->n_tried; i++)
		if (explain_is_also(ex, &ex->tried[i]))
			json_str(&j, NULL, name_text(ex->tried[i].rule->name));
	json_close(&j, ']');
	json_open(&j, "tried", '[');
	for (size_t i = 0; i < ex->n_tried; i++) {
		json_open(&j, NULL, '{');
		json_str(&j, "rule", name_text(ex->tried[i].rule->name));
		json_str(&j, "why", ex->tried[i].why);
		json_close(&j, '}');
	}
	json_close(&j, ']');
	json_close(&j, '}');
	json_newline(&j);
}

/* "name  value", the value as it may be shown on a terminal. */
static void
explain_print(const char *name, const char *value, size_t len)
{
	char *copy = x_strndup(value, len), *text;

	text = x_asprintf("%-9s %s", name, table_clean(copy, copy, len + 1));
	table_fold(stdout, text, 0, 10);
	free(text);
	free(copy);
}

static void
explain_print_header(const struct explanation *x)
{
	const struct logline *l = &x->line;
	char text[NUM_TIME_LEN];

	printf("time      %s\n",
	    x->has_time ? num_format_time(x->t, text)
			: "impossible: that of the line before is taken");
	explain_print("host", l->host, l->host_len);
	explain_print("tag", l->tag, l->tag_len);
	explain_print("program", l->program, l->program_len);
	if (l->pid != 0)
		printf("pid       %llu\n", (unsigned long long)l->pid);
	explain_print("message", l->msg, l->msg_len);
}

static void
explain_print_match(const struct explain *ex, const struct rule *r)
{
	const struct rule_match *m = &ex->x.match;
	char text[ADDR_STRLEN], weight[NUM_SCORE_LEN], line[200];
	struct addr scope;
	int n;

	printf(
	    "rule      %s (%s)\n", name_text(r->name), explain_kind(r->kind));
	for (size_t i = 0; i < ex->n_tried; i++)
		if (explain_is_also(ex, &ex->tried[i]))
			printf("also      %s\n",
			    name_text(ex->tried[i].rule->name));
	if (m->has_addr) {
		n = snprintf(line, sizeof(line), "address   %s",
		    addr_format(&m->addr, text));
		scope = engine_scope(ex->off.engine, &m->addr);
		if (!addr_equal(&scope, &m->addr))
			snprintf(line + n, sizeof(line) - (size_t)n,
			    " (scored as %s)", addr_format(&scope, text));
		table_fold(stdout, line, 0, 10);
	}
	if (r->kind != RULE_OFFENCE)
		return;
	if (explain_injection(ex, &scope)) {
		snprintf(line, sizeof(line),
		    "note      injection suspected: the line also holds "
		    "[%s], which is never taken",
		    addr_format(&scope, text));
		table_fold(stdout, line, 0, 10);
	}
	printf("weight    %s", num_format_score(r->weight, weight));
	if (m->attempts != 1)
		printf(" x %u attempts", m->attempts);
	printf("\n");
	if (r->evidence != 0)
		printf("evidence  %s (%s)\n", name_text(r->evidence),
		    explain_counts(r->counts));
}

/* What matcher_explain() says, for people. */
static const char *
explain_why(const char *why)
{
	static const struct {
		const char *why, *text;
	} texts[] = { { "match", "matches" },
		{ "first byte", "the message begins otherwise" },
		{ "literal", "a text that the pattern needs is not there" },
		{ "pattern", "the pattern does not match" },
		{ "address", "what stands for the address is none" },
		{ "list", "its field is not in the list, or in the other" },
		{ "limit", "the match limit was hit" } };

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (strcmp(texts[i].why, why) == 0)
			return texts[i].text;
	return why;
}

static void
explain_print_tried(const struct explain *ex)
{
	int width = 0;

	for (size_t i = 0; i < ex->n_tried; i++) {
		int n = (int)strlen(name_text(ex->tried[i].rule->name));

		if (n > width)
			width = n;
	}
	if (ex->n_tried == 0)
		printf("tried     no rule is for this program\n");
	for (size_t i = 0; i < ex->n_tried; i++)
		printf("%-9s %-*s  %s\n", i == 0 ? "tried" : "", width,
		    name_text(ex->tried[i].rule->name),
		    explain_why(ex->tried[i].why));
}

static void
explain_print_text(const struct explain *ex, const char *line, size_t len)
{
	const struct rule *r = explain_rule(ex);

	if (ex->some)
		printf("\n");
	if (ex->many)
		explain_print("line", line, len);
	printf("verdict   %s\n", ex->x.verdict);
	if (!ex->x.header) {
		printf("          a line begins with time, host and "
		       "program[pid]:\n");
		return;
	}
	if (r != NULL)
		explain_print_match(ex, r);
	explain_print_header(&ex->x);
	explain_print_tried(ex);
}

static void
explain_line(void *ctx, const char *line, size_t len, uint64_t end, bool cut)
{
	struct explain *ex = ctx;

	(void)end;
	(void)cut;
	ex->n_tried = 0;
	engine_explain(ex->off.engine, ex->source, line, len, ctl_now(),
	    explain_tried, ex, &ex->x);
	if (ex->ctl->json)
		explain_print_json(ex);
	else
		explain_print_text(ex, line, len);
	ex->some = true;
}

static enum ctl_status
explain_stdin(struct explain *ex)
{
	struct linesplit *ls = linesplit_create(0);
	char buf[65536];
	ssize_t n;

	while ((n = read(STDIN_FILENO, buf, sizeof(buf))) > 0) {
		linesplit_feed(ls, buf, (size_t)n, explain_line, ex);
		fflush(stdout);
	}
	if (n < 0)
		log_error("standard input: %s", strerror(errno));
	else
		linesplit_finish(ls, explain_line, ex);
	linesplit_destroy(&ls);
	return n < 0 ? CTL_ERROR : CTL_OK;
}

enum ctl_status
verb_explain(const struct ctl *ctl)
{
	struct explain ex = { .ctl = ctl };
	enum ctl_status status = CTL_ERROR;
	const char **sets;

	if (offline_create(&ex.off, ctl, NULL, NULL) < 0)
		return CTL_ERROR;
	sets = offline_sets(&ex.off, ctl, NULL);
	if (sets != NULL) {
		const char *line = ctl->argv[0];

		ex.source = engine_source_add(ex.off.engine, "explain", sets);
		ex.many = strcmp(line, "-") == 0;
		if (ex.many) {
			status = explain_stdin(&ex);
		} else {
			explain_line(&ex, line, strcspn(line, "\n"), 0, false);
			status = explain_offence(&ex) != NULL ? CTL_OK : CTL_NO;
		}
	}
	offline_destroy(&ex.off);
	free(sets);
	free(ex.tried);
	return status;
}
