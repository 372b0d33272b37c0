/*
 * pool: an array that grows in chunks, so that growing never copies and
 * never moves what is in it.
 *
 * Indices are dense and chosen by the user. New items are zero-filled.
 */
#ifndef MXW_POOL_H
#define MXW_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define POOL_CHUNK 4096u

struct pool {
	void **chunks;
	size_t n_chunks;
	size_t room; /* of chunks[] */
	size_t item; /* bytes of one item */
};

static inline void
pool_init(struct pool *p, size_t item)
{
	p->chunks = NULL;
	p->n_chunks = 0;
	p->room = 0;
	p->item = item;
}

/* Makes index `i` usable. False when there is no memory. */
bool pool_reserve(struct pool *p, uint32_t i);
/* Frees all chunks; the pool can be used again. */
void pool_clear(struct pool *p);

/* `i` must have been reserved. */
static inline void *
pool_at(const struct pool *p, uint32_t i)
{
	return (char *)p->chunks[i / POOL_CHUNK] + (i % POOL_CHUNK) * p->item;
}

#endif
