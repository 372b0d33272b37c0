/*
 * prefixmap: see prefixmap.h.
 *
 * Chained buckets. While the table grows there are two bucket arrays: bucket i
 * of the small one splits into i and i + n of the large one, in order, a few
 * with each change; an entry is in exactly one of them at any time. The seed
 * is fixed per map: it only has to differ between processes, and the addresses
 * that get in have been scored first.
 *
 * A byte for each bucket has a bit set for each entry in its chain, chosen by
 * the entry's hash. Most lookups are for addresses that are not in the map,
 * and this byte ends nearly all of them: with a million entries it is in the
 * processor's cache, where the buckets and entries are not.
 */
#include "lib/core/prefixmap.h"

#include <stdlib.h>
#include <string.h>

#include "lib/core/log.h"
#include "lib/core/pool.h"
#include "lib/core/xalloc.h"

#define MAP_MIN_BUCKETS 64u
#define MAP_MOVES 8   /* buckets moved with each change */
#define MAP_FREE 0xff /* plen of an unused entry */

struct entry {
	uint8_t b[16];
	uint32_t next; /* in the chain, or in the list of free entries */
	uint8_t plen;
};

struct table {
	uint32_t *heads; /* of the chains; NULL = no such table */
	uint8_t *tags;	 /* which entries may be in the chain */
	uint32_t n;	 /* a power of two */
};

struct prefixmap {
	struct pool entries;
	uint32_t end;  /* ids ever used */
	uint32_t free; /* head of free entries, or NONE */
	size_t count;

	struct table table;
	struct table old; /* half the size, while growing */
	uint32_t moved;	  /* buckets of `old` already moved */

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

static bool
table_create(struct table *t, uint32_t n)
{
	t->n = n;
	t->heads = malloc(n * sizeof(*t->heads));
	t->tags = calloc(n, 1);
	if (t->heads == NULL || t->tags == NULL) {
		free(t->heads);
		free(t->tags);
		t->heads = NULL;
		return false;
	}
	memset(t->heads, 0xff, n * sizeof(*t->heads));
	return true;
}

static void
table_free(struct table *t)
{
	free(t->heads);
	free(t->tags);
	t->heads = NULL;
	t->tags = NULL;
}

struct prefixmap *
prefixmap_create(void)
{
	struct prefixmap *pm = x_calloc(1, sizeof(*pm));

	pool_init(&pm->entries, sizeof(struct entry));
	pm->free = PREFIXMAP_NONE;
	if (!table_create(&pm->table, MAP_MIN_BUCKETS))
		log_fatal("out of memory");
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
	table_free(&pm->table);
	table_free(&pm->old);
	free(pm);
	*pmp = NULL;
}

void
prefixmap_clear(struct prefixmap *pm)
{
	struct table t;

	table_free(&pm->old);
	if (table_create(&t, MAP_MIN_BUCKETS)) {
		table_free(&pm->table);
		pm->table = t;
	} else {
		memset(pm->table.heads, 0xff,
		    pm->table.n * sizeof(*pm->table.heads));
		memset(pm->table.tags, 0, pm->table.n);
	}
	pool_clear(&pm->entries);
	pm->end = 0;
	pm->free = PREFIXMAP_NONE;
	pm->count = 0;
	memset(pm->n_plen, 0, sizeof(pm->n_plen));
	memset(pm->has_plen, 0, sizeof(pm->has_plen));
}

/* The bucket that holds this hash now. */
static const struct table *
map_bucket(const struct prefixmap *pm, uint64_t hash, uint32_t *i_r)
{
	if (pm->old.heads != NULL) {
		*i_r = (uint32_t)hash & (pm->old.n - 1);
		if (*i_r >= pm->moved)
			return &pm->old;
	}
	*i_r = (uint32_t)hash & (pm->table.n - 1);
	return &pm->table;
}

/* The bit of an entry in its bucket's tag. */
static uint8_t
hash_tag(uint64_t hash)
{
	return (uint8_t)(1u << (hash >> 61));
}

static uint64_t
entry_hash(const struct prefixmap *pm, const struct entry *e)
{
	struct addr key;

	entry_key(e, &key);
	return addr_hash(&key, pm->seed);
}

static void
map_move_bucket(struct prefixmap *pm, uint32_t i)
{
	uint32_t id = pm->old.heads[i];

	while (id != PREFIXMAP_NONE) {
		struct entry *e = entry_at(pm, id);
		const uint32_t next = e->next;
		const uint64_t hash = entry_hash(pm, e);
		const uint32_t to = (uint32_t)hash & (pm->table.n - 1);

		e->next = pm->table.heads[to];
		pm->table.heads[to] = id;
		pm->table.tags[to] |= hash_tag(hash);
		id = next;
	}
}

/* A little of the way to the larger table. */
static void
map_grow(struct prefixmap *pm)
{
	if (pm->old.heads == NULL) {
		struct table t;

		if (pm->count < pm->table.n || pm->table.n > UINT32_MAX / 4 ||
		    !table_create(&t, pm->table.n * 2))
			return; /* without memory longer chains do as well */
		pm->old = pm->table;
		pm->table = t;
		pm->moved = 0;
		return;
	}
	for (int i = 0; i < MAP_MOVES && pm->moved < pm->old.n; i++)
		map_move_bucket(pm, pm->moved++);
	if (pm->moved == pm->old.n)
		table_free(&pm->old);
}

/* The link that points to the entry, or the chain's end. */
static uint32_t *
map_find(const struct prefixmap *pm, const struct addr *a, uint64_t hash)
{
	uint32_t i;
	const struct table *t = map_bucket(pm, hash, &i);
	uint32_t *link = &t->heads[i];

	while (*link != PREFIXMAP_NONE) {
		struct entry *e = entry_at(pm, *link);

		if (e->plen == a->plen && memcmp(e->b, a->b, 16) == 0)
			break;
		link = &e->next;
	}
	return link;
}

/* The entry, or NONE, most often without a look at the chain. */
static uint32_t
map_lookup(const struct prefixmap *pm, const struct addr *a)
{
	const uint64_t hash = addr_hash(a, pm->seed);
	uint32_t i;
	const struct table *t = map_bucket(pm, hash, &i);

	__builtin_prefetch(&t->heads[i]);
	if ((t->tags[i] & hash_tag(hash)) == 0)
		return PREFIXMAP_NONE;
	return *map_find(pm, a, hash);
}

/* Sets the tag anew after an entry has left the chain. */
static void
map_retag(struct prefixmap *pm, uint64_t hash)
{
	uint32_t i;
	const struct table *t = map_bucket(pm, hash, &i);
	uint8_t tag = 0;

	for (uint32_t id = t->heads[i]; id != PREFIXMAP_NONE;) {
		const struct entry *e = entry_at(pm, id);

		tag |= hash_tag(entry_hash(pm, e));
		id = e->next;
	}
	t->tags[i] = tag;
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
	const uint64_t hash = addr_hash(a, pm->seed);
	uint32_t *link = map_find(pm, a, hash), id = *link, i;
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
	map_bucket(pm, hash, &i)->tags[i] |= hash_tag(hash);
	pm->count++;
	map_count_plen(pm, a, 1);
	map_grow(pm);
	return id;
}

uint32_t
prefixmap_get(const struct prefixmap *pm, const struct addr *a)
{
	return map_lookup(pm, a);
}

uint32_t
prefixmap_del(struct prefixmap *pm, const struct addr *a)
{
	const uint64_t hash = addr_hash(a, pm->seed);
	uint32_t *link = map_find(pm, a, hash), id = *link;
	struct entry *e;

	if (id == PREFIXMAP_NONE)
		return PREFIXMAP_NONE;
	e = entry_at(pm, id);
	*link = e->next;
	map_retag(pm, hash);
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
		uint32_t id = map_lookup(pm, &key);

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
