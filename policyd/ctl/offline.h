/*
 * offline: the engine without a daemon, for explain and replay.
 *
 * The configuration's rules, levels and allow list, with an embedded store that
 * begins empty. Shared state (Redis, the state directory) is not touched.
 */
#ifndef MXW_OFFLINE_H
#define MXW_OFFLINE_H

#include "lib/core/conf.h"
#include "lib/core/engine.h"
#include "policyd/ctl/ctl.h"

struct offline {
	struct conf *conf;
	struct store *store;
	struct engine *engine;
};

/* -1 after an error message. */
int offline_create(struct offline *, const struct ctl *,
    const struct engine_events *, void *ctx);
void offline_destroy(struct offline *);

/*
 * The rule sets to use, NULL-terminated: those of --rules; or of the configured
 * log that is this file; or of all configured logs; or, without a path or a
 * log, all there are. NULL
 * after an error message. The array is the caller's, the strings are the
 * configuration's. `path` may be NULL.
 */
const char **offline_sets(
    const struct offline *, const struct ctl *, const char *path);

#endif
