/*
 * histogram: how often a duration fell into which bucket; for metrics.
 */
#ifndef MXW_HISTOGRAM_H
#define MXW_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_BUCKETS 19 /* 10 us to 10 s in steps of 1, 2.5, 5 */

struct histogram {
	uint64_t bucket[HISTOGRAM_BUCKETS + 1]; /* the last: longer than all */
	uint64_t count;
	double sum; /* seconds */
};

/* Negative durations (a clock that was set back) count as 0. */
void histogram_add(struct histogram *, double seconds);
/* The upper bound of a bucket in seconds; i < HISTOGRAM_BUCKETS. */
double histogram_bound(unsigned i);

#endif
