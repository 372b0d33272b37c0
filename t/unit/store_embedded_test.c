/* store_embedded: the conformance suite, its bounds, its snapshot. */
#include "lib/core/store_embedded.h"

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

int
main(void)
{
	static const struct store_factory f = { "embedded", create, now, settle,
		true };

	store_conformance(&f);
	test_bounds(&f);
	test_expire();
	names_destroy();
	return tap_done();
}
