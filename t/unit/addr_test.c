/* addr: parsing, canonical text, masks, order. */
#include "lib/core/addr.h"

#include "t/unit/tap.h"

static void
test_text(void)
{
	static const struct {
		const char *in, *out; /* out NULL: refused */
	} cases[] = {
		{ "192.0.2.1", "192.0.2.1" },
		{ "0.0.0.0", "0.0.0.0" },
		{ "255.255.255.255", "255.255.255.255" },
		{ "256.0.0.1", NULL },
		{ "1.2.3", NULL },
		{ "1.2.3.4.5", NULL },
		{ "1.2.3.", NULL },
		{ ".1.2.3", NULL },
		{ "01.2.3.4", NULL },
		{ "1.2.3.0004", NULL },
		{ " 1.2.3.4", NULL },
		{ "1.2.3.4 ", NULL },
		{ "0x1.2.3.4", NULL },
		{ "-1.2.3.4", NULL },
		{ "", NULL },
		{ "unknown", NULL },
		{ "::1", "::1" },
		{ "::", "::" },
		{ "2001:DB8:0:0:0:0:0:7", "2001:db8::7" },
		{ "2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1" },
		{ "2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1" },
		{ "::ffff:192.0.2.1", "192.0.2.1" },
		{ "::ffff:c000:201", "192.0.2.1" },
		{ "fe80::1%eth0", NULL },
		{ "2001:db8::1::2", NULL },
		{ "12345::", NULL },
		{ "1:2:3:4:5:6:7:8:9", NULL },
		{ "192.0.2.77/24", "192.0.2.0/24" },
		{ "192.0.2.77/32", "192.0.2.77" },
		{ "0.0.0.0/0", "0.0.0.0/0" },
		{ "192.0.2.1/33", NULL },
		{ "192.0.2.1/", NULL },
		{ "192.0.2.1/-1", NULL },
		{ "192.0.2.1/1/1", NULL },
		{ "/24", NULL },
		{ "2001:db8:1:2:3:4:5:6/64", "2001:db8:1:2::/64" },
		{ "2001:db8:1:2:3:4:5:6/61", "2001:db8:1::/61" },
		{ "::/0", "::/0" },
		{ "2001:db8::/129", NULL },
		{ "::ffff:192.0.2.0/120", "192.0.2.0/24" },
		{ "::ffff:192.0.2.0/80", NULL },
	};
	char buf[ADDR_STRLEN];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct addr a;
		bool parsed = addr_parse(cases[i].in, strlen(cases[i].in), &a);

		if (cases[i].out == NULL)
			ok(!parsed, "'%s' is refused", cases[i].in);
		else if (ok(parsed, "'%s' is taken", cases[i].in))
			is_str(addr_format(&a, buf), cases[i].out,
			    "'%s' in canonical form", cases[i].in);
	}
}

static struct addr
A(const char *s) {
	struct addr a;

	memset(&a, 0xee, sizeof(a));
	if (!addr_parse(s, strlen(s), &a))
		ok(false, "test address %s", s);
	return a;
}

static void
test_value(void)
{
	struct addr v4 = A("192.0.2.77"), v6 = A("2001:db8:1:2:3:4:5:6");
	struct addr net = A("192.0.2.0/24"), m;
	char buf[ADDR_STRLEN];

	ok(!addr_parse("1.2.3.4\0", 8, &m), "a NUL inside is refused");
	ok(!addr_parse("::1\0", 4, &m), "a NUL inside IPv6 is refused");
	ok(addr_is_v4(&v4) && !addr_is_v4(&v6), "families");
	ok(addr_is_host(&v4) && !addr_is_host(&net), "hosts and prefixes");
	is_int(addr_prefix_len(&net), 24, "length as written");
	ok(addr_contains(&net, &v4), "a prefix holds its host");
	ok(!addr_contains(&v4, &net), "a host does not hold its prefix");
	m = A("0.0.0.0/0");
	ok(addr_contains(&m, &v4), "0.0.0.0/0 holds IPv4");
	ok(!addr_contains(&m, &v6), "0.0.0.0/0 does not hold IPv6");
	m = A("::/0");
	ok(addr_contains(&m, &v6), "::/0 holds IPv6");
	for (unsigned i = 0; i <= 128; i++) {
		m = addr_mask(&v6, i);
		if (!addr_contains(&m, &v6) || m.plen != i)
			ok(false, "mask %u", i);
	}
	m = addr_mask(&v6, 64);
	is_str(addr_format(&m, buf), "2001:db8:1:2::/64", "mask to /64");
	ok(addr_compare(&v4, &v6) < 0 && addr_compare(&v6, &v4) > 0, "order");
	ok(addr_hash(&v4, 1) != addr_hash(&v4, 2), "the seed matters");
	ok(addr_hash(&v4, 1) != addr_hash(&net, 1), "the length matters");
}

int
main(void)
{
	test_text();
	test_value();
	return tap_done();
}
