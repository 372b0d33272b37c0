/* scoretable, scoretop, strikes: bounds, order, what was applied, snapshots. */
#include "lib/core/scoretable.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/core/errbuf.h"
#include "lib/core/scoretop.h"
#include "lib/core/snapshot.h"
#include "lib/core/strikes.h"
#include "t/unit/rnd.h"
#include "t/unit/tap.h"

static struct addr
nth(uint32_t i)
{
	struct addr a = { .plen = 128 };

	memset(a.b + 10, 0xff, 2);
	memcpy(a.b + 12, &i, 4);
	return a;
}

/* An entry with this last offence; how it is touched. */
static struct score_entry *
put(struct scoretable *st, uint32_t i, double last)
{
	struct addr a = nth(i);
	struct score_entry *e;
	bool added;

	e = scoretable_touch(st, &a, &added);
	if (e == NULL)
		exit(1);
	e->score.last = last;
	e->hits++;
	return e;
}

static bool
has(const struct scoretable *st, uint32_t i)
{
	struct addr a = nth(i);

	return scoretable_get(st, &a) != NULL;
}

static void
test_order(void)
{
	struct scoretable *st = scoretable_create(4);
	struct addr a = nth(1);
	struct score_entry *e;
	bool added;

	for (uint32_t i = 0; i < 4; i++)
		put(st, i, i);
	put(st, 0, 10);
	put(st, 4, 4);
	ok(has(st, 0) && !has(st, 1) && has(st, 4),
	    "the one that was not touched for the longest time makes room");
	is_int(scoretable_evicted(st), 1, "and is counted");
	is_int(scoretable_count(st), 4, "the bound holds");
	is_int(scoretable_expire(st, 2, 99), 1, "expired up to a time");
	ok(!has(st, 2) && has(st, 3), "that one");
	is_int(scoretable_expire(st, 4, 1), 1, "no more than asked for");
	is_int(scoretable_expire(st, 100, 99), 2, "the rest");
	is_int(scoretable_evicted(st), 1, "which is no eviction");
	e = scoretable_touch(st, &a, &added);
	ok(added && e->hits == 0 && e->rule.count == 0 && e->detail == 0,
	    "an entry that comes again is new");
	e = scoretable_touch(st, &a, &added);
	ok(!added, "and then known");
	scoretable_destroy(&st);
	scoretable_destroy(&st);
	ok(st == NULL, "destroyed");
	st = scoretable_create(0);
	put(st, 1, 1);
	put(st, 2, 1);
	is_int(scoretable_count(st), 1, "a bound of 0 is one of 1");
	scoretable_destroy(&st);
}

static void
test_applied(void)
{
	struct scoretable *st = scoretable_create(10);
	struct score_entry *e = put(st, 1, 1);
	struct addr a = nth(1);
	unsigned wrong = 0;

	ok(scoretable_apply(st, e, 5, 100), "the first");
	ok(!scoretable_apply(st, e, 5, 100), "the same");
	ok(!scoretable_apply(st, e, 5, 99), "an older one");
	ok(scoretable_apply(st, e, 5, 101), "a newer one");
	ok(scoretable_apply(st, e, 0, 1) && scoretable_apply(st, e, 0, 1),
	    "no epoch, always new");
	for (uint64_t epoch = 1; epoch < 1024; epoch++)
		if (epoch != 5)
			wrong += !scoretable_apply(st, e, epoch, epoch);
	for (uint64_t epoch = 1; epoch < 1024; epoch++)
		if (epoch != 5)
			wrong += scoretable_apply(st, e, epoch, epoch) ||
			    !scoretable_apply(st, e, epoch, epoch + 1);
	is_int(wrong, 0, "many epochs");
	for (uint64_t epoch = 2000; epoch < 5000; epoch++)
		scoretable_apply(st, e, epoch, 1);
	ok(!scoretable_apply(st, e, 2000, 1) &&
		scoretable_apply(st, e, 4998, 1),
	    "but not without bound");
	ok(scoretable_apply(st, e, 4999, 1),
	    "those that do not fit count rather too often than never");
	ok(scoretable_clear(st, &a) && !scoretable_clear(st, &a),
	    "cleared, once");
	ok(has(st, 1) && e->hits == 0 && !scoretable_apply(st, e, 5, 101),
	    "what was applied stays applied");
	scoretable_destroy(&st);
}

static void
test_counts(void)
{
	struct scoretable *st = scoretable_create(10);
	struct score_entry *e = put(st, 1, 1);
	struct rule_count rules[SCORETABLE_RULES];

	scoretable_reset(st, e);
	for (name_id r = 1; r <= SCORETABLE_RULES + 3; r++)
		for (int i = 0; i < r; i++)
			scoretable_hit(st, e, r);
	is_int(e->hits, 45, "hits of all rules");
	is_int(scoretable_rules(st, e, rules), SCORETABLE_RULES,
	    "the first rules are kept apart");
	is_int(rules[5].count, 6, "with their counts");
	for (int i = 0; i < 70000; i++)
		scoretable_hit(st, e, 1);
	(void)scoretable_rules(st, e, rules);
	is_int(rules[0].count, UINT16_MAX, "which do not wrap");
	scoretable_reset(st, e);
	ok(e->hits == 0 && scoretable_rules(st, e, rules) == 0, "reset");
	scoretable_destroy(&st);
}

static void
test_top(void)
{
	struct scoretable *st = scoretable_create(100000);
	unsigned char seen[50] = { 0 };
	struct scoretop *top;
	unsigned steps = 0, n = 0, wrong = 0;

	for (uint32_t i = 0; i < 50000; i++) {
		struct score_entry *e = put(st, i, 10 + i % 7);

		e->score.score = (i * 7919u) % 50000;
	}
	put(st, 60000, 5)->score.score = 1e6; /* too old */
	put(st, 60001, 10)->score.score = 1e6;
	{
		struct addr a = nth(60001);

		scoretable_clear(st, &a);
	}
	top = scoretop_create(50);
	while (scoretop_step(top, st, 5))
		steps++;
	ok(steps > 1, "in several steps");
	for (const struct addr *a; (a = scoretop_nth(top, n)) != NULL; n++) {
		const struct score_entry *e = scoretable_get(st, a);

		if (e == NULL || e->score.score < 49950 ||
		    e->score.score >= 50000)
			wrong++;
		else
			seen[(int)e->score.score - 49950]++;
	}
	for (int i = 0; i < 50; i++)
		wrong += seen[i] != 1;
	ok(n == 50 && wrong == 0, "the fifty highest");
	scoretop_destroy(&top);
	scoretop_destroy(&top);
	top = scoretop_create(0);
	while (scoretop_step(top, st, 5))
		;
	ok(scoretop_nth(top, 0) == NULL, "none of them");
	scoretop_destroy(&top);
	top = scoretop_create(99999);
	while (scoretop_step(top, st, 5))
		;
	ok(scoretop_nth(top, SCORETOP_MAX - 1) != NULL &&
		scoretop_nth(top, SCORETOP_MAX) == NULL,
	    "never too many");
	scoretop_destroy(&top);
	scoretable_destroy(&st);
}

static void
test_strikes(void)
{
	struct strikes *s = strikes_create(100);
	struct addr a = nth(1), b = nth(2);

	is_int(strikes_get(s, &a, 1000, 500), 0, "none");
	strikes_set(s, &a, 1, 1000);
	strikes_set(s, &a, 2, 1100);
	is_int(strikes_get(s, &a, 1100, 500), 2, "two");
	is_int(strikes_get(s, &a, 1599.9, 500), 2, "within the memory");
	is_int(strikes_get(s, &a, 1600, 500), 0, "and beyond it");
	is_int(strikes_get(s, &a, 900, 500), 2, "an older line sees them too");
	is_int(strikes_get(s, &b, 1100, 500), 0, "of another address");
	strikes_set(s, &a, 1, 1700);
	is_int(strikes_get(s, &a, 1700, 500), 1, "as it was set");
	ok(strikes_del(s, &a) && !strikes_del(s, &a), "forgotten, once");
	for (uint32_t i = 0; i < 250; i++) {
		a = nth(i);
		strikes_set(s, &a, 1, i);
	}
	is_int(strikes_count(s), 100, "the bound holds");
	a = nth(249);
	is_int(strikes_get(s, &a, 250, 500), 1, "the newest is there");
	for (int i = 0; i < 200; i++)
		strikes_sweep(s, 500 + 200, 500);
	ok(strikes_count(s) < 100, "swept");
	is_int(strikes_get(s, &a, 250, 500), 1, "not what is remembered");
	for (int i = 0; i < 200; i++)
		strikes_sweep(s, INFINITY, 500);
	is_int(strikes_count(s), 0, "all of it");
	strikes_sweep(s, INFINITY, 500);
	strikes_destroy(&s);
	strikes_destroy(&s);
	ok(s == NULL, "destroyed");
}

/* Have these entries of two tables anything that is not the same? */
static bool
differs(const struct scoretable *a, const struct score_entry *x,
    struct scoretable *b, struct score_entry *y)
{
	struct rule_count rx[SCORETABLE_RULES], ry[SCORETABLE_RULES];
	const size_t n = scoretable_rules(a, x, rx);
	bool same = n == scoretable_rules(b, y, ry);

	for (size_t i = 0; i < n && same; i++)
		same = rx[i].rule == ry[i].rule && rx[i].count == ry[i].count;
	return !same || x->score.score != y->score.score ||
	    x->score.first != y->score.first ||
	    x->score.last != y->score.last || x->hits != y->hits ||
	    x->offset != y->offset;
}

static char path[] = "/tmp/scoretable_test.XXXXXX";

/* All of the file; the caller frees it. */
static char *
contents(size_t *len_r)
{
	FILE *f = fopen(path, "r");
	char *text = malloc(1 << 20);

	if (f == NULL || text == NULL)
		exit(1);
	*len_r = fread(text, 1, 1 << 20, f);
	fclose(f);
	return text;
}

/* Both tables, with everything in them, written and read. */
static void
test_snapshot(void)
{
	struct scoretable *st = scoretable_create(5000), *again;
	struct strikes *s = strikes_create(5000), *s_again;
	struct snapshot_reader *r;
	struct snapshot_writer *w;
	struct errbuf err;
	unsigned wrong = 0;
	char *text, *text_again;
	size_t left, len, len_again;

	for (uint32_t i = 0; i < 3000; i++) {
		struct score_entry *e = put(st, rnd_below(3000), i);
		struct addr a = nth(i);

		e->score.score = rnd_real() * 20;
		e->score.first = rnd_real() * 1e9;
		scoretable_hit(st, e, name_intern_str(i % 2 ? "a" : "b"));
		for (unsigned n = rnd_below(4); n > 0; n--)
			scoretable_apply(st, e, rnd_below(5), rnd());
		if (i % 3 == 0)
			strikes_set(s, &a, 1 + i % 4, i);
	}
	w = snapshot_writer_create(path, &err);
	scoretable_save(st, w);
	strikes_save(s, w);
	is_int(snapshot_writer_commit(&w, &err), 0, "saved");
	again = scoretable_create(5000);
	s_again = strikes_create(5000);
	is_int(snapshot_reader_open(path, &r, &err), SNAPSHOT_OK, "opened");
	scoretable_load(again, r);
	strikes_load(s_again, r);
	is_int(snapshot_next_section(r), SNAPSHOT_END, "read to the end");
	ok(!snapshot_failed(r), "without failing");
	snapshot_reader_destroy(&r);
	is_int(scoretable_count(again), scoretable_count(st), "all scores");
	is_int(strikes_count(s_again), strikes_count(s), "all strikes");
	for (uint32_t i = 0; i < 3000; i++) {
		struct addr a = nth(i);
		struct score_entry *x = scoretable_get(st, &a);
		struct score_entry *y = scoretable_get(again, &a);

		wrong += (x == NULL) != (y == NULL);
		if (x != NULL && y != NULL)
			wrong += differs(st, x, again, y);
		wrong += strikes_get(s, &a, i, 1e9) !=
		    strikes_get(s_again, &a, i, 1e9);
	}
	is_int(wrong, 0, "as they were");
	/* The sources, too: what is read is written again as it was. */
	text = contents(&len);
	w = snapshot_writer_create(path, &err);
	scoretable_save(again, w);
	strikes_save(s_again, w);
	is_int(snapshot_writer_commit(&w, &err), 0, "saved again");
	text_again = contents(&len_again);
	ok(len == len_again && memcmp(text, text_again, len) == 0,
	    "the same file");
	free(text);
	free(text_again);
	/* The order of touches is the same: both expire alike. */
	for (left = scoretable_count(st); left > 0; left -= left < 7 ? left : 7)
		wrong += scoretable_expire(st, 1e18, 7) !=
			scoretable_expire(again, 1e18, 7) ||
		    scoretable_count(st) != scoretable_count(again);
	is_int(wrong, 0, "also in their order");
	scoretable_destroy(&st);
	scoretable_destroy(&again);
	strikes_destroy(&s);
	strikes_destroy(&s_again);
}

static void
put_score(struct snapshot_writer *w, unsigned n, double score, const char *rule)
{
	struct addr a = nth(n);

	snapshot_put_u8(w, 1);
	snapshot_put_addr(w, &a);
	snapshot_put_f64(w, score);
	snapshot_put_f64(w, 1);
	snapshot_put_f64(w, 2);
	snapshot_put_u32(w, 3);
	snapshot_put_u8(w, 2);
	snapshot_put_name(w, name_intern_str(rule));
	snapshot_put_u32(w, 4);
	snapshot_put_name(w, name_intern_str("other"));
	snapshot_put_u32(w, 5);
	snapshot_put_u32(w, 0);
}

/* What this version does not write. The last entry of an address counts. */
static void
test_foreign(void)
{
	struct scoretable *st = scoretable_create(50);
	struct rule_count rules[SCORETABLE_RULES];
	struct snapshot_reader *r;
	struct snapshot_writer *w;
	const struct score_entry *e;
	struct addr a = nth(7), bad = nth(1000);
	struct errbuf err;

	w = snapshot_writer_create(path, &err);
	for (unsigned i = 0; i < 40; i++)
		put_score(w, i, i, "a");
	put_score(w, 1000, NAN, "a");
	put_score(w, 7, 70, "b");
	put_score(w, 7, 77, "c");
	for (unsigned i = 40; i < 60; i++)
		put_score(w, i, i, "a");
	snapshot_put_u8(w, 0);
	snapshot_tell_count(w, SNAPSHOT_SCORES, 2);
	is_int(snapshot_writer_commit(&w, &err), 0, "a foreign file");
	snapshot_reader_open(path, &r, &err);
	is_int(scoretable_load(st, r), 0, "nothing is lost");
	is_int(snapshot_next_section(r), SNAPSHOT_END, "read to the end");
	ok(!snapshot_failed(r), "without failing");
	snapshot_reader_destroy(&r);
	is_int(scoretable_count(st), 50, "as many as there may be");
	is_int(scoretable_evicted(st), 10, "the others made room");
	ok(scoretable_get(st, &bad) == NULL, "no score that is no number");
	e = scoretable_get(st, &a);
	ok(e != NULL && e->score.score == 77, "twice: the last one");
	is_int(scoretable_rules(st, e, rules), 2, "with its rules");
	is_str(name_text(rules[0].rule), "c", "only");
	scoretable_destroy(&st);
	/* An entry that the file ends in is none. */
	st = scoretable_create(50);
	w = snapshot_writer_create(path, &err);
	put_score(w, 1, 1, "a");
	snapshot_put_u8(w, 1);
	snapshot_put_addr(w, &a);
	is_int(snapshot_writer_commit(&w, &err), 0, "an entry is cut off");
	snapshot_reader_open(path, &r, &err);
	is_int(scoretable_load(st, r), 0, "read");
	ok(snapshot_failed(r) && scoretable_count(st) == 1, "it is left out");
	snapshot_reader_destroy(&r);
	scoretable_destroy(&st);
}

int
main(void)
{
	int fd = mkstemp(path);

	close(fd);
	test_order();
	test_applied();
	test_counts();
	test_top();
	test_strikes();
	test_snapshot();
	test_foreign();
	unlink(path);
	names_destroy();
	return tap_done();
}
