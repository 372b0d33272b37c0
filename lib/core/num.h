/*
 * num: numbers, durations and times as text.
 *
 * Parsers take the whole string or fail; they never accept a prefix, leading
 * blanks or a sign that the type does not have.
 */
#ifndef MXW_NUM_H
#define MXW_NUM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Decimal digits only, no sign. False on empty, junk or overflow. */
bool num_parse_u64(const char *s, size_t len, uint64_t *out);
/* A finite number as strtod() in the C locale reads it. */
bool num_parse_double(const char *s, size_t len, double *out);
/*
 * A duration in seconds: a number with a unit ms, s, m, h or d, or several
 * such in a row ("1h30m"). A bare "0" is zero. Negative is refused.
 */
bool num_parse_duration(const char *s, double *seconds_r);

#define NUM_DURATION_LEN 32
/* "90" -> "1m30s", 0.25 -> "250ms", 604800 -> "7d". Returns buf. */
char *num_format_duration(double seconds, char buf[NUM_DURATION_LEN]);

#define NUM_TIME_LEN 40
/* RFC 3339 in UTC, "2026-01-31T09:05:00Z", with ".mmm" when the time is not a
 * whole second (rounded down to milliseconds). Returns buf. */
char *num_format_time(double t, char buf[NUM_TIME_LEN]);

#define NUM_DOUBLE_LEN 32
/* The shortest decimal that num_parse_double() reads back as the same finite
 * number; a JSON number. Returns buf. */
char *num_format_double(double d, char buf[NUM_DOUBLE_LEN]);

#define NUM_SCORE_LEN 32
/* At most three decimals, trailing zeros removed: 5, 5.25, 0.333. */
char *num_format_score(double score, char buf[NUM_SCORE_LEN]);

#endif
