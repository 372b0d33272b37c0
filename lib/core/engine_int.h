/*
 * engine_int: what engine.c and engine_feed.c share. Private to them.
 */
#ifndef MXW_ENGINE_INT_H
#define MXW_ENGINE_INT_H

#include "lib/core/engine.h"
#include "lib/core/log.h"

#define ENGINE_LEVELS 32

struct entry {
	struct source *src;
	const char *const *sets; /* NULL: remembered, but not in use */
};

struct engine {
	const struct conf *conf;
	struct store *store;
	struct store_params params;
	const struct engine_events *events;
	void *ctx;

	struct blocklist *view;
	bool expecting; /* a query about this address, see policy_hints */
	struct addr expected;
	struct prefixmap *allow;	/* configured */
	struct prefixmap *shared_allow; /* of the store */
	struct history *history;	/* NULL = not kept */

	struct entry *sources;
	size_t n_sources;
	double horizon; /* scores before it may be forgotten */
	double now;	/* of the last tick */

	struct engine_stats stats;
	struct engine_level levels[ENGINE_LEVELS]; /* the last: all others */
	size_t n_levels;
	struct loglimit limit_match, limit_level, limit_full;
	char action[POLICY_ACTION_MAX + 1];
};

/* Tells the owner that something waits to be delivered. */
void engine_wake(const struct engine *);

#endif
