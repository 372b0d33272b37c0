/*
 * histogram: see histogram.h.
 */
#include "lib/core/histogram.h"

static const double bounds[HISTOGRAM_BUCKETS] = { 1e-5, 2.5e-5, 5e-5, 1e-4,
	2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 0.1, 0.25, 0.5, 1,
	2.5, 5, 10 };

void
histogram_add(struct histogram *h, double seconds)
{
	unsigned i = 0;

	if (!(seconds > 0))
		seconds = 0;
	while (i < HISTOGRAM_BUCKETS && seconds > bounds[i])
		i++;
	h->bucket[i]++;
	h->count++;
	h->sum += seconds;
}

double
histogram_bound(unsigned i)
{
	return bounds[i];
}
