/* pool; prefixmap: families, ids, a million entries. Its random test is in
 * prefixmap_test. */
#include "lib/core/prefixmap.h"

#include <stdlib.h>

#include "lib/core/pool.h"
#include "t/unit/tap.h"

static struct addr
A(const char *s) {
	struct addr a;

	memset(&a, 0, sizeof(a));
	if (!addr_parse(s, strlen(s), &a))
		ok(false, "test address %s", s);
	return a;
}

static void
test_pool(void)
{
	struct pool p;
	unsigned *first;
	bool zero = true, kept = true;

	pool_init(&p, sizeof(unsigned));
	ok(pool_reserve(&p, 0), "reserve the first");
	first = pool_at(&p, 0);
	*first = 4711;
	ok(pool_reserve(&p, 300000), "reserve far beyond");
	for (uint32_t i = 1; i <= 300000; i++) {
		unsigned *v = pool_at(&p, i);

		zero &= *v == 0;
		*v = i;
	}
	ok(zero, "new items are zero");
	for (uint32_t i = 1; i <= 300000; i++)
		kept &= *(unsigned *)pool_at(&p, i) == i;
	ok(kept && *first == 4711 && pool_at(&p, 0) == first,
	    "nothing moves, nothing overlaps");
	pool_clear(&p);
	ok(pool_reserve(&p, 5) && *(unsigned *)pool_at(&p, 5) == 0,
	    "usable after clearing");
	pool_clear(&p);
	pool_clear(&p);
}

static void
test_basics(void)
{
	struct prefixmap *pm = prefixmap_create();
	struct addr net = A("192.0.2.0/24"), host = A("192.0.2.7");
	struct addr v6 = A("2001:db8:1:2::/64"), all6 = A("::/0");
	struct addr all4 = A("0.0.0.0/0"), key;
	uint32_t id, id6;
	unsigned plen = 999;

	is_int(prefixmap_count(pm), 0, "empty");
	is_int(prefixmap_get(pm, &net), PREFIXMAP_NONE, "nothing there");
	is_int(prefixmap_del(pm, &net), PREFIXMAP_NONE, "nothing to remove");
	is_int(prefixmap_match(pm, &host, 128, &plen), PREFIXMAP_NONE,
	    "nothing matches");
	id = prefixmap_add(pm, &net);
	is_int(prefixmap_add(pm, &net), id, "added twice is the same");
	is_int(prefixmap_count(pm), 1, "one entry");
	is_int(prefixmap_match(pm, &host, 128, &plen), id, "a host of it");
	is_int(plen, 120, "its length");
	is_int(prefixmap_match(pm, &host, 119, NULL), PREFIXMAP_NONE,
	    "not by shorter ones");
	is_int(prefixmap_match(pm, &net, 128, NULL), id, "itself");
	id6 = prefixmap_add(pm, &all6);
	is_int(prefixmap_match(pm, &host, 128, &plen), id,
	    "IPv6 has nothing to do with it");
	prefixmap_del(pm, &net);
	is_int(prefixmap_match(pm, &host, 128, NULL), PREFIXMAP_NONE,
	    "::/0 does not hold IPv4");
	is_int(prefixmap_match(pm, &v6, 128, &plen), id6, "but all IPv6");
	is_int(plen, 0, "with length 0");
	ok(!prefixmap_used(pm, id) && prefixmap_used(pm, id6), "used ids");
	is_int(prefixmap_add(pm, &all4), id, "an id is used again");
	is_int(prefixmap_match(pm, &host, 128, &plen), id, "0.0.0.0/0");
	is_int(plen, 96, "its length");
	key = prefixmap_key(pm, id);
	ok(addr_equal(&key, &all4), "its key");
	is_int(prefixmap_end(pm), 2, "ids are dense");
	prefixmap_destroy(&pm);
	prefixmap_destroy(&pm);
	ok(pm == NULL, "destroyed");
}

static struct addr
nth(uint32_t i)
{
	struct addr a = { .plen = 128 };

	if (i % 2) {
		memset(a.b + 10, 0xff, 2);
		memcpy(a.b + 12, &i, 4);
	} else {
		memcpy(a.b + 2, &i, 4);
		a = addr_mask(&a, 64);
	}
	return a;
}

/* Growing to a million and shrinking again; all the while, also between two
 * sizes of the table, everything is found. */
static void
test_million(void)
{
	enum { N = 1000000 };
	struct prefixmap *pm = prefixmap_create();
	unsigned wrong = 0;

	for (uint32_t i = 0; i < N; i++) {
		struct addr a = nth(i), old = nth(i / 2);

		wrong += prefixmap_add(pm, &a) != i;
		wrong += prefixmap_get(pm, &old) != i / 2;
	}
	is_int(prefixmap_count(pm), N, "a million entries");
	for (uint32_t i = 0; i < N; i++) {
		struct addr a = nth(i), host = a;

		host.plen = 128;
		host.b[15] |= 1;
		if (i % 2 == 0)
			wrong += prefixmap_match(pm, &host, 128, NULL) != i;
		wrong += prefixmap_get(pm, &a) != i;
	}
	is_int(wrong, 0, "all are found");
	for (uint32_t i = 0; i < N; i += 3) {
		struct addr a = nth(i);

		wrong += prefixmap_del(pm, &a) != i;
	}
	for (uint32_t i = 0; i < N; i++) {
		struct addr a = nth(i);

		wrong += prefixmap_get(pm, &a) != (i % 3 ? i : PREFIXMAP_NONE);
	}
	is_int(wrong, 0, "a third removed, the others are still found");
	prefixmap_destroy(&pm);
}

int
main(void)
{
	test_pool();
	test_basics();
	test_million();
	return tap_done();
}
