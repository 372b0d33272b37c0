/*
 * pool: an array that grows in chunks, so that growing never copies and
 * never moves what is in it.
 *
 * Indices are dense and chosen by the user. New items are zero-filled. The
 * first chunks are allocated one by one; those of a large pool are parts of
 * blocks, each of twice the size of the one before, whose pages can be huge.
 */
#ifndef MXW_POOL_H
#define MXW_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define POOL_CHUNK 4096u
#define POOL_BLOCKS 16 /* the last one alone has 128 GiB */

struct pool {
	void **chunks;
	size_t n_chunks;
	size_t room; /* of chunks[] */
	size_t item; /* bytes of one item */
	void *blocks[POOL_BLOCKS];
	size_t n_blocks;
	size_t used; /* bytes of the last block */
};

static inline void
pool_init(struct pool *p, size_t item)
{
	p->chunks = NULL;
	p->n_chunks = 0;
	p->room = 0;
	p->item = item;
	p->n_blocks = 0;
	p->used = 0;
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
