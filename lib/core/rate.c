/*
 * rate: see rate.h.
 */
#include "lib/core/rate.h"

#include <stdint.h>
#include <string.h>

#include "lib/core/num.h"

#define RATE_MAX 1000000

bool
rate_parse(const char *text, struct rate *out)
{
	const char *slash = strchr(text, '/');
	uint64_t count;

	if (slash == NULL ||
	    !num_parse_u64(text, (size_t)(slash - text), &count) || count < 1 ||
	    count > RATE_MAX)
		return false;
	if (strcmp(slash, "/s") == 0)
		out->period = 1;
	else if (strcmp(slash, "/m") == 0)
		out->period = 60;
	else if (strcmp(slash, "/h") == 0)
		out->period = 3600;
	else if (strcmp(slash, "/d") == 0)
		out->period = 86400;
	else
		return false;
	out->count = out->left = (double)count;
	out->last = 0;
	return true;
}

bool
rate_pass(struct rate *r, double now)
{
	if (now > r->last) {
		r->left += (now - r->last) * r->count / r->period;
		if (r->left > r->count)
			r->left = r->count;
		r->last = now;
	}
	if (r->left < 1)
		return false;
	r->left -= 1;
	return true;
}
