/*
 * prefixkeys: the entries of a prefixmap, by their ids: a key and the next id
 * in the chain. Of use to prefixmap.c only, which looks at them in its inner
 * loops: hence the functions here.
 *
 * Nearly all entries are IPv4, of which there may be millions: they take eight
 * bytes, of which six bits are the length. IPv6 keys are in a pool of their
 * own, beside. The bits that are left for the chain bound the number of ids.
 */
#ifndef MXW_PREFIXKEYS_H
#define MXW_PREFIXKEYS_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "lib/core/addr.h"
#include "lib/core/pool.h"

#define PREFIXKEYS_KINDS 26 /* bit of `link` at which the kind begins */
#define PREFIXKEYS_END ((1u << PREFIXKEYS_KINDS) - 1) /* no entry */

/* Kinds of entries: 0 to 32 is the length of an IPv4 prefix. */
#define PREFIXKEYS_V6 62u
#define PREFIXKEYS_FREE 63u

struct prefixkey {
	uint32_t key;  /* IPv4 address, or number of a prefixkey6 */
	uint32_t link; /* kind, and the next in the chain or of the free */
};

struct prefixkey6 {
	uint8_t b[16];
	uint32_t plen; /* if it is unused: the next unused one */
};

struct prefixkeys {
	struct pool entries;
	uint32_t end;  /* ids ever used */
	uint32_t free; /* head of free entries, or END */
	struct pool keys6;
	uint32_t end6, free6; /* the same of its items */
};

void prefixkeys_init(struct prefixkeys *);
/* Frees all; usable again. */
void prefixkeys_clear(struct prefixkeys *);
/* An unused entry gets this key; END without memory or numbers. */
uint32_t prefixkeys_add(struct prefixkeys *, const struct addr *);
void prefixkeys_del(struct prefixkeys *, uint32_t id);
struct addr prefixkeys_get(const struct prefixkeys *, uint32_t id);

static inline struct prefixkey *
prefixkeys_at(const struct prefixkeys *pk, uint32_t id)
{
	return pool_at(&pk->entries, id);
}

static inline bool
prefixkeys_used(const struct prefixkeys *pk, uint32_t id)
{
	return id < pk->end &&
	    prefixkeys_at(pk, id)->link >> PREFIXKEYS_KINDS != PREFIXKEYS_FREE;
}

static inline uint32_t
prefixkeys_next(const struct prefixkeys *pk, uint32_t id)
{
	return prefixkeys_at(pk, id)->link & PREFIXKEYS_END;
}

static inline void
prefixkeys_set_next(const struct prefixkeys *pk, uint32_t id, uint32_t next)
{
	struct prefixkey *e = prefixkeys_at(pk, id);

	e->link = (e->link & ~PREFIXKEYS_END) | next;
}

static inline uint32_t
prefixkeys_kind(const struct addr *a)
{
	return addr_is_v4(a) ? (uint32_t)a->plen - ADDR_V4_BITS : PREFIXKEYS_V6;
}

/* An IPv4 address as a number; its order of bytes does not matter. */
static inline uint32_t
prefixkeys_v4(const struct addr *a)
{
	uint32_t v;

	memcpy(&v, a->b + 12, sizeof(v));
	return v;
}

/* Is this its key? `kind` and `v4` are those of the address. */
static inline bool
prefixkeys_is(const struct prefixkeys *pk, uint32_t id, const struct addr *a,
    uint32_t kind, uint32_t v4)
{
	const struct prefixkey *e = prefixkeys_at(pk, id);
	const struct prefixkey6 *k;

	if (e->link >> PREFIXKEYS_KINDS != kind)
		return false;
	if (kind != PREFIXKEYS_V6)
		return e->key == v4;
	k = pool_at(&pk->keys6, e->key);
	return k->plen == a->plen && memcmp(k->b, a->b, 16) == 0;
}

#endif
