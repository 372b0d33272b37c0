/* num: numbers, durations, times and scores as text. */
#include "lib/core/num.h"

#include "t/unit/tap.h"

int
main(void)
{
	char buf[64];
	uint64_t u;
	double d;

	ok(num_parse_u64("18446744073709551615", 20, &u) && u == UINT64_MAX,
	    "the largest number");
	ok(!num_parse_u64("18446744073709551616", 20, &u), "overflow");
	ok(!num_parse_u64("", 0, &u) && !num_parse_u64("-1", 2, &u) &&
		!num_parse_u64("1 ", 2, &u) && !num_parse_u64("+1", 2, &u),
	    "junk is refused");
	ok(num_parse_double("-2.5e1", 6, &d) && d == -25, "a number");
	ok(!num_parse_double("inf", 3, &d) &&
		!num_parse_double("0x10", 4, &d) &&
		!num_parse_double("1e999", 5, &d) &&
		!num_parse_double("1.2.3", 5, &d),
	    "inf, hexadecimal, overflow and junk are refused");

	static const struct {
		const char *text;
		double seconds; /* -1: refused */
		const char *again;
	} durations[] = { { "500ms", 0.5, "500ms" }, { "10m", 600, "10m" },
		{ "1h30m", 5400, "1h30m" }, { "7d", 604800, "7d" },
		{ "0", 0, "0s" }, { "1.5h", 5400, "1h30m" },
		{ "90s", 90, "1m30s" }, { "90", -1, NULL }, { "", -1, NULL },
		{ "-5s", -1, NULL }, { "5 s", -1, NULL }, { "5x", -1, NULL },
		{ "s", -1, NULL }, { "5s3", -1, NULL } };

	for (size_t i = 0; i < sizeof(durations) / sizeof(durations[0]); i++) {
		bool parsed = num_parse_duration(durations[i].text, &d);

		if (durations[i].seconds < 0) {
			ok(!parsed, "duration '%s' is refused",
			    durations[i].text);
			continue;
		}
		ok(parsed, "duration '%s' is taken", durations[i].text);
		is_num(d, durations[i].seconds, "its seconds");
		is_str(num_format_duration(d, buf), durations[i].again,
		    "and back");
	}
	is_str(num_format_time(0, buf), "1970-01-01T00:00:00Z", "the epoch");
	is_str(num_format_time(1765706317.25, buf), "2025-12-14T09:58:37.250Z",
	    "with milliseconds");
	is_str(num_format_time(INFINITY, buf), "never", "for ever");
	is_str(num_format_double(0.1, buf), "0.1", "no digit too many");
	is_str(num_format_double(1.0 / 3, buf), "0.3333333333333333",
	    "and none too few");
	is_str(num_format_double(-1e300, buf), "-1e+300", "a large number");
	is_str(num_format_score(5, buf), "5", "whole score");
	is_str(num_format_score(5.25, buf), "5.25", "decimals");
	is_str(num_format_score(1.0 / 3, buf), "0.333", "three decimals");
	is_str(num_format_score(-0.0001, buf), "0", "no minus zero");
	is_str(
	    num_format_score(100, buf), "100", "zeros before the point stay");
	return tap_done();
}
