/*
 * strikes: see strikes.h. An entry is one number: the time of the last block in
 * milliseconds, which is how exact the TTLs of a Redis are, and their count.
 */
#include "lib/core/strikes.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>

#include "lib/core/pool.h"
#include "lib/core/prefixmap.h"
#include "lib/core/snapshot.h"
#include "lib/core/xalloc.h"

#define SWEEP 16 /* entries looked at per call */

#define COUNT_BITS 16
#define COUNT_MAX ((1u << COUNT_BITS) - 1)
#define LAST_MAX ((double)((uint64_t)1 << (64 - COUNT_BITS)) - 1)

/* last << COUNT_BITS | count */
typedef uint64_t entry;

struct strikes {
	struct prefixmap *map;
	struct pool entries;
	size_t max;
	uint32_t cursor; /* of the sweep */
};

struct strikes *
strikes_create(size_t max)
{
	struct strikes *s = x_calloc(1, sizeof(*s));

	s->map = prefixmap_create();
	pool_init(&s->entries, sizeof(entry));
	s->max = max > 0 ? max : 1;
	return s;
}

void
strikes_destroy(struct strikes **sp)
{
	if (*sp == NULL)
		return;
	prefixmap_destroy(&(*sp)->map);
	pool_clear(&(*sp)->entries);
	free(*sp);
	*sp = NULL;
}

static entry *
entry_at(const struct strikes *s, uint32_t id)
{
	return pool_at(&s->entries, id);
}

static double
entry_last(const struct strikes *s, uint32_t id)
{
	return (double)(*entry_at(s, id) >> COUNT_BITS) / 1e3;
}

static unsigned
entry_count(const struct strikes *s, uint32_t id)
{
	return (unsigned)*entry_at(s, id) & COUNT_MAX;
}

static entry
entry_make(unsigned count, double last)
{
	const double ms = fmin(fmax(round(last * 1e3), 0), LAST_MAX);

	return (entry)ms << COUNT_BITS |
	    (count < COUNT_MAX ? count : COUNT_MAX);
}

unsigned
strikes_get(
    const struct strikes *s, const struct addr *a, double t, double memory)
{
	uint32_t id = prefixmap_get(s->map, a);

	if (id == PREFIXMAP_NONE || t - entry_last(s, id) >= memory)
		return 0;
	return entry_count(s, id);
}

/* Any entry that is in the map, from the sweep's cursor on. */
static void
make_room(struct strikes *s)
{
	uint32_t end = prefixmap_end(s->map);

	for (uint32_t i = 0; i < end; i++) {
		uint32_t id = (s->cursor + i) % end;

		if (prefixmap_used(s->map, id)) {
			struct addr key = prefixmap_key(s->map, id);

			prefixmap_del(s->map, &key);
			s->cursor = id + 1;
			return;
		}
	}
}

bool
strikes_set(struct strikes *s, const struct addr *a, unsigned count, double t)
{
	uint32_t id;

	if (prefixmap_count(s->map) >= s->max &&
	    prefixmap_get(s->map, a) == PREFIXMAP_NONE)
		make_room(s);
	id = prefixmap_add(s->map, a);
	if (id == PREFIXMAP_NONE)
		return false;
	if (!pool_reserve(&s->entries, id)) {
		prefixmap_del(s->map, a);
		return false;
	}
	*entry_at(s, id) = entry_make(count, t);
	return true;
}

bool
strikes_del(struct strikes *s, const struct addr *a)
{
	return prefixmap_del(s->map, a) != PREFIXMAP_NONE;
}

void
strikes_sweep(struct strikes *s, double horizon, double memory)
{
	uint32_t end = prefixmap_end(s->map);

	for (int i = 0; i < SWEEP && end > 0; i++) {
		uint32_t id = s->cursor++ % end;

		if (prefixmap_used(s->map, id) &&
		    horizon - entry_last(s, id) >= memory) {
			struct addr key = prefixmap_key(s->map, id);

			prefixmap_del(s->map, &key);
		}
	}
}

size_t
strikes_count(const struct strikes *s)
{
	return prefixmap_count(s->map);
}

void
strikes_save(const struct strikes *s, struct snapshot_writer *w)
{
	uint32_t end = prefixmap_end(s->map);

	for (uint32_t id = 0; id < end; id++) {
		struct addr key;

		if (!prefixmap_used(s->map, id))
			continue;
		key = prefixmap_key(s->map, id);
		snapshot_put_u8(w, 1);
		snapshot_put_addr(w, &key);
		snapshot_put_u32(w, entry_count(s, id));
		snapshot_put_f64(w, entry_last(s, id));
	}
	snapshot_put_u8(w, 0);
	snapshot_tell_count(w, SNAPSHOT_STRIKES, prefixmap_count(s->map));
}

size_t
strikes_load(struct strikes *s, struct snapshot_reader *r)
{
	const size_t n = snapshot_count(r, SNAPSHOT_STRIKES);
	size_t lost = 0;

	prefixmap_reserve(s->map, n < s->max ? n : s->max);
	while (!snapshot_failed(r) && snapshot_get_u8(r) == 1) {
		struct addr a;
		unsigned count;
		double last;

		if (!snapshot_get_addr(r, &a))
			break;
		count = snapshot_get_u32(r);
		last = snapshot_get_f64(r);
		if (!snapshot_failed(r) && isfinite(last))
			lost += !strikes_set(s, &a, count, last);
	}
	return lost;
}
