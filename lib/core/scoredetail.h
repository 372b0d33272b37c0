/*
 * scoredetail: what few addresses have, kept apart from their scores: hits of
 * more than one rule, lines of more than one log source. And the numbers by
 * which entries know log sources: a million entries of eight bytes less.
 *
 * Functions on an entry are those of its table's users; see scoretable.h.
 */
#ifndef MXW_SCOREDETAIL_H
#define MXW_SCOREDETAIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/core/names.h"
#include "lib/core/score.h"

#define SCORETABLE_RULES 6

struct applied {
	uint64_t epoch;
	uint64_t offset; /* highest that was applied */
};

struct rule_count {
	name_id rule;
	uint16_t count; /* at most UINT16_MAX */
};

struct score_entry {
	struct score score;
	uint64_t offset;	/* highest that was applied of `source` */
	uint32_t hits;		/* 0 = there is no score (yet, or any more) */
	uint32_t older, newer;	/* by last touch */
	uint32_t detail;	/* 0 = none */
	uint16_t source;	/* 0 = none */
	struct rule_count rule; /* the first; count 0 = none */
};

struct scoredetails;

struct scoredetails *scoredetails_create(void);
void scoredetails_destroy(struct scoredetails **);

/* Remembers the offset; false if it, or a later one, was applied before.
 * Epoch 0 is always new. */
bool scoredetail_apply(struct scoredetails *, struct score_entry *,
    uint64_t epoch, uint64_t offset);
/* The nth source of an entry; false behind the last. The first is always
 * there, with epoch 0 if nothing was applied. */
bool scoredetail_source(const struct scoredetails *, const struct score_entry *,
    size_t n, struct applied *out);
/* Counts a hit of this rule, if it is one of the first SCORETABLE_RULES. */
void scoredetail_count(struct scoredetails *, struct score_entry *, name_id);
/* The rules that hit, and how often; returns how many. */
size_t scoredetail_rules(const struct scoredetails *,
    const struct score_entry *, struct rule_count out[SCORETABLE_RULES]);
/* Sets these counts. */
void scoredetail_set_rule(
    struct scoredetails *, struct score_entry *, const struct rule_count *);
/* Starts the counts of rules anew. */
void scoredetail_reset(struct scoredetails *, struct score_entry *);
/* The entry is removed. */
void scoredetail_drop(struct scoredetails *, struct score_entry *);

#endif
