/*
 * blocklist: the view. Blocked addresses and prefixes with their expiry, in
 * memory, for answers that wait for nothing.
 *
 * Lookups take `now` and never see an expired entry. Expired entries are
 * removed by blocklist_expire(), which the owner calls with the time up to
 * which the log has been read: while the log of an hour ago is read again, a
 * block of then must still be known to be active then.
 *
 * Blocks may overlap: a network blocked by hand, a host in it by its score. The
 * strictest level holds, so that no block ever makes another one weaker.
 */
#ifndef MXW_BLOCKLIST_H
#define MXW_BLOCKLIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/core/addr.h"
#include "lib/core/names.h"
#include "lib/core/score.h"

struct block {
	struct addr addr;
	double until; /* seconds since 1970 */
	double since; /* when this block began (not when it was last raised) */
	double score; /* what decided it; 0 = set by hand */
	name_id level;
	name_id rule;	  /* the deciding rule, or the reason given by hand */
	name_id by;	  /* host that decided */
	unsigned strikes; /* earlier blocks counted when it began */
	bool own_strike; /* it counts as one itself, and only it knows so far */
};

struct blocklist;

struct blocklist *blocklist_create(void);
void blocklist_destroy(struct blocklist **);

/*
 * A million blocks need no million entries in a table of strikes: what a block
 * counts for it keeps itself while it is there. This is called with a block
 * that has own_strike and goes, or is replaced by one that has not.
 */
typedef void blocklist_ended(void *ctx, const struct block *);
void blocklist_on_end(struct blocklist *, blocklist_ended *, void *ctx);
/* Ends just that: the block stays, without own_strike. */
void blocklist_end_strike(struct blocklist *, const struct addr *);

/* So many are to come, all at once: see prefixmap_reserve(). */
void blocklist_reserve(struct blocklist *, size_t n);
/* Adds or replaces. False when there is no memory (the caller counts it). */
bool blocklist_set(struct blocklist *, const struct block *);
/* The same; *had_r: was there one of this address, of level *level_r? */
bool blocklist_replace(
    struct blocklist *, const struct block *, bool *had_r, name_id *level_r);
/* Exactly this address or prefix; true if it was there. */
bool blocklist_del(struct blocklist *, const struct addr *);
/* The entry for exactly this prefix, expired or not; false if none. */
bool blocklist_get(
    const struct blocklist *, const struct addr *, struct block *out);
/* The entry's number, dense and its own until it is removed. */
bool blocklist_id(
    const struct blocklist *, const struct addr *, uint32_t *id_r);
/*
 * Of the entries that hold all of `a` and have not expired at `now`, the one of
 * the strictest level: the last of these `n` levels, which are a ladder (see
 * score.h). At the same level the longest prefix; names that are no level count
 * least.
 */
bool blocklist_match(const struct blocklist *, const struct addr *a, double now,
    const struct level *levels, size_t n, struct block *out);

/* A match for this host is to come soon, and sooner: see prefixmap_expect() and
 * prefixmap_guess(). */
void blocklist_expect(const struct blocklist *, const struct addr *host);
void blocklist_expect_later(const struct blocklist *, const struct addr *host);

/* Removes up to `max` entries with until <= horizon; calls `gone` for each
 * (may be NULL). Returns how many. */
typedef void blocklist_visit(void *ctx, const struct block *);
size_t blocklist_expire(struct blocklist *, double horizon, size_t max,
    blocklist_visit *gone, void *ctx);
/* The earliest expiry, or INFINITY. */
double blocklist_next(const struct blocklist *);
/* Entries, the expired and not yet removed included. */
size_t blocklist_count(const struct blocklist *);

/*
 * Walks in no particular order. *cursor starts at 0; returns false at the end.
 * Entries added or removed meanwhile may or may not be seen, others are seen
 * once.
 */
bool blocklist_next_entry(
    const struct blocklist *, size_t *cursor, struct block *out);

#endif
