/*
 * hitqueue: hits on their way to a store elsewhere. A ring of fixed size.
 *
 *     oldest ...acknowledged... first ...pending... end
 *
 * What was acknowledged stays in the ring for a while, as far as there is
 * room: a Redis that loses its last second (fail-over to a replica that was
 * behind, a crash with appendfsync everysec) is told again. Hits are
 * idempotent, so telling twice changes nothing; their order is never changed,
 * because "not newer than the last one applied" is what makes them so.
 *
 * Positions count all hits ever added, so that others can remember one.
 */
#ifndef MXW_HITQUEUE_H
#define MXW_HITQUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/core/store.h"

struct hitqueue;
struct snapshot_reader;
struct snapshot_writer;

struct hitqueue *hitqueue_create(size_t size);
void hitqueue_destroy(struct hitqueue **);
/* False when all of it is pending. */
bool hitqueue_add(struct hitqueue *, const struct hit *, double now);
uint64_t hitqueue_first(const struct hitqueue *); /* position */
uint64_t hitqueue_end(const struct hitqueue *);	  /* position */
size_t hitqueue_pending(const struct hitqueue *);
size_t hitqueue_room(const struct hitqueue *);
/* first <= pos < end. */
const struct hit *hitqueue_at(const struct hitqueue *, uint64_t pos);
/* The first n are acknowledged. */
void hitqueue_ack(struct hitqueue *, size_t n, double now);
/* What was acknowledged at `since` or later is pending again; how many. */
size_t hitqueue_recall(struct hitqueue *, double since);
/* When the first pending one was added; `now` if there is none. */
double hitqueue_since(const struct hitqueue *, double now);

/* The pending ones, as the content of a snapshot section. */
void hitqueue_save(const struct hitqueue *, struct snapshot_writer *);
void hitqueue_load(struct hitqueue *, struct snapshot_reader *);

#endif
