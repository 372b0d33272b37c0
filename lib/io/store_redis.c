/*
 * store_redis: see store_redis.h. This file: hits, their queue, who decides.
 */
#include "lib/io/store_redis.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/core/blockvalue.h"
#include "lib/core/snapshot.h"
#include "lib/core/store_embedded.h"
#include "lib/core/xalloc.h"
#include "lib/io/loop.h"
#include "lib/io/store_redis_int.h"

#define BATCH 256	 /* hits in a call */
#define JUDGE_CHUNK 1024 /* hits looked at in one poll */
#define RECALL 10.0	 /* seconds of acknowledged hits that are sent again */
#define PAUSE_MIN 0.1	 /* seconds until Redis is asked again that refused */
#define PAUSE_MAX 2.0
#define TELL_RATE "200/s" /* what a flood does not need */

static struct store_redis *
redis_of(struct store *s)
{
	return (struct store_redis *)s;
}

/* --- Who decides
 * -------------------------------------------------------------- */

static void
decide_here(struct store_redis *sr, const char *why)
{
	snprintf(sr->error, sizeof(sr->error), "%s", why);
	if (sr->deciding)
		return;
	sr->deciding = true;
	sr->judged = hitqueue_first(sr->queue);
	log_warning("redis: %s: %s; this host decides by its own count until "
		    "it is back",
	    rlink_endpoint(sr->link), why);
}

static bool
is_caught_up(const struct store_redis *sr)
{
	return rlink_is_up(sr->link) && !sr->refused && !sr->overflow &&
	    !sr->replaying && hitqueue_first(sr->queue) >= sr->confirm;
}

/* Something has improved: may Redis decide again, may the view be swept? */
static void
review(struct store_redis *sr)
{
	if (!is_caught_up(sr))
		return;
	if (sr->deciding) {
		sr->deciding = false;
		log_notice("redis: %s: everything is applied; Redis decides",
		    rlink_endpoint(sr->link));
		/* What this host decided alone and Redis does not confirm (it
		 * has been made to forget) is swept or read again. After a
		 * reconnection that is under way already, but for what was
		 * decided when the block of that address may have been read. */
		if (rview_is_synced(sr->view) || sr->alone)
			rview_changed(sr->view, NULL, 0);
		sr->alone = false;
	}
	rview_kick(sr->view);
}

/* Decides about hits that Redis has not acknowledged. True: there are more. */
static bool
judge_some(struct store_redis *sr)
{
	uint64_t end = hitqueue_end(sr->queue);

	if (!sr->deciding)
		return false;
	if (sr->judged < hitqueue_first(sr->queue))
		sr->judged = hitqueue_first(sr->queue);
	for (int n = 0; n < JUDGE_CHUNK && sr->judged < end; n++) {
		const struct hit *h = hitqueue_at(sr->queue, sr->judged++);

		if (!h->again)
			store_embedded_judge(sr->local, h);
	}
	return sr->judged < end;
}

/* --- Sending
 * ------------------------------------------------------------------ */

static void on_hits(void *, const struct redisReply *);

static void
put_params(const struct store_redis *sr, struct resp *r)
{
	const struct store_params *p = sr->params;

	resp_arg_str(r, sr->prefix);
	resp_arg_num(r, loop_now(sr->loop));
	resp_arg_num(r, p->window);
	resp_arg_num(r, p->repeat.factor);
	resp_arg_num(r, p->repeat.max);
	resp_arg_num(r, p->repeat.memory);
	resp_arg_str(r, name_text(p->host));
	resp_arg_u64(r, p->n_levels);
	for (size_t i = 0; i < p->n_levels; i++) {
		resp_arg_str(r, name_text(p->levels[i].name));
		resp_arg_num(r, p->levels[i].threshold);
		resp_arg_num(r, p->levels[i].duration);
	}
}

static void
put_hit(struct resp *r, const struct hit *h)
{
	char addr[ADDR_STRLEN], epoch[24];

	resp_arg_str(r, addr_format(&h->addr, addr));
	resp_arg_num(r, h->t);
	resp_arg_num(r, h->weight);
	resp_arg_str(r, name_text(h->rule));
	if (h->epoch == 0)
		snprintf(epoch, sizeof(epoch), "0");
	else
		snprintf(epoch, sizeof(epoch), "%016llx",
		    (unsigned long long)h->epoch);
	resp_arg_str(r, epoch);
	resp_arg_u64(r, h->offset);
}

static void
send_hits(void *ctx)
{
	struct store_redis *sr = ctx;
	uint64_t first = hitqueue_first(sr->queue);
	size_t n = hitqueue_pending(sr->queue);
	struct resp *r;

	if (!rlink_is_up(sr->link) || sr->under_way > 0 || n == 0)
		return;
	if (n > BATCH)
		n = BATCH;
	if (first < sr->single)
		n = 1;
	r = rlink_call(
	    sr->link, RSCRIPT_HITS, 8 + 3 * sr->params->n_levels + 6 * n);
	put_params(sr, r);
	for (size_t i = 0; i < n; i++)
		put_hit(r, hitqueue_at(sr->queue, first + i));
	sr->under_way = n;
	resp_end(r, on_hits, sr);
}

/* Soon: what comes in this turn of the loop goes in one call. */
static void
send_soon(struct store_redis *sr)
{
	if (sr->under_way == 0 && rlink_is_up(sr->link) &&
	    !loop_timer_pending(sr->sender))
		loop_timer_set(sr->sender, 0);
}

/* --- Replies
 * ------------------------------------------------------------------ */

static bool
is_script_error(const char *text)
{
	static const char *const conditions[] = { "OOM", "READONLY", "MISCONF",
		"NOREPLICAS", "NOPERM", "can't run this command" };

	for (size_t i = 0; i < sizeof(conditions) / sizeof(conditions[0]); i++)
		if (strstr(text, conditions[i]) != NULL)
			return false;
	return strstr(text, "user_script") != NULL;
}

void
store_redis_trouble(struct store_redis *sr, const struct redisReply *r)
{
	const char *text = resp_describe(r);

	sr->errors++;
	if (resp_is_error(r, "NOSCRIPT")) {
		rlink_reload(sr->link);
		return;
	}
	log_limited(&sr->limit_error, loop_now(sr->loop), MSG_WARNING,
	    "redis: %s: %.200s", rlink_endpoint(sr->link), text);
	snprintf(sr->error, sizeof(sr->error), "%s", text);
	if (r->type != REDIS_REPLY_ERROR || resp_is_error(r, "LOADING") ||
	    resp_is_error(r, "NOAUTH") || resp_is_error(r, "MASTERDOWN") ||
	    (sr->sentinel && resp_is_error(r, "READONLY")))
		rlink_fail(sr->link, text);
}

/* The call was not carried out. Nothing is acknowledged. */
static void
hits_failed(struct store_redis *sr, const struct redisReply *r, size_t n)
{
	uint64_t first = hitqueue_first(sr->queue);

	if (resp_is_error(r, "NOSCRIPT") && sr->noscript++ < 3) {
		rlink_reload(sr->link);
		send_soon(sr);
		return;
	}
	store_redis_trouble(sr, r);
	if (r->type == REDIS_REPLY_ERROR && is_script_error(r->str)) {
		/* One of them cannot be applied: find it. */
		if (n == 1)
			hitqueue_ack(sr->queue, 1, loop_now(sr->loop));
		else
			sr->single = first + n;
		send_soon(sr);
		return;
	}
	sr->refused = true;
	decide_here(sr, resp_describe(r));
	sr->pause = sr->pause > 0 ? fmin(sr->pause * 2, PAUSE_MAX) : PAUSE_MIN;
	loop_timer_set(sr->sender, sr->pause);
}

static bool
same_as_local(const struct store_redis *sr, const struct block *b)
{
	struct block have;

	return blocklist_get(sr->store.view, &b->addr, &have) &&
	    have.level == b->level && have.by == b->by &&
	    have.since == b->since && fabs(have.until - b->until) < 0.5;
}

static void
take_decision(struct store_redis *sr, const struct hit *h, char flag,
    const struct redisReply *value)
{
	struct block b = { .addr = h->addr };

	if (!resp_is_text(value) ||
	    !blockvalue_parse(
		value->str, (size_t)value->len, h->t, BLOCKVALUE_ALONE, &b)) {
		sr->errors++;
		return;
	}
	/* It was decided here already, or told of by the invalidation. */
	if (!same_as_local(sr, &b))
		sr->store.sink->blocked(sr->store.sink_ctx, &b,
		    flag == 'b' ? STORE_DECIDED : STORE_RAISED);
	rview_mark(sr->view, &b.addr);
	store_redis_tell(sr, &b.addr);
}

static void
take_flags(struct store_redis *sr, const struct redisReply *r, size_t n)
{
	uint64_t first = hitqueue_first(sr->queue);
	size_t value = 1;

	for (size_t i = 0; i < n; i++) {
		const struct hit *h = hitqueue_at(sr->queue, first + i);
		char flag = r->element[0]->str[i];
		char text[ADDR_STRLEN];

		switch (flag) {
		case '0':
			sr->repeated++;
			break;
		case '1':
			sr->applied++;
			break;
		case 'b':
		case 'r':
			sr->applied++;
			if (value < r->elements)
				take_decision(sr, h, flag, r->element[value++]);
			break;
		default:
			sr->errors++;
			log_limited(&sr->limit_hit, loop_now(sr->loop),
			    MSG_WARNING,
			    "redis: %sscore:%s is not a hash: an offence is "
			    "lost",
			    sr->prefix, addr_format(&h->addr, text));
		}
	}
}

static void
on_hits(void *ctx, const struct redisReply *r)
{
	struct store_redis *sr = ctx;
	size_t n = sr->under_way;

	if (n == 0)
		return;
	sr->under_way = 0;
	if (r->type != REDIS_REPLY_ARRAY || r->elements < 1 ||
	    !resp_is_text(r->element[0]) || (size_t)r->element[0]->len != n) {
		hits_failed(sr, r, n);
		return;
	}
	take_flags(sr, r, n);
	hitqueue_ack(sr->queue, n, loop_now(sr->loop));
	sr->noscript = 0;
	sr->pause = 0;
	sr->refused = false;
	review(sr);
	send_hits(sr);
}

/* --- The link and the view
 * ------------------------------------------------------ */

static void
on_up(void *ctx)
{
	struct store_redis *sr = ctx;
	double now = loop_now(sr->loop);
	double recall = fmin(RECALL, sr->params->window / 2);

	log_notice("redis: %s: connected%s", rlink_endpoint(sr->link),
	    rlink_has_tracking(sr->link) ? "" : " (without client tracking)");
	hitqueue_recall(sr->queue, now - recall);
	sr->under_way = 0;
	sr->refused = false;
	sr->noscript = 0;
	sr->confirm = hitqueue_end(sr->queue);
	sr->alone = false;
	rview_start(sr->view);
	review(sr);
	send_soon(sr);
}

static void
on_down(void *ctx, const char *why)
{
	struct store_redis *sr = ctx;

	sr->errors++;
	sr->under_way = 0;
	sr->refused = false;
	loop_timer_clear(sr->sender);
	rview_stop(sr->view);
	decide_here(sr, why);
	store_redis_calls_lost(sr);
}

static void
on_changed(void *ctx, const char *key, size_t len)
{
	struct store_redis *sr = ctx;

	rview_changed(sr->view, key, len);
}

static void
view_set(void *ctx, const struct block *b, bool found)
{
	struct store_redis *sr = ctx;

	sr->store.sink->blocked(
	    sr->store.sink_ctx, b, found ? STORE_LOADED : STORE_SHARED);
	/* What this host has decided it tells when it is confirmed. */
	if (!found && b->by != sr->params->host)
		store_redis_tell(sr, &b->addr);
}

/* Somebody has lifted it: the next offence must not block by the old count. */
static void
view_gone(void *ctx, const struct addr *a)
{
	struct store_redis *sr = ctx;

	store_embedded_forget(sr->local, a, false);
	sr->store.sink->unblocked(sr->store.sink_ctx, a, STORE_SHARED);
}

static void
view_allowed(void *ctx, const struct addr *a, bool present)
{
	struct store_redis *sr = ctx;

	store_embedded_allow(sr->local, a, present);
}

static bool
view_allow_next(void *ctx, size_t *cursor, struct addr *out)
{
	struct store_redis *sr = ctx;

	return store_embedded_allow_next(sr->local, cursor, out);
}

static bool
view_may_sweep(void *ctx)
{
	return is_caught_up(ctx);
}

static void
view_trouble(void *ctx, const struct redisReply *r)
{
	store_redis_trouble(ctx, r);
}

/* --- The store
 * ------------------------------------------------------------------ */

static void
sr_destroy(struct store *s)
{
	struct store_redis *sr = redis_of(s);

	store_redis_calls_destroy(sr);
	rview_destroy(&sr->view);
	rlink_destroy(&sr->link);
	store_destroy(&sr->local);
	hitqueue_destroy(&sr->queue);
	loop_timer_destroy(&sr->sender);
	free(sr->prefix);
	free(sr);
}

static void
sr_configure(struct store *s, const struct store_params *params)
{
	struct store_redis *sr = redis_of(s);

	sr->params = params;
	store_set_sink(sr->local, &store_redis_local_sink, sr, s->view);
	rview_attach(sr->view, s->view);
	store_configure(sr->local, params);
}

static void
sr_hit(struct store *s, const struct hit *h)
{
	struct store_redis *sr = redis_of(s);
	bool fresh = !h->again && store_embedded_score(sr->local, h);
	bool queued =
	    !sr->overflow && hitqueue_add(sr->queue, h, loop_now(sr->loop));

	if (!queued && !sr->overflow) {
		sr->errors++;
		log_limited(&sr->limit_hit, loop_now(sr->loop), MSG_ERROR,
		    "redis: the queue of %zu offences is full: some are lost",
		    hitqueue_pending(sr->queue));
	}
	if (fresh && sr->deciding)
		store_embedded_judge(sr->local, h);
	if (queued)
		send_soon(sr);
}

static bool
sr_poll(struct store *s, double now, double horizon)
{
	struct store_redis *sr = redis_of(s);
	bool more = judge_some(sr);

	store_redis_calls_poll(sr);
	more |= store_poll(sr->local, now, horizon);
	return more;
}

static enum store_flow
sr_flow(struct store *s, unsigned flags)
{
	struct store_redis *sr = redis_of(s);

	if (!sr->overflow && hitqueue_room(sr->queue) < STORE_FLOW_HITS) {
		sr->overflow = true;
		return STORE_FLOW_MARK;
	}
	if (sr->overflow) {
		if ((flags & STORE_FLOW_CAN_REPLAY) == 0 ||
		    !rlink_is_up(sr->link) || sr->refused ||
		    hitqueue_pending(sr->queue) > STORE_FLOW_HITS)
			return STORE_FLOW_GO;
		sr->overflow = false;
		sr->replaying = true;
		return STORE_FLOW_REPLAY;
	}
	if (sr->replaying && (flags & STORE_FLOW_CURRENT) != 0) {
		sr->replaying = false;
		sr->confirm = hitqueue_end(sr->queue);
		review(sr);
	}
	return STORE_FLOW_GO;
}

static void
sr_save(const struct store *s, struct snapshot_writer *w)
{
	const struct store_redis *sr = (const struct store_redis *)s;

	store_save(sr->local, w);
	snapshot_put_u8(w, SNAPSHOT_PENDING);
	hitqueue_save(sr->queue, w);
}

static bool
sr_load(struct store *s, struct snapshot_reader *r, uint8_t section)
{
	struct store_redis *sr = redis_of(s);

	if (section != SNAPSHOT_PENDING)
		return store_load(sr->local, r, section);
	hitqueue_load(sr->queue, r);
	return true;
}

static void
sr_status(const struct store *s, struct store_status *out)
{
	const struct store_redis *sr = (const struct store_redis *)s;
	double now = loop_now(sr->loop);

	store_status(sr->local, out);
	out->name = "redis";
	out->ready = is_caught_up(sr);
	out->state = rlink_state(sr->link);
	if (sr->refused)
		out->state = "refused";
	else if (sr->overflow && rlink_is_up(sr->link))
		out->state = "behind";
	else if (rlink_is_up(sr->link) && !rview_is_synced(sr->view))
		out->state = "syncing";
	snprintf(out->detail, sizeof(out->detail), "%s%s%s%s",
	    rlink_endpoint(sr->link), sr->deciding ? ", deciding here" : "",
	    sr->error[0] != '\0' ? ", last error: " : "", sr->error);
	out->pending = hitqueue_pending(sr->queue);
	out->applied = sr->applied;
	out->repeated = sr->repeated;
	out->resyncs = rview_resyncs(sr->view);
	out->errors += sr->errors + rview_malformed(sr->view);
	out->lag = fmax(0, now - hitqueue_since(sr->queue, now));
}

static const struct store_ops sr_ops = {
	.destroy = sr_destroy,
	.configure = sr_configure,
	.hit = sr_hit,
	.block = store_redis_block,
	.unblock = store_redis_unblock,
	.unblock_all = store_redis_unblock_all,
	.forgive = store_redis_forgive,
	.allow = store_redis_allow,
	.fetch = store_redis_fetch,
	.top = store_redis_top,
	.poll = sr_poll,
	.flow = sr_flow,
	.save = sr_save,
	.load = sr_load,
	.status = sr_status,
};

struct store *
store_redis_create(struct loop *loop, const struct store_redis_options *options)
{
	static const struct rlink_events link = { on_up, on_down, on_changed };
	static const struct rview_events view = { view_set, view_gone,
		view_allowed, view_allow_next, view_may_sweep, view_trouble };
	struct store_redis *sr = x_calloc(1, sizeof(*sr));

	sr->store.ops = &sr_ops;
	sr->loop = loop;
	sr->params = options->params;
	sr->prefix = x_strdup(options->link.prefix);
	sr->calls_end = &sr->calls;
	sr->replaying = true;
	rate_parse(TELL_RATE, &sr->telling);
	sr->sentinel = options->link.uri.kind == STOREURI_SENTINEL;
	sr->local =
	    store_embedded_create(options->params, options->max_addresses);
	sr->queue = hitqueue_create(
	    options->queue > 0 ? options->queue : STORE_REDIS_QUEUE);
	sr->sender = loop_timer_create(loop, LOOP_WORK, send_hits, sr);
	if (sr->sender == NULL)
		log_fatal("out of memory");
	sr->link = rlink_create(loop, &options->link, &link, sr);
	sr->view = rview_create(loop, sr->link, sr->prefix, &view, sr);
	return &sr->store;
}
