/*
 * attempt: see attempt.h. A chained hash table of a fixed number of buckets
 * and one list by age, oldest first.
 */
#include "lib/core/attempt.h"

#include <stdlib.h>
#include <string.h>

#include "lib/core/pool.h"
#include "lib/core/xalloc.h"

#define ATTEMPT_BUCKETS 16384u
#define NONE UINT32_MAX

struct entry {
	struct attempt_key key;
	double t;
	unsigned count;
	uint32_t next;	       /* chain, or free list */
	uint32_t older, newer; /* by age */
};

struct attempts {
	struct pool pool;
	uint32_t end, free;
	size_t count;
	uint64_t seed;
	uint32_t oldest, newest;
	uint32_t buckets[ATTEMPT_BUCKETS];
};

struct attempts *
attempts_create(void)
{
	struct attempts *at = x_calloc(1, sizeof(*at));

	pool_init(&at->pool, sizeof(struct entry));
	at->free = at->oldest = at->newest = NONE;
	/* Clients choose their IPv6 addresses, but do not know where this
	 * table lies: they cannot fill one chain. */
	at->seed = (uint64_t)(uintptr_t)at * 0x9e3779b97f4a7c15u;
	memset(at->buckets, 0xff, sizeof(at->buckets));
	return at;
}

void
attempts_destroy(struct attempts **atp)
{
	if (*atp == NULL)
		return;
	pool_clear(&(*atp)->pool);
	free(*atp);
	*atp = NULL;
}

static struct entry *
entry_at(const struct attempts *at, uint32_t id)
{
	return pool_at(&at->pool, id);
}

/* The evidence is left out: the end of a connection finds all of it in one
 * chain. */
static uint32_t *
bucket_of(struct attempts *at, const struct attempt_key *k)
{
	uint64_t h = addr_hash(&k->addr, at->seed + k->pid * 31 + k->program);

	return &at->buckets[h % ATTEMPT_BUCKETS];
}

static bool
same_connection(const struct attempt_key *a, const struct attempt_key *b)
{
	return a->pid == b->pid && a->program == b->program &&
	    addr_equal(&a->addr, &b->addr);
}

static void
age_unlink(struct attempts *at, uint32_t id)
{
	struct entry *e = entry_at(at, id);

	if (e->older != NONE)
		entry_at(at, e->older)->newer = e->newer;
	else
		at->oldest = e->newer;
	if (e->newer != NONE)
		entry_at(at, e->newer)->older = e->older;
	else
		at->newest = e->older;
}

static void
age_append(struct attempts *at, uint32_t id)
{
	struct entry *e = entry_at(at, id);

	e->older = at->newest;
	e->newer = NONE;
	if (at->newest != NONE)
		entry_at(at, at->newest)->newer = id;
	else
		at->oldest = id;
	at->newest = id;
}

/* *link points to the entry in its chain. */
static void
entry_remove(struct attempts *at, uint32_t *link)
{
	uint32_t id = *link;
	struct entry *e = entry_at(at, id);

	*link = e->next;
	age_unlink(at, id);
	e->next = at->free;
	at->free = id;
	at->count--;
}

static void
oldest_remove(struct attempts *at)
{
	uint32_t *link = bucket_of(at, &entry_at(at, at->oldest)->key);

	while (*link != at->oldest)
		link = &entry_at(at, *link)->next;
	entry_remove(at, link);
}

static struct entry *
entry_create(struct attempts *at, const struct attempt_key *k)
{
	uint32_t id = at->free, *head;
	struct entry *e;

	if (at->count >= ATTEMPT_MAX) {
		oldest_remove(at);
		id = at->free;
	}
	if (id != NONE)
		at->free = entry_at(at, id)->next;
	else if (pool_reserve(&at->pool, at->end))
		id = at->end++;
	else
		return NULL;
	e = entry_at(at, id);
	head = bucket_of(at, k);
	e->key = *k;
	e->count = 0;
	e->next = *head;
	*head = id;
	at->count++;
	age_append(at, id);
	return e;
}

static struct entry *
entry_find(struct attempts *at, const struct attempt_key *k)
{
	for (uint32_t id = *bucket_of(at, k); id != NONE;
	     id = entry_at(at, id)->next) {
		struct entry *e = entry_at(at, id);

		if (e->key.evidence == k->evidence &&
		    same_connection(&e->key, k)) {
			age_unlink(at, id);
			age_append(at, id);
			return e;
		}
	}
	return NULL;
}

static void
forget_idle(struct attempts *at, double t)
{
	while (at->oldest != NONE &&
	    entry_at(at, at->oldest)->t < t - ATTEMPT_IDLE)
		oldest_remove(at);
}

static bool
is_refused(struct attempts *at, const struct attempt_key *k, double t)
{
	struct attempt_key mark = *k;
	struct entry *e;

	mark.evidence = 0;
	e = entry_find(at, &mark);
	if (e != NULL)
		e->t = t;
	return e != NULL;
}

unsigned
attempts_add(struct attempts *at, const struct attempt_key *k,
    enum rule_counts counts, unsigned n, double t)
{
	struct entry *e;
	unsigned add = counts == RULE_COUNTS_EACH ? n : 1;

	forget_idle(at, t);
	if (counts != RULE_COUNTS_EACH && is_refused(at, k, t))
		return 0;
	e = k->evidence != 0 ? entry_find(at, k) : NULL;
	if (e == NULL && k->evidence != 0)
		e = entry_create(at, k);
	if (e == NULL) /* no evidence, or no memory: the line stands alone */
		return counts == RULE_COUNTS_ONCE ? 1 : n;
	if (counts == RULE_COUNTS_ONCE)
		add = e->count == 0;
	else if (counts == RULE_COUNTS_TOTAL)
		add = n > e->count ? n - e->count : 0;
	e->count += add;
	e->t = t;
	return add;
}

void
attempts_refuse(struct attempts *at, const struct attempt_key *k, double t)
{
	struct attempt_key mark = *k;
	struct entry *e;

	mark.evidence = 0;
	forget_idle(at, t);
	e = entry_find(at, &mark);
	if (e == NULL)
		e = entry_create(at, &mark);
	if (e != NULL)
		e->t = t;
}

void
attempts_take(struct attempts *at, const struct attempt_key *k,
    attempts_visit *visit, void *ctx)
{
	uint32_t *link = bucket_of(at, k);

	while (*link != NONE) {
		const struct entry *e = entry_at(at, *link);

		if (!same_connection(&e->key, k)) {
			link = &entry_at(at, *link)->next;
			continue;
		}
		if (visit != NULL)
			visit(ctx, &e->key, e->count, e->t);
		entry_remove(at, link);
	}
}

void
attempts_end(struct attempts *at, const struct attempt_key *k)
{
	attempts_take(at, k, NULL, NULL);
}

size_t
attempts_count(const struct attempts *at)
{
	return at->count;
}

void
attempts_each(const struct attempts *at, attempts_visit *visit, void *ctx)
{
	for (uint32_t id = at->oldest; id != NONE;
	     id = entry_at(at, id)->newer) {
		const struct entry *e = entry_at(at, id);

		visit(ctx, &e->key, e->count, e->t);
	}
}

void
attempts_restore(
    struct attempts *at, const struct attempt_key *k, unsigned count, double t)
{
	struct entry *e = entry_find(at, k);

	if (e == NULL)
		e = entry_create(at, k);
	if (e == NULL)
		return;
	e->count = count;
	e->t = t;
}
