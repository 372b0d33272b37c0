/*
 * The prefix map against a plain list, through growth, deletion and reuse.
 */
#include "lib/core/prefixmap.h"

#include <stdlib.h>

#include "t/unit/tap.h"

#define KEYS 6000

struct model {
	struct addr keys[KEYS]; /* all different */
	uint32_t ids[KEYS];	/* NONE = not in the map */
	size_t count;
};

static uint64_t seed = 1;

static uint32_t
rnd(uint32_t n)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(seed >> 33) % n;
}

/* Few different bytes, so that prefixes hold each other. */
static struct addr
random_key(void)
{
	static const unsigned lens[] = { 128, 128, 128, 128, 64, 64, 56, 48, 33,
		1, 0 };
	static const unsigned lens4[] = { 128, 128, 128, 128, 120, 112, 104,
		97 };
	struct addr a = { .plen = 128 };

	if (rnd(2) == 0) {
		a.b[10] = a.b[11] = 0xff;
		for (int i = 12; i < 16; i++)
			a.b[i] = (uint8_t)rnd(i < 14 ? 3 : 256);
		return addr_mask(&a, lens4[rnd(8)]);
	}
	a.b[0] = 0x20;
	for (int i = 1; i < 16; i++)
		a.b[i] = (uint8_t)rnd(i < 8 ? 3 : 16);
	return addr_mask(&a, lens[rnd(11)]);
}

static int
compare(const void *a, const void *b)
{
	return addr_compare(a, b);
}

static struct model *
model_create(void)
{
	struct model *m = calloc(1, sizeof(*m));
	size_t n;

	for (n = 0; n < KEYS;) {
		while (n < KEYS)
			m->keys[n++] = random_key();
		qsort(m->keys, KEYS, sizeof(*m->keys), compare);
		n = 1;
		for (size_t i = 1; i < KEYS; i++)
			if (!addr_equal(&m->keys[i], &m->keys[n - 1]))
				m->keys[n++] = m->keys[i];
	}
	for (size_t i = 0; i < KEYS; i++)
		m->ids[i] = PREFIXMAP_NONE;
	return m;
}

/* The id of the longest prefix of at most max bits. */
static uint32_t
model_match(const struct model *m, const struct addr *host, unsigned max)
{
	uint32_t id = PREFIXMAP_NONE;
	int best = -1;

	for (size_t i = 0; i < KEYS; i++) {
		if (m->ids[i] == PREFIXMAP_NONE || m->keys[i].plen > max ||
		    (int)m->keys[i].plen <= best ||
		    addr_is_v4(&m->keys[i]) != addr_is_v4(host) ||
		    !addr_contains(&m->keys[i], host))
			continue;
		best = m->keys[i].plen;
		id = m->ids[i];
	}
	return id;
}

/* Does the map hold what the model holds, and nothing else? */
static bool
same(const struct prefixmap *pm, const struct model *m)
{
	size_t used = 0;

	for (size_t i = 0; i < KEYS; i++)
		if (prefixmap_get(pm, &m->keys[i]) != m->ids[i])
			return false;
	for (uint32_t id = 0; id < prefixmap_end(pm); id++)
		if (prefixmap_used(pm, id))
			used++;
	return used == m->count && prefixmap_count(pm) == m->count;
}

static bool
step(struct prefixmap *pm, struct model *m, uint32_t adds)
{
	uint32_t i = rnd(KEYS), id;
	struct addr key;

	if (rnd(100) < adds) {
		id = prefixmap_add(pm, &m->keys[i]);
		if (id == PREFIXMAP_NONE ||
		    (m->ids[i] != PREFIXMAP_NONE && m->ids[i] != id))
			return false;
		m->count += m->ids[i] == PREFIXMAP_NONE;
		m->ids[i] = id;
		key = prefixmap_key(pm, id);
		return addr_equal(&key, &m->keys[i]);
	}
	id = prefixmap_del(pm, &m->keys[i]);
	if (id != m->ids[i])
		return false;
	m->count -= m->ids[i] != PREFIXMAP_NONE;
	m->ids[i] = PREFIXMAP_NONE;
	return prefixmap_get(pm, &m->keys[i]) == PREFIXMAP_NONE;
}

static bool
matches(const struct prefixmap *pm, const struct model *m)
{
	for (int n = 0; n < 300; n++) {
		struct addr host = random_key();
		unsigned max = rnd(3) == 0 ? rnd(129) : 128, plen = 999;
		uint32_t id;

		host.plen = 128;
		prefixmap_expect(pm, &host);
		/* A hint, but none where there is a host. */
		if (prefixmap_get(pm, &host) != PREFIXMAP_NONE &&
		    !prefixmap_used(pm, prefixmap_guess(pm, &host)))
			return false;
		id = prefixmap_match(pm, &host, max, &plen);
		if (id != model_match(m, &host, max))
			return false;
		if (id != PREFIXMAP_NONE && prefixmap_key(pm, id).plen != plen)
			return false;
	}
	return true;
}

/* With room made before, too much or too little of it, all is the same. */
static void
test_reserve(size_t room)
{
	struct prefixmap *pm = prefixmap_create();
	struct model *m = model_create();
	bool fine = true;

	prefixmap_reserve(pm, room);
	fine = same(pm, m);
	for (int n = 0; n < 12000 && fine; n++) {
		fine = step(pm, m, 90);
		if (n == 2000) /* no effect any more */
			prefixmap_reserve(pm, 2 * KEYS);
	}
	ok(fine && same(pm, m) && matches(pm, m), "room for %zu", room);
	prefixmap_clear(pm);
	ok(prefixmap_count(pm) == 0, "cleared");
	prefixmap_destroy(&pm);
	free(m);
}

int
main(void)
{
	static const struct {
		uint32_t adds; /* of a hundred steps */
		const char *what;
	} phases[] = {
		{ 100, "growing" },
		{ 50, "adding and deleting" },
		{ 10, "shrinking" },
		{ 80, "growing again" },
		{ 0, "emptying" },
	};
	struct prefixmap *pm = prefixmap_create();
	struct model *m = model_create();

	for (size_t p = 0; p < sizeof(phases) / sizeof(*phases); p++) {
		bool fine = true, found = true;

		for (int n = 0; n < 30000 && fine; n++) {
			fine = step(pm, m, phases[p].adds);
			if (n % 3000 == 0) {
				fine = fine && same(pm, m);
				found = found && matches(pm, m);
			}
		}
		ok(fine && same(pm, m), "%s: what is in it (%zu)",
		    phases[p].what, m->count);
		ok(found && matches(pm, m), "%s: longest match",
		    phases[p].what);
	}
	/* In the middle of growing, too. */
	for (int round = 0; round < 20; round++) {
		bool fine = true;

		for (uint32_t n = 0; n < 40 + rnd(600); n++)
			fine = fine && step(pm, m, 90);
		fine = fine && same(pm, m);
		prefixmap_clear(pm);
		free(m);
		m = model_create();
		ok(fine && same(pm, m) && matches(pm, m) &&
			prefixmap_end(pm) == 0,
		    "cleared, round %d", round);
	}
	prefixmap_destroy(&pm);
	free(m);
	test_reserve(0);
	test_reserve(100);
	test_reserve(KEYS);
	test_reserve(10 * KEYS);
	return tap_done();
}
