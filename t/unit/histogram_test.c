/* histogram: bounds belong to the bucket below them. */
#include "lib/core/histogram.h"

#include "t/unit/tap.h"

int
main(void)
{
	struct histogram h = { .count = 0 };
	double last = 0;

	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
		double bound = histogram_bound(i);
		uint64_t before = h.bucket[i], after = h.bucket[i + 1];

		ok(bound > last, "bound %g", bound);
		histogram_add(&h, bound);
		is_int(h.bucket[i], before + 1, "is in its bucket");
		histogram_add(&h, bound * 1.0001);
		is_int(h.bucket[i + 1], after + 1, "more is in the next");
		last = bound;
	}
	is_int(h.count, 2 * HISTOGRAM_BUCKETS, "all are counted");
	h = (struct histogram){ .count = 0 };
	histogram_add(&h, 0);
	histogram_add(&h, -5);
	histogram_add(&h, NAN);
	is_int(h.bucket[0], 3, "nothing, less, and no number");
	is_num(h.sum, 0, "are 0");
	histogram_add(&h, 1e9);
	histogram_add(&h, INFINITY);
	is_int(h.bucket[HISTOGRAM_BUCKETS], 2, "longer than all");
	return tap_done();
}
