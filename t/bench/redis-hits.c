/*
 * redis-hits: how many hits a second the Redis store gets into a Redis.
 *
 *     redis-hits ADDRESS:PORT HITS     so many hits by 10000 addresses
 *     redis-hits --script              prints the text of the script
 *
 * Prints hits per second.
 */
#include <event2/event.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/core/log.h"
#include "lib/core/names.h"
#include "lib/io/loop.h"
#include "lib/io/store_redis.h"

static struct blocklist *view;

static void
ignore_block(void *ctx, const struct block *b, enum store_why why)
{
	(void)ctx;
	(void)why;
	blocklist_set(view, b);
}

static void
ignore_addr(void *ctx, const struct addr *a, enum store_why why)
{
	(void)ctx;
	(void)why;
	blocklist_del(view, a);
}

static void
ignore_allow(void *ctx, const struct addr *a, bool present)
{
	(void)ctx;
	(void)a;
	(void)present;
}

static const struct store_sink sink = { .blocked = ignore_block,
	.unblocked = ignore_addr,
	.allowed = ignore_allow };

static double
monotonic(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void
turn(struct loop *loop, struct store *s)
{
	event_base_loop(loop_base(loop), EVLOOP_NONBLOCK);
	store_poll(s, loop_now(loop), loop_now(loop) - 600);
}

static bool
is_applied(struct store *s, uint64_t n)
{
	struct store_status st;

	store_status(s, &st);
	return st.pending == 0 && st.applied >= n;
}

int
main(int argc, char **argv)
{
	static struct level level = { .threshold = 1e9, .duration = 600 };
	static struct store_params params = { .window = 600,
		.repeat = { 2, 86400, 86400 },
		.levels = &level,
		.n_levels = 1 };
	struct store_redis_options o = { .params = &params,
		.max_addresses = 100000,
		.link = { .prefix = "mxwarden:",
		    .user = "",
		    .password_file = "",
		    .timeout = 5 } };
	struct loop *loop;
	struct store *s;
	struct errbuf err;
	char uri[200];
	uint64_t n;
	double start;

	if (argc == 2 && strcmp(argv[1], "--script") == 0) {
		fputs(rscript_text(RSCRIPT_HITS), stdout);
		return 0;
	}
	if (argc != 3)
		return 2;
	n = strtoull(argv[2], NULL, 10);
	snprintf(uri, sizeof(uri), "redis://%s", argv[1]);
	if (!storeuri_parse(uri, &o.link.uri, &err)) {
		fprintf(stderr, "%s\n", err.text);
		return 2;
	}
	log_set_level(MSG_WARNING);
	level.name = name_intern_str("defer");
	params.host = name_intern_str("mx1");
	loop = loop_create();
	view = blocklist_create();
	s = store_redis_create(loop, &o);
	store_set_sink(s, &sink, NULL, view);
	store_configure(s, &params);
	for (start = monotonic(); monotonic() < start + 0.2;)
		turn(loop, s);
	start = monotonic();
	for (uint64_t i = 0; i < n; i++) {
		struct hit h = { .t = loop_now(loop),
			.weight = 0.001,
			.rule = name_intern_str("postfix-auth-lost"),
			.epoch = 0x1234567890abcdef,
			.offset = (i + 1) * 100 };
		struct store_status st;

		h.addr.plen = 128;
		h.addr.b[10] = h.addr.b[11] = 0xff;
		h.addr.b[12] = 10;
		h.addr.b[14] = (uint8_t)(i % 10000 >> 8);
		h.addr.b[15] = (uint8_t)(i % 10000);
		store_hit(s, &h);
		if (i % 512 != 511)
			continue;
		do {
			turn(loop, s);
			store_status(s, &st);
		} while (st.pending > 32768);
	}
	while (!is_applied(s, n))
		event_base_loop(loop_base(loop), EVLOOP_ONCE);
	printf("%.0f\n", (double)n / (monotonic() - start));
	store_destroy(&s);
	blocklist_destroy(&view);
	loop_destroy(&loop);
	names_destroy();
	return 0;
}
