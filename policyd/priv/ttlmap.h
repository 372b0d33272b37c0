/*
 * ttlmap: addresses and prefixes, each with a number: seconds that are left in
 * a batch of changes, or the time at which the packet filter forgets.
 */
#ifndef MXW_TTLMAP_H
#define MXW_TTLMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/core/addr.h"

struct ttlmap;

struct ttlmap *ttlmap_create(void);
void ttlmap_destroy(struct ttlmap **);
/* Adds or replaces. Lack of memory ends the program: it is a helper, whose end
 * the daemon survives. */
void ttlmap_set(struct ttlmap *, const struct addr *, double value);
bool ttlmap_get(const struct ttlmap *, const struct addr *, double *value_r);
bool ttlmap_has(const struct ttlmap *, const struct addr *);
void ttlmap_del(struct ttlmap *, const struct addr *);
void ttlmap_clear(struct ttlmap *);
size_t ttlmap_count(const struct ttlmap *);
/* Walks from *cursor = 0, in no order; what is removed meanwhile is not seen.
 * False at the end. */
bool ttlmap_next(const struct ttlmap *, uint32_t *cursor, struct addr *addr_r,
    double *value_r);
/* The smallest value, or INFINITY. */
double ttlmap_least(const struct ttlmap *);
/* Removes what has a value up to this one. */
void ttlmap_expire(struct ttlmap *, double limit);

#endif
