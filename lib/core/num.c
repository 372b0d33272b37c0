/*
 * num: see num.h.
 */
#include "lib/core/num.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

bool
num_parse_u64(const char *s, size_t len, uint64_t *out)
{
	const bool short_enough = len <= 19; /* for any digits */
	uint64_t n = 0;

	if (len == 0)
		return false;
	for (size_t i = 0; i < len; i++) {
		unsigned d = (unsigned)(unsigned char)s[i] - '0';

		if (d > 9 || (!short_enough && n > (UINT64_MAX - d) / 10))
			return false;
		n = n * 10 + d;
	}
	*out = n;
	return true;
}

bool
num_parse_double(const char *s, size_t len, double *out)
{
	char buf[64];
	char *end;
	double d;

	if (len == 0 || len >= sizeof(buf))
		return false;
	/* strtod() would also take blanks, hexadecimal, inf and nan. */
	for (size_t i = 0; i < len; i++)
		if (strchr("0123456789+-.eE", s[i]) == NULL || s[i] == '\0')
			return false;
	memcpy(buf, s, len);
	buf[len] = '\0';
	errno = 0;
	d = strtod(buf, &end);
	if (*end != '\0' || !isfinite(d))
		return false;
	*out = d;
	return true;
}

static double
num_unit(const char *s, size_t len)
{
	static const struct {
		const char *name;
		double seconds;
	} units[] = { { "ms", 0.001 }, { "s", 1 }, { "m", 60 }, { "h", 3600 },
		{ "d", 86400 }, { "w", 604800 } };

	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (strlen(units[i].name) == len &&
		    memcmp(units[i].name, s, len) == 0)
			return units[i].seconds;
	return -1;
}

bool
num_parse_duration(const char *s, double *seconds_r)
{
	double sum = 0;

	if (strcmp(s, "0") == 0) {
		*seconds_r = 0;
		return true;
	}
	if (*s == '\0')
		return false;
	while (*s != '\0') {
		size_t n = strspn(s, "0123456789.");
		size_t u = strspn(s + n, "abcdefghijklmnopqrstuvwxyz");
		double value, unit;

		if (!num_parse_double(s, n, &value))
			return false;
		unit = num_unit(s + n, u);
		if (unit < 0)
			return false;
		sum += value * unit;
		s += n + u;
	}
	if (!isfinite(sum))
		return false;
	*seconds_r = sum;
	return true;
}

char *
num_format_duration(double seconds, char buf[NUM_DURATION_LEN])
{
	static const struct {
		char unit;
		uint64_t seconds;
	} units[] = { { 'd', 86400 }, { 'h', 3600 }, { 'm', 60 }, { 's', 1 } };
	uint64_t left;
	size_t used = 0;

	if (!(seconds > 0)) {
		snprintf(buf, NUM_DURATION_LEN, "0s");
		return buf;
	}
	if (seconds < 1) {
		snprintf(buf, NUM_DURATION_LEN, "%.0fms", seconds * 1000);
		return buf;
	}
	left = seconds > 1e15 ? (uint64_t)1e15 : (uint64_t)(seconds + 0.5);
	buf[0] = '\0';
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		uint64_t n = left / units[i].seconds;

		if (n == 0)
			continue;
		left -= n * units[i].seconds;
		used += (size_t)snprintf(buf + used, NUM_DURATION_LEN - used,
		    "%llu%c", (unsigned long long)n, units[i].unit);
		if (used >= NUM_DURATION_LEN)
			break;
	}
	return buf;
}

char *
num_format_time(double t, char buf[NUM_TIME_LEN])
{
	double whole;
	struct tm tm;
	time_t sec;
	int ms;
	size_t n;

	if (!(t > -6e10 && t < 2.5e11)) { /* years 68 to 9891 */
		snprintf(buf, NUM_TIME_LEN, "%s", t > 0 ? "never" : "-");
		return buf;
	}
	whole = floor(t);
	sec = (time_t)whole;
	/* A double near 2e9 has a resolution of 2e-7: 0.25 may be a hair
	 * less after arithmetic, and must not print as .249. */
	ms = (int)((t - whole) * 1000 + 0.001);
	if (gmtime_r(&sec, &tm) == NULL) {
		snprintf(buf, NUM_TIME_LEN, "-");
		return buf;
	}
	n = strftime(buf, NUM_TIME_LEN, "%Y-%m-%dT%H:%M:%S", &tm);
	if (ms > 0 && ms < 1000)
		snprintf(buf + n, NUM_TIME_LEN - n, ".%03dZ", ms);
	else
		snprintf(buf + n, NUM_TIME_LEN - n, "Z");
	return buf;
}

char *
num_format_double(double d, char buf[NUM_DOUBLE_LEN])
{
	for (int digits = 15; digits <= 17; digits++) {
		int n = snprintf(buf, NUM_DOUBLE_LEN, "%.*g", digits, d);
		double again;

		/* The same bits, for -0 is not 0. */
		if (num_parse_double(buf, (size_t)n, &again) &&
		    /* NOLINTNEXTLINE(bugprone-*,cert-*) */
		    memcmp(&again, &d, sizeof(d)) == 0)
			break;
	}
	return buf;
}

char *
num_format_score(double score, char buf[NUM_SCORE_LEN])
{
	char *p;

	if (!(fabs(score) < 1e15)) {
		snprintf(buf, NUM_SCORE_LEN, "%.6g", score);
		return buf;
	}
	snprintf(buf, NUM_SCORE_LEN, "%.3f", score);
	p = buf + strlen(buf);
	while (p[-1] == '0')
		*--p = '\0';
	if (p[-1] == '.')
		*--p = '\0';
	if (strcmp(buf, "-0") == 0)
		snprintf(buf, NUM_SCORE_LEN, "0");
	return buf;
}
