/*
 * ttlmap: see ttlmap.h.
 */
#include "policyd/priv/ttlmap.h"

#include <math.h>
#include <stdlib.h>

#include "lib/core/log.h"
#include "lib/core/prefixmap.h"
#include "lib/core/xalloc.h"

struct ttlmap {
	struct prefixmap *map;
	double *values; /* by the map's ids */
	size_t room;
};

struct ttlmap *
ttlmap_create(void)
{
	struct ttlmap *m = x_calloc(1, sizeof(*m));

	m->map = prefixmap_create();
	return m;
}

void
ttlmap_destroy(struct ttlmap **mp)
{
	struct ttlmap *m = *mp;

	if (m == NULL)
		return;
	prefixmap_destroy(&m->map);
	free(m->values);
	free(m);
	*mp = NULL;
}

void
ttlmap_set(struct ttlmap *m, const struct addr *a, double value)
{
	uint32_t id = prefixmap_add(m->map, a);

	if (id == PREFIXMAP_NONE)
		log_fatal("out of memory");
	if (id >= m->room) {
		m->room = m->room ? m->room * 2 : 1024;
		if (id >= m->room)
			m->room = (size_t)id + 1;
		m->values =
		    x_reallocarray(m->values, m->room, sizeof(*m->values));
	}
	m->values[id] = value;
}

bool
ttlmap_get(const struct ttlmap *m, const struct addr *a, double *value_r)
{
	uint32_t id = prefixmap_get(m->map, a);

	if (id == PREFIXMAP_NONE)
		return false;
	*value_r = m->values[id];
	return true;
}

bool
ttlmap_has(const struct ttlmap *m, const struct addr *a)
{
	return prefixmap_get(m->map, a) != PREFIXMAP_NONE;
}

void
ttlmap_del(struct ttlmap *m, const struct addr *a)
{
	(void)prefixmap_del(m->map, a);
}

void
ttlmap_clear(struct ttlmap *m)
{
	if (prefixmap_count(m->map) > 0)
		prefixmap_clear(m->map);
}

size_t
ttlmap_count(const struct ttlmap *m)
{
	return prefixmap_count(m->map);
}

bool
ttlmap_next(const struct ttlmap *m, uint32_t *cursor, struct addr *addr_r,
    double *value_r)
{
	uint32_t end = prefixmap_end(m->map);

	while (*cursor < end) {
		uint32_t id = (*cursor)++;

		if (!prefixmap_used(m->map, id))
			continue;
		*addr_r = prefixmap_key(m->map, id);
		*value_r = m->values[id];
		return true;
	}
	return false;
}

double
ttlmap_least(const struct ttlmap *m)
{
	double least = INFINITY, value;
	uint32_t cursor = 0;
	struct addr a;

	while (ttlmap_next(m, &cursor, &a, &value))
		if (value < least)
			least = value;
	return least;
}

void
ttlmap_expire(struct ttlmap *m, double limit)
{
	uint32_t cursor = 0;
	struct addr a;
	double value;

	while (ttlmap_next(m, &cursor, &a, &value))
		if (value <= limit)
			ttlmap_del(m, &a);
}
