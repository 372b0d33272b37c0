/* store_embedded: the conformance suite, its bounds, its snapshot. */
#include "lib/core/store_embedded.h"

#include "t/unit/rnd.h"
#include "t/unit/store_conformance.h"
#include "t/unit/tap.h"

static struct store *
create(const struct store_params *p)
{
	return store_embedded_create(p, 1000);
}

static struct store *
create_large(const struct store_params *p)
{
	return store_embedded_create(p, 1000000);
}

static double
now(void)
{
	return 1.7e9;
}

static void
settle(struct store *s, const size_t *open, double t, double horizon)
{
	for (int i = 0; store_poll(s, t, horizon); i++)
		if (i > 1000) {
			ok(false, "store_poll() comes to an end");
			return;
		}
	if (*open > 0)
		ok(false, "every call is answered");
}

/* The score that was not touched for the longest time makes room. */
static void
test_bounds(const struct store_factory *f)
{
	struct conformance *c = conf_open(f);
	struct store_status st;
	char text[32];

	for (int i = 0; i < 1500; i++) {
		snprintf(text, sizeof(text), "10.0.%d.%d", i / 256, i % 256);
		conf_hit(c, text, 1, 1);
		conf_hit(c, "192.0.2.1", 1, 0.001);
	}
	store_status(c->store, &st);
	is_int(st.addresses, 1000, "no more than the bound");
	is_int(st.evicted, 501, "the rest is counted");
	conf_fetch(c, "10.0.0.0", "done 1 not found\n", "the first is gone");
	conf_fetch(c, "10.0.5.219",
	    "info 1 10.0.5.219 score=1 first=-1 last=-1 hits=1 strikes=0 r=1\n"
	    "done 1 ok\n",
	    "the last is there");
	conf_fetch(c, "192.0.2.1",
	    "info 1 192.0.2.1 score=1.5 first=-1 last=-1 hits=1500 strikes=0 "
	    "r=1500\ndone 1 ok\n",
	    "so is the busy one");
	/* A search that takes several polls, while scores come and go. */
	store_top(conf_ask(c), 2, 3);
	f->settle(c->store, &c->open, c->now, -INFINITY);
	ok(strncmp(c->log, "info 2 192.0.2.1 ", 17) == 0, "top finds it");
	conf_close(&c);
}

/* Many scores are forgotten piece by piece. */
static void
test_expire(void)
{
	static const struct store_factory large = { "embedded", create_large,
		now, settle, true };
	struct conformance *c = conf_open(&large);
	struct store_status st;
	unsigned polls = 0;
	char text[32];

	for (int i = 0; i < 5000; i++) {
		snprintf(text, sizeof(text), "10.0.%d.%d", i / 256, i % 256);
		conf_hit(c, text, 10, 1);
	}
	conf_hit(c, "192.0.2.1", 0, 1);
	while (
	    store_poll(c->store, c->now, c->now + CONF_W - 10) && polls < 100)
		polls++;
	store_status(c->store, &st);
	ok(polls > 1 && polls < 100, "in %u pieces", polls);
	is_int(st.addresses, 1, "all but the one that is newer");
	is_int(st.evicted, 0, "which is no eviction");
	conf_close(&c);
}

/* What of strikes an address has, by the plain rule. */
struct record {
	char text[16];
	unsigned count;
	double last;
};

static unsigned
record_count(const struct record *r, const struct conformance *c)
{
	return c->now - r->last < c->params.repeat.memory ? r->count : 0;
}

/* Does the store say the same of it? */
static bool
record_holds(struct conformance *c, const struct record *r)
{
	const struct addr a = conf_addr(r->text);
	const char *strikes;

	c->len = 0;
	c->log[0] = '\0';
	store_fetch(conf_ask(c), 1, &a);
	settle(c->store, &c->open, c->now, c->now);
	strikes = strstr(c->log, " strikes=");
	return (strikes != NULL ? strtoul(strikes + 9, NULL, 10) : 0) ==
	    record_count(r, c);
}

/* Something happens to an address; false if a block has not the right count. */
static bool
record_step(struct conformance *c, struct record *r)
{
	struct block b = { .addr = conf_addr(r->text),
		.since = c->now,
		.until = c->now + rnd_below(7200),
		.level = name_intern_str(rnd_below(2) ? "defer" : "firewall") };
	const char *decided;
	unsigned before;

	c->len = 0;
	c->log[0] = '\0';
	switch (rnd_below(8)) {
	case 0:
		store_block(conf_ask(c), 1, &b);
		break;
	case 1:
		store_unblock(conf_ask(c), 1, &b.addr);
		break;
	case 2:
		store_forgive(conf_ask(c), 1, &b.addr);
		r->count = 0;
		break;
	case 3:
		c->now += rnd_below(3) > 0 ? rnd_below(7200) : 400 * CONF_HOUR;
		blocklist_expire(c->view, c->now, 99, NULL, NULL);
		break;
	case 4: /* an end that nobody has taken out of the view */
		c->now += rnd_below(20000);
		break;
	default:
		conf_hit(c, r->text, 0, 2 + rnd_below(12));
		break;
	}
	settle(c->store, &c->open, c->now, c->now);
	decided = strstr(c->log, "decided ");
	if (decided == NULL)
		return true;
	before = record_count(r, c);
	r->count = before + 1;
	r->last = c->now;
	decided = strstr(decided, " strikes=");
	return decided != NULL && strtoul(decided + 9, NULL, 10) == before;
}

/* Strikes are with a block while it is there, and in the table after it:
 * whatever happens, nobody sees a difference. */
static void
test_strikes(const struct store_factory *f)
{
	struct record records[3] = { { "192.0.2.1", 0, 0 },
		{ "192.0.2.2", 0, 0 }, { "2001:db8::/64", 0, 0 } };
	struct conformance *c = conf_open(f);
	unsigned wrong = 0, most = 0;

	for (int step = 0; step < 20000 && wrong == 0; step++) {
		struct record *r = &records[rnd_below(3)];

		wrong += !record_step(c, r);
		for (size_t i = 0; i < 3; i++)
			wrong += !record_holds(c, &records[i]);
		if (record_count(r, c) > most)
			most = record_count(r, c);
	}
	ok(wrong == 0 && most > 4, "strikes, up to %u of them", most);
	conf_close(&c);
}

int
main(void)
{
	static const struct store_factory f = { "embedded", create, now, settle,
		true };

	store_conformance(&f);
	test_bounds(&f);
	test_expire();
	test_strikes(&f);
	names_destroy();
	return tap_done();
}
