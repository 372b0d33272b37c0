/* privmsg: what is a request, and what is not. Each field, each boundary. */
#include "lib/core/privmsg.h"

#include "t/unit/tap.h"

static struct privmsg_request
request(enum privmsg_op op)
{
	struct privmsg_request r;

	memset(&r, 0, sizeof(r));
	r.magic = PRIVMSG_MAGIC;
	r.op = op;
	return r;
}

static void
add(struct privmsg_request *r, const char *text, uint32_t ttl)
{
	struct addr a;

	if (addr_parse(text, strlen(text), &a))
		privmsg_entry_set(&r->entries[r->count++], &a, ttl);
}

#define valid(r) privmsg_request_valid(&(r), sizeof(r))

static void
test_header(void)
{
	for (unsigned op = 0; op < 12; op++) {
		struct privmsg_request r = request((enum privmsg_op)op);

		is_int(valid(r), op >= PRIVMSG_OPEN_LOG && op <= PRIVMSG_RELOAD,
		    "op %u", op);
	}
	for (size_t i = 0; i < 64; i++) {
		struct privmsg_request r = request(PRIVMSG_CHECK);

		((unsigned char *)&r)[i] ^= 0x81;
		/* The sequence number is free. */
		ok(valid(r) == (i >= 8 && i < 12), "a bit in byte %zu", i);
	}
	for (size_t len = 0; len < 3; len++) {
		struct privmsg_request r = request(PRIVMSG_CHECK);

		ok(!privmsg_request_valid(&r, sizeof(r) - 1 - len) &&
			!privmsg_request_valid(&r, sizeof(r) + 1 + len),
		    "another length, %zu", len);
	}
}

static void
test_logs(void)
{
	struct privmsg_request r = request(PRIVMSG_OPEN_LOG);

	r.log = PRIVMSG_LOGS_MAX - 1;
	r.name = UINT64_MAX;
	ok(valid(r), "the last log");
	r.dev = 1;
	ok(!valid(r), "a device without inode");
	r.inode = 2;
	ok(valid(r), "a rotated file");
	r.log++;
	ok(!valid(r), "one log too many");
}

static void
test_entries(void)
{
	struct privmsg_request r = request(PRIVMSG_CHANGE);
	struct addr a;

	add(&r, "192.0.2.1", 0);
	add(&r, "2001:db8::/32", PRIVMSG_TTL_MAX);
	ok(valid(r), "a deletion, and the longest time");
	ok(privmsg_entry_get(&r.entries[1], &a) && addr_prefix_len(&a) == 32,
	    "an entry comes back as it went");
	r.op = PRIVMSG_SYNC_ENTRIES;
	ok(!valid(r), "a sync deletes nothing");
	r.op = PRIVMSG_CHANGE;
	r.entries[1].ttl++;
	ok(!valid(r), "too long a time");
	r.entries[1].ttl = 1;
	r.entries[1].addr[15] = 1;
	ok(!valid(r), "a bit behind the prefix");
	r.entries[1].addr[15] = 0;
	r.entries[1].plen = 129;
	ok(!valid(r), "too long a prefix");
	r.entries[1].plen = 32;
	r.entries[0].reserved[2] = 1;
	ok(!valid(r), "a reserved byte");
	r.entries[0].reserved[2] = 0;
	ok(valid(r), "as it was");
	r.count = 1;
	ok(!valid(r), "an entry behind the count");
	r = request(PRIVMSG_SYNC_ENTRIES);
	while (r.count < PRIVMSG_ENTRIES)
		add(&r, "198.51.100.1", 1);
	ok(valid(r), "as many as fit");
	r.count++;
	ok(!valid(r), "more than fit");
	r.count = UINT32_MAX;
	ok(!valid(r), "far more than fit");
}

static void
test_answers(void)
{
	struct privmsg_reply r = { .magic = PRIVMSG_MAGIC,
		.op = PRIVMSG_CHECK,
		.result = PRIVMSG_OFF };
	struct privmsg_hello h = { .magic = PRIVMSG_MAGIC, .ready = 1 };

	ok(privmsg_reply_valid(&r, sizeof(r)), "a reply");
	ok(!privmsg_reply_valid(&r, sizeof(r) - 1), "a short one");
	r.result++;
	ok(!privmsg_reply_valid(&r, sizeof(r)), "no such result");
	r.result = PRIVMSG_OK;
	r.op = 0;
	ok(!privmsg_reply_valid(&r, sizeof(r)), "to no request");
	ok(privmsg_hello_valid(&h, sizeof(h)), "a hello");
	ok(!privmsg_hello_valid(&h, sizeof(r)), "a short one");
	h.ready = 2;
	ok(!privmsg_hello_valid(&h, sizeof(h)), "neither ready nor not");
	h.ready = 0;
	memset(h.why, 'x', sizeof(h.why));
	ok(!privmsg_hello_valid(&h, sizeof(h)), "a text without end");
}

int
main(void)
{
	test_header();
	test_logs();
	test_entries();
	test_answers();
	return tap_done();
}
