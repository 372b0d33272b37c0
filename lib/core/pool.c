/*
 * pool: see pool.h.
 */
#include "lib/core/pool.h"

#include <stdlib.h>

#include "lib/core/hugepage.h"

#define FIRST_BLOCK (HUGEPAGE_SIZE * 2)

/* So many chunks, of less than a huge page, are not in blocks. */
static size_t
pool_small(const struct pool *p)
{
	return HUGEPAGE_SIZE / (POOL_CHUNK * p->item);
}

/* The next part of the last block, or of a new one. */
static void *
chunk_of_block(struct pool *p)
{
	const size_t size = POOL_CHUNK * p->item;
	char *block = NULL;

	if (p->n_blocks > 0) {
		block = p->blocks[p->n_blocks - 1];
		/* The chunk before is full. */
		hugepage_written(block, p->used - size, p->used);
		if ((FIRST_BLOCK << (p->n_blocks - 1)) - p->used < size)
			block = NULL;
	}
	if (block == NULL) {
		if (p->n_blocks == POOL_BLOCKS)
			return NULL;
		block = hugepage_alloc(FIRST_BLOCK << p->n_blocks);
		if (block == NULL)
			return NULL;
		p->blocks[p->n_blocks++] = block;
		p->used = 0;
	}
	p->used += size;
	return block + p->used - size;
}

bool
pool_reserve(struct pool *p, uint32_t i)
{
	size_t want = i / POOL_CHUNK + 1;

	while (p->n_chunks < want) {
		void *chunk;

		if (p->n_chunks == p->room) {
			size_t room = p->room ? p->room * 2 : 16;
			void **chunks =
			    reallocarray(p->chunks, room, sizeof(*chunks));

			if (chunks == NULL)
				return false;
			p->chunks = chunks;
			p->room = room;
		}
		chunk = p->n_chunks < pool_small(p)
		    ? calloc(POOL_CHUNK, p->item)
		    : chunk_of_block(p);
		if (chunk == NULL)
			return false;
		p->chunks[p->n_chunks++] = chunk;
	}
	return true;
}

void
pool_clear(struct pool *p)
{
	for (size_t i = 0; i < p->n_chunks && i < pool_small(p); i++)
		free(p->chunks[i]);
	for (size_t i = 0; i < p->n_blocks; i++)
		hugepage_free(p->blocks[i], FIRST_BLOCK << i);
	free(p->chunks);
	pool_init(p, p->item);
}
