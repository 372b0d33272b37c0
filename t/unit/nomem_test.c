/*
 * nomem: engine and stores when there is no memory.
 *
 * The linker puts the functions below before malloc() and its kin. One
 * scenario is run again and again: with the n-th allocation failing, and with
 * all from the n-th on, for each n that there is. Every call must be answered
 * once, whatever is lost must be counted and said, and when memory is back all
 * must work.
 */
#include <stdint.h>
#include <sys/mman.h>

#include "lib/core/log.h"
#include "lib/core/pool.h"
#include "lib/core/prefixmap.h"
#include "lib/io/loop.h"
#include "lib/io/store_redis.h"
#include "t/unit/enginekit.h"

static size_t calls, fail_from, fail_to; /* fail_from 0 = none */

void *__real_malloc(size_t);
void *__real_calloc(size_t, size_t);
void *__real_realloc(void *, size_t);
void *__real_reallocarray(void *, size_t, size_t);
char *__real_strndup(const char *, size_t);
void *__real_mmap(void *, size_t, int, int, int, off_t);
void *__wrap_malloc(size_t);
void *__wrap_calloc(size_t, size_t);
void *__wrap_realloc(void *, size_t);
void *__wrap_reallocarray(void *, size_t, size_t);
char *__wrap_strndup(const char *, size_t);
void *__wrap_mmap(void *, size_t, int, int, int, off_t);

static bool
fails(void)
{
	calls++;
	return fail_from > 0 && calls >= fail_from && calls <= fail_to;
}

void *
__wrap_malloc(size_t size)
{
	return fails() ? NULL : __real_malloc(size);
}

void *
__wrap_calloc(size_t n, size_t size)
{
	return fails() ? NULL : __real_calloc(n, size);
}

void *
__wrap_realloc(void *p, size_t size)
{
	return fails() ? NULL : __real_realloc(p, size);
}

void *
__wrap_reallocarray(void *p, size_t n, size_t size)
{
	return fails() ? NULL : __real_reallocarray(p, n, size);
}

char *
__wrap_strndup(const char *s, size_t len)
{
	return fails() ? NULL : __real_strndup(s, len);
}

void *
__wrap_mmap(void *addr, size_t len, int prot, int flags, int fd, off_t offset)
{
	return fails() ? MAP_FAILED
		       : __real_mmap(addr, len, prot, flags, fd, offset);
}

static unsigned complaints;

static void
on_log(void *ctx, enum msg_level level, const char *text)
{
	(void)ctx;
	complaints += level == MSG_ERROR && strstr(text, "memory") != NULL;
}

#define TICKETS 12
#define NETWORK 70 /* more than the smallest table holds */

static struct block
manual(const char *addr)
{
	struct block b = { .addr = kit_addr(addr),
		.since = BASE,
		.until = BASE + 3600,
		.level = name_intern_str("reject") };

	return b;
}

static void
tick(struct kit *k, double t)
{
	for (int i = 0; i < 1000 && engine_tick(k->engine, BASE + t); i++)
		;
}

static void
scenario(struct kit *k)
{
	static unsigned n_names;
	struct block b = manual("192.0.2.1");
	struct addr a = kit_addr("192.0.2.1"), n = kit_addr("198.18.0.0/24");
	char text[80];

	snprintf(text, sizeof(text), "name%u", n_names++);
	name_intern_str(text);
	engine_block(k->engine, 1, &b);
	for (unsigned i = 0; i < NETWORK; i++) {
		snprintf(text, sizeof(text),
		    "disconnect from a[203.0.113.%u] auth=0/3", i);
		kit_feed(k, 1, i, text);
	}
	engine_fetch(k->engine, 2, &a);
	engine_top(k->engine, 3, 5);
	tick(k, 2);
	engine_allow(k->engine, 4, &n, true);
	engine_allow(k->engine, 5, &a, true);
	tick(k, 3);
	engine_allow(k->engine, 6, &a, false);
	engine_unblock(k->engine, 7, &a);
	engine_forgive(k->engine, 8, &a);
	b = manual("192.0.2.2");
	engine_block(k->engine, 9, &b);
	tick(k, 4);
	engine_top(k->engine, 10, 1000);
	engine_unblock_all(k->engine, 11);
	engine_unblock_all(k->engine, 12);
	tick(k, 5);
}

/* How often each ticket was answered; the log is that of the kit. */
static unsigned
unanswered(const struct kit *k)
{
	unsigned wrong = 0;

	for (unsigned i = 1; i <= TICKETS; i++) {
		unsigned n = 0;
		char want[32];

		snprintf(want, sizeof(want), "done %u ", i);
		for (const char *p = k->log; (p = strstr(p, want)) != NULL; p++)
			n += p == k->log || p[-1] == '\n';
		wrong += n != 1;
	}
	return wrong;
}

static struct loop *loop;

static struct kit *
open_kit(bool redis)
{
	struct kit *k = kit_open();
	struct store_redis_options o = { .max_addresses = 10000,
		.queue = 2 * STORE_FLOW_HITS,
		.link = { .uri = { .kind = STOREURI_UNIX,
			      .path = "/nonexistent/redis.sock" },
		    .prefix = "mxwarden:",
		    .user = "",
		    .password_file = "",
		    .timeout = 1 } };

	if (redis) {
		engine_destroy(&k->engine);
		store_destroy(&k->store);
		k->store = store_redis_create(loop, &o);
		k->engine = engine_create(&k->conf, k->store, &kit_events, k);
	}
	kit_source(k);
	return k;
}

static uint64_t
counted(const struct kit *k)
{
	struct engine_stats es;
	struct store_status st;

	engine_stats(k->engine, &es);
	store_status(k->store, &st);
	return es.view_full + st.errors;
}

/* Once more, with memory. */
static bool
works(struct kit *k)
{
	struct block b = manual("192.0.2.77");
	struct verdict v;

	kit_forget(k);
	tick(k, 6);
	if (k->len > 0)
		return false;
	scenario(k);
	if (unanswered(k) > 0)
		return false;
	engine_block(k->engine, 90, &b);
	tick(k, 7);
	return kit_ask(k, 7, "192.0.2.77", NULL, &v) != NULL && !v.dunno;
}

static void
test_store(const char *name, bool redis)
{
	unsigned open = 0, silent = 0, broken = 0, runs = 0, lost = 0;
	char *reference;
	struct kit *k;
	size_t total;

	k = open_kit(redis);
	calls = 0;
	scenario(k);
	total = calls;
	is_int(unanswered(k), 0, "%s: with memory all is answered", name);
	is_int(counted(k), 0, "%s: and nothing is lost", name);
	reference = strdup(k->log);
	kit_close(&k);
	ok(total > 10, "%s: %zu allocations", name, total);
	for (size_t n = 1; n <= total * 2; n++) {
		k = open_kit(redis);
		complaints = 0;
		calls = 0;
		fail_from = n <= total ? n : n - total;
		fail_to = n <= total ? n : SIZE_MAX;
		scenario(k);
		fail_from = 0;
		open += unanswered(k);
		if (strcmp(k->log, reference) != 0) {
			lost++;
			silent += complaints == 0 || counted(k) == 0;
		}
		broken += !works(k);
		runs++;
		kit_close(&k);
	}
	free(reference);
	is_int(
	    open, 0, "%s: every call is answered once (%u runs)", name, runs);
	ok(lost > 0, "%s: without memory something is lost (%u runs)", name,
	    lost);
	is_int(silent, 0, "%s: and that is counted and said", name);
	is_int(broken, 0, "%s: with memory it works again", name);
}

/* What is too large for malloc(3) alone. */
static void
test_large(void)
{
	enum { SMALL = 32768, LARGE = 300000 }; /* items of 64 bytes */
	struct prefixmap *map = prefixmap_create();
	struct addr a = { .b = { 0x20, 0x01, 0x0d, 0xb8 }, .plen = 128 };
	struct pool p;
	bool all = true;

	pool_init(&p, 64);
	ok(pool_reserve(&p, SMALL - 1), "a pool, small");
	fail_from = calls + 1;
	fail_to = SIZE_MAX;
	ok(!pool_reserve(&p, LARGE), "no memory for a block");
	prefixmap_reserve(map, 1u << 20);
	fail_from = 0;
	memset(pool_at(&p, 0), 1, 64);
	ok(pool_reserve(&p, LARGE), "then there is");
	for (uint32_t i = 1; i <= LARGE; i++) {
		const char *item = pool_at(&p, i);

		all &= item[0] == 0 && item[63] == 0;
	}
	ok(all && ((char *)pool_at(&p, 0))[63] == 1, "all of it, nothing lost");
	pool_clear(&p);
	for (unsigned i = 0; i < 1000; i++) {
		a.b[15] = (uint8_t)i;
		a.b[14] = (uint8_t)(i >> 8);
		all &= prefixmap_add(map, &a) == i;
	}
	ok(all && prefixmap_count(map) == 1000, "a map without its table");
	prefixmap_destroy(&map);
}

int
main(void)
{
	log_set_sink(on_log, NULL);
	loop = loop_create();
	test_store("embedded", false);
	test_store("redis", true);
	test_large();
	loop_destroy(&loop);
	names_destroy();
	return tap_done();
}
