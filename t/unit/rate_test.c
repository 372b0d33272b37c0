/*
 * Rates: what is accepted, bursts, and how the bucket is filled.
 */
#include "lib/core/rate.h"

#include "t/unit/tap.h"

static unsigned
passed(struct rate *r, double now, unsigned tries)
{
	unsigned n = 0;

	while (tries-- > 0)
		n += rate_pass(r, now);
	return n;
}

int
main(void)
{
	static const char *const bad[] = { "", "10", "/m", "0/m", "-1/m",
		"1.5/m", "10/x", "10/", "10/mm", "10 /m", "1000001/s", " 1/s",
		"99999999999999999999/s" };
	struct rate r;
	unsigned n = 0;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ok(!rate_parse(bad[i], &r), "'%s' is no rate", bad[i]);
	ok(rate_parse("10/m", &r), "10/m");
	is_num(r.count, 10, "ten");
	is_num(r.period, 60, "in a minute");
	ok(rate_parse("1/s", &r) && r.period == 1, "1/s");
	ok(rate_parse("1/h", &r) && r.period == 3600, "1/h");
	ok(rate_parse("1000000/d", &r) && r.period == 86400, "1000000/d");

	ok(rate_parse("10/m", &r), "10/m");
	is_int(passed(&r, 5000, 100), 10, "a burst");
	is_int(passed(&r, 5005.9, 100), 0, "then none for six seconds");
	is_int(passed(&r, 5006.1, 100), 1, "then one");
	is_int(passed(&r, 5000, 100), 0, "none when time goes back");
	is_int(passed(&r, 5018.2, 100), 2, "two more after twelve seconds");
	is_int(passed(&r, 99999, 100), 10, "never more than a burst");
	for (unsigned i = 1; i <= 36000; i++)
		n += rate_pass(&r, 99999 + i * 0.1);
	ok(n >= 599 && n <= 600, "evenly over an hour: %u", n);
	return tap_done();
}
