/*
 * store_embedded_save: its sections of a snapshot. Blocks are those of the
 * view; what waits for the next poll is not in it.
 */
#include <math.h>

#include "lib/core/prefixmap.h"
#include "lib/core/scoretable.h"
#include "lib/core/snapshot.h"
#include "lib/core/store_embedded_int.h"
#include "lib/core/strikes.h"

#define OWN_STRIKE 0x80000000u /* a bit of a block's strikes */
#define BATCH 16	       /* blocks read ahead of their places */

static void
save_blocks(const struct blocklist *view, struct snapshot_writer *w)
{
	size_t cursor = 0;
	struct block b;

	while (blocklist_next_entry(view, &cursor, &b)) {
		snapshot_put_u8(w, 1);
		snapshot_put_addr(w, &b.addr);
		snapshot_put_f64(w, b.until);
		snapshot_put_f64(w, b.since);
		snapshot_put_f64(w, b.score);
		snapshot_put_name(w, b.level);
		snapshot_put_name(w, b.rule);
		snapshot_put_name(w, b.by);
		snapshot_put_u32(
		    w, b.strikes | (b.own_strike ? OWN_STRIKE : 0));
	}
	snapshot_put_u8(w, 0);
	snapshot_tell_count(w, SNAPSHOT_BLOCKS, blocklist_count(view));
}

static bool
load_lost(struct embedded *em, size_t lost, const char *what)
{
	if (lost > 0) {
		em->errors += lost;
		log_error(
		    "store: out of memory: %zu %s are not loaded", lost, what);
	}
	return true;
}

/* The next block; false behind the last. */
static bool
load_block(struct snapshot_reader *r, struct block *b)
{
	if (snapshot_get_u8(r) != 1 || !snapshot_get_addr(r, &b->addr))
		return false;
	b->until = snapshot_get_f64(r);
	b->since = snapshot_get_f64(r);
	b->score = snapshot_get_f64(r);
	b->level = snapshot_get_name(r);
	b->rule = snapshot_get_name(r);
	b->by = snapshot_get_name(r);
	b->strikes = snapshot_get_u32(r);
	b->own_strike = (b->strikes & OWN_STRIKE) != 0;
	b->strikes &= ~OWN_STRIKE;
	return !snapshot_failed(r);
}

static void
load_blocks(struct embedded *em, struct snapshot_reader *r)
{
	const struct store_sink *sink = em->store.sink;
	bool more = true;

	if (sink->loading != NULL)
		sink->loading(
		    em->store.sink_ctx, snapshot_count(r, SNAPSHOT_BLOCKS));
	while (more) {
		struct block batch[BATCH];
		size_t n = 0;

		while (n < BATCH && (more = load_block(r, &batch[n]))) {
			if (!isfinite(batch[n].until))
				continue;
			/* Its place is in no cache of the processor. */
			blocklist_expect(em->store.view, &batch[n].addr);
			n++;
		}
		for (size_t i = 0; i < n; i++)
			sink->blocked(
			    em->store.sink_ctx, &batch[i], STORE_LOADED);
	}
}

static void
save_allow(const struct prefixmap *allow, struct snapshot_writer *w)
{
	for (uint32_t id = 0; id < prefixmap_end(allow); id++) {
		struct addr key;

		if (!prefixmap_used(allow, id))
			continue;
		key = prefixmap_key(allow, id);
		snapshot_put_u8(w, 1);
		snapshot_put_addr(w, &key);
	}
	snapshot_put_u8(w, 0);
}

static void
load_allow(struct embedded *em, struct snapshot_reader *r)
{
	while (!snapshot_failed(r) && snapshot_get_u8(r) == 1) {
		struct addr a;

		if (!snapshot_get_addr(r, &a))
			return;
		store_embedded_allow(&em->store, &a, true);
		if (prefixmap_get(em->allow, &a) == PREFIXMAP_NONE)
			load_lost(em, 1, "entries of the allow list");
	}
}

void
store_embedded_save(const struct store *s, struct snapshot_writer *w)
{
	const struct embedded *em = (const struct embedded *)s;

	snapshot_put_u8(w, SNAPSHOT_SCORES);
	scoretable_save(em->scores, w);
	snapshot_put_u8(w, SNAPSHOT_STRIKES);
	strikes_save(em->strikes, w);
	snapshot_put_u8(w, SNAPSHOT_BLOCKS);
	save_blocks(em->store.view, w);
	snapshot_put_u8(w, SNAPSHOT_ALLOW);
	save_allow(em->allow, w);
}

bool
store_embedded_load(struct store *s, struct snapshot_reader *r, uint8_t section)
{
	struct embedded *em = store_embedded_of(s);

	switch (section) {
	case SNAPSHOT_SCORES:
		return load_lost(em, scoretable_load(em->scores, r), "scores");
	case SNAPSHOT_STRIKES:
		return load_lost(em, strikes_load(em->strikes, r), "strikes");
	case SNAPSHOT_BLOCKS:
		load_blocks(em, r);
		return true;
	case SNAPSHOT_ALLOW:
		load_allow(em, r);
		return true;
	default:
		return false;
	}
}
