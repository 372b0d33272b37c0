/*
 * rview: see rview.h.
 *
 * Which entries were met is a bit for each id of the view's table, not a list
 * of addresses: a million entries cost 125 kB.
 */
#include "lib/io/rview.h"

#include <hiredis.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/core/blockvalue.h"
#include "lib/core/log.h"
#include "lib/core/prefixmap.h"
#include "lib/core/xalloc.h"
#include "lib/io/loop.h"
#include "lib/io/rlink.h"

#define SWEEP_CHUNK 8192
#define READ_CHUNK 256
#define DIRTY_MAX 65536 /* keys to be read; beyond it: all of them */
#define POLL_EVERY 5.0	/* seconds between scans without client tracking */
#define RETRY 1.0	/* seconds after an error */
#define PATTERN_MAX 1100

enum state { OFF, SCANNING, SCANNING_ALLOW, WAITING, SWEEPING, FOLLOWING };

struct rview {
	struct loop *loop;
	struct rlink *link;
	const struct rview_events *events;
	void *ctx;
	const struct blocklist *view;
	const char *prefix;
	size_t block_len;	   /* of "PREFIXblock:" */
	char pattern[PATTERN_MAX]; /* the same, escaped, and '*' */
	enum state state;
	bool again; /* everything changed while scanning */
	char cursor[24];
	size_t sweep; /* cursor in the view */
	bool swept;   /* since the last scan of all blocks */
	bool synced;  /* has been, since the start or a flush */
	uint8_t *met;
	size_t met_len;
	struct prefixmap *allow; /* met in the set */
	bool allow_dirty;
	struct prefixmap *dirty; /* addresses whose key is to be read */
	uint32_t dirty_at;
	bool reading; /* a call is under way, for: */
	struct addr asked[READ_CHUNK];
	size_t n_asked;
	uint64_t resyncs, malformed;
	struct loop_timer *timer; /* next step of scan or sweep */
	struct loop_timer *reader;
	struct loglimit limit;
};

static void on_timer(void *);
static void on_reader(void *);

struct rview *
rview_create(struct loop *loop, struct rlink *link, const char *prefix,
    const struct rview_events *events, void *ctx)
{
	struct rview *rv = x_calloc(1, sizeof(*rv));
	size_t n = 0;

	rv->loop = loop;
	rv->link = link;
	rv->events = events;
	rv->ctx = ctx;
	rv->prefix = prefix;
	rv->block_len = strlen(prefix) + strlen("block:");
	for (const char *p = prefix; *p != '\0' && n < PATTERN_MAX - 16; p++) {
		if (strchr("*?[]\\", *p) != NULL)
			rv->pattern[n++] = '\\';
		rv->pattern[n++] = *p;
	}
	memcpy(rv->pattern + n, "block:*", 8);
	rv->dirty = prefixmap_create();
	rv->allow = prefixmap_create();
	rv->timer = loop_timer_create(loop, LOOP_WORK, on_timer, rv);
	rv->reader = loop_timer_create(loop, LOOP_WORK, on_reader, rv);
	if (rv->timer == NULL || rv->reader == NULL)
		log_fatal("out of memory");
	return rv;
}

void
rview_destroy(struct rview **rvp)
{
	struct rview *rv = *rvp;

	if (rv == NULL)
		return;
	loop_timer_destroy(&rv->timer);
	loop_timer_destroy(&rv->reader);
	prefixmap_destroy(&rv->allow);
	prefixmap_destroy(&rv->dirty);
	free(rv->met);
	free(rv);
	*rvp = NULL;
}

void
rview_attach(struct rview *rv, const struct blocklist *view)
{
	rv->view = view;
}

/* --- What was met -----------------------------------------------------------
 */

void
rview_mark(struct rview *rv, const struct addr *a)
{
	uint32_t id;

	if (rv->state == OFF || !blocklist_id(rv->view, a, &id))
		return;
	if (id / 8 >= rv->met_len) {
		size_t len = (id / 8 + 1024) * 2;
		uint8_t *met = realloc(rv->met, len);

		if (met == NULL) {
			rv->again = true; /* nothing may be swept now */
			return;
		}
		memset(met + rv->met_len, 0, len - rv->met_len);
		rv->met = met;
		rv->met_len = len;
	}
	rv->met[id / 8] |= (uint8_t)(1u << (id % 8));
}

static bool
was_met(const struct rview *rv, const struct addr *a)
{
	uint32_t id;

	return blocklist_id(rv->view, a, &id) && id / 8 < rv->met_len &&
	    (rv->met[id / 8] & (1u << (id % 8))) != 0;
}

/* --- One key ----------------------------------------------------------------
 */

static void
malformed(struct rview *rv, const char *key, size_t len, const char *why)
{
	rv->malformed++;
	log_limited(&rv->limit, loop_now(rv->loop), MSG_WARNING,
	    "redis: key '%.*s' passed over: %s", (int)(len < 200 ? len : 200),
	    key, why);
}

static bool
key_addr(struct rview *rv, const char *key, size_t len, struct addr *a)
{
	const char *why;

	if (len <= rv->block_len ||
	    memcmp(key, rv->prefix, rv->block_len - 6) != 0 ||
	    memcmp(key + rv->block_len - 6, "block:", 6) != 0)
		return false;
	if (blockvalue_addr(key + rv->block_len, len - rv->block_len, a, &why))
		return true;
	malformed(rv, key, len, why);
	return false;
}

static bool
same_block(const struct block *a, const struct block *b)
{
	return fabs(a->until - b->until) < 0.5 && a->level == b->level &&
	    a->score == b->score && a->rule == b->rule && a->by == b->by &&
	    a->strikes == b->strikes;
}

/* What Redis holds for this address: value (NULL: nothing) and TTL. */
static void
take(struct rview *rv, const struct addr *a, const struct redisReply *value,
    const struct redisReply *left, bool found)
{
	double now = loop_now(rv->loop);
	struct block have, b;
	char text[ADDR_STRLEN];

	if (value->type == REDIS_REPLY_STRING &&
	    left->type == REDIS_REPLY_INTEGER && left->integer != -2) {
		b.addr = *a;
		if (blockvalue_parse(value->str, (size_t)value->len, now,
			left->integer, &b)) {
			if (!blocklist_get(rv->view, a, &have) ||
			    !same_block(&have, &b))
				rv->events->set(rv->ctx, &b, found);
			rview_mark(rv, a);
			return;
		}
		addr_format(a, text);
		malformed(rv, text, strlen(text),
		    "the value is not 'LEVEL key=value...'");
	}
	/* What ends by itself is the owner's business. */
	if (!found && blocklist_get(rv->view, a, &have) &&
	    have.until > now + 0.5)
		rv->events->gone(rv->ctx, a);
}

/* --- Scanning ---------------------------------------------------------------
 */

static void
retry(struct rview *rv)
{
	if (rv->state == OFF)
		return;
	rv->state = FOLLOWING;
	rv->again = true;
	loop_timer_set(rv->timer, RETRY);
}

/* The cursor, which is the first element. False if this is no such reply. */
static bool
take_cursor(struct rview *rv, const struct redisReply *r)
{
	if (r->type != REDIS_REPLY_ARRAY || r->elements < 1 ||
	    !resp_is_text(r->element[0]) || r->element[0]->len == 0 ||
	    (size_t)r->element[0]->len >= sizeof(rv->cursor)) {
		rv->events->trouble(rv->ctx, r);
		retry(rv);
		return false;
	}
	memcpy(rv->cursor, r->element[0]->str, (size_t)r->element[0]->len + 1);
	return true;
}

static void
scan_begin(struct rview *rv, enum state state)
{
	memcpy(rv->cursor, "0", 2);
	rv->state = state;
	if (state == SCANNING) {
		rv->again = false;
		rv->swept = false;
		if (rv->met_len > 0)
			memset(rv->met, 0, rv->met_len);
	} else {
		prefixmap_clear(rv->allow);
		rv->allow_dirty = false;
	}
}

static void on_scan(void *, const struct redisReply *);
static void on_allow_scan(void *, const struct redisReply *);

static void
scan_step(struct rview *rv)
{
	bool blocks = rv->state == SCANNING;
	struct resp *r =
	    rlink_call(rv->link, blocks ? RSCRIPT_SCAN : RSCRIPT_ALLOW_SCAN, 3);

	if (blocks) {
		resp_arg_str(r, rv->cursor);
		resp_arg_str(r, rv->pattern);
	} else {
		resp_arg_str(r, rv->prefix);
		resp_arg_str(r, rv->cursor);
	}
	resp_arg_u64(r, RVIEW_CHUNK);
	resp_end(r, blocks ? on_scan : on_allow_scan, rv);
	resp_flush(r);
}

static void
on_scan(void *ctx, const struct redisReply *r)
{
	struct rview *rv = ctx;
	struct addr a;

	if (rv->state != SCANNING || !take_cursor(rv, r))
		return;
	/* Redis works on the next chunk while we take this one. */
	if (strcmp(rv->cursor, "0") != 0)
		scan_step(rv);
	for (size_t i = 1; i + 2 < r->elements; i += 3) {
		const struct redisReply *key = r->element[i];

		if (resp_is_text(key) &&
		    key_addr(rv, key->str, (size_t)key->len, &a))
			take(
			    rv, &a, r->element[i + 1], r->element[i + 2], true);
	}
	if (strcmp(rv->cursor, "0") != 0)
		return;
	scan_begin(rv, SCANNING_ALLOW);
	loop_timer_set(rv->timer, 0);
}

/* What the set does not hold any more. */
static void
finish_allow(struct rview *rv)
{
	struct addr a;
	size_t cursor;
	struct addr gone[64];
	size_t n;

	do {
		n = 0;
		cursor = 0;
		while (n < 64 && rv->events->allow_next(rv->ctx, &cursor, &a))
			if (prefixmap_get(rv->allow, &a) == PREFIXMAP_NONE)
				gone[n++] = a;
		for (size_t i = 0; i < n; i++)
			rv->events->allowed(rv->ctx, &gone[i], false);
	} while (n == 64);
	prefixmap_clear(rv->allow);
}

static void
on_allow_scan(void *ctx, const struct redisReply *r)
{
	struct rview *rv = ctx;
	struct addr a;

	if (rv->state != SCANNING_ALLOW || !take_cursor(rv, r))
		return;
	for (size_t i = 1; i < r->elements; i++) {
		const struct redisReply *e = r->element[i];

		if (!resp_is_text(e))
			continue;
		if (!addr_parse(e->str, (size_t)e->len, &a)) {
			malformed(rv, e->str, (size_t)e->len,
			    "not an address in the allow list");
			continue;
		}
		if (prefixmap_add(rv->allow, &a) != PREFIXMAP_NONE)
			rv->events->allowed(rv->ctx, &a, true);
	}
	if (strcmp(rv->cursor, "0") == 0) {
		finish_allow(rv);
		rv->state = rv->swept ? FOLLOWING : WAITING;
	}
	loop_timer_set(rv->timer, 0);
}

/* Entries of the view that were not met. */
static void
sweep_step(struct rview *rv)
{
	struct addr gone[256];
	size_t n = 0, seen = 0;
	double now = loop_now(rv->loop);
	struct block b;
	bool more = true;

	while (n < 256 && seen++ < SWEEP_CHUNK &&
	    (more = blocklist_next_entry(rv->view, &rv->sweep, &b)))
		if (!was_met(rv, &b.addr) && b.until > now)
			gone[n++] = b.addr;
	for (size_t i = 0; i < n; i++)
		rv->events->gone(rv->ctx, &gone[i]);
	if (more) {
		loop_timer_set(rv->timer, 0);
		return;
	}
	rv->state = FOLLOWING;
	rv->swept = rv->synced = true;
	rv->resyncs++;
	loop_timer_set(rv->timer, 0);
}

static void
on_timer(void *ctx)
{
	struct rview *rv = ctx;

	switch (rv->state) {
	case OFF:
		return;
	case SCANNING:
	case SCANNING_ALLOW:
		scan_step(rv);
		return;
	case WAITING:
		if (!rv->again && rv->events->may_sweep(rv->ctx)) {
			rv->state = SWEEPING;
			rv->sweep = 0;
			sweep_step(rv);
		} else if (rv->again) {
			scan_begin(rv, SCANNING);
			scan_step(rv);
		}
		return;
	case SWEEPING:
		sweep_step(rv);
		return;
	case FOLLOWING:
		break;
	}
	if (rv->again) {
		scan_begin(rv, SCANNING);
		scan_step(rv);
	} else if (rv->allow_dirty) {
		scan_begin(rv, SCANNING_ALLOW);
		scan_step(rv);
	} else if (!rlink_has_tracking(rv->link)) {
		rv->again = true;
		loop_timer_set(rv->timer, POLL_EVERY);
	}
}

/* --- Following --------------------------------------------------------------
 */

static void
on_read(void *ctx, const struct redisReply *r)
{
	struct rview *rv = ctx;

	if (!rv->reading)
		return;
	rv->reading = false;
	if (r->type != REDIS_REPLY_ARRAY || r->elements != rv->n_asked * 2) {
		rv->events->trouble(rv->ctx, r);
		retry(rv);
		return;
	}
	for (size_t i = 0; i < rv->n_asked; i++)
		take(rv, &rv->asked[i], r->element[i * 2],
		    r->element[i * 2 + 1], false);
	if (prefixmap_count(rv->dirty) > 0)
		loop_timer_set(rv->reader, 0);
}

/* Takes up to READ_CHUNK addresses out of `dirty`. */
static void
pick(struct rview *rv)
{
	uint32_t end = prefixmap_end(rv->dirty);

	rv->n_asked = 0;
	for (uint32_t i = 0; i < end && rv->n_asked < READ_CHUNK; i++) {
		struct addr a;

		if (rv->dirty_at >= end)
			rv->dirty_at = 0;
		if (!prefixmap_used(rv->dirty, rv->dirty_at++))
			continue;
		a = prefixmap_key(rv->dirty, rv->dirty_at - 1);
		prefixmap_del(rv->dirty, &a);
		rv->asked[rv->n_asked++] = a;
	}
}

static void
on_reader(void *ctx)
{
	struct rview *rv = ctx;
	char key[PATTERN_MAX + ADDR_STRLEN], text[ADDR_STRLEN];
	struct resp *r;

	if (rv->state == OFF || rv->reading)
		return;
	pick(rv);
	if (rv->n_asked == 0)
		return;
	r = rlink_call(rv->link, RSCRIPT_READ, rv->n_asked);
	memcpy(key, rv->prefix, rv->block_len - 6);
	memcpy(key + rv->block_len - 6, "block:", 6);
	for (size_t i = 0; i < rv->n_asked; i++) {
		size_t len;

		addr_format(&rv->asked[i], text);
		len = strlen(text);
		memcpy(key + rv->block_len, text, len);
		resp_arg(r, key, rv->block_len + len);
	}
	rv->reading = true;
	resp_end(r, on_read, rv);
}

static void
all_changed(struct rview *rv)
{
	rv->again = true;
	rv->synced = false;
	if (rv->state == FOLLOWING || rv->state == WAITING)
		loop_timer_set(rv->timer, 0);
}

void
rview_changed(struct rview *rv, const char *key, size_t len)
{
	size_t plen = rv->block_len - 6;
	struct addr a;

	if (rv->state == OFF)
		return;
	if (key == NULL) {
		all_changed(rv);
	} else if (len == plen + 5 && memcmp(key, rv->prefix, plen) == 0 &&
	    memcmp(key + plen, "allow", 5) == 0) {
		rv->allow_dirty = true;
		if (rv->state == FOLLOWING)
			loop_timer_set(rv->timer, 0);
	} else if (key_addr(rv, key, len, &a)) {
		if (prefixmap_count(rv->dirty) >= DIRTY_MAX ||
		    prefixmap_add(rv->dirty, &a) == PREFIXMAP_NONE)
			all_changed(rv);
		if (!rv->reading && !loop_timer_pending(rv->reader))
			loop_timer_set(rv->reader, 0);
	}
}

void
rview_start(struct rview *rv)
{
	scan_begin(rv, SCANNING);
	loop_timer_set(rv->timer, 0);
}

void
rview_stop(struct rview *rv)
{
	rv->state = OFF;
	rv->synced = false;
	rv->reading = false;
	loop_timer_clear(rv->timer);
	loop_timer_clear(rv->reader);
	prefixmap_clear(rv->dirty);
	rv->dirty_at = 0;
}

void
rview_kick(struct rview *rv)
{
	if (rv->state == WAITING && !loop_timer_pending(rv->timer))
		loop_timer_set(rv->timer, 0);
}

bool
rview_is_synced(const struct rview *rv)
{
	return rv->synced;
}

uint64_t
rview_resyncs(const struct rview *rv)
{
	return rv->resyncs;
}

uint64_t
rview_malformed(const struct rview *rv)
{
	return rv->malformed;
}
