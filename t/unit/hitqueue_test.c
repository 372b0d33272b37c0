/*
 * hitqueue, storeuri, blockvalue: the parts of the Redis store that need no
 * Redis.
 */
#include "lib/core/hitqueue.h"

#include <stdlib.h>
#include <unistd.h>

#include "lib/core/blockvalue.h"
#include "lib/core/names.h"
#include "lib/core/snapshot.h"
#include "lib/core/storeuri.h"

#include "t/unit/rnd.h"
#include "t/unit/tap.h"

static struct hit
hit_of(uint64_t offset)
{
	struct hit h = {
		.t = (double)offset, .weight = 1, .epoch = 7, .offset = offset
	};

	h.addr.b[15] = (uint8_t)offset;
	h.addr.plen = 128;
	return h;
}

static bool
holds(const struct hitqueue *q, uint64_t from, uint64_t to)
{
	if (hitqueue_pending(q) != to - from)
		return false;
	for (uint64_t i = 0; i < to - from; i++)
		if (hitqueue_at(q, hitqueue_first(q) + i)->offset != from + i)
			return false;
	return true;
}

static void
test_queue(void)
{
	struct hitqueue *q = hitqueue_create(8);
	struct hit h;
	bool all = true;

	for (uint64_t i = 1; i <= 8; i++) {
		h = hit_of(i);
		all &= hitqueue_add(q, &h, 100 + (double)i);
	}
	ok(all && holds(q, 1, 9), "eight fit");
	h = hit_of(9);
	ok(!hitqueue_add(q, &h, 109), "a ninth does not");
	is_num(hitqueue_since(q, 200), 101, "the oldest waits since it came");
	hitqueue_ack(q, 5, 200);
	ok(holds(q, 6, 9), "five are acknowledged");
	ok(hitqueue_add(q, &h, 109), "there is room");
	is_int(hitqueue_recall(q, 150), 4,
	    "recalled: those whose place was not needed");
	ok(holds(q, 2, 10), "... in their order");
	is_int(hitqueue_room(q), 0, "... and the queue is full again");
	hitqueue_ack(q, 4, 300);
	hitqueue_ack(q, 4, 310);
	is_int(hitqueue_recall(q, 305), 4, "recalled: the recent ones");
	ok(holds(q, 6, 10), "... in their order");
	hitqueue_ack(q, 100, 400);
	is_int(hitqueue_pending(q), 0, "not more than there are");
	is_num(hitqueue_since(q, 500), 500, "nothing waits");
	is_int(hitqueue_recall(q, 1000), 0, "nothing that recent");
	hitqueue_destroy(&q);
}

static void
test_save(void)
{
	char path[] = "/tmp/mxwarden-queue-XXXXXX";
	struct hitqueue *q = hitqueue_create(100), *again;
	struct snapshot_writer *w;
	struct snapshot_reader *r = NULL;
	struct errbuf err = { "" };
	struct hit h = { .t = 1.25,
		.weight = -0.1,
		.epoch = UINT64_MAX,
		.offset = 1ull << 60 };
	const struct hit *have;

	if (mkdtemp(path) == NULL || chdir(path) != 0)
		exit(1);
	h.rule = name_intern_str("some rule");
	addr_parse("2001:db8::/64", 13, &h.addr);
	hitqueue_add(q, &h, 5);
	hitqueue_ack(q, 1, 6);
	h.offset++;
	hitqueue_add(q, &h, 7);
	w = snapshot_writer_create("state", &err);
	snapshot_put_u8(w, SNAPSHOT_PENDING);
	hitqueue_save(q, w);
	ok(snapshot_writer_commit(&w, &err) == 0, "saved %s", err.text);
	again = hitqueue_create(100);
	ok(snapshot_reader_open("state", &r, &err) == SNAPSHOT_OK &&
		snapshot_next_section(r) == SNAPSHOT_PENDING,
	    "read %s", err.text);
	hitqueue_load(again, r);
	ok(!snapshot_failed(r), "whole");
	snapshot_reader_destroy(&r);
	is_int(hitqueue_pending(again), 1, "only what was pending");
	have = hitqueue_at(again, hitqueue_first(again));
	ok(have->t == h.t && have->weight == h.weight && have->rule == h.rule &&
		have->epoch == h.epoch && have->offset == h.offset &&
		addr_equal(&have->addr, &h.addr) && have->again,
	    "the same hit");
	is_num(hitqueue_since(again, 100), 7, "waiting since then");
	unlink("state");
	if (chdir("/") != 0 || rmdir(path) != 0)
		printf("# %s stays\n", path);
	hitqueue_destroy(&q);
	hitqueue_destroy(&again);
}

static const char *
uri_text(const char *text)
{
	static char buf[600];
	struct storeuri u;
	struct errbuf err = { "" };
	char host[ADDR_STRLEN];
	int n;

	if (!storeuri_parse(text, &u, &err)) {
		snprintf(buf, sizeof(buf), "error");
		return err.text[0] != '\0' ? buf : "no message";
	}
	n = snprintf(buf, sizeof(buf), "%d %s:%s %s%s db=%u", u.kind, u.user,
	    u.password, u.name, u.path, u.db);
	for (unsigned i = 0; i < u.n_hosts; i++)
		n += snprintf(buf + n, sizeof(buf) - (size_t)n, " %s,%u",
		    addr_format(&u.hosts[i].addr, host), u.hosts[i].port);
	return buf;
}

static void
test_uri(void)
{
	static const char *const cases[][2] = {
		{ "embedded", "0 :  db=0" },
		{ "redis://127.0.0.1", "1 :  db=0 127.0.0.1,6379" },
		{ "redis://localhost:6380/3", "1 :  db=3 127.0.0.1,6380" },
		{ "redis://[2001:db8::1]:1/", "1 :  db=0 2001:db8::1,1" },
		{ "redis://u:p%40%2f@192.0.2.1/1",
		    "1 u:p@/  db=1 192.0.2.1,6379" },
		{ "redis://:a:b@c@192.0.2.1", "1 :a:b@c  db=0 192.0.2.1,6379" },
		{ "redis://u@192.0.2.1", "1 u:  db=0 192.0.2.1,6379" },
		{ "redis+unix:///run/r.sock", "2 : /run/r.sock db=0" },
		{ "redis+unix://u:p@/run/r?db=9", "2 u:p /run/r db=9" },
		{ "sentinel://mx@192.0.2.1,[::1]:5/2",
		    "3 : mx db=2 192.0.2.1,26379 ::1,5" },
		{ "", "error" },
		{ "redis:", "error" },
		{ "redis://", "error" },
		{ "redis://redis.example.com", "error" },
		{ "redis://127.0.0.1:0", "error" },
		{ "redis://127.0.0.1:65536", "error" },
		{ "redis://127.0.0.1:x", "error" },
		{ "redis://127.0.0.1/x", "error" },
		{ "redis://127.0.0.1/1/2", "error" },
		{ "redis://[::1", "error" },
		{ "redis://[::1]6379", "error" },
		{ "redis://u:%zz@127.0.0.1", "error" },
		{ "redis://u:%00@127.0.0.1", "error" },
		{ "redis://u:%0@127.0.0.1", "error" },
		{ "redis+unix://run/r", "error" },
		{ "redis+unix:///r?x=1", "error" },
		{ "sentinel://127.0.0.1", "error" },
		{ "sentinel://@127.0.0.1", "error" },
		{ "sentinel://mx@", "error" },
		{ "sentinel://mx@127.0.0.1,", "error" },
		{ "sentinel://"
		  "m@1.1.1.1,1.1.1.1,1.1.1.1,1.1.1.1,1.1.1.1,1.1.1.1,"
		  "1.1.1.1,1.1.1.1,1.1.1.1",
		    "error" },
		{ "valkey://127.0.0.1", "error" },
	};
	char text[4096];
	int bad = 0;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		is_str(uri_text(cases[i][0]), cases[i][1], "'%s'", cases[i][0]);
	memset(text, 'x', sizeof(text));
	memcpy(text, "redis://", 8);
	text[4000] = '@';
	snprintf(text + 4001, 20, "127.0.0.1");
	is_str(uri_text(text), "error", "a user without end");
	memcpy(text, "redis+unix:///", 14);
	is_str(uri_text(text), "error", "a path without end");
	for (int i = 0; i < 20000; i++) {
		static const char chars[] = "redis+unx:/@[]:.0123,?=%stl";
		struct storeuri u;
		struct errbuf err;
		size_t n = rnd_below(40);

		for (size_t k = 0; k < n; k++)
			text[k] = chars[rnd_below(sizeof(chars) - 1)];
		text[n] = '\0';
		if (rnd_below(2) == 0)
			memcpy(text, "redis://", n < 8 ? n : 8);
		err.text[0] = '\0';
		bad += !storeuri_parse(text, &u, &err) && err.text[0] == '\0';
	}
	is_int(bad, 0, "random text: a value or a message");
}

static void
test_value(void)
{
	struct block b = { 0 }, c = { 0 };
	char buf[BLOCKVALUE_MAX];
	const char *why;
	static const char *const bad[] = { "", "  ", "x=y",
		"reject score=", "reject score=1e999", "reject since=x",
		"reject strikes=-1", "reject\tx", "reject until=0x",
		"reject score=nan" };
	static const char *const bad_addr[] = { "", "x", "192.0.2.1/32",
		"192.0.2.1/24", "2001:DB8::1", "::ffff:192.0.2.1", "0.0.0.0/0",
		"10.0.0.0/7", "2000::/3", " 192.0.2.1", "192.0.2.1 " };
	int wrong = 0;

	b.level = name_intern_str("reject");
	b.rule = name_intern_str("a rule=x");
	b.by = name_intern_str("mx1");
	b.score = 0.1 + 0.2;
	b.since = 1.7e9 + 1.0 / 3;
	b.until = 1.7e9 + 3600.123456;
	b.strikes = 3;
	ok(blockvalue_parse(
	       buf, blockvalue_format(&b, buf), 1.7e9, 3600123, &c) &&
		c.level == b.level && c.rule == b.rule && c.by == b.by &&
		c.score == b.score && c.since == b.since &&
		c.until == b.until && c.strikes == b.strikes,
	    "there and back: %s", buf);
	ok(blockvalue_parse(buf, strlen(buf), 1.7e9, 60000, &c) &&
		c.until == 1.7e9 + 60,
	    "another TTL was set by hand: it counts");
	ok(blockvalue_parse(buf, strlen(buf), 0, BLOCKVALUE_ALONE, &c) &&
		c.until == b.until,
	    "without a key the word counts");
	ok(!blockvalue_parse("reject", 6, 0, BLOCKVALUE_ALONE, &c),
	    "... and must be there");
	ok(blockvalue_parse(" reject  x y=z score=2 ", 23, 10, -1, &c) &&
		c.level == b.level && c.until == BLOCKVALUE_FOREVER &&
		c.since == 10 && c.score == 2,
	    "by hand, without TTL; unknown words are passed over");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ok(!blockvalue_parse(bad[i], strlen(bad[i]), 0, 1000, &c),
		    "'%s' is no block", bad[i]);
	ok(!blockvalue_parse("a\0b", 3, 0, 1000, &c), "a NUL");
	for (size_t i = 0; i < sizeof(bad_addr) / sizeof(bad_addr[0]); i++) {
		why = NULL;
		ok(!blockvalue_addr(
		       bad_addr[i], strlen(bad_addr[i]), &c.addr, &why) &&
			why != NULL,
		    "'%s' is refused", bad_addr[i]);
	}
	ok(blockvalue_addr("192.0.2.1", 9, &c.addr, &why) &&
		blockvalue_addr("10.0.0.0/8", 10, &c.addr, &why) &&
		blockvalue_addr("2001:db8::/64", 13, &c.addr, &why),
	    "addresses and prefixes");
	for (int i = 0; i < 20000; i++) {
		size_t n = rnd_below(30);

		for (size_t k = 0; k < n; k++)
			buf[k] = "r score=sincuntl1.e-9 "[rnd_below(22)];
		if (blockvalue_parse(buf, n, 5, 1000, &c) &&
		    (c.level == 0 || c.until != 6))
			wrong++;
	}
	is_int(wrong, 0, "random values: a level and an end, or nothing");
}

int
main(void)
{
	test_queue();
	test_save();
	test_uri();
	test_value();
	names_destroy();
	return tap_done();
}
