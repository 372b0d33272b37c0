/*
 * store_embedded_int: what the files of store_embedded share.
 */
#ifndef MXW_STORE_EMBEDDED_INT_H
#define MXW_STORE_EMBEDDED_INT_H

#include "lib/core/store_embedded.h"

struct op;
struct prefixmap;
struct scoretable;
struct search;
struct strikes;

struct embedded {
	struct store store; /* first */
	const struct store_params *params;
	struct scoretable *scores;
	struct strikes *strikes;
	struct prefixmap *allow;
	struct op *ops, **ops_end; /* what waits for the next poll */
	struct search *searches;
	double horizon;		       /* of the last clean-up */
	double poll_now, poll_horizon; /* of the poll under way, or the last */
	uint64_t applied, repeated, errors;
};

static inline struct embedded *
store_embedded_of(struct store *s)
{
	return (struct embedded *)s;
}

/* The sections of a snapshot; see store_save(). */
void store_embedded_save(const struct store *, struct snapshot_writer *);
bool store_embedded_load(
    struct store *, struct snapshot_reader *, uint8_t section);

#endif
