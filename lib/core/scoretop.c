/*
 * scoretop: see scoretop.h. A binary heap of what has been found so far, the
 * lowest first: it makes room for the next that is higher.
 */
#include "lib/core/scoretop.h"

#include <stdlib.h>

#include "lib/core/scoretable.h"

#define CHUNK 16384 /* entries looked at in a step */

struct found {
	double score;
	struct addr addr;
};

struct scoretop {
	size_t max, n;
	uint32_t cursor;
	double horizon; /* of the step under way */
	struct found heap[SCORETOP_MAX];
};

struct scoretop *
scoretop_create(size_t max)
{
	struct scoretop *top = calloc(1, sizeof(*top));

	if (top != NULL)
		top->max = max < SCORETOP_MAX ? max : SCORETOP_MAX;
	return top;
}

void
scoretop_destroy(struct scoretop **tp)
{
	free(*tp);
	*tp = NULL;
}

/* Of equal scores the lower address ranks higher: the same table gives the
 * same answer, in whatever order it is walked. */
static bool
ranks_below(const struct found *a, const struct found *b)
{
	if (a->score != b->score)
		return a->score < b->score;
	return addr_compare(&a->addr, &b->addr) > 0;
}

static void
sift_down(struct scoretop *top, struct found f)
{
	size_t pos = 0;

	for (;;) {
		size_t down = pos * 2 + 1;

		if (down + 1 < top->n &&
		    ranks_below(&top->heap[down + 1], &top->heap[down]))
			down++;
		if (down >= top->n || !ranks_below(&top->heap[down], &f))
			break;
		top->heap[pos] = top->heap[down];
		pos = down;
	}
	top->heap[pos] = f;
}

static void
sift_up(struct scoretop *top, struct found f)
{
	size_t pos = top->n++;

	while (pos > 0 && ranks_below(&f, &top->heap[(pos - 1) / 2])) {
		top->heap[pos] = top->heap[(pos - 1) / 2];
		pos = (pos - 1) / 2;
	}
	top->heap[pos] = f;
}

static void
visit(void *ctx, const struct addr *a, const struct score_entry *e)
{
	struct scoretop *top = ctx;
	struct found f = { e->score.score, *a };

	if (e->hits == 0 || e->score.last <= top->horizon)
		return;
	if (top->n < top->max)
		sift_up(top, f);
	else if (top->max > 0 && ranks_below(&top->heap[0], &f))
		sift_down(top, f);
}

bool
scoretop_step(
    struct scoretop *top, const struct scoretable *table, double horizon)
{
	top->horizon = horizon;
	return scoretable_walk(table, &top->cursor, CHUNK, visit, top);
}

const struct addr *
scoretop_nth(const struct scoretop *top, size_t n)
{
	return n < top->n ? &top->heap[n].addr : NULL;
}
