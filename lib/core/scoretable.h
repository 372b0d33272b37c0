/*
 * scoretable: the scores of all addresses that offended within a window.
 *
 * Bounded: when it is full, the entry not touched for the longest time goes.
 * Per entry it also keeps what was applied from each log source, so that
 * reading a log again changes nothing, and how often each rule hit.
 */
#ifndef MXW_SCORETABLE_H
#define MXW_SCORETABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/core/addr.h"
#include "lib/core/names.h"
#include "lib/core/score.h"
#include "lib/core/scoredetail.h"

struct scoretable;
struct snapshot_writer;
struct snapshot_reader;

struct scoretable *scoretable_create(size_t max);
void scoretable_destroy(struct scoretable **);

/* NULL if unknown. Entries stay where they are until removed. */
struct score_entry *scoretable_get(
    const struct scoretable *, const struct addr *);
/* Found or added (*added_r), and now the newest. NULL: no memory. */
struct score_entry *scoretable_touch(
    struct scoretable *, const struct addr *, bool *added_r);
/* Forgets the score, but not what was applied: a line that was applied stays
 * applied. True if there was a score. */
bool scoretable_clear(struct scoretable *, const struct addr *);
/* Removes, oldest touch first, what has `last` <= horizon, at most `max`. */
size_t scoretable_expire(struct scoretable *, double horizon, size_t max);
size_t scoretable_count(const struct scoretable *);
uint64_t scoretable_evicted(const struct scoretable *);
/* Walks up to `max` ids from *cursor (start at 0); false at the end. */
typedef void scoretable_visit(
    void *ctx, const struct addr *, const struct score_entry *);
bool scoretable_walk(const struct scoretable *, uint32_t *cursor, uint32_t max,
    scoretable_visit *, void *ctx);

/* Remembers the offset; false if it, or a later one, was applied before.
 * Epoch 0 is always new. */
bool scoretable_apply(
    struct scoretable *, struct score_entry *, uint64_t epoch, uint64_t offset);
/* Starts the counts anew. */
void scoretable_reset(struct scoretable *, struct score_entry *);
/* Counts a hit of this rule. */
void scoretable_hit(struct scoretable *, struct score_entry *, name_id rule);
/* Which rules hit, and how often; returns how many. */
size_t scoretable_rules(const struct scoretable *, const struct score_entry *,
    struct rule_count out[SCORETABLE_RULES]);

/* The content of a snapshot section, oldest touch first. */
void scoretable_save(const struct scoretable *, struct snapshot_writer *);
/* How many there was no memory for. */
size_t scoretable_load(struct scoretable *, struct snapshot_reader *);

#endif
