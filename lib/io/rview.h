/*
 * rview: keeps the view equal to the block keys in Redis, and the shared allow
 * list to its set.
 *
 *   off --start--> scanning --end of keys--> waiting --hits applied--> sweeping
 *                     ^                                                   |
 *                     +------- everything may have changed ----- following
 *
 * Scanning reads all block keys in chunks of RVIEW_CHUNK. An entry of the view
 * that was not met goes in the sweep, but only after the hits that were pending
 * when scanning began have reached Redis: what this host decided while Redis
 * was away is not there before. A key that is said to have changed is read
 * again; many are read in one call, one call at a time.
 *
 * Chunks of work are small, and each waits for its turn of the loop; a million
 * keys do not hold up an answer.
 *
 * Keys and values are made by other hosts and by hand: what is not a block is
 * told of (at a limited rate), counted and passed over.
 */
#ifndef MXW_RVIEW_H
#define MXW_RVIEW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/core/blocklist.h"

#define RVIEW_CHUNK 500

struct loop;
struct redisReply;
struct rlink;
struct rview;

struct rview_events {
	/* `found`: while scanning; else because the key has changed. Called
	 * only when it differs from what is in the view. */
	void (*set)(void *ctx, const struct block *, bool found);
	void (*gone)(void *ctx, const struct addr *);
	void (*allowed)(void *ctx, const struct addr *, bool present);
	/* The entries of the shared allow list as the owner has them. */
	bool (*allow_next)(void *ctx, size_t *cursor, struct addr *out);
	/* May the sweep begin? */
	bool (*may_sweep)(void *ctx);
	/* A reply said NOSCRIPT or could not be used. */
	void (*trouble)(void *ctx, const struct redisReply *);
};

struct rview *rview_create(struct loop *, struct rlink *, const char *prefix,
    const struct rview_events *, void *ctx);
void rview_destroy(struct rview **);
/* The view that is to be kept; borrowed. */
void rview_attach(struct rview *, const struct blocklist *);
/* The link is up, or gone. */
void rview_start(struct rview *);
void rview_stop(struct rview *);
/* This key may have changed; NULL: any. */
void rview_changed(struct rview *, const char *key, size_t len);
/* An entry that the owner has set because Redis says so: not to be swept. */
void rview_mark(struct rview *, const struct addr *);
/* The sweep waits, and what it waits for may have come. */
void rview_kick(struct rview *);

bool rview_is_synced(const struct rview *);
uint64_t rview_resyncs(const struct rview *);
uint64_t rview_malformed(const struct rview *);

#endif
