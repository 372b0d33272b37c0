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
 * A new entry is the first of its chain: with a clear bit that is a look at the
 * bucket and its byte, and at no other entry.
 */
#include "lib/core/prefixmap.h"

#include <stdlib.h>
#include <string.h>

#include "lib/core/hugepage.h"
#include "lib/core/log.h"
#include "lib/core/prefixkeys.h"
#include "lib/core/xalloc.h"

#define MAP_MIN_BUCKETS 64u
#define MAP_MOVES 8 /* buckets moved with each change */
#define MAP_END PREFIXKEYS_END

struct table {
	uint32_t *heads; /* of the chains; NULL = no such table */
	uint8_t *tags;	 /* which entries may be in the chain */
	uint32_t n;	 /* a power of two */
};

struct prefixmap {
	struct prefixkeys keys; /* by id */
	size_t count;

	struct table table;
	struct table old; /* half the size, while growing */
	uint32_t moved;	  /* buckets of `old` already moved */

	uint64_t seed;
	uint32_t n_plen[2][129]; /* entries per length: IPv6, IPv4 */
	uint64_t has_plen[2][3]; /* the same as bits */
};

/* The heads of large tables can be in huge pages. */
static uint32_t *
heads_alloc(uint32_t n)
{
	const size_t size = n * sizeof(uint32_t);

	return size < HUGEPAGE_SIZE ? malloc(size) : hugepage_alloc(size);
}

static void
heads_free(uint32_t *heads, uint32_t n)
{
	const size_t size = n * sizeof(uint32_t);

	if (size < HUGEPAGE_SIZE)
		free(heads);
	else
		hugepage_free(heads, size);
}

static void
table_free(struct table *t)
{
	heads_free(t->heads, t->n);
	free(t->tags);
	t->heads = NULL;
	t->tags = NULL;
}

static bool
table_create(struct table *t, uint32_t n)
{
	t->n = n;
	t->heads = heads_alloc(n);
	t->tags = calloc(n, 1);
	if (t->heads == NULL || t->tags == NULL) {
		table_free(t);
		return false;
	}
	for (uint32_t i = 0; i < n; i++)
		t->heads[i] = MAP_END;
	if (n * sizeof(uint32_t) >= HUGEPAGE_SIZE)
		hugepage_written(t->heads, 0, n * sizeof(uint32_t));
	return true;
}

struct prefixmap *
prefixmap_create(void)
{
	struct prefixmap *pm = x_calloc(1, sizeof(*pm));

	prefixkeys_init(&pm->keys);
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
	prefixkeys_clear(&pm->keys);
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
		for (uint32_t i = 0; i < pm->table.n; i++)
			pm->table.heads[i] = MAP_END;
		memset(pm->table.tags, 0, pm->table.n);
	}
	prefixkeys_clear(&pm->keys);
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
map_hash_id(const struct prefixmap *pm, uint32_t id)
{
	const struct addr key = prefixkeys_get(&pm->keys, id);

	return addr_hash(&key, pm->seed);
}

/* Makes this the first entry of the chain. */
static void
map_link(struct prefixmap *pm, const struct table *t, uint32_t i, uint64_t hash,
    uint32_t id)
{
	prefixkeys_set_next(&pm->keys, id, t->heads[i]);
	t->heads[i] = id;
	t->tags[i] |= hash_tag(hash);
}

static void
map_move_bucket(struct prefixmap *pm, uint32_t i)
{
	uint32_t id = pm->old.heads[i];

	while (id != MAP_END) {
		const uint32_t next = prefixkeys_next(&pm->keys, id);
		const uint64_t hash = map_hash_id(pm, id);

		map_link(pm, &pm->table, (uint32_t)hash & (pm->table.n - 1),
		    hash, id);
		id = next;
	}
}

void
prefixmap_reserve(struct prefixmap *pm, size_t n)
{
	uint32_t size = pm->table.n;
	struct table t;

	if (pm->count > 0 || pm->old.heads != NULL)
		return;
	while (size < n && size <= MAP_END / 2)
		size *= 2;
	if (size == pm->table.n || !table_create(&t, size))
		return; /* it grows as entries come */
	table_free(&pm->table);
	pm->table = t;
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

/* The entry, or MAP_END; *prev_r is the one before it in the chain, or MAP_END
 * if the bucket points to it. */
static uint32_t
map_find(const struct prefixmap *pm, const struct table *t, uint32_t i,
    const struct addr *a, uint32_t *prev_r)
{
	const struct prefixkeys *keys = &pm->keys;
	const uint32_t kind = prefixkeys_kind(a), v4 = prefixkeys_v4(a);
	uint32_t id = t->heads[i];

	*prev_r = MAP_END;
	while (id != MAP_END && !prefixkeys_is(keys, id, a, kind, v4)) {
		*prev_r = id;
		id = prefixkeys_next(keys, id);
	}
	return id;
}

/* The entry, or NONE, most often without a look at the chain. */
static uint32_t
map_lookup(const struct prefixmap *pm, const struct addr *a)
{
	const uint64_t hash = addr_hash(a, pm->seed);
	uint32_t i, prev, id;
	const struct table *t;

	if (pm->count == 0)
		return PREFIXMAP_NONE;
	t = map_bucket(pm, hash, &i);
	__builtin_prefetch(&t->heads[i]);
	if ((t->tags[i] & hash_tag(hash)) == 0)
		return PREFIXMAP_NONE;
	id = map_find(pm, t, i, a, &prev);
	return id != MAP_END ? id : PREFIXMAP_NONE;
}

/* Sets the tag anew after an entry has left the chain. */
static void
map_retag(struct prefixmap *pm, const struct table *t, uint32_t i)
{
	uint8_t tag = 0;

	for (uint32_t id = t->heads[i]; id != MAP_END;) {
		tag |= hash_tag(map_hash_id(pm, id));
		id = prefixkeys_next(&pm->keys, id);
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
	uint32_t i, prev, id;
	const struct table *t = map_bucket(pm, hash, &i);

	if ((t->tags[i] & hash_tag(hash)) != 0) {
		id = map_find(pm, t, i, a, &prev);
		if (id != MAP_END)
			return id;
	}
	id = prefixkeys_add(&pm->keys, a);
	if (id == PREFIXKEYS_END)
		return PREFIXMAP_NONE;
	map_link(pm, t, i, hash, id);
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
	uint32_t i, prev, id;
	const struct table *t = map_bucket(pm, hash, &i);

	id = map_find(pm, t, i, a, &prev);
	if (id == MAP_END)
		return PREFIXMAP_NONE;
	if (prev == MAP_END)
		t->heads[i] = prefixkeys_next(&pm->keys, id);
	else
		prefixkeys_set_next(
		    &pm->keys, prev, prefixkeys_next(&pm->keys, id));
	map_retag(pm, t, i);
	map_count_plen(pm, a, -1);
	prefixkeys_del(&pm->keys, id);
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

/* Where the longest prefix that could hold this host would be. */
static const struct table *
map_first(const struct prefixmap *pm, const struct addr *host, uint32_t *i_r,
    uint64_t *hash_r)
{
	const int plen = plen_below(pm, addr_is_v4(host), host->plen);
	struct addr key;

	if (plen < 0)
		return NULL;
	key = addr_mask(host, (unsigned)plen);
	*hash_r = addr_hash(&key, pm->seed);
	return map_bucket(pm, *hash_r, i_r);
}

void
prefixmap_expect(const struct prefixmap *pm, const struct addr *host)
{
	uint64_t hash;
	uint32_t i;
	const struct table *t = map_first(pm, host, &i, &hash);

	if (t == NULL)
		return;
	__builtin_prefetch(&t->tags[i]);
	__builtin_prefetch(&t->heads[i]);
}

uint32_t
prefixmap_guess(const struct prefixmap *pm, const struct addr *host)
{
	uint64_t hash;
	uint32_t i, id;
	const struct table *t = map_first(pm, host, &i, &hash);

	if (t == NULL || (t->tags[i] & hash_tag(hash)) == 0 ||
	    t->heads[i] == MAP_END)
		return PREFIXMAP_NONE;
	id = t->heads[i];
	__builtin_prefetch(prefixkeys_at(&pm->keys, id));
	return id;
}

struct addr
prefixmap_key(const struct prefixmap *pm, uint32_t id)
{
	return prefixkeys_get(&pm->keys, id);
}

size_t
prefixmap_count(const struct prefixmap *pm)
{
	return pm->count;
}

uint32_t
prefixmap_end(const struct prefixmap *pm)
{
	return pm->keys.end;
}

bool
prefixmap_used(const struct prefixmap *pm, uint32_t id)
{
	return prefixkeys_used(&pm->keys, id);
}
