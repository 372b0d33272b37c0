/*
 * tally: see tally.h.
 */
#include "policyd/ctl/tally.h"

#include <stdlib.h>
#include <string.h>

#include "lib/core/prefixmap.h"
#include "lib/core/xalloc.h"

struct tally {
	struct prefixmap *map; /* its ids are the indexes of offenders */
	struct tally_offender *offenders;
	size_t size, max;
	double window;
	uint64_t untold;
	uint64_t rules[NAMES_MAX];
	uint64_t levels[NAMES_MAX];
};

struct tally *
tally_create(size_t max_addresses, double window)
{
	struct tally *t = x_calloc(1, sizeof(*t));

	t->map = prefixmap_create();
	t->max = max_addresses;
	t->window = window;
	return t;
}

void
tally_destroy(struct tally **tp)
{
	if (*tp == NULL)
		return;
	prefixmap_destroy(&(*tp)->map);
	free((*tp)->offenders);
	free(*tp);
	*tp = NULL;
}

/* NULL when the table is full. */
static struct tally_offender *
tally_get(struct tally *t, const struct addr *a, bool *fresh_r)
{
	uint32_t id = prefixmap_get(t->map, a);

	*fresh_r = id == PREFIXMAP_NONE;
	if (id != PREFIXMAP_NONE)
		return &t->offenders[id];
	if (prefixmap_count(t->map) >= t->max)
		return NULL;
	id = prefixmap_add(t->map, a);
	if (id == PREFIXMAP_NONE)
		return NULL;
	if (id >= t->size) {
		t->size = t->size == 0 ? 1024 : t->size * 2;
		t->offenders = x_reallocarray(
		    t->offenders, t->size, sizeof(*t->offenders));
	}
	memset(&t->offenders[id], 0, sizeof(t->offenders[id]));
	t->offenders[id].addr = *a;
	return &t->offenders[id];
}

static void
tally_count_rule(struct tally_offender *o, name_id rule, unsigned attempts)
{
	for (size_t i = 0; i < o->n_rules; i++) {
		if (o->rules[i].rule == rule) {
			o->rules[i].hits += attempts;
			return;
		}
	}
	if (o->n_rules == TALLY_RULES)
		return;
	o->rules[o->n_rules].rule = rule;
	o->rules[o->n_rules++].hits = attempts;
}

void
tally_offence(struct tally *t, const struct addr *scope, name_id rule,
    double weight, unsigned attempts, double when)
{
	bool fresh;
	struct tally_offender *o = tally_get(t, scope, &fresh);
	double score;

	t->rules[rule] += attempts;
	if (o == NULL) {
		t->untold += attempts;
		return;
	}
	score = score_apply(&o->score, fresh, weight, when, t->window);
	if (score > o->peak)
		o->peak = score;
	o->hits += attempts;
	tally_count_rule(o, rule, attempts);
}

void
tally_block(struct tally *t, const struct block *b, bool raised)
{
	uint32_t id = prefixmap_get(t->map, &b->addr);

	t->levels[b->level]++;
	if (id == PREFIXMAP_NONE)
		return;
	t->offenders[id].blocks += !raised;
	t->offenders[id].level = b->level;
}

/* Is `a` worse than `b`? Addresses make the order one. */
static int
tally_compare(const void *a, const void *b)
{
	const struct tally_offender *x = *(struct tally_offender *const *)a;
	const struct tally_offender *y = *(struct tally_offender *const *)b;

	if (x->peak != y->peak)
		return x->peak < y->peak ? 1 : -1;
	if (x->hits != y->hits)
		return x->hits < y->hits ? 1 : -1;
	return addr_compare(&x->addr, &y->addr);
}

struct tally_offender **
tally_top(const struct tally *t, size_t n, size_t *n_r)
{
	size_t count = 0;
	struct tally_offender **all =
	    x_calloc(tally_offenders(t) + 1, sizeof(struct tally_offender *));

	for (uint32_t id = 0; id < prefixmap_end(t->map); id++)
		if (prefixmap_used(t->map, id))
			all[count++] = &t->offenders[id];
	qsort(all, count, sizeof(*all), tally_compare);
	*n_r = count < n ? count : n;
	return all;
}

static int
tally_compare_counts(const void *a, const void *b)
{
	const struct tally_count *x = a, *y = b;

	if (x->hits != y->hits)
		return x->hits < y->hits ? 1 : -1;
	return strcmp(name_text(x->name), name_text(y->name));
}

struct tally_count *
tally_rules(const struct tally *t, size_t *n_r)
{
	struct tally_count *all;
	size_t n = 0;

	for (size_t i = 0; i < NAMES_MAX; i++)
		n += t->rules[i] > 0;
	all = x_calloc(n + 1, sizeof(*all));
	*n_r = n;
	for (size_t i = 0, k = 0; i < NAMES_MAX; i++) {
		if (t->rules[i] == 0)
			continue;
		all[k].name = (name_id)i;
		all[k++].hits = t->rules[i];
	}
	qsort(all, n, sizeof(*all), tally_compare_counts);
	return all;
}

uint64_t
tally_level(const struct tally *t, name_id level)
{
	return t->levels[level];
}

size_t
tally_offenders(const struct tally *t)
{
	return prefixmap_count(t->map);
}

uint64_t
tally_untold(const struct tally *t)
{
	return t->untold;
}
