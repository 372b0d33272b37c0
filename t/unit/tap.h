/*
 * tap: the Test Anything Protocol for the unit tests, in one header.
 *
 *     ok(cond, "what %s", x);  is_int(got, want, "what");
 *     is_str(got, want, "what");  return tap_done();
 */
#ifndef MXW_TAP_H
#define MXW_TAP_H

#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static int tap_run, tap_failed;

static bool __attribute__((format(printf, 4, 5), unused))
tap_ok(bool cond, const char *file, int line, const char *fmt, ...)
{
	va_list ap;

	printf("%sok %d - ", cond ? "" : "not ", ++tap_run);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n");
	if (!cond) {
		tap_failed++;
		printf("#   failed at %s line %d\n", file, line);
	}
	fflush(stdout);
	return cond;
}

#define ok(cond, ...) tap_ok((cond), __FILE__, __LINE__, __VA_ARGS__)

#define is_int(got, want, ...)                                           \
	do {                                                             \
		long long g_ = (long long)(got), w_ = (long long)(want); \
		if (!ok(g_ == w_, __VA_ARGS__))                          \
			printf("#   got %lld, want %lld\n", g_, w_);     \
	} while (0)

#define is_num(got, want, ...)                                         \
	do {                                                           \
		double g_ = (got), w_ = (want);                        \
		if (!ok(fabs(g_ - w_) <= 1e-9 * fmax(1, fabs(w_)),     \
			__VA_ARGS__))                                  \
			printf("#   got %.17g, want %.17g\n", g_, w_); \
	} while (0)

#define is_str(got, want, ...)                                           \
	do {                                                             \
		const char *g_ = (got), *w_ = (want);                    \
		if (!ok(g_ != NULL && w_ != NULL && strcmp(g_, w_) == 0, \
			__VA_ARGS__))                                    \
			printf("#   got '%s', want '%s'\n",              \
			    g_ ? g_ : "(null)", w_ ? w_ : "(null)");     \
	} while (0)

static int __attribute__((unused)) tap_done(void)
{
	printf("1..%d\n", tap_run);
	return tap_failed == 0 ? 0 : 1;
}

#endif
