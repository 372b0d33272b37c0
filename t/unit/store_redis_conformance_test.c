/* store_redis: the conformance suite, each part in a Redis of its own prefix.
 */
#include "lib/io/store_redis.h"

#include "lib/core/log.h"
#include "lib/io/loop.h"
#include "t/unit/rediskit.h"
#include "t/unit/store_conformance.h"
#include "t/unit/tap.h"

static struct loop *loop;
static struct loop_timer *timer;

/* What the timer of a settling store looks at. */
static struct {
	struct store *store;
	const size_t *open;
	double now, horizon, until;
} settling;

static double
now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (double)ts.tv_sec;
}

static struct store *
create(const struct store_params *p)
{
	static char prefix[32];
	static unsigned n;
	struct store_redis_options o = { .params = p, .max_addresses = 1000 };

	snprintf(prefix, sizeof(prefix), "t%u:", ++n);
	o.link.uri.kind = STOREURI_UNIX;
	snprintf(o.link.uri.path, sizeof(o.link.uri.path), "%s", kit_socket);
	o.link.prefix = prefix;
	o.link.user = o.link.password_file = "";
	o.link.timeout = 5;
	return store_redis_create(loop, &o);
}

static void
look(void *ctx)
{
	struct store_status st;

	(void)ctx;
	store_flow(settling.store, STORE_FLOW_CURRENT);
	store_poll(settling.store, settling.now, settling.horizon);
	store_status(settling.store, &st);
	if (st.ready && st.pending == 0 && *settling.open == 0) {
		loop_stop(loop);
	} else if (kit_clock() > settling.until) {
		ok(false, "settled: %s, %zu hits, %zu calls (%s)", st.state,
		    st.pending, *settling.open, st.detail);
		loop_stop(loop);
	} else {
		loop_timer_set(timer, 0.001);
	}
}

static void
settle(struct store *s, const size_t *open, double t, double horizon)
{
	settling.store = s;
	settling.open = open;
	settling.now = t;
	settling.horizon = horizon;
	settling.until = kit_clock() + 10;
	loop_timer_set(timer, 0);
	loop_run(loop);
}

int
main(void)
{
	static const struct store_factory f = { "redis", create, now, settle,
		false };

	if (!kit_start()) {
		printf("1..0 # SKIP no redis-server here\n");
		return 0;
	}
	log_set_level(MSG_WARNING);
	loop = loop_create();
	timer = loop_timer_create(loop, LOOP_WORK, look, NULL);
	store_conformance(&f);
	loop_timer_destroy(&timer);
	loop_destroy(&loop);
	names_destroy();
	return tap_done();
}
