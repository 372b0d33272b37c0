/*
 * scoredetail: see scoredetail.h. Details are numbered from 1 and kept in a
 * pool; those that are not used any more are chained.
 */
#include "lib/core/scoredetail.h"

#include <stdlib.h>

#include "lib/core/pool.h"
#include "lib/core/xalloc.h"

#define SOURCES_MAX 1024 /* per address; more than any host has logs */

struct detail {
	struct applied *applied; /* sources beyond the first */
	uint16_t n_applied;
	uint8_t n_rules; /* beyond the first */
	struct rule_count rules[SCORETABLE_RULES - 1];
	uint32_t next; /* unused one */
};

struct scoredetails {
	struct pool pool;
	uint32_t end;	  /* numbers ever used are below */
	uint32_t free;	  /* 0 = none */
	uint64_t *epochs; /* by the numbers of sources, less 1 */
	uint16_t n_epochs;
	uint16_t last; /* source that was asked for last */
};

struct scoredetails *
scoredetails_create(void)
{
	struct scoredetails *sd = x_calloc(1, sizeof(*sd));

	pool_init(&sd->pool, sizeof(struct detail));
	sd->end = 1;
	return sd;
}

static struct detail *
detail_at(const struct scoredetails *sd, uint32_t i)
{
	return pool_at(&sd->pool, i);
}

void
scoredetails_destroy(struct scoredetails **sdp)
{
	struct scoredetails *sd = *sdp;

	if (sd == NULL)
		return;
	for (uint32_t i = 1; i < sd->end; i++)
		free(detail_at(sd, i)->applied);
	pool_clear(&sd->pool);
	free(sd->epochs);
	free(sd);
	*sdp = NULL;
}

/* The entry's detail, made if need be; NULL without memory. */
static struct detail *
entry_detail(struct scoredetails *sd, struct score_entry *e)
{
	uint32_t i = e->detail;

	if (i != 0)
		return detail_at(sd, i);
	i = sd->free != 0 ? sd->free : sd->end;
	if (i == UINT32_MAX || !pool_reserve(&sd->pool, i))
		return NULL;
	if (i == sd->free)
		sd->free = detail_at(sd, i)->next;
	else
		sd->end++;
	*detail_at(sd, i) = (struct detail){ .applied = NULL };
	e->detail = i;
	return detail_at(sd, i);
}

/* The number of a source; 0 if there are too many, or no memory. */
static uint16_t
source_number(struct scoredetails *sd, uint64_t epoch)
{
	uint64_t *epochs;

	if (sd->last > 0 && sd->epochs[sd->last - 1] == epoch)
		return sd->last;
	for (sd->last = sd->n_epochs; sd->last > 0; sd->last--)
		if (sd->epochs[sd->last - 1] == epoch)
			return sd->last;
	if (sd->n_epochs == UINT16_MAX)
		return 0;
	epochs =
	    reallocarray(sd->epochs, sd->n_epochs + 1u, sizeof(*sd->epochs));
	if (epochs == NULL)
		return 0;
	sd->epochs = epochs;
	epochs[sd->n_epochs] = epoch;
	sd->last = ++sd->n_epochs;
	return sd->last;
}

/* The place for this epoch, made if need be; NULL without memory. */
static uint64_t *
entry_offset(struct scoredetails *sd, struct score_entry *e, uint64_t epoch)
{
	const uint16_t source = source_number(sd, epoch);
	struct applied *applied;
	struct detail *d;

	if (source != 0 && (e->source == source || e->source == 0)) {
		e->source = source;
		return &e->offset;
	}
	d = entry_detail(sd, e);
	if (d == NULL)
		return NULL;
	for (unsigned i = 0; i < d->n_applied; i++)
		if (d->applied[i].epoch == epoch)
			return &d->applied[i].offset;
	if (d->n_applied >= SOURCES_MAX)
		return NULL;
	applied = reallocarray(d->applied, d->n_applied + 1u, sizeof(*applied));
	if (applied == NULL)
		return NULL;
	d->applied = applied;
	applied[d->n_applied] = (struct applied){ .epoch = epoch };
	return &applied[d->n_applied++].offset;
}

bool
scoredetail_apply(struct scoredetails *sd, struct score_entry *e,
    uint64_t epoch, uint64_t offset)
{
	uint64_t *applied;

	if (epoch == 0)
		return true;
	applied = entry_offset(sd, e, epoch);
	if (applied == NULL) /* rather once too often than never */
		return true;
	if (offset <= *applied)
		return false;
	*applied = offset;
	return true;
}

bool
scoredetail_source(const struct scoredetails *sd, const struct score_entry *e,
    size_t n, struct applied *out)
{
	const struct detail *d;

	if (n == 0) {
		out->epoch = e->source != 0 ? sd->epochs[e->source - 1] : 0;
		out->offset = e->offset;
		return true;
	}
	if (e->detail == 0)
		return false;
	d = detail_at(sd, e->detail);
	if (n > d->n_applied)
		return false;
	*out = d->applied[n - 1];
	return true;
}

/* The place for this rule, made if need be; NULL if there are too many. */
static struct rule_count *
entry_rule(struct scoredetails *sd, struct score_entry *e, name_id rule)
{
	struct detail *d;

	if (e->rule.count == 0)
		e->rule.rule = rule;
	if (e->rule.rule == rule)
		return &e->rule;
	d = entry_detail(sd, e);
	if (d == NULL)
		return NULL;
	for (unsigned i = 0; i < d->n_rules; i++)
		if (d->rules[i].rule == rule)
			return &d->rules[i];
	if (d->n_rules == SCORETABLE_RULES - 1)
		return NULL;
	d->rules[d->n_rules] = (struct rule_count){ .rule = rule };
	return &d->rules[d->n_rules++];
}

void
scoredetail_count(struct scoredetails *sd, struct score_entry *e, name_id rule)
{
	struct rule_count *rc = entry_rule(sd, e, rule);

	if (rc != NULL && rc->count < UINT16_MAX)
		rc->count++;
}

void
scoredetail_set_rule(struct scoredetails *sd, struct score_entry *e,
    const struct rule_count *count)
{
	struct rule_count *rc = entry_rule(sd, e, count->rule);

	if (rc != NULL)
		rc->count = count->count;
}

size_t
scoredetail_rules(const struct scoredetails *sd, const struct score_entry *e,
    struct rule_count out[SCORETABLE_RULES])
{
	const struct detail *d;
	size_t n = 0;

	if (e->rule.count > 0)
		out[n++] = e->rule;
	if (e->detail == 0)
		return n;
	d = detail_at(sd, e->detail);
	for (unsigned i = 0; i < d->n_rules; i++)
		out[n++] = d->rules[i];
	return n;
}

void
scoredetail_reset(struct scoredetails *sd, struct score_entry *e)
{
	e->rule.count = 0;
	if (e->detail != 0)
		detail_at(sd, e->detail)->n_rules = 0;
}

void
scoredetail_drop(struct scoredetails *sd, struct score_entry *e)
{
	struct detail *d;

	if (e->detail == 0)
		return;
	d = detail_at(sd, e->detail);
	free(d->applied);
	*d = (struct detail){ .next = sd->free };
	sd->free = e->detail;
	e->detail = 0;
}
