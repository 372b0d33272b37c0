/*
 * hitqueue: see hitqueue.h.
 */
#include "lib/core/hitqueue.h"

#include <math.h>
#include <stdlib.h>

#include "lib/core/snapshot.h"
#include "lib/core/xalloc.h"

struct record {
	struct hit hit;
	double at; /* when it was added; later: when acknowledged */
};

struct hitqueue {
	struct record *ring;
	size_t size;
	uint64_t oldest, first, end;
};

struct hitqueue *
hitqueue_create(size_t size)
{
	struct hitqueue *q = x_calloc(1, sizeof(*q));

	q->ring = x_calloc(size, sizeof(*q->ring));
	q->size = size;
	return q;
}

void
hitqueue_destroy(struct hitqueue **qp)
{
	if (*qp == NULL)
		return;
	free((*qp)->ring);
	free(*qp);
	*qp = NULL;
}

static struct record *
record_at(const struct hitqueue *q, uint64_t pos)
{
	return &q->ring[pos % q->size];
}

bool
hitqueue_add(struct hitqueue *q, const struct hit *h, double now)
{
	struct record *r;

	if (q->end - q->first == q->size)
		return false;
	r = record_at(q, q->end++);
	r->hit = *h;
	r->at = now;
	if (q->end - q->oldest > q->size)
		q->oldest = q->end - q->size;
	return true;
}

uint64_t
hitqueue_first(const struct hitqueue *q)
{
	return q->first;
}

uint64_t
hitqueue_end(const struct hitqueue *q)
{
	return q->end;
}

size_t
hitqueue_pending(const struct hitqueue *q)
{
	return (size_t)(q->end - q->first);
}

size_t
hitqueue_room(const struct hitqueue *q)
{
	return q->size - hitqueue_pending(q);
}

const struct hit *
hitqueue_at(const struct hitqueue *q, uint64_t pos)
{
	return &record_at(q, pos)->hit;
}

void
hitqueue_ack(struct hitqueue *q, size_t n, double now)
{
	for (; n > 0 && q->first < q->end; n--)
		record_at(q, q->first++)->at = now;
}

size_t
hitqueue_recall(struct hitqueue *q, double since)
{
	uint64_t was = q->first;

	while (q->first > q->oldest && record_at(q, q->first - 1)->at >= since)
		q->first--;
	return (size_t)(was - q->first);
}

double
hitqueue_since(const struct hitqueue *q, double now)
{
	return q->first < q->end ? record_at(q, q->first)->at : now;
}

void
hitqueue_save(const struct hitqueue *q, struct snapshot_writer *w)
{
	for (uint64_t pos = q->first; pos < q->end; pos++) {
		const struct hit *h = hitqueue_at(q, pos);

		snapshot_put_u8(w, 1);
		snapshot_put_addr(w, &h->addr);
		snapshot_put_f64(w, h->t);
		snapshot_put_f64(w, h->weight);
		snapshot_put_name(w, h->rule);
		snapshot_put_u64(w, h->epoch);
		snapshot_put_u64(w, h->offset);
		snapshot_put_f64(w, record_at(q, pos)->at);
	}
	snapshot_put_u8(w, 0);
}

void
hitqueue_load(struct hitqueue *q, struct snapshot_reader *r)
{
	while (!snapshot_failed(r) && snapshot_get_u8(r) == 1) {
		struct hit h = { .again = true };
		double at;

		if (!snapshot_get_addr(r, &h.addr))
			return;
		h.t = snapshot_get_f64(r);
		h.weight = snapshot_get_f64(r);
		h.rule = snapshot_get_name(r);
		h.epoch = snapshot_get_u64(r);
		h.offset = snapshot_get_u64(r);
		at = snapshot_get_f64(r);
		if (!snapshot_failed(r) && isfinite(h.t) &&
		    isfinite(h.weight) && isfinite(at))
			hitqueue_add(q, &h, at);
	}
}
