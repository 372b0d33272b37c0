/*
 * rinfo: what Redis tells about a score, as score_info.
 */
#ifndef MXW_RINFO_H
#define MXW_RINFO_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/core/store.h"

struct redisReply;

/* From the strikes and the fields of the hash, in any order; what is not as it
 * should be is passed over. False if nothing is known. */
bool rinfo_parse(const struct redisReply *strikes,
    const struct redisReply *fields, const struct addr *,
    struct score_info *out);
/* Into a list of n, highest first, of at most `max`; an address that is in it
 * already is not added. The new n. */
size_t rinfo_insert(
    struct score_info *top, size_t n, size_t max, const struct score_info *);

#endif
