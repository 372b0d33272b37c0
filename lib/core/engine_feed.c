/*
 * engine_feed: log lines into the engine; see engine.h.
 *
 *     line -> header -> rule -> attempt -> hit -> store
 *
 * Every byte of a line is hostile, but for what rules.h says of the part that
 * leads to the address.
 */
#include "lib/core/engine_int.h"

#include <string.h>

#include "lib/core/attempt.h"
#include "lib/core/history.h"

/* The line's time, not after `now`. A time that cannot be is taken as that of
 * the line before. */
static double
line_time(
    struct source *src, const struct logline *line, double ref, double now)
{
	struct source_stats *st = source_stats(src);
	double t;

	if (!source_time(src, line, ref, &t)) {
		st->badtime++;
		t = st->last > 0 ? st->last : now;
	}
	return t < now ? t : now;
}

static void
attempt_key_fill(struct attempt_key *k, const struct logline *line,
    const struct rule_match *m)
{
	memset(k, 0, sizeof(*k));
	k->pid = line->pid;
	k->program = name_intern(line->program, line->program_len);
	k->evidence = m->rule->evidence;
	k->addr = m->addr;
}

/* The key of offences that wait for the client of their queue id. */
static void
pending_key_fill(struct attempt_key *k, const struct logline *line,
    const struct rule_match *m)
{
	memset(k, 0, sizeof(*k));
	k->pid = m->queue;
	k->program = name_intern(line->program, line->program_len);
	k->evidence = m->rule->name;
}

static void
feed_pending(struct source *src, const struct logline *line,
    const struct rule_match *m, double t)
{
	struct attempt_key k;

	pending_key_fill(&k, line, m);
	attempts_add(
	    source_attempts(src), &k, RULE_COUNTS_EACH, line->repeat, t);
}

/* How many attempts this line is about that no line has told of before. */
static unsigned
new_attempts(struct source *src, const struct logline *line,
    const struct rule_match *m, double t)
{
	const struct rule *r = m->rule;
	unsigned n = r->counts == RULE_COUNTS_EACH ? line->repeat : m->attempts;
	struct attempt_key k;

	if (r->evidence == 0 && r->counts == RULE_COUNTS_EACH && !r->ends)
		return n;
	attempt_key_fill(&k, line, m);
	n = attempts_add(source_attempts(src), &k, r->counts, n, t);
	if (r->ends)
		attempts_end(source_attempts(src), &k);
	return n;
}

/* What follows the header's time and host, up to the end of the message. */
static void
offence_text(struct offence *o, const struct logline *line)
{
	const char *start = line->host_len > 0 ? line->host + line->host_len
					       : line->time + line->time_len;
	const char *end = line->msg + line->msg_len;

	while (start < end && *start == ' ')
		start++;
	o->text = start;
	o->text_len = (size_t)(end - start);
}

static void
keep_line(struct engine *e, const struct hit *h, const struct offence *o)
{
	struct history_line line = { .t = o->t,
		.weight = o->weight,
		.rule = o->rule->name,
		.host = e->params.host,
		.log = name_intern_str(o->source) };
	struct block b;

	history_set_text(&line, o->text, o->text_len);
	history_add(
	    e->history, &h->addr, &line, blocklist_get(e->view, &h->addr, &b));
}

/* Hands one hit to the store. At most one for each line: its offset is what
 * makes delivery idempotent. */
static void
feed_hit(struct engine *e, struct source *src, const struct offence *o,
    uint64_t end, double now)
{
	struct hit h = { .addr = engine_scope(e, &o->addr),
		.t = o->t,
		.weight = o->weight,
		.rule = o->rule->name,
		.epoch = source_position(src)->epoch,
		.offset = end,
		.again = source_is_again(src, end) };

	if (engine_is_allowed(e, &o->addr)) {
		source_stats(src)->allowed += o->attempts;
		return;
	}
	source_stats(src)->scored += o->attempts;
	if (e->history != NULL && !h.again)
		keep_line(e, &h, o);
	store_hit(e->store, &h);
	if (e->events->offence != NULL && !h.again)
		e->events->offence(e->ctx, o);
	if (store_poll(e->store, now, e->horizon))
		engine_wake(e);
}

static void
feed_offence(struct engine *e, struct source *src, const struct logline *line,
    const struct rule_match *m, uint64_t end, double ref, double now)
{
	struct source_stats *st = source_stats(src);
	double t = line_time(src, line, ref, now);
	struct offence o = { .addr = m->addr,
		.t = t,
		.rule = m->rule,
		.source = source_name(src) };

	offence_text(&o, line);
	st->matched++;
	if (t > st->last)
		st->last = t;
	if (!m->has_addr) {
		feed_pending(src, line, m, t);
		return;
	}
	o.attempts = new_attempts(src, line, m, t);
	o.weight = m->rule->weight * o.attempts;
	if (o.weight != 0)
		feed_hit(e, src, &o, end, now);
}

/* What a join finds: the sum of all offences of one queue id. */
struct joined {
	const struct rules *rules;
	struct offence offence;
};

static void
join_one(void *ctx, const struct attempt_key *k, unsigned count, double t)
{
	struct joined *j = ctx;
	const struct rule *r = rules_find(j->rules, k->evidence);

	(void)t;
	if (r == NULL || r->weight == 0)
		return;
	j->offence.rule = r;
	j->offence.attempts += count;
	j->offence.weight += r->weight * count;
}

/* The line says whose message a queue id is. */
static void
feed_join(struct engine *e, struct source *src, const struct logline *line,
    const struct rule_match *m, uint64_t end, double ref, double now)
{
	struct joined j = { .rules = e->conf->rules,
		.offence = { .addr = m->addr, .source = source_name(src) } };
	struct attempt_key k;

	pending_key_fill(&k, line, m);
	attempts_take(source_attempts(src), &k, join_one, &j);
	if (j.offence.attempts == 0)
		return;
	j.offence.t = line_time(src, line, ref, now);
	offence_text(&j.offence, line);
	feed_hit(e, src, &j.offence, end, now);
}

static enum feed_result
feed_line(struct engine *e, struct source *src, const char *text, size_t len,
    uint64_t end, bool cut, double ref, double now)
{
	struct source_stats *st = source_stats(src);
	struct rule_match m;
	struct attempt_key k;
	struct logline line;

	st->lines++;
	if (!logline_parse(text, len, &line)) {
		st->unparsed++;
		st->cut += cut;
		return FEED_NO_HEADER;
	}
	st->cut += cut || line.msg_len > RULES_LINE_MAX;
	switch (matcher_match(source_matcher(src), &line, &m)) {
	case RULES_NONE:
		return FEED_NO_MATCH;
	case RULES_LIMIT:
		st->limits++;
		log_limited(&e->limit_match, now, MSG_WARNING,
		    "%s: match limit hit, line passed over: %.*s",
		    source_name(src), len < 200 ? (int)len : 200, text);
		return FEED_LIMIT;
	case RULES_MATCH:
		break;
	}
	if (m.rule->kind == RULE_AMBIGUOUS)
		return FEED_NO_MATCH;
	if (m.rule->kind != RULE_OWN)
		source_note_set(src, m.rule->set);
	switch (m.rule->kind) {
	case RULE_OWN:
		st->own++;
		attempt_key_fill(&k, &line, &m);
		attempts_refuse(
		    source_attempts(src), &k, line_time(src, &line, ref, now));
		break;
	case RULE_FAULT:
		st->faults++;
		/* As evidence, it is not counted again by a later line. */
		if (m.has_addr)
			new_attempts(
			    src, &line, &m, line_time(src, &line, ref, now));
		break;
	case RULE_END:
		st->markers++;
		attempt_key_fill(&k, &line, &m);
		attempts_end(source_attempts(src), &k);
		break;
	case RULE_JOIN:
		st->markers++;
		feed_join(e, src, &line, &m, end, ref, now);
		break;
	case RULE_OFFENCE:
		feed_offence(e, src, &line, &m, end, ref, now);
		break;
	case RULE_AMBIGUOUS:
		break;
	}
	return FEED_KNOWN;
}

enum feed_result
engine_feed(struct engine *e, struct source *src, const char *text, size_t len,
    uint64_t end, bool cut, double ref, double now)
{
	struct source_stats was;
	enum feed_result result;

	if (!source_is_again(src, end))
		return feed_line(e, src, text, len, end, cut, ref, now);
	/* It has been counted before. */
	was = *source_stats(src);
	result = feed_line(e, src, text, len, end, cut, ref, now);
	was.last = source_stats(src)->last;
	*source_stats(src) = was;
	return result;
}

static const char *
explain_verdict(struct engine *e, struct explanation *x)
{
	switch (x->result) {
	case RULES_NONE:
		return "no match";
	case RULES_LIMIT:
		return "limit";
	case RULES_MATCH:
		break;
	}
	switch (x->match.rule->kind) {
	case RULE_OWN:
		return "own refusal";
	case RULE_FAULT:
		return "server fault";
	case RULE_END:
		return "end of connection";
	case RULE_JOIN:
		return "queue id joined";
	case RULE_AMBIGUOUS:
		return "ambiguous";
	case RULE_OFFENCE:
		break;
	}
	x->allowed = x->match.has_addr && engine_is_allowed(e, &x->match.addr);
	return x->allowed ? "allow list" : "offence";
}

void
engine_explain(struct engine *e, struct source *src, const char *line,
    size_t len, double now, rules_tried *tried, void *ctx,
    struct explanation *out)
{
	memset(out, 0, sizeof(*out));
	out->verdict = "no header";
	out->header = logline_parse(line, len, &out->line);
	if (!out->header)
		return;
	out->has_time = source_time(src, &out->line, now, &out->t);
	out->result = matcher_explain(
	    source_matcher(src), &out->line, &out->match, tried, ctx);
	out->verdict = explain_verdict(e, out);
}
