/*
 * pool: see pool.h.
 */
#include "lib/core/pool.h"

#include <stdlib.h>

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
		chunk = calloc(POOL_CHUNK, p->item);
		if (chunk == NULL)
			return false;
		p->chunks[p->n_chunks++] = chunk;
	}
	return true;
}

void
pool_clear(struct pool *p)
{
	for (size_t i = 0; i < p->n_chunks; i++)
		free(p->chunks[i]);
	free(p->chunks);
	pool_init(p, p->item);
}
