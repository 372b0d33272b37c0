/*
 * rate: at most so many in so long: a bucket that holds `count` and is filled
 * evenly within `period`. A burst of `count` passes at once.
 */
#ifndef MXW_RATE_H
#define MXW_RATE_H

#include <stdbool.h>

struct rate {
	double count;
	double period; /* seconds */
	double left;   /* in the bucket */
	double last;   /* when that was known */
};

/* "10/m": 1 to 1000000 in a second (s), minute (m), hour (h) or day (d). The
 * bucket is full. */
bool rate_parse(const char *text, struct rate *out);
/* One more at `now` (monotonic seconds)? */
bool rate_pass(struct rate *, double now);

#endif
