/*
 * logtime: the timestamps of mail logs as seconds since 1970 (a double).
 *
 *   RFC 3164  "Dec 14 09:58:37", "Dec  4 ...", "Dec 04 ..." (postlogd):
 *             local time, no year, no zone
 *   RFC 3339  "2026-12-14T09:58:37.123456+01:00" (rsyslog), also with 'Z'
 *   Exim      "2026-12-14 09:58:37[.123] [+0100]": local time without a zone
 *
 * The year of RFC 3164 is the one that puts the time nearest before a
 * reference (the time now, or when the file was last written), one day of
 * lead allowed for clocks that disagree. In the repeated hour at the end of
 * daylight saving time the reading nearest before the reference wins.
 *
 * Nothing here reads the clock. The time zone is the process's (TZ), as
 * localtime_r(3) knows it.
 */
#ifndef MXW_LOGTIME_H
#define MXW_LOGTIME_H

#include <stdbool.h>
#include <stddef.h>

/* Remembers the last minute's conversion: time zones are dear, and logs repeat.
 * Zero-initialised. */
struct logtime {
	char key[16]; /* text of the cached minute */
	size_t key_len;
	char kind;   /* form and zone */
	double base; /* what it stands for */
	double ref;  /* the reference it was computed for */
};

/* How many bytes at the start of `s` are a timestamp of a known form, without
 * the blank behind it; 0 if none. Cheap: looks at shape, not at values. */
size_t logtime_span(const char *s, size_t len);

/* Converts those bytes. `ref` is the reference time for the year. False when
 * a field is out of range (month 13, day 32, hour 25). */
bool logtime_parse(
    struct logtime *lt, const char *s, size_t len, double ref, double *t_r);

#endif
