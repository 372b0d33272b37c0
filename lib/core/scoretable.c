/*
 * scoretable: see scoretable.h. A prefixmap for finding, a pool of entries by
 * its ids, and a list through the entries by last touch.
 */
#include "lib/core/scoretable.h"

#include <math.h>
#include <stdlib.h>

#include "lib/core/pool.h"
#include "lib/core/prefixmap.h"
#include "lib/core/snapshot.h"
#include "lib/core/xalloc.h"

#define NONE PREFIXMAP_NONE
#define BATCH 16 /* entries read ahead of their places */

struct scoretable {
	struct prefixmap *map;
	struct pool entries;
	struct scoredetails *details;
	size_t max;
	uint32_t oldest, newest;
	uint64_t evicted;
};

struct scoretable *
scoretable_create(size_t max)
{
	struct scoretable *st = x_calloc(1, sizeof(*st));

	st->map = prefixmap_create();
	pool_init(&st->entries, sizeof(struct score_entry));
	st->details = scoredetails_create();
	st->max = max > 0 ? max : 1;
	st->oldest = st->newest = NONE;
	return st;
}

static struct score_entry *
entry_at(const struct scoretable *st, uint32_t id)
{
	return pool_at(&st->entries, id);
}

void
scoretable_destroy(struct scoretable **stp)
{
	struct scoretable *st = *stp;

	if (st == NULL)
		return;
	scoredetails_destroy(&st->details);
	prefixmap_destroy(&st->map);
	pool_clear(&st->entries);
	free(st);
	*stp = NULL;
}

static void
list_unlink(struct scoretable *st, uint32_t id)
{
	struct score_entry *e = entry_at(st, id);

	if (e->older != NONE)
		entry_at(st, e->older)->newer = e->newer;
	else
		st->oldest = e->newer;
	if (e->newer != NONE)
		entry_at(st, e->newer)->older = e->older;
	else
		st->newest = e->older;
}

static void
list_append(struct scoretable *st, uint32_t id)
{
	struct score_entry *e = entry_at(st, id);

	e->older = st->newest;
	e->newer = NONE;
	if (st->newest != NONE)
		entry_at(st, st->newest)->newer = id;
	else
		st->oldest = id;
	st->newest = id;
}

static void
entry_remove(struct scoretable *st, uint32_t id)
{
	struct addr key = prefixmap_key(st->map, id);

	list_unlink(st, id);
	scoredetail_drop(st->details, entry_at(st, id));
	prefixmap_del(st->map, &key);
}

struct score_entry *
scoretable_get(const struct scoretable *st, const struct addr *a)
{
	uint32_t id = prefixmap_get(st->map, a);

	return id != NONE ? entry_at(st, id) : NULL;
}

struct score_entry *
scoretable_touch(struct scoretable *st, const struct addr *a, bool *added_r)
{
	size_t count = prefixmap_count(st->map);
	uint32_t id;

	if (count >= st->max && prefixmap_get(st->map, a) == NONE) {
		entry_remove(st, st->oldest);
		st->evicted++;
		count--;
	}
	id = prefixmap_add(st->map, a);
	if (id == NONE) {
		*added_r = true;
		return NULL;
	}
	*added_r = prefixmap_count(st->map) > count;
	if (!*added_r) {
		if (id != st->newest) {
			list_unlink(st, id);
			list_append(st, id);
		}
		return entry_at(st, id);
	}
	if (!pool_reserve(&st->entries, id)) {
		prefixmap_del(st->map, a);
		return NULL;
	}
	*entry_at(st, id) = (struct score_entry){ .older = NONE };
	list_append(st, id);
	return entry_at(st, id);
}

bool
scoretable_clear(struct scoretable *st, const struct addr *a)
{
	struct score_entry *e = scoretable_get(st, a);
	bool had = e != NULL && e->hits > 0;

	if (had) {
		scoretable_reset(st, e);
		e->score.score = 0;
	}
	return had;
}

size_t
scoretable_expire(struct scoretable *st, double horizon, size_t max)
{
	size_t n = 0;

	while (n < max && st->oldest != NONE &&
	    entry_at(st, st->oldest)->score.last <= horizon) {
		entry_remove(st, st->oldest);
		n++;
	}
	return n;
}

size_t
scoretable_count(const struct scoretable *st)
{
	return prefixmap_count(st->map);
}

uint64_t
scoretable_evicted(const struct scoretable *st)
{
	return st->evicted;
}

bool
scoretable_walk(const struct scoretable *st, uint32_t *cursor, uint32_t max,
    scoretable_visit *visit, void *ctx)
{
	uint32_t end = prefixmap_end(st->map);

	for (; *cursor < end && max > 0; (*cursor)++, max--) {
		struct addr key;

		if (!prefixmap_used(st->map, *cursor))
			continue;
		key = prefixmap_key(st->map, *cursor);
		visit(ctx, &key, entry_at(st, *cursor));
	}
	return *cursor < end;
}

bool
scoretable_apply(struct scoretable *st, struct score_entry *e, uint64_t epoch,
    uint64_t offset)
{
	return scoredetail_apply(st->details, e, epoch, offset);
}

void
scoretable_reset(struct scoretable *st, struct score_entry *e)
{
	e->hits = 0;
	scoredetail_reset(st->details, e);
}

void
scoretable_hit(struct scoretable *st, struct score_entry *e, name_id rule)
{
	e->hits++;
	scoredetail_count(st->details, e, rule);
}

size_t
scoretable_rules(const struct scoretable *st, const struct score_entry *e,
    struct rule_count out[SCORETABLE_RULES])
{
	return scoredetail_rules(st->details, e, out);
}

static void
entry_save(const struct scoredetails *sd, const struct score_entry *e,
    struct snapshot_writer *w)
{
	struct rule_count rules[SCORETABLE_RULES];
	const size_t n = scoredetail_rules(sd, e, rules);
	struct applied applied;
	uint32_t sources = 0;

	snapshot_put_f64(w, e->score.score);
	snapshot_put_f64(w, e->score.first);
	snapshot_put_f64(w, e->score.last);
	snapshot_put_u32(w, e->hits);
	snapshot_put_u8(w, (uint8_t)n);
	for (size_t i = 0; i < n; i++) {
		snapshot_put_name(w, rules[i].rule);
		snapshot_put_u32(w, rules[i].count);
	}
	while (scoredetail_source(sd, e, sources, &applied))
		sources++;
	snapshot_put_u32(w, sources);
	for (uint32_t i = 0; scoredetail_source(sd, e, i, &applied); i++) {
		snapshot_put_u64(w, applied.epoch);
		snapshot_put_u64(w, applied.offset);
	}
}

void
scoretable_save(const struct scoretable *st, struct snapshot_writer *w)
{
	for (uint32_t id = st->oldest; id != NONE;
	     id = entry_at(st, id)->newer) {
		struct addr key = prefixmap_key(st->map, id);

		snapshot_put_u8(w, 1);
		snapshot_put_addr(w, &key);
		entry_save(st->details, entry_at(st, id), w);
	}
	snapshot_put_u8(w, 0);
	snapshot_tell_count(w, SNAPSHOT_SCORES, prefixmap_count(st->map));
}

/* Reads one entry; numbers that no score has are a damaged file. */
static bool
entry_load(
    struct scoredetails *sd, struct score_entry *e, struct snapshot_reader *r)
{
	unsigned n;

	e->score.score = snapshot_get_f64(r);
	e->score.first = snapshot_get_f64(r);
	e->score.last = snapshot_get_f64(r);
	e->hits = snapshot_get_u32(r);
	n = snapshot_get_u8(r);
	for (unsigned i = 0; i < n && !snapshot_failed(r); i++) {
		struct rule_count rc = { .rule = snapshot_get_name(r) };
		const uint32_t count = snapshot_get_u32(r);

		rc.count = count < UINT16_MAX ? (uint16_t)count : UINT16_MAX;
		if (rc.count > 0)
			scoredetail_set_rule(sd, e, &rc);
	}
	n = snapshot_get_u32(r);
	for (unsigned i = 0; i < n && !snapshot_failed(r); i++) {
		uint64_t epoch = snapshot_get_u64(r);
		uint64_t offset = snapshot_get_u64(r);

		(void)scoredetail_apply(sd, e, epoch, offset);
	}
	return !snapshot_failed(r) && isfinite(e->score.score) &&
	    isfinite(e->score.first) && isfinite(e->score.last);
}

/* An entry that has been read, on the way to its place. */
struct loaded {
	struct addr addr;
	struct score_entry entry;
};

/* False for want of memory. */
static bool
entry_place(struct scoretable *st, struct loaded *l)
{
	struct score_entry *e;
	bool added;

	e = scoretable_touch(st, &l->addr, &added);
	if (e == NULL) {
		scoredetail_drop(st->details, &l->entry);
		return false;
	}
	scoredetail_drop(st->details, e);
	l->entry.older = e->older;
	l->entry.newer = e->newer;
	*e = l->entry;
	return true;
}

size_t
scoretable_load(struct scoretable *st, struct snapshot_reader *r)
{
	const size_t count = snapshot_count(r, SNAPSHOT_SCORES);
	bool more = true;
	size_t lost = 0;

	prefixmap_reserve(st->map, count < st->max ? count : st->max);
	while (more) {
		struct loaded batch[BATCH];
		size_t n = 0;

		while (n < BATCH && more) {
			struct loaded *l = &batch[n];

			more = snapshot_get_u8(r) == 1 &&
			    snapshot_get_addr(r, &l->addr);
			if (!more)
				break;
			l->entry = (struct score_entry){ .older = NONE };
			if (!entry_load(st->details, &l->entry, r)) {
				scoredetail_drop(st->details, &l->entry);
				continue;
			}
			/* Its place is in no cache of the processor. */
			prefixmap_expect(st->map, &l->addr);
			n++;
		}
		for (size_t i = 0; i < n; i++)
			lost += !entry_place(st, &batch[i]);
	}
	return lost;
}
