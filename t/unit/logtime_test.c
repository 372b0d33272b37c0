/* logtime: forms, years, daylight saving time, the cache, damaged input. */
#include "lib/core/logtime.h"

#include <stdint.h>
#include <stdlib.h>
#include <time.h>

#include "t/unit/rnd.h"
#include "t/unit/tap.h"

/* UTC text "2026-12-14 09:58:37" as seconds. */
static double
U(const char *s)
{
	struct tm tm;

	memset(&tm, 0, sizeof(tm));
	if (strptime(s, "%Y-%m-%d %H:%M:%S", &tm) == NULL)
		ok(false, "test time %s", s);
	return (double)timegm(&tm);
}

static void
zone(const char *tz)
{
	setenv("TZ", tz, 1);
	tzset();
}

/* Without a cache; NAN when refused. */
static double
parse(const char *s, double ref)
{
	struct logtime lt = { .key_len = 0 };
	double t;

	return logtime_parse(&lt, s, strlen(s), ref, &t) ? t : NAN;
}

static void
test_forms(void)
{
	static const struct {
		const char *in, *utc; /* NULL: refused */
		double fraction;
	} cases[] = {
		{ "Dec 14 09:58:37", "2026-12-14 09:58:37", 0 },
		{ "Dec  4 09:58:37", "2026-12-04 09:58:37", 0 },
		{ "Dec 04 09:58:37", "2026-12-04 09:58:37", 0 },
		{ "Jan  1 00:00:00", "2026-01-01 00:00:00", 0 },
		{ "Dec 31 23:59:60", "2026-01-01 00:00:00", 0 },
		{ "Dec  4 09:58:61", NULL, 0 },
		{ "Dec  4 09:60:00", NULL, 0 },
		{ "Dec  4 24:00:00", NULL, 0 },
		{ "Dec  0 09:58:37", NULL, 0 },
		{ "Dec 00 09:58:37", NULL, 0 },
		{ "Dec 32 09:58:37", NULL, 0 },
		{ "Apr 31 09:58:37", NULL, 0 },
		{ "Feb 30 09:58:37", NULL, 0 },
		{ "dec  4 09:58:37", NULL, 0 },
		{ "Dez  4 09:58:37", NULL, 0 },
		{ "Dec   4 9:58:37", NULL, 0 },
		{ "Dec 4  09:58:37", NULL, 0 },
		{ "Dec  4 09:58:3x", NULL, 0 },
		{ "Dec -4 09:58:37", NULL, 0 },
		{ "Dec  4 -9:58:37", NULL, 0 },
		{ "2026-12-14T09:58:37Z", "2026-12-14 09:58:37", 0 },
		{ "2026-12-14T09:58:37z", "2026-12-14 09:58:37", 0 },
		{ "2026-12-14T09:58:37+01:00", "2026-12-14 08:58:37", 0 },
		{ "2026-12-14T09:58:37+0100", "2026-12-14 08:58:37", 0 },
		{ "2026-12-14T09:58:37-09:30", "2026-12-14 19:28:37", 0 },
		{ "2026-12-14T09:58:37-00:00", "2026-12-14 09:58:37", 0 },
		{ "2026-12-14T09:58:37.5Z", "2026-12-14 09:58:37", 0.5 },
		{ "2026-12-14T09:58:37.123456+01:00", "2026-12-14 08:58:37",
		    0.123456 },
		{ "2026-12-14T09:58:37.123456789123Z", "2026-12-14 09:58:37",
		    0.123456789 },
		{ "2026-12-14T09:58:37", "2026-12-14 09:58:37", 0 },
		{ "2026-12-14T09:58:37.25", "2026-12-14 09:58:37", 0.25 },
		{ "2026-06-30T23:59:60Z", "2026-07-01 00:00:00", 0 },
		{ "2024-02-29T00:00:00Z", "2024-02-29 00:00:00", 0 },
		{ "2000-02-29T00:00:00Z", "2000-02-29 00:00:00", 0 },
		{ "2026-12-14T00:30:00+14:00", "2026-12-13 10:30:00", 0 },
		{ "2100-02-29T00:00:00Z", NULL, 0 },
		{ "2026-02-29T00:00:00Z", NULL, 0 },
		{ "2026-00-14T09:58:37Z", NULL, 0 },
		{ "2026-13-14T09:58:37Z", NULL, 0 },
		{ "2026-12-00T09:58:37Z", NULL, 0 },
		{ "2026-12-32T09:58:37Z", NULL, 0 },
		{ "2026-12-14T24:58:37Z", NULL, 0 },
		{ "2026-12-14T09:60:37Z", NULL, 0 },
		{ "2026-12-14T09:58:61Z", NULL, 0 },
		{ "1969-12-14T09:58:37Z", NULL, 0 },
		{ "2026-12-14T09:58:37+15:00", NULL, 0 },
		{ "2026-12-14T09:58:37+01:60", NULL, 0 },
		{ "2026-12-14T09:58:37+1:00", NULL, 0 },
		{ "2026-12-14T09:58:37.Z", NULL, 0 },
		{ "2026-12-14t09:58:37Z", NULL, 0 },
		{ "2026-12-14 09:58:37", "2026-12-14 09:58:37", 0 },
		{ "2026-12-14 09:58:37.123", "2026-12-14 09:58:37", 0.123 },
		{ "2026-12-14 09:58:37 +0100", "2026-12-14 08:58:37", 0 },
		{ "2026-12-14 09:58:37 -0800", "2026-12-14 17:58:37", 0 },
		{ "2026-12-14 09:58:37.123 +0100", "2026-12-14 08:58:37",
		    0.123 },
		{ "2026-12-14 09:58:37 Z", NULL, 0 },
		{ "2026-12-14  09:58:37", NULL, 0 },
		{ "", NULL, 0 },
		{ "Dec", NULL, 0 },
	};
	double ref = U("2026-12-20 12:00:00");

	zone("UTC");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		double t = parse(cases[i].in, ref);

		if (cases[i].utc == NULL)
			ok(isnan(t), "'%s' is refused", cases[i].in);
		else if (ok(!isnan(t), "'%s' is taken", cases[i].in))
			is_num(t, U(cases[i].utc) + cases[i].fraction,
			    "'%s' is %s", cases[i].in, cases[i].utc);
	}
	/* More than is the stamp does not pass either. */
	ok(isnan(parse("Dec 14 09:58:37 ", ref)), "a blank behind");
	ok(isnan(parse("Dec 14 09:58:37x", ref)), "a letter behind");
	ok(isnan(parse("2026-12-14T09:58:37Zz", ref)), "two zones");
	zone("Europe/Berlin");
	is_num(parse("Dec 14 09:58:37", ref), U("2026-12-14 08:58:37"),
	    "local time in winter");
	is_num(parse("Jul 14 09:58:37", ref), U("2026-07-14 07:58:37"),
	    "local time in summer");
	is_num(parse("2026-07-14 09:58:37", ref), U("2026-07-14 07:58:37"),
	    "Exim's is local");
	is_num(parse("2026-07-14T09:58:37.5", ref),
	    U("2026-07-14 07:58:37") + 0.5, "so is a stamp without a zone");
	is_num(parse("2026-07-14T09:58:37Z", ref), U("2026-07-14 09:58:37"),
	    "one with a zone is not");
}

static void
test_span(void)
{
	static const struct {
		const char *in;
		size_t span;
	} cases[] = {
		{ "Dec 14 09:58:37 host x:", 15 },
		{ "2026-12-14T09:58:37.123456+01:00 host x:", 32 },
		{ "2026-12-14T09:58:37Z host", 20 },
		{ "2026-12-14T09:58:37 Z host", 19 },
		{ "2026-12-14T09:58:37 +0100", 19 },
		{ "2026-12-14 09:58:37 1abc", 19 },
		{ "2026-12-14 09:58:37 +0100 1abc", 25 },
		{ "2026-12-14 09:58:37 +01:00 1abc", 26 },
		{ "2026-12-14 09:58:37 Zebra", 19 },
		{ "2026-12-14 09:58:37 -", 19 },
		{ "2026-12-14 09:58:37.123 [99] x", 23 },
		{ "2026-12-14 09:58:37. x", 19 },
		{ "not a time at all, you see", 0 },
		{ "", 0 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		is_int(logtime_span(cases[i].in, strlen(cases[i].in)),
		    cases[i].span, "span of '%s'", cases[i].in);
}

static void
test_year(void)
{
	static const struct {
		const char *in, *ref, *utc;
	} cases[] = {
		{ "Dec 31 23:59:59", "2027-01-01 00:00:05",
		    "2026-12-31 23:59:59" },
		{ "Jan  1 00:00:01", "2027-01-01 00:00:05",
		    "2027-01-01 00:00:01" },
		/* Our clock is behind the log's by less than a day. */
		{ "Jan  1 00:00:01", "2026-12-31 23:59:50",
		    "2027-01-01 00:00:01" },
		{ "Jan  1 00:00:01", "2026-12-31 00:00:02",
		    "2027-01-01 00:00:01" },
		/* More than a day ahead is the year before. */
		{ "Jan  1 00:01:00", "2026-12-30 23:59:59",
		    "2026-01-01 00:01:00" },
		{ "Dec 20 12:00:00", "2027-01-15 00:00:00",
		    "2026-12-20 12:00:00" },
		{ "Jan 20 12:00:00", "2027-01-15 00:00:00",
		    "2026-01-20 12:00:00" },
		{ "Jan 15 23:59:00", "2027-01-15 00:00:00",
		    "2027-01-15 23:59:00" },
		{ "Feb 29 10:00:00", "2024-03-01 00:00:00",
		    "2024-02-29 10:00:00" },
		{ "Feb 29 10:00:00", "2024-02-29 09:00:00",
		    "2024-02-29 10:00:00" },
		{ "Feb 29 10:00:00", "2024-02-20 09:00:00",
		    "2020-02-29 10:00:00" },
		{ "Feb 29 10:00:00", "2027-06-01 00:00:00",
		    "2024-02-29 10:00:00" },
		{ "Feb 29 10:00:00", "2103-06-01 00:00:00",
		    "2096-02-29 10:00:00" },
		{ "Feb 28 23:59:60", "2024-03-01 00:00:00",
		    "2024-02-29 00:00:00" },
	};

	zone("UTC");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		is_num(parse(cases[i].in, U(cases[i].ref)), U(cases[i].utc),
		    "'%s' seen at %s is %s", cases[i].in, cases[i].ref,
		    cases[i].utc);
	/* New Year is local. */
	zone("America/New_York");
	is_num(parse("Dec 31 23:30:00", U("2027-01-01 04:45:00")),
	    U("2027-01-01 04:30:00"), "New Year's Eve in New York");
	is_num(parse("Jan  1 00:30:00", U("2027-01-01 05:45:00")),
	    U("2027-01-01 05:30:00"), "New Year in New York");
}

static void
test_dst(void)
{
	static const struct {
		const char *tz, *in, *ref, *utc;
	} cases[] = {
		/* 03:00 CEST became 02:00 CET at 01:00 UTC. */
		{ "Europe/Berlin", "Oct 25 01:59:59", "2026-10-26 00:00:00",
		    "2026-10-24 23:59:59" },
		{ "Europe/Berlin", "Oct 25 02:30:00", "2026-10-25 00:30:01",
		    "2026-10-25 00:30:00" },
		{ "Europe/Berlin", "Oct 25 02:30:00", "2026-10-25 01:30:01",
		    "2026-10-25 01:30:00" },
		{ "Europe/Berlin", "Oct 25 02:30:00", "2026-10-26 00:00:00",
		    "2026-10-25 01:30:00" },
		{ "Europe/Berlin", "2026-10-25 02:30:00", "2026-10-25 00:30:01",
		    "2026-10-25 00:30:00" },
		{ "Europe/Berlin", "2026-10-25T02:30:00", "2026-10-25 01:30:01",
		    "2026-10-25 01:30:00" },
		{ "Europe/Berlin", "Oct 25 03:00:00", "2026-10-26 00:00:00",
		    "2026-10-25 02:00:00" },
		/* 02:00 CET became 03:00 CEST at 01:00 UTC. */
		{ "Europe/Berlin", "Mar 29 01:59:59", "2026-03-30 00:00:00",
		    "2026-03-29 00:59:59" },
		{ "Europe/Berlin", "Mar 29 02:30:00", "2026-03-30 00:00:00",
		    "2026-03-29 01:30:00" },
		{ "Europe/Berlin", "Mar 29 03:00:00", "2026-03-30 00:00:00",
		    "2026-03-29 01:00:00" },
		/* 02:00 EDT became 01:00 EST at 06:00 UTC. */
		{ "America/New_York", "Nov  1 01:30:00", "2026-11-01 05:30:01",
		    "2026-11-01 05:30:00" },
		{ "America/New_York", "Nov  1 01:30:00", "2026-11-01 06:30:01",
		    "2026-11-01 06:30:00" },
		{ "America/New_York", "Nov  1 00:59:59", "2026-11-01 08:00:00",
		    "2026-11-01 04:59:59" },
		{ "America/New_York", "Mar  8 02:30:00", "2026-03-09 00:00:00",
		    "2026-03-08 07:30:00" },
		/* Half an hour: 02:00 +11 became 01:30 +10:30 at 15:00 UTC. */
		{ "Australia/Lord_Howe", "Apr  5 01:45:00",
		    "2026-04-04 14:45:01", "2026-04-04 14:45:00" },
		{ "Australia/Lord_Howe", "Apr  5 01:45:00",
		    "2026-04-04 15:15:01", "2026-04-04 15:15:00" },
		{ "Australia/Lord_Howe", "Apr  5 01:29:00",
		    "2026-04-04 16:00:00", "2026-04-04 14:29:00" },
		{ "Australia/Lord_Howe", "Apr  5 02:00:00",
		    "2026-04-04 16:00:00", "2026-04-04 15:30:00" },
		{ "Australia/Lord_Howe", "Oct  4 02:15:00",
		    "2026-10-04 00:00:00", "2026-10-03 15:45:00" },
		/* Zones without daylight saving time. */
		{ "Asia/Kolkata", "Jun  5 12:00:00", "2026-06-06 00:00:00",
		    "2026-06-05 06:30:00" },
		{ "Asia/Tokyo", "2026-06-05 12:00:00", "2026-06-06 00:00:00",
		    "2026-06-05 03:00:00" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		zone(cases[i].tz);
		is_num(parse(cases[i].in, U(cases[i].ref)), U(cases[i].utc),
		    "%s: '%s' seen at %s UTC", cases[i].tz, cases[i].in,
		    cases[i].ref);
	}
}

static const char *const months[] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
	"Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };

/* The form a logger in this zone writes for t. */
static void
stamp(char *buf, size_t size, time_t t, unsigned form)
{
	struct tm tm;
	long off;

	localtime_r(&t, &tm);
	off = labs(tm.tm_gmtoff) / 60;
	switch (form) {
	case 0:
	case 1:
		snprintf(buf, size,
		    form == 0 ? "%s %2d %02d:%02d:%02d"
			      : "%s %02d %02d:%02d:%02d",
		    months[tm.tm_mon], tm.tm_mday, tm.tm_hour, tm.tm_min,
		    tm.tm_sec);
		return;
	case 2:
		strftime(buf, size, "%Y-%m-%d %H:%M:%S", &tm);
		return;
	default:
		strftime(buf, size,
		    form == 3 ? "%Y-%m-%dT%H:%M:%S" : "%Y-%m-%d %H:%M:%S ",
		    &tm);
		snprintf(buf + strlen(buf), size - strlen(buf),
		    form == 3 ? "%c%02ld:%02ld" : "%c%02ld%02ld",
		    tm.tm_gmtoff < 0 ? '-' : '+', off / 60, off % 60);
	}
}

/* Is there a later time, not ahead of the reference, that reads the same? */
static bool
reads_again(time_t t, double ref)
{
	char a[64], b[64];

	stamp(a, sizeof(a), t, 0);
	for (time_t later = t + 900; later <= t + 7200; later += 900) {
		stamp(b, sizeof(b), later, 0);
		if (strcmp(a, b) == 0)
			return (double)(later - later % 60) <= ref + 60;
	}
	return false;
}

static const char *const zones[] = { "UTC", "Europe/Berlin", "America/New_York",
	"Australia/Lord_Howe", "Asia/Kolkata", "America/St_Johns",
	"Pacific/Apia", "Africa/Cairo", "Asia/Kathmandu" };
#define N_ZONES (sizeof(zones) / sizeof(zones[0]))

/* What a logger wrote is read back, read soon after it was written. */
static void
test_round_trip(void)
{
	for (size_t z = 0; z < N_ZONES; z++) {
		unsigned wrong = 0, twice = 0;

		zone(zones[z]);
		for (int i = 0; i < 6000; i++) {
			time_t t = 1767225600 + (time_t)rnd_below(4 * 31536000);
			double ref, got;
			char buf[64];
			unsigned form = rnd_below(5);

			if (i % 3 == 0 && i > 2999) /* at the change */
				t = 1793491200 - 172800 +
				    (time_t)rnd_below(2 * 172800);
			ref = (double)t + rnd_below(30);
			stamp(buf, sizeof(buf), t, form);
			got = parse(buf, ref);
			if (got == (double)t)
				continue;
			/* Lines of one minute of the repeated hour. */
			if (form < 3 && reads_again(t, ref)) {
				twice++;
				continue;
			}
			if (wrong++ < 3)
				printf("# %s seen at %.0f: got %.3f, want "
				       "%lld\n",
				    buf, ref, got, (long long)t);
		}
		ok(wrong == 0 && twice == 0, "%s: what was written is read",
		    zones[z]);
	}
}

/* One cache over interleaved zones, minutes and references gives what no
 * cache gives. References move by more than the cache may ignore. */
static void
test_cache(void)
{
	for (size_t z = 0; z < N_ZONES; z++) {
		struct logtime lt = { .key_len = 0 };
		double base = z % 2 ? 1792886400 /* 2026-10-25 00:00 UTC */
				    : 1798761300 /* 2026-12-31 23:55 UTC */;
		unsigned wrong = 0;

		zone(zones[z]);
		for (int i = 0; i < 20000; i++) {
			double ref = base + rnd_below(80) * 121.0;
			time_t t =
			    (time_t)base + (time_t)rnd_below(14400) - 3600;
			double with = NAN, without;
			char buf[64];
			size_t len;

			if (rnd_below(50) == 0)
				base += 86400 * (rnd_below(3) - 1.0);
			if (rnd_below(3) > 0)
				t = t / 600 * 600; /* the same again */
			stamp(buf, sizeof(buf), t, rnd_below(5));
			if (rnd_below(10) == 0)
				buf[rnd_below(15)] = '9';
			len = strlen(buf);
			without = parse(buf, ref);
			if (!logtime_parse(&lt, buf, len, ref, &with))
				with = NAN;
			if (with != without && !(isnan(with) && isnan(without)))
				wrong++;
		}
		is_int(wrong, 0, "%s: cached or not, the same", zones[z]);
	}
}

static void
test_cache_fold(void)
{
	struct logtime lt = { .key_len = 0 };
	double t;

	zone("Europe/Berlin");
	logtime_parse(&lt, "Oct 25 02:30:50", 15, U("2026-10-25 00:30:51"), &t);
	is_num(t, U("2026-10-25 00:30:50"), "02:30 in summer time");
	logtime_parse(&lt, "Oct 25 02:30:10", 15, U("2026-10-25 01:30:11"), &t);
	is_num(t, U("2026-10-25 01:30:10"), "02:30 again, an hour later");
	logtime_parse(
	    &lt, "2026-10-25 02:30:50", 19, U("2026-10-25 00:30:51"), &t);
	is_num(t, U("2026-10-25 00:30:50"), "the same in Exim's form");
	logtime_parse(
	    &lt, "2026-10-25 02:30:10", 19, U("2026-10-25 01:30:11"), &t);
	is_num(t, U("2026-10-25 01:30:10"), "and again");
	/* "2026-12-14T09:5" must not be taken for a minute of another form. */
	logtime_parse(&lt, "2026-12-14T09:58:37Z", 20, 0, &t);
	logtime_parse(
	    &lt, "2026-12-14T09:58:37", 19, U("2026-12-15 00:00:00"), &t);
	is_num(t, U("2026-12-14 08:58:37"), "local behind UTC, same minute");
	logtime_parse(&lt, "2026-12-14T09:58:38Z", 20, 0, &t);
	is_num(t, U("2026-12-14 09:58:38"), "UTC behind local, same minute");
	logtime_parse(&lt, "2026-12-14T09:58:39+03:00", 25, 0, &t);
	is_num(t, U("2026-12-14 06:58:39"), "another zone, same minute");
}

/* Valid stamps cut short, with one byte changed, and noise: nothing beyond
 * the given length is read (sanitizers), spans never exceed it, and what is
 * taken is finite. */
static void
test_damage(void)
{
	static const char *const good[] = { "Dec 14 09:58:37",
		"2026-12-14T09:58:37.123456+01:00", "2026-12-14 09:58:37",
		"2026-12-14 09:58:37.123 +0100", "2026-12-14T09:58:37Z" };
	double ref = U("2026-12-20 12:00:00");
	struct logtime lt = { .key_len = 0 };
	unsigned bad = 0;

	zone("Europe/Berlin");
	for (int i = 0; i < 200000; i++) {
		const char *g = good[rnd_below(5)];
		size_t len = strlen(g), span;
		char *p;
		double t = 0;

		if (i < 400)
			len = (size_t)i % (len + 1);
		p = malloc(len + 1);
		if (p == NULL)
			break;
		memcpy(p, g, len);
		p = realloc(p, len > 0 ? len : 1); /* nothing behind it */
		for (unsigned n = rnd_below(4); i >= 400 && n > 0; n--)
			p[rnd_below((unsigned)len)] = rnd_below(3) == 0
			    ? (char)rnd_below(256)
			    : "0123456789 -:.TZ+"[rnd_below(17)];
		span = logtime_span(p, len);
		if (span > len ||
		    (logtime_parse(&lt, p, len, ref, &t) &&
			(span != len || !isfinite(t))))
			bad++;
		free(p);
	}
	is_int(bad, 0, "damaged stamps");
	bad = 0;
	for (int i = 0; i < 100000; i++) {
		char p[40];
		size_t len = rnd_below(sizeof(p));
		double t;

		for (size_t j = 0; j < len; j++)
			p[j] = (char)rnd_below(256);
		if (logtime_span(p, len) > len ||
		    logtime_parse(&lt, p, len, ref, &t))
			bad++;
	}
	is_int(bad, 0, "random bytes");
}

int
main(void)
{
	test_forms();
	test_span();
	test_year();
	test_dst();
	test_round_trip();
	test_cache();
	test_cache_fold();
	test_damage();
	return tap_done();
}
