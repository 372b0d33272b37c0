/*
 * prefixmap: a set of addresses and prefixes, longest match first.
 *
 * Each entry has a small dense id, stable while it is in the map, so that
 * users keep what belongs to it in an array beside (pool.h). A hash table over
 * (prefix, length); a match probes only the lengths that occur, per family:
 * with hosts and /64s one or two probes, whatever the size. Growing moves a
 * few buckets with each change, so no single call takes long. Adding reports
 * lack of memory; nothing else can fail.
 */
#ifndef MXW_PREFIXMAP_H
#define MXW_PREFIXMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/core/addr.h"

#define PREFIXMAP_NONE UINT32_MAX

struct prefixmap;

struct prefixmap *prefixmap_create(void);
void prefixmap_destroy(struct prefixmap **);
/* Removes all entries. Needs no memory, unlike a new map. */
void prefixmap_clear(struct prefixmap *);

/*
 * So many entries are to come, all at once: an empty map gets a table for them,
 * if there is memory, and need not grow.
 */
void prefixmap_reserve(struct prefixmap *, size_t n);
/* The id of this entry, added if need be; NONE when there is no memory. */
uint32_t prefixmap_add(struct prefixmap *, const struct addr *);
/* The id of exactly this entry, or NONE. */
uint32_t prefixmap_get(const struct prefixmap *, const struct addr *);
/* Removes; returns the id that it had (free for reuse now), or NONE. */
uint32_t prefixmap_del(struct prefixmap *, const struct addr *);
/*
 * The longest prefix of at most `max_plen` bits that holds `host`, or NONE. To
 * go on with the next shorter one, call again with max_plen = *plen_r - 1
 * (stop when *plen_r is 0). plen_r may be NULL.
 */
uint32_t prefixmap_match(const struct prefixmap *, const struct addr *host,
    unsigned max_plen, unsigned *plen_r);
/*
 * For look-ups whose data is in no cache of the processor. expect() has it
 * fetch what a match for this host looks at first, while the caller does
 * something else. guess(), after a while, has it fetch the next, and is the id
 * that the match may find, or NONE: the caller can have fetched what it keeps
 * for it.
 */
void prefixmap_expect(const struct prefixmap *, const struct addr *host);
uint32_t prefixmap_guess(const struct prefixmap *, const struct addr *host);
/* The address of an id that is in the map. */
struct addr prefixmap_key(const struct prefixmap *, uint32_t id);
size_t prefixmap_count(const struct prefixmap *);
/* Walking: ids are below prefixmap_end(); is this one in the map? */
uint32_t prefixmap_end(const struct prefixmap *);
bool prefixmap_used(const struct prefixmap *, uint32_t id);

#endif
