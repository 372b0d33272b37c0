/*
 * logs: the configured logs: each a tail that feeds a source of the engine.
 * Files that only root may read are opened by mxwarden-priv.
 */
#ifndef MXW_LOGS_H
#define MXW_LOGS_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/core/engine.h"
#include "lib/core/errbuf.h"
#include "lib/io/tail.h"

struct loop;
struct logs;

struct log_view {
	const char *path;
	struct source_stats source;
	struct tail_stats tail;
	struct logpos pos;
};

/* `progress` is called when something was read. */
struct logs *logs_create(
    struct loop *, struct engine *, void (*progress)(void *ctx), void *ctx);
/* Can all logs of this configuration be read by this build? */
int logs_check(const struct conf *, struct errbuf *);
/* Starts the helper that opens what this process will not be permitted to:
 * before privileges are dropped. */
int logs_start_helper(
    struct logs *, const struct conf *, bool foreground, struct errbuf *);
/* "none", "running" or "gone". */
const char *logs_helper_state(const struct logs *);
void logs_destroy(struct logs **);
/* Follows the logs of this configuration: new ones are opened, those that are
 * not in it any more are closed, the others go on where they are. `beginning`:
 * read those without a position from their start, whatever they say. */
void logs_configure(struct logs *, const struct conf *, bool beginning);
/* Does what the store asks for (store_flow); to be called now and then. */
void logs_flow(struct logs *);
/* Tells the engine's sources where their tails are. */
void logs_sync(struct logs *);
/* A log that is missing holds nothing up: call it before engine_tick(). */
void logs_tick(struct logs *);
size_t logs_count(const struct logs *);
void logs_view(const struct logs *, size_t n, struct log_view *out);

#endif
