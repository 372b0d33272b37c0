/*
 * store_embedded_ask: the questions to store_embedded: one address, or the
 * highest scores.
 *
 * The second looks through the whole table, a piece with each poll; several
 * such searches wait for each other.
 */
#include <stdlib.h>
#include <string.h>

#include "lib/core/scoretable.h"
#include "lib/core/scoretop.h"
#include "lib/core/store_embedded_int.h"
#include "lib/core/strikes.h"

/* A running search for the highest scores. */
struct search {
	uint64_t ticket;
	struct scoretop *top;
	struct search *next;
};

bool
store_embedded_known(const struct embedded *em, const struct score_entry *e)
{
	return e != NULL && e->hits > 0 &&
	    em->poll_horizon - e->score.last < em->params->window;
}

static void
info_fill(const struct embedded *em, const struct addr *a,
    const struct score_entry *e, struct score_info *out)
{
	struct rule_count rules[SCORETABLE_RULES];

	memset(out, 0, sizeof(*out));
	out->addr = *a;
	out->strikes = store_embedded_strikes(em, a, em->poll_horizon);
	if (!store_embedded_known(em, e))
		return;
	out->score = e->score;
	out->hits = e->hits;
	out->n_rules = scoretable_rules(em->scores, e, rules);
	for (size_t i = 0; i < out->n_rules; i++) {
		out->rules[i].rule = rules[i].rule;
		out->rules[i].count = rules[i].count;
	}
}

enum store_result
store_embedded_fetch(struct embedded *em, uint64_t ticket, const struct addr *a)
{
	const struct score_entry *e = scoretable_get(em->scores, a);
	struct score_info info;

	info_fill(em, a, e, &info);
	if (info.hits == 0 && info.strikes == 0)
		return STORE_NOT_FOUND;
	em->store.sink->info(em->store.sink_ctx, ticket, &info);
	return STORE_OK;
}

void
store_embedded_top(struct store *s, uint64_t ticket, size_t n)
{
	struct embedded *em = store_embedded_of(s);
	struct search *search = calloc(1, sizeof(*search));
	struct search **end = &em->searches;

	if (search != NULL)
		search->top = scoretop_create(n);
	if (search == NULL || search->top == NULL) {
		free(search);
		store_embedded_refuse(em, ticket);
		return;
	}
	search->ticket = ticket;
	while (*end != NULL)
		end = &(*end)->next;
	*end = search;
}

static int
info_compare(const void *a, const void *b)
{
	const struct score_info *x = a, *y = b;

	if (x->score.score != y->score.score)
		return x->score.score < y->score.score ? 1 : -1;
	return addr_compare(&x->addr, &y->addr);
}

/* Tells what the search has found, as it is now. */
static void
search_finish(struct embedded *em, const struct search *search)
{
	const struct store_sink *sink = em->store.sink;
	struct score_info *infos = calloc(SCORETOP_MAX, sizeof(*infos));
	const struct addr *a;
	size_t n = 0;

	for (size_t i = 0;
	     infos != NULL && (a = scoretop_nth(search->top, i)) != NULL; i++) {
		info_fill(em, a, scoretable_get(em->scores, a), &infos[n]);
		n += infos[n].hits > 0;
	}
	if (n > 0)
		qsort(infos, n, sizeof(*infos), info_compare);
	for (size_t i = 0; i < n; i++)
		sink->info(em->store.sink_ctx, search->ticket, &infos[i]);
	sink->done(em->store.sink_ctx, search->ticket,
	    infos != NULL ? STORE_OK : STORE_UNAVAILABLE,
	    infos != NULL ? "" : STORE_NO_MEMORY);
	if (infos == NULL)
		store_embedded_lost(em, "a question is not answered");
	free(infos);
}

bool
store_embedded_search(struct embedded *em)
{
	struct search *search = em->searches;

	if (search == NULL)
		return false;
	if (scoretop_step(
		search->top, em->scores, em->poll_horizon - em->params->window))
		return true;
	em->searches = search->next;
	search_finish(em, search);
	scoretop_destroy(&search->top);
	free(search);
	return em->searches != NULL;
}

void
store_embedded_searches_destroy(struct embedded *em)
{
	while (em->searches != NULL) {
		struct search *search = em->searches;

		em->searches = search->next;
		scoretop_destroy(&search->top);
		free(search);
	}
}
