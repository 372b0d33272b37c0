/*
 * blocklist: see blocklist.h. A prefixmap for finding, a pool of data beside
 * it by id, and a binary heap of ids by expiry.
 */
#include "lib/core/blocklist.h"

#include <math.h>
#include <stdlib.h>

#include "lib/core/pool.h"
#include "lib/core/prefixmap.h"
#include "lib/core/xalloc.h"

/* Packed: a million of them are 4 MB less. */
struct item {
	double until, since, score;
	uint32_t heap_pos;
	name_id level, rule, by;
	uint16_t strikes; /* and OWN_STRIKE */
} __attribute__((packed, aligned(4)));

#define OWN_STRIKE 0x8000u
#define STRIKES_MAX (OWN_STRIKE - 1)

struct blocklist {
	blocklist_ended *ended;
	void *ended_ctx;
	struct prefixmap *map;
	struct pool items;
	uint32_t *heap; /* ids; heap[0] expires first */
	size_t count, room;
};

struct blocklist *
blocklist_create(void)
{
	struct blocklist *bl = x_calloc(1, sizeof(*bl));

	bl->map = prefixmap_create();
	pool_init(&bl->items, sizeof(struct item));
	return bl;
}

void
blocklist_destroy(struct blocklist **blp)
{
	struct blocklist *bl = *blp;

	if (bl == NULL)
		return;
	prefixmap_destroy(&bl->map);
	pool_clear(&bl->items);
	free(bl->heap);
	free(bl);
	*blp = NULL;
}

static struct item *
item_at(const struct blocklist *bl, uint32_t id)
{
	return pool_at(&bl->items, id);
}

static void
heap_put(struct blocklist *bl, size_t pos, uint32_t id)
{
	bl->heap[pos] = id;
	item_at(bl, id)->heap_pos = (uint32_t)pos;
}

/* Moves the entry at `pos` to where its expiry belongs. */
static void
heap_fix(struct blocklist *bl, size_t pos)
{
	uint32_t id = bl->heap[pos];
	double until = item_at(bl, id)->until;

	while (pos > 0) {
		size_t up = (pos - 1) / 2;

		if (item_at(bl, bl->heap[up])->until <= until)
			break;
		heap_put(bl, pos, bl->heap[up]);
		pos = up;
	}
	for (;;) {
		size_t down = pos * 2 + 1;

		if (down >= bl->count)
			break;
		if (down + 1 < bl->count &&
		    item_at(bl, bl->heap[down + 1])->until <
			item_at(bl, bl->heap[down])->until)
			down++;
		if (item_at(bl, bl->heap[down])->until >= until)
			break;
		heap_put(bl, pos, bl->heap[down]);
		pos = down;
	}
	heap_put(bl, pos, id);
}

static void
heap_remove(struct blocklist *bl, size_t pos)
{
	uint32_t last = bl->heap[--bl->count];

	if (pos == bl->count)
		return;
	heap_put(bl, pos, last);
	heap_fix(bl, pos);
}

static bool
heap_reserve(struct blocklist *bl)
{
	size_t room;
	uint32_t *heap;

	if (bl->count < bl->room)
		return true;
	room = bl->room ? bl->room * 2 : 256;
	heap = reallocarray(bl->heap, room, sizeof(*heap));
	if (heap == NULL)
		return false;
	bl->heap = heap;
	bl->room = room;
	return true;
}

static void
item_fill(struct item *it, const struct block *b)
{
	it->until = b->until;
	it->since = b->since;
	it->score = b->score;
	it->level = b->level;
	it->rule = b->rule;
	it->by = b->by;
	it->strikes =
	    (uint16_t)((b->strikes < STRIKES_MAX ? b->strikes : STRIKES_MAX) |
		(b->own_strike ? OWN_STRIKE : 0));
}

void
blocklist_on_end(struct blocklist *bl, blocklist_ended *ended, void *ctx)
{
	bl->ended = ended;
	bl->ended_ctx = ctx;
}

static void item_read(const struct blocklist *, uint32_t, struct block *);

/* If this has a strike of its own, somebody else must know of it now. */
static void
item_ended(const struct blocklist *bl, uint32_t id)
{
	struct block b;

	if ((item_at(bl, id)->strikes & OWN_STRIKE) == 0 || bl->ended == NULL)
		return;
	item_read(bl, id, &b);
	bl->ended(bl->ended_ctx, &b);
}

void
blocklist_end_strike(struct blocklist *bl, const struct addr *a)
{
	const uint32_t id = prefixmap_get(bl->map, a);

	if (id == PREFIXMAP_NONE)
		return;
	item_ended(bl, id);
	item_at(bl, id)->strikes &= STRIKES_MAX;
}

void
blocklist_reserve(struct blocklist *bl, size_t n)
{
	prefixmap_reserve(bl->map, n);
}

/* The place of a new id; false without memory. */
static bool
item_add(struct blocklist *bl, uint32_t id, const struct block *b)
{
	if (!pool_reserve(&bl->items, id))
		return false;
	item_fill(item_at(bl, id), b);
	heap_put(bl, bl->count++, id);
	heap_fix(bl, bl->count - 1);
	return true;
}

bool
blocklist_replace(
    struct blocklist *bl, const struct block *b, bool *had_r, name_id *level_r)
{
	uint32_t id;

	*had_r = false;
	if (!heap_reserve(bl) &&
	    prefixmap_get(bl->map, &b->addr) == PREFIXMAP_NONE)
		return false;
	id = prefixmap_add(bl->map, &b->addr);
	if (id == PREFIXMAP_NONE)
		return false;
	*had_r = prefixmap_count(bl->map) == bl->count;
	if (!*had_r) {
		if (item_add(bl, id, b))
			return true;
		prefixmap_del(bl->map, &b->addr);
		return false;
	}
	*level_r = item_at(bl, id)->level;
	if (!b->own_strike)
		item_ended(bl, id);
	item_fill(item_at(bl, id), b);
	heap_fix(bl, item_at(bl, id)->heap_pos);
	return true;
}

bool
blocklist_set(struct blocklist *bl, const struct block *b)
{
	name_id level;
	bool had;

	return blocklist_replace(bl, b, &had, &level);
}

bool
blocklist_del(struct blocklist *bl, const struct addr *a)
{
	const uint32_t id = prefixmap_get(bl->map, a);

	if (id == PREFIXMAP_NONE)
		return false;
	item_ended(bl, id);
	heap_remove(bl, item_at(bl, id)->heap_pos);
	prefixmap_del(bl->map, a);
	return true;
}

static void
item_read(const struct blocklist *bl, uint32_t id, struct block *out)
{
	const struct item *it = item_at(bl, id);

	out->addr = prefixmap_key(bl->map, id);
	out->until = it->until;
	out->since = it->since;
	out->score = it->score;
	out->level = it->level;
	out->rule = it->rule;
	out->by = it->by;
	out->strikes = it->strikes & STRIKES_MAX;
	out->own_strike = (it->strikes & OWN_STRIKE) != 0;
}

bool
blocklist_get(
    const struct blocklist *bl, const struct addr *a, struct block *out)
{
	uint32_t id = prefixmap_get(bl->map, a);

	if (id == PREFIXMAP_NONE)
		return false;
	item_read(bl, id, out);
	return true;
}

bool
blocklist_id(const struct blocklist *bl, const struct addr *a, uint32_t *id_r)
{
	*id_r = prefixmap_get(bl->map, a);
	return *id_r != PREFIXMAP_NONE;
}

void
blocklist_expect(const struct blocklist *bl, const struct addr *host)
{
	prefixmap_expect(bl->map, host);
}

/* An item can lie in two cache lines. */
void
blocklist_expect_later(const struct blocklist *bl, const struct addr *host)
{
	const uint32_t id = prefixmap_guess(bl->map, host);
	const char *it;

	if (id == PREFIXMAP_NONE)
		return;
	it = (const char *)item_at(bl, id);
	__builtin_prefetch(it);
	__builtin_prefetch(it + sizeof(struct item) - 1);
}

/*
 * Nearly all lookups find nothing, and have probed each length in use for that.
 * What is found at the highest level ends the search; else it goes on as if
 * nothing had been found, so a hit costs no more than a miss.
 */
bool
blocklist_match(const struct blocklist *bl, const struct addr *a, double now,
    const struct level *levels, size_t n, struct block *out)
{
	uint32_t best = PREFIXMAP_NONE, id;
	int best_level = -1;
	unsigned plen = 128;

	while (best_level != (int)n - 1 || best == PREFIXMAP_NONE) {
		id = prefixmap_match(bl->map, a, plen, &plen);
		if (id == PREFIXMAP_NONE)
			break;
		if (item_at(bl, id)->until > now) {
			int level =
			    level_find(levels, n, item_at(bl, id)->level);

			if (best == PREFIXMAP_NONE || level > best_level) {
				best = id;
				best_level = level;
			}
		}
		if (plen-- == 0)
			break;
	}
	if (best == PREFIXMAP_NONE)
		return false;
	item_read(bl, best, out);
	return true;
}

size_t
blocklist_expire(struct blocklist *bl, double horizon, size_t max,
    blocklist_visit *gone, void *ctx)
{
	size_t n = 0;

	while (n < max && bl->count > 0 &&
	    item_at(bl, bl->heap[0])->until <= horizon) {
		struct block b;

		item_read(bl, bl->heap[0], &b);
		blocklist_del(bl, &b.addr);
		n++;
		if (gone != NULL)
			gone(ctx, &b);
	}
	return n;
}

double
blocklist_next(const struct blocklist *bl)
{
	return bl->count > 0 ? item_at(bl, bl->heap[0])->until : INFINITY;
}

size_t
blocklist_count(const struct blocklist *bl)
{
	return bl->count;
}

bool
blocklist_next_entry(
    const struct blocklist *bl, size_t *cursor, struct block *out)
{
	uint32_t end = prefixmap_end(bl->map);

	while (*cursor < end) {
		uint32_t id = (uint32_t)(*cursor)++;

		if (prefixmap_used(bl->map, id)) {
			item_read(bl, id, out);
			return true;
		}
	}
	return false;
}
