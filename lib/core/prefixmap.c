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
 *
 * Nearly all entries are IPv4, of which there may be millions: they take eight
 * bytes, of which six bits are the length. IPv6 keys are in a pool of their
 * own, beside. The bits that are left for the chain bound the number of ids.
 */
#include "lib/core/prefixmap.h"

#include <stdlib.h>
#include <string.h>

#include "lib/core/log.h"
#include "lib/core/pool.h"
#include "lib/core/xalloc.h"

#define MAP_MIN_BUCKETS 64u
#define MAP_MOVES 8  /* buckets moved with each change */
#define MAP_KINDS 26 /* bit of `link` at which the kind begins */
#define MAP_END ((1u << MAP_KINDS) - 1) /* no next entry */

/* Kinds of entries: 0 to 32 is the length of an IPv4 prefix. */
#define KIND_V6 62u
#define KIND_FREE 63u

struct entry {
	uint32_t key;  /* IPv4 address, or number of a key6 */
	uint32_t link; /* kind, and the next in the chain or of the free */
};

struct key6 {
	uint8_t b[16];
	uint32_t plen; /* if it is unused: the next unused one */
};

struct table {
	uint32_t *heads; /* of the chains; NULL = no such table */
	uint8_t *tags;	 /* which entries may be in the chain */
	uint32_t n;	 /* a power of two */
};

struct prefixmap {
	struct pool entries;
	uint32_t end;  /* ids ever used */
	uint32_t free; /* head of free entries, or MAP_END */
	struct pool keys6;
	uint32_t end6, free6; /* the same of its items */
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

static struct key6 *
key6_at(const struct prefixmap *pm, uint32_t i)
{
	return pool_at(&pm->keys6, i);
}

static uint32_t
entry_kind(const struct entry *e)
{
	return e->link >> MAP_KINDS;
}

static uint32_t
entry_next(const struct entry *e)
{
	return e->link & MAP_END;
}

static void
entry_set_next(struct entry *e, uint32_t next)
{
	e->link = (e->link & ~MAP_END) | next;
}

/* An IPv4 address as a number; its order of bytes does not matter. */
static uint32_t
addr_v4(const struct addr *a)
{
	uint32_t v;

	memcpy(&v, a->b + 12, sizeof(v));
	return v;
}

static void
entry_key(const struct prefixmap *pm, const struct entry *e, struct addr *out)
{
	static const struct addr mapped = { .b = { [10] = 0xff, [11] = 0xff } };
	const uint32_t kind = entry_kind(e);

	if (kind == KIND_V6) {
		const struct key6 *k = key6_at(pm, e->key);

		memcpy(out->b, k->b, 16);
		out->plen = (uint8_t)k->plen;
		return;
	}
	*out = mapped;
	memcpy(out->b + 12, &e->key, 4);
	out->plen = (uint8_t)(kind + ADDR_V4_BITS);
}

/* Is this its key? `kind` and `v4` are those of the address. */
static bool
entry_is(const struct prefixmap *pm, const struct entry *e,
    const struct addr *a, uint32_t kind, uint32_t v4)
{
	const struct key6 *k;

	if (entry_kind(e) != kind)
		return false;
	if (kind != KIND_V6)
		return e->key == v4;
	k = key6_at(pm, e->key);
	return k->plen == a->plen && memcmp(k->b, a->b, 16) == 0;
}

static uint32_t
addr_kind(const struct addr *a)
{
	return addr_is_v4(a) ? (uint32_t)a->plen - ADDR_V4_BITS : KIND_V6;
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
	for (uint32_t i = 0; i < n; i++)
		t->heads[i] = MAP_END;
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
	pool_init(&pm->keys6, sizeof(struct key6));
	pm->free = pm->free6 = MAP_END;
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
	pool_clear(&pm->keys6);
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
	pool_clear(&pm->entries);
	pool_clear(&pm->keys6);
	pm->end = pm->end6 = 0;
	pm->free = pm->free6 = MAP_END;
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

	entry_key(pm, e, &key);
	return addr_hash(&key, pm->seed);
}

static void
map_move_bucket(struct prefixmap *pm, uint32_t i)
{
	uint32_t id = pm->old.heads[i];

	while (id != MAP_END) {
		struct entry *e = entry_at(pm, id);
		const uint32_t next = entry_next(e);
		const uint64_t hash = entry_hash(pm, e);
		const uint32_t to = (uint32_t)hash & (pm->table.n - 1);

		entry_set_next(e, pm->table.heads[to]);
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

/* The entry, or MAP_END; *prev_r is the one before it in the chain, or MAP_END
 * if the bucket points to it. */
static uint32_t
map_find(const struct prefixmap *pm, const struct table *t, uint32_t i,
    const struct addr *a, uint32_t *prev_r)
{
	const uint32_t kind = addr_kind(a), v4 = addr_v4(a);
	uint32_t id = t->heads[i];

	*prev_r = MAP_END;
	while (id != MAP_END) {
		const struct entry *e = entry_at(pm, id);

		if (entry_is(pm, e, a, kind, v4))
			break;
		*prev_r = id;
		id = entry_next(e);
	}
	return id;
}

/* The entry, or NONE, most often without a look at the chain. */
static uint32_t
map_lookup(const struct prefixmap *pm, const struct addr *a)
{
	const uint64_t hash = addr_hash(a, pm->seed);
	uint32_t i, prev, id;
	const struct table *t = map_bucket(pm, hash, &i);

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
		const struct entry *e = entry_at(pm, id);

		tag |= hash_tag(entry_hash(pm, e));
		id = entry_next(e);
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

/* An unused entry with this key; MAP_END without memory or numbers. */
static uint32_t
entry_create(struct prefixmap *pm, const struct addr *a)
{
	const uint32_t kind = addr_kind(a);
	uint32_t id = pm->free != MAP_END ? pm->free : pm->end;
	uint32_t key = addr_v4(a);
	struct entry *e;

	if (id == MAP_END || !pool_reserve(&pm->entries, id))
		return MAP_END;
	if (kind == KIND_V6) {
		struct key6 *k;

		key = pm->free6 != MAP_END ? pm->free6 : pm->end6;
		if (!pool_reserve(&pm->keys6, key))
			return MAP_END;
		k = key6_at(pm, key);
		if (key == pm->free6)
			pm->free6 = k->plen;
		else
			pm->end6++;
		memcpy(k->b, a->b, 16);
		k->plen = a->plen;
	}
	e = entry_at(pm, id);
	if (id == pm->free)
		pm->free = entry_next(e);
	else
		pm->end++;
	e->key = key;
	e->link = kind << MAP_KINDS | MAP_END;
	return id;
}

static void
entry_destroy(struct prefixmap *pm, uint32_t id)
{
	struct entry *e = entry_at(pm, id);

	if (entry_kind(e) == KIND_V6) {
		key6_at(pm, e->key)->plen = pm->free6;
		pm->free6 = e->key;
	}
	e->link = KIND_FREE << MAP_KINDS | pm->free;
	pm->free = id;
}

/* Makes what comes before, or the bucket, point to this one. */
static void
map_link(struct prefixmap *pm, const struct table *t, uint32_t i, uint32_t prev,
    uint32_t id)
{
	if (prev == MAP_END)
		t->heads[i] = id;
	else
		entry_set_next(entry_at(pm, prev), id);
}

uint32_t
prefixmap_add(struct prefixmap *pm, const struct addr *a)
{
	const uint64_t hash = addr_hash(a, pm->seed);
	uint32_t i, prev, id;
	const struct table *t = map_bucket(pm, hash, &i);

	id = map_find(pm, t, i, a, &prev);
	if (id != MAP_END)
		return id;
	id = entry_create(pm, a);
	if (id == MAP_END)
		return PREFIXMAP_NONE;
	map_link(pm, t, i, prev, id);
	t->tags[i] |= hash_tag(hash);
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
	map_link(pm, t, i, prev, entry_next(entry_at(pm, id)));
	map_retag(pm, t, i);
	map_count_plen(pm, a, -1);
	entry_destroy(pm, id);
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
	uint32_t i;
	const struct table *t = map_first(pm, host, &i, &hash);

	if (t == NULL || (t->tags[i] & hash_tag(hash)) == 0 ||
	    t->heads[i] == MAP_END)
		return PREFIXMAP_NONE;
	return t->heads[i];
}

struct addr
prefixmap_key(const struct prefixmap *pm, uint32_t id)
{
	struct addr key;

	entry_key(pm, entry_at(pm, id), &key);
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
	return id < pm->end && entry_kind(entry_at(pm, id)) != KIND_FREE;
}
