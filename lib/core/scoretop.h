/*
 * scoretop: a search for the highest scores of a table, a piece at a time, so
 * that a million scores make nobody wait.
 *
 * The table may change between the pieces: what was found may be gone, or have
 * another score by the end. Whoever asks looks it up again.
 */
#ifndef MXW_SCORETOP_H
#define MXW_SCORETOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/core/addr.h"

#define SCORETOP_MAX 1000

struct scoretable;
struct scoretop;

/* For the `max` highest (at most SCORETOP_MAX). NULL: no memory. */
struct scoretop *scoretop_create(size_t max);
void scoretop_destroy(struct scoretop **);
/* Looks at some entries, passing over those with a last offence at `horizon`
 * or before. False when all have been seen. */
bool scoretop_step(
    struct scoretop *, const struct scoretable *, double horizon);
/* What has been found, in no particular order; NULL behind the last. */
const struct addr *scoretop_nth(const struct scoretop *, size_t n);

#endif
