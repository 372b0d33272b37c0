/*
 * store_embedded: see store_embedded.h.
 *
 * Hits are applied as they come; what they decide, and every call by the
 * administrator, waits in a queue for the next poll. Which blocks are active
 * is read from the view, so there is one copy of a million entries, not two.
 */
#include "lib/core/store_embedded.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/core/prefixmap.h"
#include "lib/core/scoretable.h"
#include "lib/core/store_embedded_int.h"
#include "lib/core/strikes.h"
#include "lib/core/xalloc.h"

#define EXPIRE_CHUNK 1024

enum op_kind {
	OP_DECIDED,
	OP_BLOCK,
	OP_UNBLOCK,
	OP_UNBLOCK_ALL,
	OP_FORGIVE,
	OP_ALLOW,
	OP_FETCH
};

struct op {
	enum op_kind kind;
	enum store_why why;
	bool present; /* OP_ALLOW */
	uint64_t ticket;
	struct block block; /* only its address, for most */
	struct op *next;
};

static void
embedded_destroy(struct store *s)
{
	struct embedded *em = store_embedded_of(s);

	while (em->ops != NULL) {
		struct op *op = em->ops;

		em->ops = op->next;
		free(op);
	}
	store_embedded_searches_destroy(em);
	scoretable_destroy(&em->scores);
	strikes_destroy(&em->strikes);
	prefixmap_destroy(&em->allow);
	free(em);
}

static void
embedded_configure(struct store *s, const struct store_params *params)
{
	store_embedded_of(s)->params = params;
}

void
store_embedded_lost(struct embedded *em, const char *what)
{
	em->errors++;
	log_limited(&em->limit, em->poll_now, MSG_ERROR,
	    "store: out of memory: %s", what);
}

void
store_embedded_refuse(struct embedded *em, uint64_t ticket)
{
	store_embedded_lost(em, "what was asked for is not done");
	store_refuse(&em->store, ticket);
}

/* NULL without memory: a call is answered so, if it is one (ticket != 0). */
static struct op *
op_add(struct embedded *em, enum op_kind kind, uint64_t ticket,
    const struct addr *a)
{
	struct op *op = calloc(1, sizeof(*op));

	if (op == NULL) {
		if (kind == OP_DECIDED)
			store_embedded_lost(em, "a block is not made");
		else
			store_embedded_refuse(em, ticket);
		return NULL;
	}
	op->kind = kind;
	op->ticket = ticket;
	if (a != NULL)
		op->block.addr = *a;
	*em->ops_end = op;
	em->ops_end = &op->next;
	return op;
}

/* An address, as it will be when all that waits has been delivered. */
struct latest {
	bool found; /* a block of exactly this address, over or not */
	struct block block;
	bool own; /* a block has its strike itself, or had when it ends */
	unsigned strikes; /* with that one, and when it began */
	double since;
};

static void
latest_block(struct latest *l, const struct block *b)
{
	l->found = true;
	l->block = *b;
	if (!b->own_strike)
		return;
	l->own = true;
	l->strikes = b->strikes + 1;
	l->since = b->since;
}

static void
latest_get(const struct embedded *em, const struct addr *a, struct latest *l)
{
	struct block b;

	memset(l, 0, sizeof(*l));
	if (blocklist_get(em->store.view, a, &b))
		latest_block(l, &b);
	for (const struct op *op = em->ops; op != NULL; op = op->next) {
		if (op->kind == OP_UNBLOCK_ALL)
			l->found = false;
		if (!addr_equal(&op->block.addr, a))
			continue;
		if (op->kind == OP_DECIDED || op->kind == OP_BLOCK)
			latest_block(l, &op->block);
		else if (op->kind == OP_UNBLOCK || op->kind == OP_FORGIVE)
			l->found = false;
	}
}

/* Blocks before the time t that are remembered. */
static unsigned
latest_strikes(const struct embedded *em, const struct latest *l,
    const struct addr *a, double t)
{
	const double memory = em->params->repeat.memory;

	if (l->own)
		return t - l->since < memory ? l->strikes : 0;
	return strikes_get(em->strikes, a, t, memory);
}

unsigned
store_embedded_strikes(
    const struct embedded *em, const struct addr *a, double t)
{
	struct latest l;

	latest_get(em, a, &l);
	return latest_strikes(em, &l, a, t);
}

static void
embedded_strike(struct store *s, const struct block *b)
{
	struct embedded *em = store_embedded_of(s);

	if (!strikes_set(em->strikes, &b->addr, b->strikes + 1, b->since))
		store_embedded_lost(em, "a strike is not counted");
}

/* The score has reached `level`: block, or raise the block there is. */
static void
decide(struct embedded *em, const struct hit *h, double score, int level)
{
	const struct store_params *p = em->params;
	struct block b;
	struct op *op;
	double until;
	struct latest l;
	bool raise;

	latest_get(em, &h->addr, &l);
	b = l.block;
	raise = l.found && b.until > h->t;
	if (raise && level_find(p->levels, p->n_levels, b.level) >= level)
		return;
	op = op_add(em, OP_DECIDED, 0, NULL);
	if (op == NULL)
		return; /* the next hit tries again */
	if (!raise) {
		b.addr = h->addr;
		b.since = h->t;
		b.until = -INFINITY;
		b.strikes = latest_strikes(em, &l, &h->addr, h->t);
		b.own_strike = true;
	}
	until = h->t + level_duration(&p->levels[level], &p->repeat, b.strikes);
	if (until > b.until)
		b.until = until;
	b.score = score;
	b.level = p->levels[level].name;
	b.rule = h->rule;
	b.by = p->host;
	op->block = b;
	op->why = raise ? STORE_RAISED : STORE_DECIDED;
}

bool
store_embedded_score(struct store *s, const struct hit *h)
{
	struct embedded *em = store_embedded_of(s);
	const struct store_params *p = em->params;
	struct score_entry *e;
	bool fresh;

	e = scoretable_touch(em->scores, &h->addr, &fresh);
	if (e == NULL) {
		store_embedded_lost(em, "an offence is not scored");
		return false;
	}
	if (!scoretable_apply(em->scores, e, h->epoch, h->offset)) {
		em->repeated++;
		return false;
	}
	em->applied++;
	fresh |= e->hits == 0;
	if (fresh || h->t - e->score.last >= p->window)
		scoretable_reset(em->scores, e);
	score_apply(&e->score, fresh, h->weight, h->t, p->window);
	scoretable_hit(em->scores, e, h->rule);
	return true;
}

void
store_embedded_judge(struct store *s, const struct hit *h)
{
	struct embedded *em = store_embedded_of(s);
	const struct store_params *p = em->params;
	const struct score_entry *e = scoretable_get(em->scores, &h->addr);
	int level;

	if (e == NULL || !(h->weight > 0))
		return;
	level = level_reached(p->levels, p->n_levels, e->score.score);
	if (level >= 0)
		decide(em, h, e->score.score, level);
}

static void
embedded_hit(struct store *s, const struct hit *h)
{
	if (store_embedded_score(s, h))
		store_embedded_judge(s, h);
}

void
store_embedded_forget(struct store *s, const struct addr *a, bool strikes)
{
	scoretable_clear(store_embedded_of(s)->scores, a);
	if (!strikes)
		return;
	blocklist_end_strike(s->view, a);
	strikes_del(store_embedded_of(s)->strikes, a);
}

static void
embedded_block(struct store *s, uint64_t ticket, const struct block *b)
{
	struct op *op = op_add(store_embedded_of(s), OP_BLOCK, ticket, NULL);

	if (op != NULL)
		op->block = *b;
}

static void
embedded_unblock(struct store *s, uint64_t ticket, const struct addr *a)
{
	op_add(store_embedded_of(s), OP_UNBLOCK, ticket, a);
}

static void
embedded_unblock_all(struct store *s, uint64_t ticket)
{
	op_add(store_embedded_of(s), OP_UNBLOCK_ALL, ticket, NULL);
}

static void
embedded_forgive(struct store *s, uint64_t ticket, const struct addr *a)
{
	op_add(store_embedded_of(s), OP_FORGIVE, ticket, a);
}

static void
embedded_allow(
    struct store *s, uint64_t ticket, const struct addr *a, bool present)
{
	struct op *op = op_add(store_embedded_of(s), OP_ALLOW, ticket, a);

	if (op != NULL)
		op->present = present;
}

static void
embedded_fetch(struct store *s, uint64_t ticket, const struct addr *a)
{
	op_add(store_embedded_of(s), OP_FETCH, ticket, a);
}

/* Lifts the block; true if there was one that had not ended. */
static bool
lift(struct embedded *em, const struct addr *a)
{
	struct block b;

	if (!blocklist_get(em->store.view, a, &b))
		return false;
	em->store.sink->unblocked(em->store.sink_ctx, a, STORE_MANUAL);
	return b.until > em->poll_now;
}

static enum store_result
run_unblock_all(struct embedded *em)
{
	size_t cursor = 0, n = 0, room = 0, lifted = 0;
	struct addr *all = NULL;
	struct block b;

	/* Collected first: the view must not change while it is walked. */
	while (blocklist_next_entry(em->store.view, &cursor, &b)) {
		if (n == room) {
			struct addr *more;

			room = room ? room * 2 : 1024;
			more = reallocarray(all, room, sizeof(*all));
			if (more == NULL) {
				free(all);
				return STORE_UNAVAILABLE;
			}
			all = more;
		}
		all[n++] = b.addr;
	}
	for (size_t i = 0; i < n; i++) {
		scoretable_clear(em->scores, &all[i]);
		lifted += lift(em, &all[i]);
	}
	free(all);
	return lifted > 0 ? STORE_OK : STORE_NOT_FOUND;
}

static enum store_result
run_forgive(struct embedded *em, const struct addr *a)
{
	bool any = store_embedded_known(em, scoretable_get(em->scores, a));

	any |= store_embedded_strikes(em, a, em->poll_horizon) > 0;
	scoretable_clear(em->scores, a);
	any |= lift(em, a);
	strikes_del(em->strikes, a);
	return any ? STORE_OK : STORE_NOT_FOUND;
}

static enum store_result
run_allow(struct embedded *em, const struct addr *a, bool present)
{
	bool had = prefixmap_get(em->allow, a) != PREFIXMAP_NONE;

	if (present && prefixmap_add(em->allow, a) == PREFIXMAP_NONE)
		return STORE_UNAVAILABLE;
	if (!present)
		prefixmap_del(em->allow, a);
	if (had != present)
		em->store.sink->allowed(em->store.sink_ctx, a, present);
	return had || present ? STORE_OK : STORE_NOT_FOUND;
}

bool
store_embedded_allow(struct store *s, const struct addr *a, bool present)
{
	struct embedded *em = store_embedded_of(s);
	bool had = prefixmap_get(em->allow, a) != PREFIXMAP_NONE;

	return run_allow(em, a, present) == STORE_OK && had != present;
}

bool
store_embedded_allow_next(
    const struct store *s, size_t *cursor, struct addr *out)
{
	const struct embedded *em = (const struct embedded *)s;

	while (*cursor < prefixmap_end(em->allow)) {
		uint32_t id = (uint32_t)(*cursor)++;

		if (prefixmap_used(em->allow, id)) {
			*out = prefixmap_key(em->allow, id);
			return true;
		}
	}
	return false;
}

static void
op_run(struct embedded *em, const struct op *op)
{
	const struct store_sink *sink = em->store.sink;
	const struct addr *a = &op->block.addr;
	enum store_result result = STORE_OK;
	struct block b;

	switch (op->kind) {
	case OP_DECIDED:
		sink->blocked(em->store.sink_ctx, &op->block, op->why);
		return;
	case OP_BLOCK:
		sink->blocked(em->store.sink_ctx, &op->block, STORE_MANUAL);
		if (!blocklist_get(em->store.view, a, &b) ||
		    b.until != op->block.until)
			result = STORE_UNAVAILABLE;
		break;
	case OP_UNBLOCK:
		scoretable_clear(em->scores, a);
		result = lift(em, a) ? STORE_OK : STORE_NOT_FOUND;
		break;
	case OP_UNBLOCK_ALL:
		result = run_unblock_all(em);
		break;
	case OP_FORGIVE:
		result = run_forgive(em, a);
		break;
	case OP_ALLOW:
		result = run_allow(em, a, op->present);
		break;
	case OP_FETCH:
		result = store_embedded_fetch(em, op->ticket, a);
		break;
	}
	if (result == STORE_UNAVAILABLE)
		store_embedded_lost(em, "what was asked for is not done");
	sink->done(em->store.sink_ctx, op->ticket, result,
	    result == STORE_UNAVAILABLE ? STORE_NO_MEMORY : "");
}

static bool
embedded_poll(struct store *s, double now, double horizon)
{
	struct embedded *em = store_embedded_of(s);
	const struct store_params *p = em->params;
	bool more;

	em->poll_now = now;
	em->poll_horizon = horizon;
	while (em->ops != NULL) {
		struct op *op = em->ops;

		em->ops = op->next;
		if (em->ops == NULL)
			em->ops_end = &em->ops;
		op_run(em, op);
		free(op);
	}
	more = store_embedded_search(em);
	if (horizon == em->horizon)
		return more;
	em->horizon = horizon;
	more |= scoretable_expire(em->scores, horizon - p->window,
		    EXPIRE_CHUNK) == EXPIRE_CHUNK;
	if (more)
		em->horizon = -INFINITY; /* go on */
	strikes_sweep(em->strikes, horizon, p->repeat.memory);
	return more;
}

static void
embedded_status(const struct store *s, struct store_status *out)
{
	const struct embedded *em = (const struct embedded *)s;

	memset(out, 0, sizeof(*out));
	out->name = "embedded";
	out->state = "ready";
	out->ready = true;
	out->addresses = scoretable_count(em->scores);
	out->applied = em->applied;
	out->repeated = em->repeated;
	out->evicted = scoretable_evicted(em->scores);
	out->errors = em->errors;
}

/* Nothing is ever away. */
static enum store_flow
embedded_flow(struct store *s, unsigned flags)
{
	(void)s;
	(void)flags;
	return STORE_FLOW_GO;
}

static const struct store_ops embedded_ops = {
	.destroy = embedded_destroy,
	.configure = embedded_configure,
	.hit = embedded_hit,
	.block = embedded_block,
	.unblock = embedded_unblock,
	.unblock_all = embedded_unblock_all,
	.forgive = embedded_forgive,
	.allow = embedded_allow,
	.fetch = embedded_fetch,
	.top = store_embedded_top,
	.poll = embedded_poll,
	.flow = embedded_flow,
	.save = store_embedded_save,
	.load = store_embedded_load,
	.status = embedded_status,
	.strike = embedded_strike,
};

struct store *
store_embedded_create(const struct store_params *params, size_t max_addresses)
{
	struct embedded *em = x_calloc(1, sizeof(*em));

	em->store.ops = &embedded_ops;
	em->params = params;
	em->scores = scoretable_create(max_addresses);
	em->strikes = strikes_create(max_addresses);
	em->allow = prefixmap_create();
	em->ops_end = &em->ops;
	em->horizon = -INFINITY;
	return &em->store;
}
