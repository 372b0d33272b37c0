/*
 * engine: see engine.h.
 */
#include "lib/core/engine_int.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/core/attempt.h"
#include "lib/core/history.h"
#include "lib/core/log.h"
#include "lib/core/num.h"
#include "lib/core/prefixmap.h"
#include "lib/core/snapshot.h"
#include "lib/core/xalloc.h"

/* Lines come out of order by a little (several writers, clocks that step);
 * what they belong to is kept for so long beyond its time. Seconds. */
#define ENGINE_SLACK 600.0
#define EXPIRE_CHUNK 1024
#define EXPECT_MIN 32768 /* entries; a smaller view is in the cache anyway */
#define SOURCES_MAX 1024

/* Names of levels come from other hosts, too: there may be any number. */
static struct engine_level *
engine_level(struct engine *e, name_id name)
{
	size_t i = 0;

	while (i < e->n_levels && i < ENGINE_LEVELS - 1 &&
	    e->levels[i].name != name)
		i++;
	if (i == e->n_levels) {
		e->levels[i].name =
		    i < ENGINE_LEVELS - 1 ? name : name_intern_str("(other)");
		e->n_levels++;
	}
	return &e->levels[i];
}

static void
view_full(struct engine *e, const struct addr *a, const char *what)
{
	char text[ADDR_STRLEN];

	e->stats.view_full++;
	log_limited(&e->limit_full, e->now, MSG_ERROR,
	    "out of memory: %s is not %s", addr_format(a, text), what);
}

static void
sink_blocked(void *ctx, const struct block *b, enum store_why why)
{
	struct engine *e = ctx;
	name_id old;
	bool had;

	if (!blocklist_replace(e->view, b, &had, &old)) {
		view_full(e, &b->addr, "blocked");
		return;
	}
	if (e->history != NULL)
		history_hold(e->history, &b->addr, true);
	if (had)
		engine_level(e, old)->blocked--;
	engine_level(e, b->level)->blocked++;
	engine_level(e, b->level)->decided +=
	    why == STORE_DECIDED || why == STORE_RAISED;
	if (why == STORE_DECIDED)
		e->stats.blocks++;
	if (why == STORE_RAISED)
		e->stats.raised++;
	if (e->events->blocked != NULL)
		e->events->blocked(e->ctx, b, why);
}

static void
sink_loading(void *ctx, size_t n)
{
	struct engine *e = ctx;

	blocklist_reserve(e->view, n);
}

static void
sink_unblocked(void *ctx, const struct addr *a, enum store_why why)
{
	struct engine *e = ctx;
	struct block b;

	if (!blocklist_get(e->view, a, &b))
		return;
	blocklist_del(e->view, a);
	if (e->history != NULL)
		history_hold(e->history, a, false);
	engine_level(e, b.level)->blocked--;
	if (e->events->unblocked != NULL)
		e->events->unblocked(e->ctx, &b, why);
}

static void
sink_allowed(void *ctx, const struct addr *a, bool present)
{
	struct engine *e = ctx;

	if (!present)
		prefixmap_del(e->shared_allow, a);
	else if (prefixmap_add(e->shared_allow, a) == PREFIXMAP_NONE)
		view_full(e, a, "allowed");
	if (e->events->allowed != NULL)
		e->events->allowed(e->ctx);
}

static void
sink_info(void *ctx, uint64_t ticket, const struct score_info *info)
{
	struct engine *e = ctx;

	if (e->events->info != NULL)
		e->events->info(e->ctx, ticket, info);
}

static void
sink_line(void *ctx, uint64_t ticket, const struct history_line *line)
{
	struct engine *e = ctx;

	if (e->events->line != NULL)
		e->events->line(e->ctx, ticket, line);
}

static void
sink_done(
    void *ctx, uint64_t ticket, enum store_result result, const char *text)
{
	struct engine *e = ctx;

	if (e->events->done != NULL)
		e->events->done(e->ctx, ticket, result, text);
}

static const struct store_sink engine_sink = {
	.blocked = sink_blocked,
	.loading = sink_loading,
	.unblocked = sink_unblocked,
	.allowed = sink_allowed,
	.info = sink_info,
	.line = sink_line,
	.done = sink_done,
};

void
engine_wake(const struct engine *e)
{
	if (e->events->wake != NULL)
		e->events->wake(e->ctx);
}

static void
engine_configure(struct engine *e, const struct conf *conf)
{
	e->conf = conf;
	e->params.window = conf->window;
	e->params.repeat = conf->repeat;
	e->params.levels = conf->levels;
	e->params.n_levels = conf->n_levels;
	e->params.host = name_intern_str(conf->host);
	prefixmap_destroy(&e->allow);
	e->allow = prefixmap_create();
	for (size_t i = 0; i < conf->n_allow; i++)
		prefixmap_add(e->allow, &conf->allow[i]);
	store_configure(e->store, &e->params);
}

struct engine *
engine_create(const struct conf *conf, struct store *store,
    const struct engine_events *events, void *ctx)
{
	static const struct engine_events none;
	struct engine *e = x_calloc(1, sizeof(*e));

	e->store = store;
	e->events = events != NULL ? events : &none;
	e->ctx = ctx;
	e->view = blocklist_create();
	e->shared_allow = prefixmap_create();
	e->horizon = -INFINITY;
	store_set_sink(store, &engine_sink, e, e->view);
	engine_configure(e, conf);
	return e;
}

void
engine_destroy(struct engine **ep)
{
	struct engine *e = *ep;

	if (e == NULL)
		return;
	for (size_t i = 0; i < e->n_sources; i++)
		source_destroy(&e->sources[i].src);
	free(e->sources);
	blocklist_destroy(&e->view);
	prefixmap_destroy(&e->allow);
	prefixmap_destroy(&e->shared_allow);
	history_destroy(&e->history);
	free(e);
	*ep = NULL;
}

void
engine_keep_history(struct engine *e, size_t addresses)
{
	e->history = history_create(addresses);
	store_set_history(e->store, e->history);
}

const struct history *
engine_history(const struct engine *e)
{
	return e->history;
}

/* The set list of a log of this name in a configuration, or NULL. */
static const char *const *
conf_sets(const struct conf *conf, const char *name)
{
	for (size_t i = 0; i < conf->n_logs; i++)
		if (conf_log_covers(&conf->logs[i], name))
			return conf->logs[i].sets;
	return NULL;
}

void
engine_reconfigure(struct engine *e, const struct conf *conf)
{
	engine_configure(e, conf);
	for (size_t i = 0; i < e->n_sources; i++) {
		struct entry *en = &e->sources[i];

		if (en->sets == NULL)
			continue;
		en->sets = conf_sets(conf, source_name(en->src));
		source_set_rules(en->src, conf->rules, en->sets);
	}
}

static struct entry *
entry_add(struct engine *e, struct source *src)
{
	e->sources =
	    x_reallocarray(e->sources, e->n_sources + 1, sizeof(*e->sources));
	e->sources[e->n_sources] = (struct entry){ .src = src };
	return &e->sources[e->n_sources++];
}

struct source *
engine_source_add(struct engine *e, const char *name, const char *const *sets)
{
	struct entry *en = NULL;

	for (size_t i = 0; i < e->n_sources && en == NULL; i++)
		if (strcmp(source_name(e->sources[i].src), name) == 0)
			en = &e->sources[i];
	if (en == NULL)
		en = entry_add(e, source_create(name));
	en->sets = sets;
	source_set_rules(en->src, e->conf->rules, sets);
	source_set_current(en->src, false);
	return en->src;
}

void
engine_source_remove(struct engine *e, struct source **sp)
{
	for (size_t i = 0; i < e->n_sources; i++)
		if (e->sources[i].src == *sp)
			e->sources[i].sets = NULL;
	*sp = NULL;
}

struct addr
engine_scope(const struct engine *e, const struct addr *client)
{
	return addr_mask(client,
	    addr_is_v4(client) ? ADDR_V4_BITS + e->conf->ipv4_prefix
			       : e->conf->ipv6_prefix);
}

bool
engine_is_allowed(const struct engine *e, const struct addr *a)
{
	return prefixmap_match(e->allow, a, 128, NULL) != PREFIXMAP_NONE ||
	    prefixmap_match(e->shared_allow, a, 128, NULL) != PREFIXMAP_NONE;
}

bool
engine_match(
    const struct engine *e, const struct addr *a, double now, struct block *out)
{
	return blocklist_match(
	    e->view, a, now, e->conf->levels, e->conf->n_levels, out);
}

/* The action of the level that the client is blocked at. */
static void
verdict_block(struct engine *e, double now, struct verdict *out)
{
	char address[ADDR_STRLEN], until[NUM_TIME_LEN];
	struct policy_action_args args = {
		.address = addr_format(&out->addr, address),
		.rule = name_text(out->block.rule),
		.level = name_text(out->block.level),
	};
	int level =
	    level_find(e->conf->levels, e->conf->n_levels, out->block.level);
	const char *tmpl;

	if (level < 0) {
		log_limited(&e->limit_level, now, MSG_WARNING,
		    "%s is blocked at level '%s', which is not configured: "
		    "let through",
		    address, args.level);
		return;
	}
	out->why = VERDICT_BLOCKED;
	if (e->conf->dry_run) {
		out->dry = true;
		return;
	}
	tmpl = e->conf->levels[level].action;
	/* Calendar arithmetic costs more than all the rest. */
	if (strstr(tmpl, "{until}") != NULL)
		args.until = num_format_time(out->block.until, until);
	out->action_len = policy_format_action(tmpl, &args, e->action);
	out->action = e->action;
	out->dunno = false;
}

static void
query_decide(struct engine *e, const struct policy_request *req, double now,
    struct verdict *out)
{
	const struct policy_str *ca = &req->attr[POLICY_CLIENT_ADDRESS];

	if (ca->ptr == NULL || !addr_parse_host(ca->ptr, ca->len, &out->addr)) {
		out->why = VERDICT_NO_ADDRESS;
		return;
	}
	/* Most clients are in no list at all: look there last. */
	if (!engine_match(e, &out->addr, now, &out->block))
		return;
	if (engine_is_allowed(e, &out->addr))
		out->why = VERDICT_ALLOWED;
	else if (e->conf->allow_authenticated &&
	    req->attr[POLICY_SASL_USERNAME].len > 0)
		out->why = VERDICT_AUTHENTICATED;
	else
		verdict_block(e, now, out);
}

void
engine_query(struct engine *e, const struct policy_request *req, double now,
    struct verdict *out)
{
	out->dunno = true;
	out->dry = false;
	out->action = POLICY_DUNNO;
	out->action_len = sizeof(POLICY_DUNNO) - 1;
	out->why = VERDICT_PASS;
	query_decide(e, req, now, out);
	e->stats.queries++;
	e->stats.by_why[out->why]++;
	e->stats.dry += out->dry;
}

void
engine_expect(struct engine *e, const char *address, size_t len)
{
	e->expecting = blocklist_count(e->view) >= EXPECT_MIN &&
	    addr_parse_host(address, len, &e->expected);
	if (e->expecting)
		blocklist_expect(e->view, &e->expected);
}

void
engine_expect_later(const struct engine *e)
{
	if (e->expecting)
		blocklist_expect_later(e->view, &e->expected);
}

static void
expired(void *ctx, const struct block *b)
{
	struct engine *e = ctx;

	if (e->history != NULL)
		history_hold(e->history, &b->addr, false);
	e->stats.expired++;
	engine_level(e, b->level)->blocked--;
	if (e->events->unblocked != NULL)
		e->events->unblocked(e->ctx, b, STORE_EXPIRED);
}

enum store_flow
engine_flow(struct engine *e, bool can_replay)
{
	unsigned flags = STORE_FLOW_CURRENT;

	if (can_replay)
		flags |= STORE_FLOW_CAN_REPLAY;
	for (size_t i = 0; i < e->n_sources; i++)
		if (e->sources[i].sets != NULL &&
		    !source_is_current(e->sources[i].src))
			flags &= ~STORE_FLOW_CURRENT;
	return store_flow(e->store, flags);
}

bool
engine_tick(struct engine *e, double now)
{
	double blocks = now;
	bool more;

	e->now = now;
	e->horizon = now - ENGINE_SLACK;
	for (size_t i = 0; i < e->n_sources; i++) {
		const struct entry *en = &e->sources[i];

		if (en->sets == NULL || source_is_current(en->src))
			continue;
		/* The past is still being read, and how far back it goes
		 * nobody knows: one line with a wrong time would tell. Until
		 * then the bounds of the tables are all that forgets. */
		e->horizon = blocks = -INFINITY;
	}
	more = store_poll(e->store, now, e->horizon);
	more |= blocklist_expire(e->view, blocks, EXPIRE_CHUNK, expired, e) ==
	    EXPIRE_CHUNK;
	return more;
}

/* What an address given by hand stands for: its own entry, if it has one,
 * else the prefix under which it is scored. */
static struct addr
admin_target(const struct engine *e, const struct addr *a)
{
	struct block b;

	return blocklist_get(e->view, a, &b) ? *a : engine_scope(e, a);
}

void
engine_block(struct engine *e, uint64_t ticket, const struct block *b)
{
	store_block(e->store, ticket, b);
	engine_wake(e);
}

void
engine_unblock(struct engine *e, uint64_t ticket, const struct addr *a)
{
	struct addr target = admin_target(e, a);

	store_unblock(e->store, ticket, &target);
	engine_wake(e);
}

void
engine_unblock_all(struct engine *e, uint64_t ticket)
{
	store_unblock_all(e->store, ticket);
	engine_wake(e);
}

void
engine_forgive(struct engine *e, uint64_t ticket, const struct addr *a)
{
	struct addr target = admin_target(e, a);

	store_forgive(e->store, ticket, &target);
	engine_wake(e);
}

void
engine_allow(
    struct engine *e, uint64_t ticket, const struct addr *a, bool present)
{
	store_allow(e->store, ticket, a, present);
	engine_wake(e);
}

void
engine_fetch(struct engine *e, uint64_t ticket, const struct addr *a)
{
	struct addr target = engine_scope(e, a);

	store_fetch(e->store, ticket, &target);
	engine_wake(e);
}

void
engine_top(struct engine *e, uint64_t ticket, size_t n)
{
	store_top(e->store, ticket, n);
	engine_wake(e);
}

const struct blocklist *
engine_view(const struct engine *e)
{
	return e->view;
}

bool
engine_allow_next(const struct engine *e, size_t *cursor, struct addr *out)
{
	uint32_t end = prefixmap_end(e->shared_allow);

	while (*cursor < end) {
		uint32_t id = (uint32_t)(*cursor)++;

		if (prefixmap_used(e->shared_allow, id)) {
			*out = prefixmap_key(e->shared_allow, id);
			return true;
		}
	}
	return false;
}

bool
engine_level_nth(const struct engine *e, size_t n, struct engine_level *out)
{
	if (n >= e->n_levels)
		return false;
	*out = e->levels[n];
	return true;
}

void
engine_stats(const struct engine *e, struct engine_stats *out)
{
	*out = e->stats;
}

void
engine_save_sources(const struct engine *e, struct snapshot_writer *w)
{
	snapshot_put_u8(w, SNAPSHOT_SOURCES);
	for (size_t i = 0; i < e->n_sources; i++)
		source_save(e->sources[i].src, w);
	snapshot_put_u8(w, 0);
}

void
engine_load_sources(struct engine *e, struct snapshot_reader *r)
{
	struct source *src;

	while ((src = source_load(r)) != NULL) {
		if (e->n_sources < SOURCES_MAX)
			entry_add(e, src);
		else
			source_destroy(&src);
	}
}

void
engine_save_history(const struct engine *e, struct snapshot_writer *w)
{
	if (e->history == NULL)
		return;
	snapshot_put_u8(w, SNAPSHOT_HISTORY);
	history_save(e->history, w);
}

static bool
is_held(void *ctx, const struct addr *a)
{
	const struct engine *e = ctx;
	struct block b;

	return blocklist_get(e->view, a, &b);
}

void
engine_load_history(struct engine *e, struct snapshot_reader *r)
{
	if (e->history != NULL)
		history_load(e->history, r, is_held, e);
}
