/*
 * tally: what a replay adds up: rules hit, offenders, blocks per level.
 *
 * Offenders are kept with a score of their own, by the same arithmetic as the
 * store's, because the store forgets and a report must not. Bounded by the
 * configuration's max_addresses; later offenders are only counted.
 */
#ifndef MXW_TALLY_H
#define MXW_TALLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/core/addr.h"
#include "lib/core/blocklist.h"
#include "lib/core/names.h"
#include "lib/core/score.h"

#define TALLY_RULES 6 /* per offender; further ones are not told apart */

struct tally;

struct tally *tally_create(size_t max_addresses, double window);
void tally_destroy(struct tally **);

void tally_offence(struct tally *, const struct addr *scope, name_id rule,
    double weight, unsigned attempts, double when);
void tally_block(struct tally *, const struct block *, bool raised);

struct tally_offender {
	struct addr addr;
	struct score score; /* at the last offence */
	double peak;
	uint32_t hits; /* attempts */
	uint32_t blocks;
	name_id level; /* of the last block, 0 = none */
	struct {
		name_id rule;
		uint32_t hits;
	} rules[TALLY_RULES];
	uint8_t n_rules;
};

struct tally_count {
	name_id name;
	uint64_t hits;
};

/* The n worst: highest peak first, then most hits. The caller frees. */
struct tally_offender **tally_top(const struct tally *, size_t n, size_t *n_r);
/* Rules hit, most hits first. The caller frees. */
struct tally_count *tally_rules(const struct tally *, size_t *n_r);
/* Blocks decided or raised, by level. */
uint64_t tally_level(const struct tally *, name_id level);
size_t tally_offenders(const struct tally *);
/* Attempts by offenders that there was no room for. */
uint64_t tally_untold(const struct tally *);

#endif
