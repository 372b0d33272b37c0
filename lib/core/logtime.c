/*
 * logtime: see logtime.h. One cache entry, keyed by the text up to the minute,
 * makes the common case a memcmp and two digits.
 */
#include "lib/core/logtime.h"

#include <stdint.h>
#include <string.h>
#include <time.h>

#define LOGTIME_LEAD 86400.0 /* clocks that disagree, zones set wrong */

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* n decimal digits, or -1. */
static int
digits(const char *s, size_t n)
{
	int v = 0;

	for (size_t i = 0; i < n; i++) {
		if (!is_digit(s[i]))
			return -1;
		v = v * 10 + (s[i] - '0');
	}
	return v;
}

/* "Dec 14 09:58:37": 15 bytes. */
static bool
is_rfc3164(const char *s, size_t len)
{
	return len >= 15 && s[3] == ' ' && s[6] == ' ' && s[9] == ':' &&
	    s[12] == ':' && is_digit(s[14]);
}

static bool
is_iso(const char *s, size_t len)
{
	return len >= 19 && s[4] == '-' && s[7] == '-' &&
	    (s[10] == 'T' || s[10] == ' ') && s[13] == ':' && s[16] == ':';
}

/* The length of "[+-]HH:MM", "[+-]HHMM" or "Z" at s, or 0. */
static size_t
zone_span(const char *s, size_t len)
{
	if (len >= 1 && (s[0] == 'Z' || s[0] == 'z'))
		return 1;
	if (len < 5 || (s[0] != '+' && s[0] != '-') || digits(s + 1, 2) < 0)
		return 0;
	if (s[3] == ':')
		return len >= 6 && digits(s + 4, 2) >= 0 ? 6 : 0;
	return digits(s + 3, 2) >= 0 ? 5 : 0;
}

static size_t
fraction_span(const char *s, size_t len)
{
	size_t n = 1;

	if (len < 2 || s[0] != '.')
		return 0;
	while (n < len && is_digit(s[n]))
		n++;
	return n > 1 ? n : 0;
}

size_t
logtime_span(const char *s, size_t len)
{
	size_t n = 19, zone;

	if (is_rfc3164(s, len))
		return 15;
	if (!is_iso(s, len))
		return 0;
	n += fraction_span(s + n, len - n);
	if (s[10] == ' ' && n + 1 < len && s[n] == ' ') {
		zone = zone_span(s + n + 1, len - n - 1);
		return zone > 1 ? n + 1 + zone : n; /* no "Z" behind a blank */
	}
	return n + zone_span(s + n, len - n);
}

/* Days from 1970-01-01 of a proleptic Gregorian date (months 1..12). */
static int64_t
days_from_civil(int64_t y, int m, int d)
{
	int64_t era, yoe, doy;

	y -= m <= 2;
	era = (y >= 0 ? y : y - 399) / 400;
	yoe = y - era * 400;
	doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
	return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

static bool
date_valid(int y, int m, int d)
{
	static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30,
		31 };

	if (m < 1 || m > 12 || d < 1)
		return false;
	if (m == 2 && d == 29)
		return (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;
	return d <= days[m - 1];
}

/* How far local time is ahead of UTC at t, in seconds. */
static bool
zone_ahead(int64_t t, int64_t *out)
{
	time_t sec = (time_t)t;
	struct tm tm;

	if (localtime_r(&sec, &tm) == NULL)
		return false;
	*out = tm.tm_gmtoff;
	return true;
}

/*
 * Local wall-clock time to seconds, by the offsets from UTC of a day before
 * and a day after: nearly always the same one. Where the clock was put back,
 * the same reading stands for two times: the later one counts unless it lies
 * ahead of the reference. A reading that was skipped when the clock was put
 * forward is taken as if it had not been.
 *
 * Not by mktime(3): asked for both readings, it searches years of history in
 * zones that know no daylight saving time, 30 to 100 microseconds each time.
 */
static bool
local_time(int y, int mon, int d, int h, int min, double ref, double *out)
{
	int64_t wall = days_from_civil(y, mon, d) * 86400 + h * 3600 + min * 60;
	int64_t before, after, at_first, at_second;

	if (!zone_ahead(wall - 86400, &before) ||
	    !zone_ahead(wall + 86400, &after))
		return false;
	*out = (double)(wall - before);
	if (before == after)
		return true;
	if (!zone_ahead(wall - before, &at_first) ||
	    !zone_ahead(wall - after, &at_second))
		return false;
	/* Both right: it is twice. Only the later: the change lies behind. */
	if (at_second == after &&
	    (at_first != before || (double)(wall - after) <= ref + 60))
		*out = (double)(wall - after);
	return true;
}

static int
month_number(const char *s)
{
	static const char names[] = "JanFebMarAprMayJunJulAugSepOctNovDec";

	for (int i = 0; i < 12; i++)
		if (memcmp(s, names + i * 3, 3) == 0)
			return i + 1;
	return -1;
}

/* The minute of "Dec 14 09:58". The year is the last one in which the time is
 * not ahead of the reference; 29 February needs a leap year. */
static bool
rfc3164_minute(const char *s, double ref, double *out)
{
	int mon = month_number(s);
	int day = s[4] == ' ' ? digits(s + 5, 1) : digits(s + 4, 2);
	int hour = digits(s + 7, 2), min = digits(s + 10, 2);
	time_t sec = (time_t)(ref + LOGTIME_LEAD);
	struct tm tm;

	if (mon < 0 || day < 1 || hour < 0 || hour > 23 || min < 0 ||
	    min > 59 || localtime_r(&sec, &tm) == NULL)
		return false;
	for (int y = tm.tm_year + 1900; y > tm.tm_year + 1900 - 9; y--)
		if (date_valid(y, mon, day) &&
		    local_time(y, mon, day, hour, min, ref, out) &&
		    *out <= ref + LOGTIME_LEAD)
			return true;
	return false;
}

/* The second field: 60 is a leap second. */
static bool
second_of(const char *s, double *out)
{
	int v = digits(s, 2);

	*out = v;
	return v >= 0 && v <= 60;
}

/* Year and daylight saving time depend on the reference, so what was found
 * for another one holds only as long as a minute: kind 'u' is UTC, free of
 * both. */
static bool
cache_has(
    const struct logtime *lt, const char *s, size_t len, char kind, double ref)
{
	return lt->key_len == len && lt->kind == kind &&
	    memcmp(lt->key, s, len) == 0 &&
	    (kind == 'u' || (ref - lt->ref <= 60 && lt->ref - ref <= 60));
}

static void
cache_put(struct logtime *lt, const char *s, size_t len, char kind, double ref)
{
	memcpy(lt->key, s, len);
	lt->key_len = len;
	lt->kind = kind;
	lt->ref = ref;
}

static bool
parse_rfc3164(struct logtime *lt, const char *s, double ref, double *t_r)
{
	double sec;

	if (!second_of(s + 13, &sec))
		return false;
	if (!cache_has(lt, s, 12, '3', ref)) {
		lt->key_len = 0;
		if (!rfc3164_minute(s, ref, &lt->base))
			return false;
		cache_put(lt, s, 12, '3', ref);
	}
	*t_r = lt->base + sec;
	return true;
}

/* The UTC reading of "2026-12-14T09:58". */
static bool
iso_minute(const char *s, double ref, bool local, double *out)
{
	int y = digits(s, 4), mon = digits(s + 5, 2), day = digits(s + 8, 2);
	int hour = digits(s + 11, 2), min = digits(s + 14, 2);

	if (y < 1970 || !date_valid(y, mon, day) || hour < 0 || hour > 23 ||
	    min < 0 || min > 59)
		return false;
	if (local)
		return local_time(y, mon, day, hour, min, ref, out);
	*out = (double)(days_from_civil(y, mon, day) * 86400 + hour * 3600 +
	    min * 60);
	return true;
}

static double
fraction_of(const char *s, size_t n)
{
	double v = 0, scale = 1;

	for (size_t i = 1; i < n && i <= 9; i++) {
		v = v * 10 + (s[i] - '0');
		scale *= 10;
	}
	return v / scale;
}

/* Offset of a zone from UTC in seconds. */
static bool
zone_offset(const char *s, size_t n, double *out)
{
	int h, m;

	*out = 0;
	if (n == 1)
		return true;
	h = digits(s + 1, 2);
	m = digits(s + n - 2, 2);
	if (h < 0 || h > 14 || m < 0 || m > 59)
		return false;
	*out = (h * 3600 + m * 60) * (s[0] == '-' ? -1 : 1);
	return true;
}

static bool
parse_iso(
    struct logtime *lt, const char *s, size_t len, double ref, double *t_r)
{
	size_t frac = fraction_span(s + 19, len - 19), at = 19 + frac;
	double sec, offset = 0;
	bool local;
	char kind;

	if (at < len && s[at] == ' ')
		at++;
	local = at >= len;
	if (!second_of(s + 17, &sec) ||
	    (!local && !zone_offset(s + at, len - at, &offset)))
		return false;
	kind = local ? 'l' : 'u';
	if (!cache_has(lt, s, 16, kind, ref)) {
		lt->key_len = 0;
		if (!iso_minute(s, ref, local, &lt->base))
			return false;
		cache_put(lt, s, 16, kind, ref);
	}
	*t_r = lt->base + sec + (frac > 0 ? fraction_of(s + 19, frac) : 0) -
	    offset;
	return true;
}

bool
logtime_parse(
    struct logtime *lt, const char *s, size_t len, double ref, double *t_r)
{
	if (len == 0 || logtime_span(s, len) != len)
		return false;
	if (len == 15)
		return parse_rfc3164(lt, s, ref, t_r);
	return parse_iso(lt, s, len, ref, t_r);
}
