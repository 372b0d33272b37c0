/*
 * store_embedded: scores, blocks, strikes and the allow list in this process.
 *
 * Decisions are made at once and delivered by the next poll. Memory is
 * bounded by max_addresses: beyond it the score that was not touched for the
 * longest time is dropped, and counted. Everything can be saved and loaded
 * (snapshot.h); a crash is repaired by reading the log again from the position
 * in the snapshot.
 *
 * The Redis store uses the same code as its local defence.
 */
#ifndef MXW_STORE_EMBEDDED_H
#define MXW_STORE_EMBEDDED_H

#include "lib/core/store.h"

struct store *store_embedded_create(
    const struct store_params *params, size_t max_addresses);

/*
 * For a store that keeps this one as its local defence: store_hit() in two
 * steps. The first scores (false: applied before), the second blocks if the
 * score is high enough by now.
 */
bool store_embedded_score(struct store *, const struct hit *);
void store_embedded_judge(struct store *, const struct hit *);
/* Forgets the score, and the strikes if so wanted. */
void store_embedded_forget(struct store *, const struct addr *, bool strikes);
/* Changes the allow list at once (from the loop); true if it did change. */
bool store_embedded_allow(struct store *, const struct addr *, bool present);
/* Walks the allow list; *cursor starts at 0. */
bool store_embedded_allow_next(
    const struct store *, size_t *cursor, struct addr *out);

#endif
