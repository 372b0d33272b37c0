/*
 * store_redis_admin: what is done by hand in the Redis store, and questions.
 *
 * A call goes to Redis, and what it changes is changed here when Redis has
 * confirmed it. If Redis is away, refuses, or is lost while it owes the answer,
 * the local store does it instead: on this host, until Redis is back.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/core/blockvalue.h"
#include "lib/core/store_embedded.h"
#include "lib/io/loop.h"
#include "lib/io/rinfo.h"
#include "lib/io/store_redis_int.h"

#define CHUNK 500 /* keys looked at in a call */
#define TOP_MAX 1000
#define LINES_CHUNK 1000 /* events looked at in a call, */
#define LINES_CALLS 20	 /* and calls: more than the stream has */

enum kind {
	CALL_BLOCK,
	CALL_UNBLOCK,
	CALL_UNBLOCK_ALL,
	CALL_FORGIVE,
	CALL_ALLOW,
	CALL_FETCH,
	CALL_LINES, /* what becomes of it then */
	CALL_TOP
};

struct call {
	struct store_redis *sr;
	enum kind kind;
	uint64_t ticket;
	struct block block; /* only its address, for most */
	bool present;	    /* CALL_ALLOW */
	bool lost;	    /* the link is gone: to be done here */
	bool local;	    /* with the local store now */
	char cursor[48];
	enum store_result found; /* CALL_LINES */
	unsigned calls;		 /* the same */
	size_t changed;		 /* CALL_UNBLOCK_ALL */
	size_t n, max;		 /* CALL_TOP */
	struct score_info *top;
	struct call *next;
};

static void call_send(struct call *);

static void
call_refuse(struct store_redis *sr, uint64_t ticket)
{
	sr->errors++;
	log_limited(&sr->limit_error, loop_now(sr->loop), MSG_ERROR, "%s",
	    "redis: out of memory: what was asked for is not done");
	store_refuse(&sr->store, ticket);
}

static struct call *
call_create(
    struct store *s, enum kind kind, uint64_t ticket, const struct addr *a)
{
	struct store_redis *sr = (struct store_redis *)s;
	struct call *c = calloc(1, sizeof(*c));

	if (c == NULL) {
		call_refuse(sr, ticket);
		return NULL;
	}
	c->sr = sr;
	c->kind = kind;
	c->ticket = ticket;
	c->cursor[0] = '0';
	if (a != NULL)
		c->block.addr = *a;
	*sr->calls_end = c;
	sr->calls_end = &c->next;
	return c;
}

static void
call_free(struct call *c)
{
	struct call **at = &c->sr->calls;

	while (*at != c)
		at = &(*at)->next;
	*at = c->next;
	if (c->next == NULL)
		c->sr->calls_end = at;
	free(c->top);
	free(c);
}

static void
call_done(struct call *c, enum store_result result, const char *text)
{
	struct store_redis *sr = c->sr;

	sr->store.sink->done(sr->store.sink_ctx, c->ticket, result, text);
	call_free(c);
}

/* --- On this host
 * ---------------------------------------------------------------- */

static void
call_local(struct call *c)
{
	struct store *local = c->sr->local;
	uint64_t ticket = (uint64_t)(uintptr_t)c;
	const struct addr *a = &c->block.addr;

	c->lost = false;
	c->local = true;
	switch (c->kind) {
	case CALL_BLOCK:
		store_block(local, ticket, &c->block);
		return;
	case CALL_UNBLOCK:
		store_unblock(local, ticket, a);
		return;
	case CALL_UNBLOCK_ALL:
		store_unblock_all(local, ticket);
		return;
	case CALL_FORGIVE:
		store_forgive(local, ticket, a);
		return;
	case CALL_ALLOW:
		store_allow(local, ticket, a, c->present);
		return;
	case CALL_FETCH:
	case CALL_LINES:
		store_fetch(local, ticket, a);
		return;
	case CALL_TOP:
		store_top(local, ticket, c->max);
		return;
	}
}

static void
local_blocked(void *ctx, const struct block *b, enum store_why why)
{
	struct store_redis *sr = ctx;

	if (why == STORE_DECIDED || why == STORE_RAISED) {
		sr->confirm = hitqueue_end(sr->queue);
		sr->alone = true;
	}
	sr->store.sink->blocked(sr->store.sink_ctx, b, why);
}

static void
local_unblocked(void *ctx, const struct addr *a, enum store_why why)
{
	struct store_redis *sr = ctx;

	sr->store.sink->unblocked(sr->store.sink_ctx, a, why);
}

static void
local_allowed(void *ctx, const struct addr *a, bool present)
{
	struct store_redis *sr = ctx;

	sr->store.sink->allowed(sr->store.sink_ctx, a, present);
}

static void
local_info(void *ctx, uint64_t ticket, const struct score_info *info)
{
	struct store_redis *sr = ctx;
	const struct call *c = (const struct call *)(uintptr_t)ticket;

	sr->store.sink->info(sr->store.sink_ctx, c->ticket, info);
}

static void
local_done(
    void *ctx, uint64_t ticket, enum store_result result, const char *text)
{
	struct call *c = (struct call *)(uintptr_t)ticket;

	(void)ctx;
	if (c->kind == CALL_FETCH || c->kind == CALL_LINES ||
	    c->kind == CALL_TOP)
		call_done(c, result, text);
	else if (result == STORE_UNAVAILABLE)
		call_done(c, result, text);
	else if (result == STORE_OK)
		call_done(c, STORE_UNAVAILABLE,
		    "Redis does not take it now: done on this host only, until "
		    "Redis is back");
	else
		call_done(c, STORE_UNAVAILABLE,
		    "Redis does not take it now, and on this host there was "
		    "nothing to do");
}

const struct store_sink store_redis_local_sink = {
	.blocked = local_blocked,
	.unblocked = local_unblocked,
	.allowed = local_allowed,
	.info = local_info,
	.done = local_done,
};

/* --- Replies
 * ---------------------------------------------------------------------- */

static void
lifted(struct store_redis *sr, const struct addr *a, bool strikes, bool *was_r)
{
	struct block b;

	store_embedded_forget(sr->local, a, strikes);
	*was_r = blocklist_get(sr->store.view, a, &b);
	if (*was_r)
		sr->store.sink->unblocked(sr->store.sink_ctx, a, STORE_MANUAL);
}

static bool
is_number(const struct redisReply *r, size_t i, long long *v_r)
{
	if (r->type != REDIS_REPLY_ARRAY || i >= r->elements ||
	    r->element[i]->type != REDIS_REPLY_INTEGER)
		return false;
	*v_r = r->element[i]->integer;
	return true;
}

static bool
reply_lift(struct call *c, const struct redisReply *r)
{
	bool forgive = c->kind == CALL_FORGIVE, was;
	long long block, score, strikes;

	if (!is_number(r, 0, &block) || !is_number(r, 1, &score) ||
	    !is_number(r, 2, &strikes))
		return false;
	lifted(c->sr, &c->block.addr, forgive, &was);
	if (forgive)
		was |= score > 0 || strikes > 0;
	call_done(c, was || block > 0 ? STORE_OK : STORE_NOT_FOUND, "");
	return true;
}

static bool
reply_cursor(struct call *c, const struct redisReply *r)
{
	if (r->type != REDIS_REPLY_ARRAY || r->elements < 1 ||
	    !resp_is_text(r->element[0]) || r->element[0]->len == 0 ||
	    (size_t)r->element[0]->len >= sizeof(c->cursor))
		return false;
	memcpy(c->cursor, r->element[0]->str, (size_t)r->element[0]->len + 1);
	return true;
}

static bool
reply_addr(const struct redisReply *r, struct addr *a)
{
	return resp_is_text(r) && addr_parse(r->str, (size_t)r->len, a);
}

static bool
reply_lift_all(struct call *c, const struct redisReply *r)
{
	struct addr a;
	bool was;

	if (!reply_cursor(c, r))
		return false;
	for (size_t i = 1; i < r->elements; i++) {
		c->changed++;
		if (reply_addr(r->element[i], &a))
			lifted(c->sr, &a, false, &was);
	}
	if (strcmp(c->cursor, "0") != 0)
		call_send(c);
	else
		call_done(c, c->changed > 0 ? STORE_OK : STORE_NOT_FOUND, "");
	return true;
}

static bool
reply_fetch(struct call *c, const struct redisReply *r)
{
	const struct store_sink *sink = c->sr->store.sink;
	struct score_info info;

	if (r->type != REDIS_REPLY_ARRAY || r->elements != 2)
		return false;
	if (rinfo_parse(r->element[0], r->element[1], &c->block.addr, &info)) {
		sink->info(c->sr->store.sink_ctx, c->ticket, &info);
		c->found = STORE_OK;
	} else {
		c->found = STORE_NOT_FOUND;
	}
	c->kind = CALL_LINES;
	snprintf(c->cursor, sizeof(c->cursor), "+");
	call_send(c);
	return true;
}

static bool
reply_lines(struct call *c, const struct redisReply *r)
{
	if (!store_redis_take_lines(
		c->sr, c->ticket, r, c->cursor, sizeof(c->cursor)))
		return false;
	if (c->cursor[0] != '\0' && ++c->calls < LINES_CALLS)
		call_send(c);
	else
		call_done(c, c->found, "");
	return true;
}

static bool
reply_top(struct call *c, const struct redisReply *r)
{
	const struct store_sink *sink = c->sr->store.sink;
	struct score_info info;
	struct addr a;

	if (!reply_cursor(c, r))
		return false;
	for (size_t i = 1; i + 2 < r->elements; i += 3)
		if (reply_addr(r->element[i], &a) &&
		    rinfo_parse(
			r->element[i + 1], r->element[i + 2], &a, &info))
			c->n = rinfo_insert(c->top, c->n, c->max, &info);
	if (strcmp(c->cursor, "0") != 0) {
		call_send(c);
		return true;
	}
	for (size_t i = 0; i < c->n; i++)
		sink->info(c->sr->store.sink_ctx, c->ticket, &c->top[i]);
	call_done(c, STORE_OK, "");
	return true;
}

static bool
reply_block(struct call *c, const struct redisReply *r)
{
	struct store_redis *sr = c->sr;

	if (r->type != REDIS_REPLY_INTEGER)
		return false;
	sr->store.sink->blocked(sr->store.sink_ctx, &c->block, STORE_MANUAL);
	rview_mark(sr->view, &c->block.addr);
	call_done(c, STORE_OK, "");
	return true;
}

static bool
reply_allow(struct call *c, const struct redisReply *r)
{
	bool had;

	if (r->type != REDIS_REPLY_INTEGER)
		return false;
	had = store_embedded_allow(c->sr->local, &c->block.addr, c->present);
	call_done(c,
	    c->present || had || r->integer > 0 ? STORE_OK : STORE_NOT_FOUND,
	    "");
	return true;
}

static void
on_reply(void *ctx, const struct redisReply *r)
{
	static bool (*const replies[])(
	    struct call *, const struct redisReply *) = {
		[CALL_BLOCK] = reply_block,
		[CALL_UNBLOCK] = reply_lift,
		[CALL_UNBLOCK_ALL] = reply_lift_all,
		[CALL_FORGIVE] = reply_lift,
		[CALL_ALLOW] = reply_allow,
		[CALL_FETCH] = reply_fetch,
		[CALL_LINES] = reply_lines,
		[CALL_TOP] = reply_top,
	};
	struct call *c = ctx;
	struct store_redis *sr = c->sr;

	if (c->local || c->lost)
		return;
	if (r->type != REDIS_REPLY_ERROR && replies[c->kind](c, r))
		return;
	c->lost = true;
	store_redis_trouble(sr, r);
}

/* --- Sending
 * ---------------------------------------------------------------------- */

static void
put_pattern(const struct store_redis *sr, struct resp *r, const char *what)
{
	char buf[400];
	size_t n = 0;

	for (const char *p = sr->prefix; *p != '\0' && n < 300; p++) {
		if (strchr("*?[]\\", *p) != NULL)
			buf[n++] = '\\';
		buf[n++] = *p;
	}
	n += (size_t)snprintf(buf + n, sizeof(buf) - n, "%s:*", what);
	resp_arg(r, buf, n);
}

static void
put_block(struct call *c, const char *addr)
{
	struct resp *r = rlink_call(c->sr->link, RSCRIPT_BLOCK, 4);
	char value[BLOCKVALUE_MAX];
	double left = c->block.until - loop_now(c->sr->loop);

	resp_arg_str(r, c->sr->prefix);
	resp_arg_str(r, addr);
	resp_arg(r, value, blockvalue_format(&c->block, value));
	resp_arg_u64(r, (uint64_t)ceil(fmax(0.001, left) * 1000));
	resp_end(r, on_reply, c);
}

static void
put_lift_all(struct call *c, const char *host)
{
	struct resp *r = rlink_call(c->sr->link, RSCRIPT_LIFT_ALL, 5);

	resp_arg_str(r, c->sr->prefix);
	put_pattern(c->sr, r, "block");
	resp_arg_str(r, c->cursor);
	resp_arg_u64(r, CHUNK);
	resp_arg_str(r, host);
	resp_end(r, on_reply, c);
}

static void
put_top(struct call *c)
{
	struct resp *r = rlink_call(c->sr->link, RSCRIPT_TOP, 5);

	resp_arg_str(r, c->sr->prefix);
	put_pattern(c->sr, r, "score");
	resp_arg_str(r, c->cursor);
	resp_arg_u64(r, CHUNK);
	resp_arg_num(
	    r, c->max > 0 && c->n == c->max ? c->top[c->n - 1].score.score : 0);
	resp_end(r, on_reply, c);
}

static void
put_lines(struct call *c, const char *addr)
{
	struct resp *r = rlink_call(c->sr->link, RSCRIPT_LINES, 4);

	resp_arg_str(r, c->sr->prefix);
	resp_arg_str(r, addr);
	resp_arg_str(r, c->cursor);
	resp_arg_u64(r, LINES_CHUNK);
	resp_end(r, on_reply, c);
}

static void
put_simple(struct call *c, enum rscript which, const char *addr,
    const char *flag, const char *host)
{
	struct resp *r = rlink_call(c->sr->link, which, flag != NULL ? 4 : 2);

	resp_arg_str(r, c->sr->prefix);
	resp_arg_str(r, addr);
	if (flag != NULL) {
		resp_arg_str(r, flag);
		resp_arg_str(r, host);
	}
	resp_end(r, on_reply, c);
}

static void
call_send(struct call *c)
{
	const char *host = name_text(c->sr->params->host);
	char addr[ADDR_STRLEN];

	if (!rlink_is_up(c->sr->link)) {
		c->lost = true;
		return;
	}
	addr_format(&c->block.addr, addr);
	switch (c->kind) {
	case CALL_BLOCK:
		put_block(c, addr);
		return;
	case CALL_UNBLOCK:
		put_simple(c, RSCRIPT_LIFT, addr, "0", host);
		return;
	case CALL_UNBLOCK_ALL:
		put_lift_all(c, host);
		return;
	case CALL_FORGIVE:
		put_simple(c, RSCRIPT_LIFT, addr, "1", host);
		return;
	case CALL_ALLOW:
		put_simple(
		    c, RSCRIPT_ALLOW, addr, c->present ? "1" : "0", host);
		return;
	case CALL_FETCH:
		put_simple(c, RSCRIPT_FETCH, addr, NULL, NULL);
		return;
	case CALL_LINES:
		put_lines(c, addr);
		return;
	case CALL_TOP:
		put_top(c);
		return;
	}
}

/* --- Calls
 * ------------------------------------------------------------------------ */

void
store_redis_block(struct store *s, uint64_t ticket, const struct block *b)
{
	struct call *c = call_create(s, CALL_BLOCK, ticket, &b->addr);

	if (c == NULL)
		return;
	c->block = *b;
	call_send(c);
}

void
store_redis_unblock(struct store *s, uint64_t ticket, const struct addr *a)
{
	struct call *c = call_create(s, CALL_UNBLOCK, ticket, a);

	if (c != NULL)
		call_send(c);
}

void
store_redis_unblock_all(struct store *s, uint64_t ticket)
{
	struct call *c = call_create(s, CALL_UNBLOCK_ALL, ticket, NULL);

	if (c != NULL)
		call_send(c);
}

void
store_redis_forgive(struct store *s, uint64_t ticket, const struct addr *a)
{
	struct call *c = call_create(s, CALL_FORGIVE, ticket, a);

	if (c != NULL)
		call_send(c);
}

void
store_redis_allow(
    struct store *s, uint64_t ticket, const struct addr *a, bool present)
{
	struct call *c = call_create(s, CALL_ALLOW, ticket, a);

	if (c == NULL)
		return;
	c->present = present;
	call_send(c);
}

void
store_redis_fetch(struct store *s, uint64_t ticket, const struct addr *a)
{
	struct call *c = call_create(s, CALL_FETCH, ticket, a);

	if (c != NULL)
		call_send(c);
}

void
store_redis_top(struct store *s, uint64_t ticket, size_t n)
{
	struct call *c = call_create(s, CALL_TOP, ticket, NULL);

	if (c == NULL)
		return;
	c->max = n < TOP_MAX ? n : TOP_MAX;
	c->top = calloc(c->max + 1, sizeof(*c->top));
	if (c->top == NULL) {
		call_refuse(c->sr, ticket);
		call_free(c);
		return;
	}
	call_send(c);
}

void
store_redis_calls_lost(struct store_redis *sr)
{
	for (struct call *c = sr->calls; c != NULL; c = c->next)
		if (!c->local)
			c->lost = true;
}

void
store_redis_calls_poll(struct store_redis *sr)
{
	for (struct call *c = sr->calls; c != NULL; c = c->next)
		if (c->lost)
			call_local(c);
}

void
store_redis_calls_destroy(struct store_redis *sr)
{
	struct call *next;

	for (struct call *c = sr->calls; c != NULL; c = next) {
		next = c->next;
		call_free(c);
	}
}
