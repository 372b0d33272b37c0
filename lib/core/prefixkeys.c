/*
 * prefixkeys: see prefixkeys.h. Unused entries and IPv6 keys are chained.
 */
#include "lib/core/prefixkeys.h"

void
prefixkeys_init(struct prefixkeys *pk)
{
	pool_init(&pk->entries, sizeof(struct prefixkey));
	pool_init(&pk->keys6, sizeof(struct prefixkey6));
	pk->end = pk->end6 = 0;
	pk->free = pk->free6 = PREFIXKEYS_END;
}

void
prefixkeys_clear(struct prefixkeys *pk)
{
	pool_clear(&pk->entries);
	pool_clear(&pk->keys6);
	prefixkeys_init(pk);
}

static struct prefixkey6 *
key6_at(const struct prefixkeys *pk, uint32_t i)
{
	return pool_at(&pk->keys6, i);
}

/* The number of an IPv6 key, or END. */
static uint32_t
key6_add(struct prefixkeys *pk, const struct addr *a)
{
	const uint32_t i = pk->free6 != PREFIXKEYS_END ? pk->free6 : pk->end6;
	struct prefixkey6 *k;

	if (!pool_reserve(&pk->keys6, i))
		return PREFIXKEYS_END;
	k = key6_at(pk, i);
	if (i == pk->free6)
		pk->free6 = k->plen;
	else
		pk->end6++;
	memcpy(k->b, a->b, 16);
	k->plen = a->plen;
	return i;
}

uint32_t
prefixkeys_add(struct prefixkeys *pk, const struct addr *a)
{
	const uint32_t id = pk->free != PREFIXKEYS_END ? pk->free : pk->end;
	const uint32_t kind = prefixkeys_kind(a);
	uint32_t key = prefixkeys_v4(a);
	struct prefixkey *e;

	if (id == PREFIXKEYS_END || !pool_reserve(&pk->entries, id))
		return PREFIXKEYS_END;
	if (kind == PREFIXKEYS_V6) {
		key = key6_add(pk, a);
		if (key == PREFIXKEYS_END)
			return PREFIXKEYS_END;
	}
	if (id == pk->free)
		pk->free = prefixkeys_next(pk, id);
	else
		pk->end++;
	e = prefixkeys_at(pk, id);
	e->key = key;
	e->link = kind << PREFIXKEYS_KINDS | PREFIXKEYS_END;
	return id;
}

void
prefixkeys_del(struct prefixkeys *pk, uint32_t id)
{
	struct prefixkey *e = prefixkeys_at(pk, id);

	if (e->link >> PREFIXKEYS_KINDS == PREFIXKEYS_V6) {
		key6_at(pk, e->key)->plen = pk->free6;
		pk->free6 = e->key;
	}
	e->link = PREFIXKEYS_FREE << PREFIXKEYS_KINDS | pk->free;
	pk->free = id;
}

struct addr
prefixkeys_get(const struct prefixkeys *pk, uint32_t id)
{
	const struct prefixkey *e = prefixkeys_at(pk, id);
	const uint32_t kind = e->link >> PREFIXKEYS_KINDS;
	struct addr a = { .b = { [10] = 0xff, [11] = 0xff } };

	if (kind == PREFIXKEYS_V6) {
		const struct prefixkey6 *k = key6_at(pk, e->key);

		memcpy(a.b, k->b, 16);
		a.plen = (uint8_t)k->plen;
		return a;
	}
	memcpy(a.b + 12, &e->key, 4);
	a.plen = (uint8_t)(kind + ADDR_V4_BITS);
	return a;
}
