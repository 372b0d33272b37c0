/*
 * store_conformance: what every store must do, as store.h promises it.
 *
 *     store_conformance(&factory);
 *
 * The factory makes empty stores and lets time pass until everything that was
 * asked of one has been delivered. Times in the tests lie around
 * factory->now(), the last offence at it; blocks last an hour, so that a store
 * with a clock of its own (TTLs) sees them active throughout.
 */
#ifndef MXW_STORE_CONFORMANCE_H
#define MXW_STORE_CONFORMANCE_H

#include <stdlib.h>

#include "lib/core/store.h"
#include "t/unit/tap.h"

struct store_factory {
	const char *name;
	struct store *(*create)(const struct store_params *);
	double (*now)(void);
	/* Until all has been delivered: no call is open any more. `horizon` is
	 * for store_poll(). */
	void (*settle)(
	    struct store *, const size_t *open, double now, double horizon);
	/* Are scores and strikes forgotten by the times of hits and the horizon
	 * (true), or by a clock (false)? */
	bool log_time;
};

#define CONF_W 600.0
#define CONF_HOUR 3600.0

/* One store with its view and what came through the sink, as text. */
struct conformance {
	const struct store_factory *f;
	struct store *store;
	struct blocklist *view;
	struct level levels[3];
	struct store_params params;
	double now;
	uint64_t offset;
	size_t open; /* calls without an answer */
	size_t len;
	char log[20000];
};

static void __attribute__((format(printf, 2, 3)))
conf_log(struct conformance *c, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	c->len += (size_t)vsnprintf(
	    c->log + c->len, sizeof(c->log) - c->len, fmt, ap);
	va_end(ap);
	if (c->len >= sizeof(c->log))
		c->len = sizeof(c->log) - 1;
}

static const char *
conf_why(enum store_why why)
{
	static const char *const names[] = { "decided", "raised", "manual",
		"shared", "loaded", "expired" };

	return names[why];
}

static void
conf_blocked(void *ctx, const struct block *b, enum store_why why)
{
	struct conformance *c = ctx;
	char text[ADDR_STRLEN];

	blocklist_set(c->view, b);
	conf_log(c,
	    "%s %s %s since=%g until=%g score=%g rule=%s by=%s "
	    "strikes=%u\n",
	    conf_why(why), addr_format(&b->addr, text), name_text(b->level),
	    b->since - c->now, b->until - c->now, b->score, name_text(b->rule),
	    name_text(b->by), b->strikes);
}

static void
conf_unblocked(void *ctx, const struct addr *a, enum store_why why)
{
	struct conformance *c = ctx;
	char text[ADDR_STRLEN];

	blocklist_del(c->view, a);
	conf_log(c, "unblocked %s %s\n", addr_format(a, text), conf_why(why));
}

static void
conf_allowed(void *ctx, const struct addr *a, bool present)
{
	char text[ADDR_STRLEN];

	conf_log(ctx, "%s %s\n", present ? "allowed" : "disallowed",
	    addr_format(a, text));
}

static void
conf_info(void *ctx, uint64_t ticket, const struct score_info *i)
{
	struct conformance *c = ctx;
	char text[ADDR_STRLEN];

	conf_log(c,
	    "info %llu %s score=%g first=%g last=%g hits=%u "
	    "strikes=%u",
	    (unsigned long long)ticket, addr_format(&i->addr, text),
	    i->score.score, i->hits > 0 ? i->score.first - c->now : 0,
	    i->hits > 0 ? i->score.last - c->now : 0, i->hits, i->strikes);
	for (char rule = 'a'; rule <= 'z'; rule++) /* in any order */
		for (size_t n = 0; n < i->n_rules; n++)
			if (strcmp(name_text(i->rules[n].rule),
				(char[]){ rule, '\0' }) == 0)
				conf_log(c, " %c=%u", rule, i->rules[n].count);
	conf_log(c, "\n");
}

static void
conf_done(
    void *ctx, uint64_t ticket, enum store_result result, const char *text)
{
	static const char *const names[] = { "ok", "not found", "unavailable" };

	((struct conformance *)ctx)->open--;
	conf_log(ctx, "done %llu %s%s%s\n", (unsigned long long)ticket,
	    names[result], text[0] != '\0' ? ": " : "", text);
}

static struct conformance *
conf_open(const struct store_factory *f)
{
	static const struct store_sink sink = { .blocked = conf_blocked,
		.unblocked = conf_unblocked,
		.allowed = conf_allowed,
		.info = conf_info,
		.done = conf_done };
	struct conformance *c = calloc(1, sizeof(*c));

	if (c == NULL)
		exit(1);
	c->f = f;
	c->now = f->now();
	c->levels[0] = (struct level){ .name = name_intern_str("defer"),
		.threshold = 5,
		.duration = 2 * CONF_HOUR };
	c->levels[1] = (struct level){ .name = name_intern_str("reject"),
		.threshold = 10,
		.duration = CONF_HOUR };
	c->levels[2] = (struct level){ .name = name_intern_str("firewall"),
		.threshold = 20,
		.duration = 5 * CONF_HOUR };
	c->params = (struct store_params){ .window = CONF_W,
		.repeat = { 2, 100 * CONF_HOUR, 1000 * CONF_HOUR },
		.levels = c->levels,
		.n_levels = 3,
		.host = name_intern_str("mx1") };
	c->store = f->create(&c->params);
	c->view = blocklist_create();
	store_set_sink(c->store, &sink, c, c->view);
	store_configure(c->store, &c->params);
	f->settle(c->store, &c->open, c->now, -INFINITY);
	c->len = 0;
	c->log[0] = '\0';
	return c;
}

static void
conf_close(struct conformance **cp)
{
	store_destroy(&(*cp)->store);
	if ((*cp)->store != NULL)
		ok(false, "destroy leaves NULL");
	store_destroy(&(*cp)->store);
	blocklist_destroy(&(*cp)->view);
	free(*cp);
	*cp = NULL;
}

static struct addr
conf_addr(const char *s)
{
	struct addr a;

	memset(&a, 0, sizeof(a));
	if (!addr_parse(s, strlen(s), &a))
		ok(false, "test address %s", s);
	return a;
}

/* The store, for a call with a ticket. */
static struct store *
conf_ask(struct conformance *c)
{
	c->open++;
	return c->store;
}

/* A hit, `ago` seconds before now. */
static void
conf_hit_at(struct conformance *c, const char *addr, double ago, double weight,
    const char *rule, uint64_t epoch, uint64_t offset)
{
	struct hit h = { .addr = conf_addr(addr),
		.t = c->now - ago,
		.weight = weight,
		.rule = name_intern_str(rule),
		.epoch = epoch,
		.offset = offset };

	store_hit(c->store, &h);
}

static void
conf_hit(struct conformance *c, const char *addr, double ago, double weight)
{
	conf_hit_at(c, addr, ago, weight, "r", 7, c->offset += 100);
}

static void
conf_block(struct conformance *c, uint64_t ticket, const char *addr,
    const char *level, double duration)
{
	struct block b = { .addr = conf_addr(addr),
		.since = c->now,
		.until = c->now + duration,
		.level = name_intern_str(level),
		.rule = name_intern_str("by-hand"),
		.by = name_intern_str("mx1") };

	store_block(conf_ask(c), ticket, &b);
}

/* Delivers, and compares what came with `want`. */
static void
conf_expect(struct conformance *c, const char *want, const char *what)
{
	c->f->settle(c->store, &c->open, c->now, -INFINITY);
	is_str(c->log, want, "%s: %s", c->f->name, what);
	c->len = 0;
	c->log[0] = '\0';
}

static void
conf_fetch(
    struct conformance *c, const char *addr, const char *want, const char *what)
{
	struct addr a = conf_addr(addr);

	c->f->settle(c->store, &c->open, c->now, -INFINITY);
	store_fetch(conf_ask(c), 1, &a);
	conf_expect(c, want, what);
}

static void
conf_test_levels(const struct store_factory *f)
{
	struct conformance *c = conf_open(f);

	conf_hit(c, "192.0.2.1", 50, 4);
	conf_expect(c, "", "below the first level");
	conf_hit(c, "192.0.2.1", 40, 1);
	conf_expect(c,
	    "decided 192.0.2.1 defer since=-40 until=7160 score=5 "
	    "rule=r by=mx1 strikes=0\n",
	    "the first level");
	conf_hit(c, "192.0.2.1", 30, 1);
	conf_expect(c, "", "the same level again");
	conf_hit_at(c, "192.0.2.1", 20, 4, "o", 7, c->offset += 100);
	conf_expect(c,
	    "raised 192.0.2.1 reject since=-40 until=7160 score=10 "
	    "rule=o by=mx1 strikes=0\n",
	    "a higher level that is shorter: the end stays");
	conf_hit(c, "192.0.2.1", 10, 15);
	conf_expect(c,
	    "raised 192.0.2.1 firewall since=-40 until=17990 "
	    "score=25 rule=r by=mx1 strikes=0\n",
	    "the highest: the end moves on");
	conf_hit(c, "192.0.2.1", 0, 100);
	conf_expect(c, "", "nothing above it");
	conf_fetch(c, "192.0.2.1",
	    "info 1 192.0.2.1 score=125 first=-50 last=0 hits=6 strikes=1 o=1 "
	    "r=5\ndone 1 ok\n",
	    "one block is one strike");
	conf_hit(c, "192.0.2.2", 0, 30);
	conf_expect(c,
	    "decided 192.0.2.2 firewall since=0 until=18000 "
	    "score=30 rule=r by=mx1 strikes=0\n",
	    "several levels at once: the highest");
	conf_close(&c);
}

static void
conf_test_arithmetic(const struct store_factory *f)
{
	struct conformance *c = conf_open(f);

	conf_hit(c, "192.0.2.1", 500, 1);
	conf_hit(c, "192.0.2.1", 400, 2);
	conf_hit(c, "192.0.2.1", 450, 0.5);
	conf_fetch(c, "192.0.2.1",
	    "info 1 192.0.2.1 score=3.5 first=-500 last=-400 hits=3 strikes=0 "
	    "r=3\ndone 1 ok\n",
	    "an older line only adds its weight");
	conf_hit(c, "192.0.2.1", 100, -2);
	conf_fetch(c, "192.0.2.1",
	    "info 1 192.0.2.1 score=1.5 first=-500 last=-100 hits=4 strikes=0 "
	    "r=4\ndone 1 ok\n",
	    "a negative weight forgives");
	conf_hit(c, "192.0.2.1", 90, -2);
	conf_hit(c, "192.0.2.1", 80, 1);
	conf_fetch(c, "192.0.2.1",
	    "info 1 192.0.2.1 score=1 first=-500 last=-80 hits=6 strikes=0 "
	    "r=6\ndone 1 ok\n",
	    "but nothing in advance");
	/* 1000 s of one window's length 600: 0.6 of 2 is left. */
	conf_hit(c, "192.0.2.2", 1000, 2);
	conf_hit(c, "192.0.2.2", 500, 0);
	conf_hit(c, "192.0.2.2", 0, 1);
	conf_fetch(c, "192.0.2.2",
	    "info 1 192.0.2.2 score=2.2 first=-600 last=0 hits=3 strikes=0 "
	    "r=3\ndone 1 ok\n",
	    "beyond the window it decays by rate");
	conf_hit_at(c, "192.0.2.3", CONF_W, 4, "a", 7, 1);
	conf_hit_at(c, "192.0.2.3", 0, 3, "b", 7, 2);
	conf_fetch(c, "192.0.2.3",
	    "info 1 192.0.2.3 score=3 first=0 last=0 hits=1 strikes=0 b=1\n"
	    "done 1 ok\n",
	    "forgotten a window after the last");
	conf_hit_at(c, "192.0.2.4", CONF_W - 1, 4, "a", 7, 1);
	conf_hit_at(c, "192.0.2.4", 0, 0.5, "b", 7, 2);
	conf_hit_at(c, "192.0.2.4", 0, 0.25, "a", 7, 3);
	conf_fetch(c, "192.0.2.4",
	    "info 1 192.0.2.4 score=4.75 first=-599 last=0 hits=3 strikes=0 "
	    "a=2 b=1\ndone 1 ok\n",
	    "a second before it is not");
	conf_close(&c);
	/* What forgives never blocks, however high the score still is. */
	c = conf_open(f);
	c->levels[0].threshold = 50;
	c->params.n_levels = 1;
	conf_hit(c, "192.0.2.6", 30, 45);
	conf_expect(c, "", "a high level");
	c->levels[0].threshold = 5;
	store_configure(c->store, &c->params);
	conf_hit(c, "192.0.2.6", 20, -1);
	conf_hit(c, "192.0.2.6", 15, 0);
	conf_expect(c, "", "neither a weight below nor one of 0 blocks");
	conf_hit(c, "192.0.2.6", 10, 0.5);
	conf_expect(c,
	    "decided 192.0.2.6 defer since=-10 until=7190 "
	    "score=44.5 rule=r by=mx1 strikes=0\n",
	    "one above does");
	conf_close(&c);
}

static void
conf_test_idempotent(const struct store_factory *f)
{
	struct conformance *c = conf_open(f);
	struct store_status st;

	for (int i = 0; i < 3; i++) {
		conf_hit_at(c, "192.0.2.1", 9, 1, "r", 7, 100);
		conf_hit_at(c, "192.0.2.1", 8, 1, "r", 7, 200);
		conf_hit_at(c, "192.0.2.1", 8, 1, "r", 7, 150);
	}
	conf_fetch(c, "192.0.2.1",
	    "info 1 192.0.2.1 score=2 first=-9 last=-8 hits=2 strikes=0 r=2\n"
	    "done 1 ok\n",
	    "what is not newer changes nothing");
	store_status(c->store, &st);
	is_int(st.applied, 2, "%s: two applied", f->name);
	is_int(st.repeated, 7, "%s: seven repeated", f->name);
	conf_hit_at(c, "192.0.2.1", 7, 1, "r", 8, 100);
	conf_hit_at(c, "192.0.2.1", 7, 1, "r", 9, 50);
	conf_hit_at(c, "192.0.2.1", 7, 1, "r", 8, 100);
	conf_hit_at(c, "192.0.2.1", 7, 1, "r", 7, 200);
	conf_fetch(c, "192.0.2.1",
	    "info 1 192.0.2.1 score=4 first=-9 last=-7 hits=4 strikes=0 r=4\n"
	    "done 1 ok\n",
	    "each epoch has its own offsets");
	conf_hit_at(c, "192.0.2.2", 7, 1, "r", 7, 60);
	conf_fetch(c, "192.0.2.2",
	    "info 1 192.0.2.2 score=1 first=-7 last=-7 hits=1 strikes=0 r=1\n"
	    "done 1 ok\n",
	    "and each address");
	for (int i = 0; i < 3; i++)
		conf_hit_at(c, "192.0.2.3", 5, 1, "r", 0, 100);
	conf_fetch(c, "192.0.2.3",
	    "info 1 192.0.2.3 score=3 first=-5 last=-5 hits=3 strikes=0 r=3\n"
	    "done 1 ok\n",
	    "without a source everything is new");
	conf_hit_at(c, "192.0.2.4", 5, 9, "r", UINT64_MAX, UINT64_MAX / 2);
	conf_hit_at(c, "192.0.2.4", 5, 9, "r", UINT64_MAX, UINT64_MAX / 2);
	conf_hit_at(
	    c, "192.0.2.4", 5, 0.5, "r", UINT64_MAX, UINT64_MAX / 2 + 4096);
	conf_expect(c,
	    "decided 192.0.2.4 defer since=-5 until=7195 score=9 "
	    "rule=r by=mx1 strikes=0\n",
	    "large numbers");
	conf_fetch(c, "192.0.2.4",
	    "info 1 192.0.2.4 score=9.5 first=-5 last=-5 hits=2 strikes=1 "
	    "r=2\ndone 1 ok\n",
	    "are told apart");
	conf_close(&c);
}

static void
conf_test_manual(const struct store_factory *f)
{
	struct conformance *c = conf_open(f);

	conf_block(c, 5, "192.0.2.1", "defer", 100 * CONF_HOUR);
	conf_expect(c,
	    "manual 192.0.2.1 defer since=0 until=360000 score=0 "
	    "rule=by-hand by=mx1 strikes=0\ndone 5 ok\n",
	    "a block by hand");
	conf_hit(c, "192.0.2.1", 0, 6);
	conf_expect(c, "", "an offence of its level changes nothing");
	conf_hit(c, "192.0.2.1", 0, 6);
	conf_expect(c,
	    "raised 192.0.2.1 reject since=0 until=360000 score=12 "
	    "rule=r by=mx1 strikes=0\n",
	    "a higher level does, but does not shorten it");
	conf_block(c, 6, "192.0.2.1", "defer", 60);
	conf_expect(c,
	    "manual 192.0.2.1 defer since=0 until=60 score=0 "
	    "rule=by-hand by=mx1 strikes=0\ndone 6 ok\n",
	    "by hand it may be lower and shorter");
	/* Given together, nothing delivered in between. */
	conf_block(c, 7, "192.0.2.2", "firewall", 100 * CONF_HOUR);
	conf_hit(c, "192.0.2.2", 0, 6);
	conf_expect(c,
	    "manual 192.0.2.2 firewall since=0 until=360000 score=0 "
	    "rule=by-hand by=mx1 strikes=0\ndone 7 ok\n",
	    "an offence behind it does not replace it");
	conf_block(c, 8, "198.51.100.0/24", "reject", CONF_HOUR);
	conf_block(c, 9, "2001:db8:1:2::/64", "reject", CONF_HOUR);
	conf_block(c, 10, "2001:db8:1:2::1", "no-such-level", CONF_HOUR);
	conf_expect(c,
	    "manual 198.51.100.0/24 reject since=0 until=3600 score=0 "
	    "rule=by-hand by=mx1 strikes=0\ndone 8 ok\n"
	    "manual 2001:db8:1:2::/64 reject since=0 until=3600 score=0 "
	    "rule=by-hand by=mx1 strikes=0\ndone 9 ok\n"
	    "manual 2001:db8:1:2::1 no-such-level since=0 until=3600 score=0 "
	    "rule=by-hand by=mx1 strikes=0\ndone 10 ok\n",
	    "prefixes, unknown levels, in their order");
	conf_hit(c, "198.51.100.7", 0, 6);
	conf_expect(c,
	    "decided 198.51.100.7 defer since=0 until=7200 score=6 "
	    "rule=r by=mx1 strikes=0\n",
	    "a wider block is not that of the address");
	conf_hit(c, "2001:db8:1:2::1", 0, 6);
	conf_expect(c,
	    "raised 2001:db8:1:2::1 defer since=0 until=7200 "
	    "score=6 rule=r by=mx1 strikes=0\n",
	    "any level is above one that is not configured");
	conf_close(&c);
}

static void
conf_test_unblock(const struct store_factory *f)
{
	struct conformance *c = conf_open(f);
	struct addr a = conf_addr("192.0.2.1"), b = conf_addr("192.0.2.2");

	store_unblock(conf_ask(c), 1, &a);
	conf_expect(c, "done 1 not found\n", "nothing to unblock");
	conf_hit_at(c, "192.0.2.1", 50, 6, "r", 7, 1000);
	c->f->settle(c->store, &c->open, c->now, -INFINITY);
	c->len = 0;
	store_unblock(conf_ask(c), 2, &a);
	conf_expect(c, "unblocked 192.0.2.1 manual\ndone 2 ok\n", "unblocked");
	conf_fetch(c, "192.0.2.1",
	    "info 1 192.0.2.1 score=0 first=0 last=0 hits=0 strikes=1\n"
	    "done 1 ok\n",
	    "the score is forgotten, the strike is not");
	conf_hit_at(c, "192.0.2.1", 50, 6, "r", 7, 1000);
	conf_hit_at(c, "192.0.2.1", 50, 6, "r", 7, 900);
	conf_fetch(c, "192.0.2.1",
	    "info 1 192.0.2.1 score=0 first=0 last=0 hits=0 strikes=1\n"
	    "done 1 ok\n",
	    "lines that were applied stay applied");
	conf_hit_at(c, "192.0.2.1", 40, 4, "s", 7, 1100);
	conf_expect(c, "", "it starts from nothing");
	conf_hit_at(c, "192.0.2.1", 30, 2, "s", 7, 1200);
	conf_expect(c,
	    "decided 192.0.2.1 defer since=-30 until=14370 score=6 "
	    "rule=s by=mx1 strikes=1\n",
	    "and is blocked for twice as long");
	store_unblock(conf_ask(c), 3, &a);
	store_unblock(conf_ask(c), 4, &a);
	conf_hit_at(c, "192.0.2.2", 0, 2, "s", 7, 1300);
	store_unblock(conf_ask(c), 5, &b);
	conf_expect(c,
	    "unblocked 192.0.2.1 manual\ndone 3 ok\n"
	    "done 4 not found\ndone 5 not found\n",
	    "once; and what has only a score is not blocked");
	conf_hit_at(c, "192.0.2.1", 0, 6, "s", 7, 1400);
	conf_expect(c,
	    "decided 192.0.2.1 defer since=0 until=28800 score=6 "
	    "rule=s by=mx1 strikes=2\n",
	    "four times as long");
	store_forgive(conf_ask(c), 6, &a);
	conf_expect(c, "unblocked 192.0.2.1 manual\ndone 6 ok\n", "forgiven");
	conf_fetch(c, "192.0.2.1", "done 1 not found\n", "all of it");
	store_forgive(conf_ask(c), 7, &a);
	conf_expect(c, "done 7 not found\n", "nothing to forgive");
	conf_hit_at(c, "192.0.2.1", 0, 6, "s", 7, 1400);
	conf_expect(c, "", "lines that were applied still stay applied");
	conf_hit_at(c, "192.0.2.1", 0, 6, "s", 7, 1500);
	conf_expect(c,
	    "decided 192.0.2.1 defer since=0 until=7200 score=6 "
	    "rule=s by=mx1 strikes=0\n",
	    "as if for the first time");
	conf_hit_at(c, "192.0.2.3", 0, 2, "s", 7, 1);
	c->f->settle(c->store, &c->open, c->now, -INFINITY);
	c->len = 0;
	a = conf_addr("192.0.2.3");
	store_forgive(conf_ask(c), 8, &a);
	conf_expect(c, "done 8 ok\n", "a score alone is forgiven");
	conf_close(&c);
}

static void
conf_test_unblock_all(const struct store_factory *f)
{
	struct conformance *c = conf_open(f);
	char text[32], want[40];
	size_t cursor = 0;
	struct block b;

	store_unblock_all(conf_ask(c), 1);
	conf_expect(c, "done 1 not found\n", "nobody is blocked");
	for (int i = 0; i < 40; i++) {
		snprintf(text, sizeof(text), "192.0.2.%d", i);
		conf_hit(c, text, 0, 6);
		snprintf(text, sizeof(text), "198.51.%d.0/24", i);
		conf_block(c, 2, text, "reject", CONF_HOUR);
	}
	c->f->settle(c->store, &c->open, c->now, -INFINITY);
	is_int(blocklist_count(c->view), 80, "%s: many are", f->name);
	c->len = 0;
	store_unblock_all(conf_ask(c), 3);
	c->f->settle(c->store, &c->open, c->now, -INFINITY);
	ok(!blocklist_next_entry(c->view, &cursor, &b), "%s: then nobody",
	    f->name);
	snprintf(want, sizeof(want), "done 3 ok\n");
	ok(c->len > strlen(want) &&
		strcmp(c->log + c->len - strlen(want), want) == 0,
	    "%s: done comes last", f->name);
	c->len = 0;
	c->log[0] = '\0';
	conf_fetch(c, "192.0.2.7",
	    "info 1 192.0.2.7 score=0 first=0 last=0 hits=0 strikes=1\n"
	    "done 1 ok\n",
	    "scores are forgotten");
	conf_close(&c);
}

static void
conf_test_allow(const struct store_factory *f)
{
	struct conformance *c = conf_open(f);
	struct addr net = conf_addr("192.0.2.0/24"), host = conf_addr("::1");

	store_allow(conf_ask(c), 1, &net, true);
	store_allow(conf_ask(c), 2, &host, true);
	store_allow(conf_ask(c), 3, &net, true);
	conf_expect(c,
	    "allowed 192.0.2.0/24\ndone 1 ok\nallowed ::1\n"
	    "done 2 ok\ndone 3 ok\n",
	    "allowed, told once");
	store_allow(conf_ask(c), 4, &net, false);
	store_allow(conf_ask(c), 5, &net, false);
	conf_expect(c,
	    "disallowed 192.0.2.0/24\ndone 4 ok\n"
	    "done 5 not found\n",
	    "and taken back, once");
	conf_close(&c);
}

static void
conf_test_top(const struct store_factory *f)
{
	struct conformance *c = conf_open(f);
	char text[32], *line;
	double last = INFINITY;
	unsigned n = 0, wrong = 0;

	store_top(conf_ask(c), 1, 10);
	conf_expect(c, "done 1 ok\n", "nobody has a score");
	conf_hit(c, "192.0.2.1", 0, 1);
	conf_hit(c, "192.0.2.2", 0, 3);
	conf_hit(c, "2001:db8::/64", 0, 2);
	conf_hit(c, "192.0.2.4", 0, 1.5);
	conf_hit(c, "192.0.2.4", 0, -1.5);
	c->f->settle(c->store, &c->open, c->now, -INFINITY);
	store_top(conf_ask(c), 2, 2);
	store_top(conf_ask(c), 3, 0);
	conf_expect(c,
	    "info 2 192.0.2.2 score=3 first=0 last=0 hits=1 strikes=0 r=1\n"
	    "info 2 2001:db8::/64 score=2 first=0 last=0 hits=1 strikes=0 "
	    "r=1\ndone 2 ok\ndone 3 ok\n",
	    "the highest first");
	for (int i = 0; i < 100; i++) {
		snprintf(text, sizeof(text), "198.51.100.%d", i * 37 % 100);
		conf_hit(c, text, 0, i * 0.04);
	}
	c->f->settle(c->store, &c->open, c->now, -INFINITY);
	store_top(conf_ask(c), 4, 50);
	c->f->settle(c->store, &c->open, c->now, -INFINITY);
	for (line = strtok(c->log, "\n"); line != NULL;
	     line = strtok(NULL, "\n")) {
		const char *score = strstr(line, "score=");

		if (strncmp(line, "info 4 ", 7) != 0 || score == NULL)
			continue;
		wrong += strtod(score + 6, NULL) > last;
		last = strtod(score + 6, NULL);
		n++;
	}
	is_int(n, 50, "%s: as many as were asked for", f->name);
	is_int(wrong, 0, "%s: in their order", f->name);
	is_num(last, 51 * 0.04, "%s: and no lower ones", f->name);
	conf_close(&c);
}

/* Everything comes from the poll (or the loop), and in its order. */
static void
conf_test_delivery(const struct store_factory *f)
{
	struct conformance *c = conf_open(f);
	struct addr a = conf_addr("192.0.2.1"), b = conf_addr("192.0.2.2");
	static const char *const in_order[] = { "decided 192.0.2.1 defer ",
		"decided 192.0.2.2 defer ", "raised 192.0.2.1 reject " };
	const char *at = c->log;

	conf_hit(c, "192.0.2.1", 5, 6);
	conf_hit(c, "192.0.2.2", 4, 6);
	conf_hit(c, "192.0.2.1", 3, 6);
	store_unblock(conf_ask(c), 1, &b);
	conf_block(c, 2, "192.0.2.3", "defer", CONF_HOUR);
	store_forgive(conf_ask(c), 3, &b);
	store_allow(conf_ask(c), 4, &a, true);
	store_fetch(conf_ask(c), 5, &b);
	store_top(conf_ask(c), 6, 3);
	store_unblock_all(conf_ask(c), 7);
	is_str(c->log, "", "%s: nothing comes from inside a call", f->name);
	c->f->settle(c->store, &c->open, c->now, -INFINITY);
	for (unsigned i = 1; i <= 7; i++) {
		char want[32];
		const char *p;

		snprintf(want, sizeof(want), "done %u ", i);
		p = strstr(c->log, want);
		ok(p != NULL && strstr(p + 1, want) == NULL,
		    "%s: each call is answered once", f->name);
	}
	for (size_t i = 0; i < 3; i++) {
		const char *p = strstr(at, in_order[i]);

		ok(p != NULL, "%s: decisions come in the order of the hits",
		    f->name);
		at = p != NULL ? p : at;
	}
	c->len = 0;
	c->log[0] = '\0';
	a = conf_addr("203.0.113.1");
	conf_block(c, 8, "203.0.113.1", "defer", CONF_HOUR);
	store_unblock(conf_ask(c), 9, &a);
	conf_expect(c,
	    "manual 203.0.113.1 defer since=0 until=3600 score=0 rule=by-hand "
	    "by=mx1 strikes=0\ndone 8 ok\nunblocked 203.0.113.1 manual\n"
	    "done 9 ok\n",
	    "calls in their order");
	conf_close(&c);
}

static void
conf_test_configure(const struct store_factory *f)
{
	struct conformance *c = conf_open(f);
	struct level one = { .name = name_intern_str("reject"),
		.threshold = 3,
		.duration = CONF_HOUR };
	struct store_params p = c->params;

	conf_hit(c, "192.0.2.1", 9, 4);
	conf_hit(c, "192.0.2.2", 9, 6);
	c->f->settle(c->store, &c->open, c->now, -INFINITY);
	p.levels = &one;
	p.n_levels = 1;
	p.host = name_intern_str("mx2");
	store_configure(c->store, &p);
	conf_hit(c, "192.0.2.1", 8, 0.5);
	conf_hit(c, "192.0.2.2", 8, 0.5);
	conf_expect(c,
	    "decided 192.0.2.2 defer since=-9 until=7191 score=6 rule=r by=mx1 "
	    "strikes=0\n"
	    "decided 192.0.2.1 reject since=-8 until=3592 score=4.5 rule=r "
	    "by=mx2 strikes=0\n"
	    "raised 192.0.2.2 reject since=-9 until=7191 score=6.5 rule=r "
	    "by=mx2 strikes=0\n",
	    "other levels, from the next hit on");
	p.n_levels = 0;
	store_configure(c->store, &p);
	conf_hit(c, "192.0.2.3", 8, 1000);
	conf_expect(c, "", "no levels at all");
	conf_close(&c);
}

/* By the horizon, where the store forgets by it. */
static void
conf_test_forgotten(const struct store_factory *f)
{
	struct conformance *c = conf_open(f);
	struct addr a = conf_addr("192.0.2.1");

	conf_hit(c, "192.0.2.1", 0, 6);
	conf_hit(c, "192.0.2.2", 0, 1);
	f->settle(c->store, &c->open, c->now + CONF_W, c->now + CONF_W - 0.001);
	c->len = 0;
	store_fetch(conf_ask(c), 1, &a);
	f->settle(c->store, &c->open, c->now + CONF_W, c->now + CONF_W - 0.001);
	is_str(c->log,
	    "info 1 192.0.2.1 score=6 first=0 last=0 hits=1 "
	    "strikes=1 r=1\ndone 1 ok\n",
	    "%s: up to the window's end it is known", f->name);
	c->len = 0;
	store_fetch(conf_ask(c), 2, &a);
	store_top(conf_ask(c), 3, 5);
	f->settle(c->store, &c->open, c->now + CONF_W, c->now + CONF_W);
	is_str(c->log,
	    "info 2 192.0.2.1 score=0 first=0 last=0 hits=0 "
	    "strikes=1\ndone 2 ok\ndone 3 ok\n",
	    "%s: then the score is forgotten", f->name);
	c->len = 0;
	store_fetch(conf_ask(c), 4, &a);
	f->settle(c->store, &c->open, c->now + 1000 * CONF_HOUR,
	    c->now + 1000 * CONF_HOUR);
	is_str(c->log, "done 4 not found\n", "%s: and the strikes at last",
	    f->name);
	/* A block after that is the first one again; before it is not. */
	c->len = 0;
	conf_hit(c, "192.0.2.1", -999 * CONF_HOUR, 6);
	conf_hit(c, "192.0.2.2", 0, 6);
	f->settle(c->store, &c->open, c->now, -INFINITY);
	c->len = 0;
	conf_hit(c, "192.0.2.2", -999 * CONF_HOUR, 6);
	f->settle(c->store, &c->open, c->now, -INFINITY);
	is_str(c->log,
	    "decided 192.0.2.2 defer since=3.5964e+06 "
	    "until=3.6108e+06 score=6 rule=r by=mx1 strikes=1\n",
	    "%s: a strike within the memory", f->name);
	c->len = 0;
	conf_hit(c, "192.0.2.2", -1999 * CONF_HOUR, 6);
	f->settle(c->store, &c->open, c->now, -INFINITY);
	is_str(c->log,
	    "decided 192.0.2.2 defer since=7.1964e+06 "
	    "until=7.2036e+06 score=6 rule=r by=mx1 strikes=0\n",
	    "%s: and one beyond it", f->name);
	conf_close(&c);
}

static void
store_conformance(const struct store_factory *f)
{
	conf_test_levels(f);
	conf_test_arithmetic(f);
	conf_test_idempotent(f);
	conf_test_manual(f);
	conf_test_unblock(f);
	conf_test_unblock_all(f);
	conf_test_allow(f);
	conf_test_top(f);
	conf_test_delivery(f);
	conf_test_configure(f);
	if (f->log_time)
		conf_test_forgotten(f);
}

#endif
