/*
 * prefixmap: addresses and prefixes -> a 32-bit value, longest prefix first.
 *
 * A hash table over (prefix, length); a match probes only the lengths that
 * occur, per family. With hosts and /64s that is one or two probes, whatever
 * the size. Growing moves a few slots with each change, so no single call
 * takes long. Calls that add report lack of memory; nothing else can fail.
 */
#ifndef MXW_PREFIXMAP_H
#define MXW_PREFIXMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/core/addr.h"

struct prefixmap;

struct prefixmap *prefixmap_create(void);
void prefixmap_destroy(struct prefixmap **);

/* Sets or replaces. False when there is no memory: the map is unchanged. */
bool prefixmap_set(struct prefixmap *, const struct addr *, uint32_t value);
bool prefixmap_get(const struct prefixmap *, const struct addr *,
    uint32_t *value_r);
bool prefixmap_del(struct prefixmap *, const struct addr *);
/*
 * The longest prefix of at most `max_plen` bits that holds `host`. To go on
 * with the next shorter one, call again with max_plen = *plen_r - 1 (stop at
 * 0). Outputs may be NULL.
 */
bool prefixmap_match(const struct prefixmap *, const struct addr *host,
    unsigned max_plen, uint32_t *value_r, unsigned *plen_r);
size_t prefixmap_count(const struct prefixmap *);
/* Number of entries that are wider than a host. */
size_t prefixmap_count_wide(const struct prefixmap *);

#endif
