/* blocklist: against a list that is searched from end to end. */
#include "lib/core/blocklist.h"

#include <stdlib.h>

#include "t/unit/rnd.h"
#include "t/unit/tap.h"

static struct addr
A(const char *s) {
	struct addr a;

	memset(&a, 0, sizeof(a));
	if (!addr_parse(s, strlen(s), &a))
		ok(false, "test address %s", s);
	return a;
}

static struct block
B(const char *s, double until) {
	return (struct block){ .addr = A(s),
		.until = until,
		.since = 5,
		.score = 7.5,
		.level = name_intern_str("reject"),
		.rule = name_intern_str("r"),
		.by = name_intern_str("mx1"),
		.strikes = 3 };
}

/* Levels as in a configuration; in the model some blocks have another one. */
static struct level ladder[4];
#define LADDER ladder, 4

static bool
same(const struct block *a, const struct block *b)
{
	return addr_equal(&a->addr, &b->addr) && a->until == b->until &&
	    a->since == b->since && a->score == b->score &&
	    a->level == b->level && a->rule == b->rule && a->by == b->by &&
	    a->strikes == b->strikes;
}

static void
test_basics(void)
{
	struct blocklist *bl = blocklist_create();
	struct block b = B("192.0.2.7", 100), net = B("192.0.2.0/24", 200);
	struct block out, other = B("192.0.2.8", INFINITY);
	struct addr host = A("192.0.2.7"), v6 = A("2001:db8::1");
	struct addr half = A("192.0.2.0/25"), all = A("192.0.0.0/16");

	is_int(blocklist_count(bl), 0, "empty");
	ok(isinf(blocklist_next(bl)), "nothing expires");
	ok(!blocklist_match(bl, &host, 0, LADDER, &out), "nothing matches");
	ok(blocklist_set(bl, &b) && blocklist_set(bl, &net), "two entries");
	ok(blocklist_match(bl, &host, 99.9, LADDER, &out) && same(&out, &b),
	    "the longest one, with all that belongs to it");
	ok(blocklist_match(bl, &host, 100, LADDER, &out) && same(&out, &net),
	    "at its end the wider one");
	ok(!blocklist_match(bl, &host, 200, LADDER, &out), "and then none");
	ok(blocklist_get(bl, &host, &out) && same(&out, &b),
	    "get gives the expired as well");
	ok(blocklist_match(bl, &half, 0, LADDER, &out) && same(&out, &net),
	    "of a prefix all must be blocked");
	ok(!blocklist_match(bl, &all, 0, LADDER, &out), "not a part of it");
	ok(!blocklist_match(bl, &v6, 0, LADDER, &out), "other addresses");
	is_num(blocklist_next(bl), 100, "the first to expire");
	b.until = 300;
	b.strikes = 70000;
	ok(blocklist_set(bl, &b), "replaced");
	is_int(blocklist_count(bl), 2, "not added");
	is_num(blocklist_next(bl), 200, "the other one is first now");
	ok(blocklist_get(bl, &host, &out) && out.strikes == 32767,
	    "strikes have a bound");
	blocklist_set(bl, &other);
	ok(blocklist_match(bl, &other.addr, 1e15, LADDER, &out), "for ever");
	is_int(blocklist_expire(bl, 1e15, 10, NULL, NULL), 2, "but the others");
	is_int(blocklist_count(bl), 1, "expire");
	ok(blocklist_del(bl, &other.addr) && !blocklist_del(bl, &other.addr),
	    "removed once");
	blocklist_destroy(&bl);
	blocklist_destroy(&bl);
	ok(bl == NULL, "destroyed");
}

static void
test_replace(void)
{
	struct blocklist *bl = blocklist_create();
	struct block b = B("192.0.2.7", 100), out;
	name_id level = 0;
	bool had = true;

	blocklist_reserve(bl, 1000);
	is_int(blocklist_count(bl), 0, "room for a thousand, empty");
	ok(blocklist_replace(bl, &b, &had, &level) && !had, "a new one");
	b.level = name_intern_str("defer");
	b.until = 50;
	ok(blocklist_replace(bl, &b, &had, &level) && had,
	    "in the place of another");
	is_str(name_text(level), "reject", "of that level");
	ok(blocklist_get(bl, &b.addr, &out) && same(&out, &b), "replaced");
	is_int(blocklist_count(bl), 1, "not added");
	is_num(blocklist_next(bl), 50, "it expires earlier");
	blocklist_destroy(&bl);
}

static void
test_overlap(void)
{
	static const char *const nested[] = { "203.0.113.5", "203.0.113.4/31",
		"203.0.113.0/24", "203.0.112.0/23", "203.0.0.0/16" };
	static const struct {
		int level[5]; /* of each in the ladder; 4 = a name of no level,
				 -1 = no entry, -2 = an expired one */
		int want;
	} cases[] = {
		{ { 0, -1, 3, -1, -1 }, 2 },
		{ { 3, -1, 0, -1, -1 }, 0 },
		{ { 1, 1, 1, 1, 1 }, 0 },
		{ { -1, 1, 1, -1, -1 }, 1 },
		{ { 3, 3, 3, 3, 3 }, 0 },
		{ { 0, 1, 2, 3, 2 }, 3 },
		{ { 0, 1, 2, 1, 0 }, 2 },
		{ { 1, 0, 0, 0, 2 }, 4 },
		{ { 0, -1, -2, -1, 1 }, 4 },
		{ { 0, -1, -2, -1, -1 }, 0 },
		{ { -2, -2, -2, -2, 0 }, 4 },
		{ { -2, -2, -2, -2, -2 }, -1 },
		{ { 4, -1, 0, -1, -1 }, 2 },
		{ { 0, -1, 4, -1, -1 }, 0 },
		{ { 4, -1, 4, -1, -1 }, 0 },
	};
	struct addr host = A(nested[0]);

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct blocklist *bl = blocklist_create();
		struct block out;
		struct addr want;
		bool found;

		for (int j = 0; j < 5; j++) {
			int level = cases[i].level[j];
			struct block b = B(nested[j], level == -2 ? 10 : 30);

			if (level >= 0)
				b.level = level < 4
				    ? ladder[level].name
				    : name_intern_str("elsewhere");
			else if (level == -2)
				b.level = ladder[3].name;
			if (level != -1)
				blocklist_set(bl, &b);
		}
		found = blocklist_match(bl, &host, 20, LADDER, &out);
		want = A(nested[cases[i].want >= 0 ? cases[i].want : 0]);
		if (cases[i].want < 0)
			ok(!found, "case %zu: all have expired", i);
		else
			ok(found && addr_equal(&out.addr, &want),
			    "case %zu: %s decides", i, nested[cases[i].want]);
		if (cases[i].want >= 0)
			ok(blocklist_match(bl, &host, 20, NULL, 0, &out),
			    "case %zu: without any level, too", i);
		blocklist_destroy(&bl);
	}
}

#define MODEL_MAX 400

static struct block model[MODEL_MAX];
static unsigned model_n;

static int
model_find(const struct addr *a)
{
	for (unsigned i = 0; i < model_n; i++)
		if (addr_equal(&model[i].addr, a))
			return (int)i;
	return -1;
}

/* Does it count for more? */
static bool
stricter(const struct block *a, const struct block *b)
{
	int x = level_find(LADDER, a->level), y = level_find(LADDER, b->level);

	return x != y ? x > y : a->addr.plen > b->addr.plen;
}

static const struct block *
model_match(const struct addr *host, double now)
{
	const struct block *best = NULL;

	for (unsigned i = 0; i < model_n; i++)
		if (model[i].until > now &&
		    addr_is_v4(&model[i].addr) == addr_is_v4(host) &&
		    addr_contains(&model[i].addr, host) &&
		    (best == NULL || stricter(&model[i], best)))
			best = &model[i];
	return best;
}

static struct addr
random_addr(void)
{
	struct addr a = { .plen = 128 };

	if (rnd_below(2)) {
		a.b[10] = a.b[11] = 0xff;
		a.b[14] = (uint8_t)rnd_below(4);
		a.b[15] = (uint8_t)rnd_below(64);
		return rnd_below(4) ? a : addr_mask(&a, 112 + rnd_below(17));
	}
	a.b[0] = 0x20;
	a.b[7] = (uint8_t)rnd_below(64);
	a.b[15] = (uint8_t)rnd_below(2);
	return rnd_below(4) ? a : addr_mask(&a, 48 + rnd_below(81));
}

static struct block
random_block(void)
{
	return (struct block){ .addr = random_addr(),
		.until = rnd_below(1000),
		.since = rnd_real() * 1000,
		.score = rnd_real() * 20,
		.level = (name_id)rnd_below(5),
		.rule = (name_id)rnd_below(5),
		.by = (name_id)rnd_below(5),
		.strikes = rnd_below(9) };
}

struct expiry {
	double last;
	double horizon;
	unsigned wrong, n;
};

static void
on_gone(void *ctx, const struct block *b)
{
	struct expiry *x = ctx;
	int at = model_find(&b->addr);

	x->n++;
	x->wrong += b->until < x->last || b->until > x->horizon || at < 0;
	x->last = b->until;
	if (at < 0)
		return;
	x->wrong += !same(b, &model[at]);
	model[at] = model[--model_n];
}

static double
model_next(void)
{
	double next = INFINITY;

	for (unsigned i = 0; i < model_n; i++)
		next = fmin(next, model[i].until);
	return next;
}

static unsigned
model_step(struct blocklist *bl)
{
	struct block b = random_block();
	unsigned kind = rnd_below(10);
	unsigned wrong = 0;
	int at = model_find(&b.addr);

	if (kind < 6 && (at >= 0 || model_n < MODEL_MAX)) {
		wrong += !blocklist_set(bl, &b);
		model[at >= 0 ? at : (int)model_n++] = b;
	} else if (kind < 9) {
		wrong += blocklist_del(bl, &b.addr) != (at >= 0);
		if (at >= 0)
			model[at] = model[--model_n];
	} else if (rnd_below(5) == 0) {
		struct expiry x = { -1, rnd_below(400), 0, 0 };
		unsigned max = 1 + rnd_below(20);
		size_t n = blocklist_expire(bl, x.horizon, max, on_gone, &x);

		/* Fewer than asked for only when no more is due. */
		wrong += x.wrong + (n != x.n) + (n > max) +
		    (n < max && model_next() <= x.horizon);
	}
	return wrong;
}

static void
test_model(void)
{
	struct blocklist *bl = blocklist_create();
	unsigned wrong = 0, walks = 0;

	for (int i = 0; i < 40000; i++) {
		struct addr host = random_addr();
		double now = rnd_below(1000);
		const struct block *want = model_match(&host, now);
		struct block out;
		bool found;

		wrong += model_step(bl);
		want = model_match(&host, now);
		found = blocklist_match(bl, &host, now, LADDER, &out);
		wrong +=
		    found != (want != NULL) || (found && !same(&out, want));
		found = blocklist_get(bl, &host, &out);
		wrong += found != (model_find(&host) >= 0);
		wrong += blocklist_count(bl) != model_n ||
		    blocklist_next(bl) != model_next();
		if (i % 500 == 0) {
			size_t cursor = 0;
			unsigned n = 0;

			while (blocklist_next_entry(bl, &cursor, &out)) {
				int at = model_find(&out.addr);

				walks += at < 0 || !same(&out, &model[at]);
				n++;
			}
			walks += n != model_n;
		}
	}
	is_int(wrong, 0, "as the model");
	is_int(walks, 0, "walks see each entry once");
	blocklist_destroy(&bl);
}

/* Entries that stay are seen once while others come and go. */
static void
test_walk(void)
{
	struct blocklist *bl = blocklist_create();
	unsigned char seen[256] = { 0 };
	size_t cursor = 0;
	struct block b, out;
	unsigned wrong = 0;

	for (int i = 0; i < 256; i++) {
		b = B("192.0.2.0", 100);
		b.addr.b[15] = (uint8_t)i;
		blocklist_set(bl, &b);
	}
	while (blocklist_next_entry(bl, &cursor, &out)) {
		seen[out.addr.b[15]]++;
		/* Odd ones come and go. */
		b.addr.b[15] = (uint8_t)(rnd_below(128) * 2 + 1);
		if (!blocklist_del(bl, &b.addr))
			blocklist_set(bl, &b);
	}
	for (int i = 0; i < 256; i += 2)
		wrong += seen[i] != 1;
	is_int(wrong, 0, "what stays is seen exactly once");
	blocklist_destroy(&bl);
}

static void
test_many(void)
{
	enum { N = 300000 };
	struct blocklist *bl = blocklist_create();
	struct block b = B("192.0.2.1", 1), out;
	unsigned wrong = 0;
	double last = -1;

	for (unsigned i = 0; i < N; i++) {
		memcpy(b.addr.b + 12, &i, 4);
		b.until = rnd_below(1000000);
		wrong += !blocklist_set(bl, &b);
	}
	is_int(blocklist_count(bl), N, "many entries");
	for (unsigned i = 0; i < N; i++) {
		memcpy(b.addr.b + 12, &i, 4);
		wrong += !blocklist_match(bl, &b.addr, -1, LADDER, &out);
	}
	while (blocklist_count(bl) > 0) {
		double next = blocklist_next(bl);

		wrong += next < last;
		last = next;
		wrong += blocklist_expire(bl, next, 1, NULL, NULL) != 1;
	}
	is_int(wrong, 0, "found, and expired in order");
	blocklist_destroy(&bl);
}

static void
count_ended(void *ctx, const struct block *b)
{
	unsigned *n = ctx;

	if (b->own_strike && b->strikes == 3)
		(*n)++;
}

/* Whoever keeps strikes hears of each that has no block any more. */
static void
test_own_strike(void)
{
	struct blocklist *bl = blocklist_create();
	struct block own = B("192.0.2.7", 100), plain = own, out;
	unsigned ended = 0;

	own.own_strike = true;
	blocklist_set(bl, &own);
	blocklist_del(bl, &own.addr);
	blocklist_on_end(bl, count_ended, &ended);
	blocklist_set(bl, &own);
	own.until = 200;
	blocklist_set(bl, &own);
	ok(ended == 0 && blocklist_get(bl, &own.addr, &out) && out.own_strike,
	    "replaced by one that has it");
	blocklist_set(bl, &plain);
	ok(ended == 1 && blocklist_get(bl, &own.addr, &out) && !out.own_strike,
	    "by one that has not");
	blocklist_set(bl, &plain);
	blocklist_del(bl, &plain.addr);
	is_int(ended, 1, "which has nothing to tell");
	blocklist_set(bl, &own);
	blocklist_del(bl, &own.addr);
	is_int(ended, 2, "removed");
	blocklist_set(bl, &own);
	is_int(blocklist_expire(bl, 200, 9, NULL, NULL), 1, "its time is over");
	is_int(ended, 3, "that is told, too");
	blocklist_set(bl, &own);
	blocklist_end_strike(bl, &own.addr);
	blocklist_end_strike(bl, &own.addr);
	ok(ended == 4 && blocklist_get(bl, &own.addr, &out) &&
		!out.own_strike && out.strikes == 3,
	    "taken from it, once");
	blocklist_del(bl, &own.addr);
	blocklist_end_strike(bl, &own.addr);
	is_int(ended, 4, "nothing more");
	blocklist_destroy(&bl);
}

int
main(void)
{
	ladder[0].name = name_intern_str("defer");
	ladder[1].name = name_intern_str("reject");
	ladder[2].name = name_intern_str("drop");
	ladder[3].name = name_intern_str("firewall");
	test_basics();
	test_replace();
	test_overlap();
	test_own_strike();
	/* In the model's numbers of names, but not in their order. */
	for (name_id i = 0; i < 4; i++)
		ladder[i].name = (name_id)((i + 2) % 4);
	test_model();
	test_walk();
	test_many();
	names_destroy();
	return tap_done();
}
