/*
 * prefixmap: see prefixmap.h.
 *
 * Chained buckets. While the table grows there are two bucket arrays: bucket i
 * of the small one splits into i and i + n of the large one, in order, a few
 * with each change; an entry is in exactly one of them at any time. The seed
 * is fixed per map: it only has to differ between processes, and the addresses
 * that get in have been scored first.
 */
#include "lib/core/prefixmap.h"

#include <stdlib.h>
#include <string.h>

#include "lib/core/pool.h"
#include "lib/core/xalloc.h"

#define MAP_MIN_BUCKETS 64u
#define MAP_MOVES 8 /* buckets moved with each change */
#define MAP_FREE 0xff /* plen of an unused entry */

struct entry {
	uint8_t b[16];
	uint32_t next; /* in the chain, or in the list of free entries */
	uint8_t plen;
};

struct prefixmap {
	struct pool entries;
	uint32_t end;  /* ids ever used */
	uint32_t free; /* head of free entries, or NONE */
	size_t count;

	uint32_t *buckets;
	uint32_t n_buckets; /* a power of two */
	uint32_t *old;	    /* half the size, while growing; else NULL */
	uint32_t moved;	    /* buckets of old[] already moved */

	uint64_t seed;
	uint32_t n_plen[2][129]; /* entries per length: IPv6, IPv4 */
	uint64_t has_plen[2][3]; /* the same as bits */
};

static struct entry *
entry_at(const struct prefixmap *pm, uint32_t id)
{
	return pool_at(&pm->entries, id);
}

static void
entry_key(const struct entry *e, struct addr *out)
{
	memcpy(out->b, e->b, 16);
	out->plen = e->plen;
}

static uint32_t *
buckets_create(uint32_t n)
{
	uint32_t *b = malloc(n * sizeof(*b));

	if (b != NULL)
		memset(b, 0xff, n * sizeof(*b));
	return b;
}

struct prefixmap *
prefixmap_create(void)
{
	struct prefixmap *pm = x_calloc(1, sizeof(*pm));

	pool_init(&pm->entries, sizeof(struct entry));
	pm->free = PREFIXMAP_NONE;
	pm->n_buckets = MAP_MIN_BUCKETS;
	pm->buckets = x_calloc(pm->n_buckets, sizeof(*pm->buckets));
	memset(pm->buckets, 0xff, pm->n_buckets * sizeof(*pm->buckets));
	/* Where the allocator put it is random enough; see above. */
	pm->seed = (uint64_t)(uintptr_t)pm * 0x9e3779b97f4a7c15u;
	return pm;
}

void
prefixmap_destroy(struct prefixmap **pmp)
{
	struct prefixmap *pm = *pmp;

	if (pm == NULL)
		return;
	pool_clear(&pm->entries);
	free(pm->buckets);
	free(pm->old);
	free(pm);
	*pmp = NULL;
}

/* The bucket that holds this hash now. */
static uint32_t *
bucket_of(const struct prefixmap *pm, uint64_t hash)
{
	if (pm->old != NULL) {
		uint32_t i = (uint32_t)hash & (pm->n_buckets / 2 - 1);

		if (i >= pm->moved)
			return &pm->old[i];
	}
	return &pm->buckets[(uint32_t)hash & (pm->n_buckets - 1)];
}

static void
bucket_move(struct prefixmap *pm, uint32_t i)
{
	uint32_t id = pm->old[i];

	while (id != PREFIXMAP_NONE) {
		struct entry *e = entry_at(pm, id);
		uint32_t next = e->next, *to;
		struct addr key;

		entry_key(e, &key);
		to = &pm->buckets[(uint32_t)addr_hash(&key, pm->seed) &
		    (pm->n_buckets - 1)];
		e->next = *to;
		*to = id;
		id = next;
	}
}

/* A little of the way to the larger table. */
static void
map_grow(struct prefixmap *pm)
{
	uint32_t half = pm->n_buckets / 2;

	if (pm->old == NULL) {
		uint32_t *b;

		if (pm->count < pm->n_buckets || pm->n_buckets > UINT32_MAX / 4)
			return;
		b = buckets_create(pm->n_buckets * 2);
		if (b == NULL)
			return; /* longer chains do as well */
		pm->old = pm->buckets;
		pm->buckets = b;
		pm->n_buckets *= 2;
		pm->moved = 0;
		return;
	}
	for (int i = 0; i < MAP_MOVES && pm->moved < half; i++)
		bucket_move(pm, pm->moved++);
	if (pm->moved == half) {
		free(pm->old);
		pm->old = NULL;
	}
}

/* The link that points to the entry, or the chain's end. */
static uint32_t *
map_find(const struct prefixmap *pm, const struct addr *a)
{
	uint32_t *link = bucket_of(pm, addr_hash(a, pm->seed));

	while (*link != PREFIXMAP_NONE) {
		struct entry *e = entry_at(pm, *link);

		if (e->plen == a->plen && memcmp(e->b, a->b, 16) == 0)
			break;
		link = &e->next;
	}
	return link;
}

static void
map_count_plen(struct prefixmap *pm, const struct addr *a, int by)
{
	int v4 = addr_is_v4(a);
	uint64_t bit = (uint64_t)1 << (a->plen % 64);

	pm->n_plen[v4][a->plen] += (uint32_t)by;
	if (pm->n_plen[v4][a->plen] > 0)
		pm->has_plen[v4][a->plen / 64] |= bit;
	else
		pm->has_plen[v4][a->plen / 64] &= ~bit;
}

uint32_t
prefixmap_add(struct prefixmap *pm, const struct addr *a)
{
	uint32_t *link = map_find(pm, a), id = *link;
	struct entry *e;

	if (id != PREFIXMAP_NONE)
		return id;
	if (pm->free != PREFIXMAP_NONE) {
		id = pm->free;
		e = entry_at(pm, id);
		pm->free = e->next;
	} else {
		if (pm->end == PREFIXMAP_NONE - 1 ||
		    !pool_reserve(&pm->entries, pm->end))
			return PREFIXMAP_NONE;
		id = pm->end++;
		e = entry_at(pm, id);
	}
	memcpy(e->b, a->b, 16);
	e->plen = a->plen;
	e->next = PREFIXMAP_NONE;
	*link = id;
	pm->count++;
	map_count_plen(pm, a, 1);
	map_grow(pm);
	return id;
}

uint32_t
prefixmap_get(const struct prefixmap *pm, const struct addr *a)
{
	return *map_find(pm, a);
}

uint32_t
prefixmap_del(struct prefixmap *pm, const struct addr *a)
{
	uint32_t *link = map_find(pm, a), id = *link;
	struct entry *e;

	if (id == PREFIXMAP_NONE)
		return PREFIXMAP_NONE;
	e = entry_at(pm, id);
	*link = e->next;
	map_count_plen(pm, a, -1);
	e->plen = MAP_FREE;
	e->next = pm->free;
	pm->free = id;
	pm->count--;
	map_grow(pm);
	return id;
}

/* The longest length in use of at most `max`, or -1. */
static int
plen_below(const struct prefixmap *pm, int v4, int max)
{
	for (int word = max / 64; word >= 0; word--) {
		uint64_t bits = pm->has_plen[v4][word];

		if (word == max / 64 && max % 64 != 63)
			bits &= ((uint64_t)2 << (max % 64)) - 1;
		if (bits != 0)
			return word * 64 + 63 - __builtin_clzll(bits);
	}
	return -1;
}

uint32_t
prefixmap_match(const struct prefixmap *pm, const struct addr *host,
    unsigned max_plen, unsigned *plen_r)
{
	int v4 = addr_is_v4(host);
	int plen = (int)(max_plen < host->plen ? max_plen : host->plen);

	while ((plen = plen_below(pm, v4, plen)) >= 0) {
		struct addr key = addr_mask(host, (unsigned)plen);
		uint32_t id = *map_find(pm, &key);

		if (id != PREFIXMAP_NONE) {
			if (plen_r != NULL)
				*plen_r = (unsigned)plen;
			return id;
		}
		if (plen-- == 0)
			break;
	}
	return PREFIXMAP_NONE;
}

struct addr
prefixmap_key(const struct prefixmap *pm, uint32_t id)
{
	struct addr key;

	entry_key(entry_at(pm, id), &key);
	return key;
}

size_t
prefixmap_count(const struct prefixmap *pm)
{
	return pm->count;
}

uint32_t
prefixmap_end(const struct prefixmap *pm)
{
	return pm->end;
}

bool
prefixmap_used(const struct prefixmap *pm, uint32_t id)
{
	return id < pm->end && entry_at(pm, id)->plen != MAP_FREE;
}
