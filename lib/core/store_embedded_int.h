/*
 * store_embedded_int: what the files of store_embedded share.
 */
#ifndef MXW_STORE_EMBEDDED_INT_H
#define MXW_STORE_EMBEDDED_INT_H

#include "lib/core/log.h"
#include "lib/core/store_embedded.h"

struct op;
struct prefixmap;
struct score_entry;
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
	struct loglimit limit;
};

static inline struct embedded *
store_embedded_of(struct store *s)
{
	return (struct embedded *)s;
}

/* For want of memory: counts and says what was lost. */
void store_embedded_lost(struct embedded *, const char *what);
/* ... and answers the call. */
void store_embedded_refuse(struct embedded *, uint64_t ticket);

/* Questions. Is there a score that counts? `e` may be NULL. */
/* Blocks of this address before the time t that are remembered. */
unsigned store_embedded_strikes(
    const struct embedded *, const struct addr *, double t);
bool store_embedded_known(const struct embedded *, const struct score_entry *e);
enum store_result store_embedded_fetch(
    struct embedded *, uint64_t ticket, const struct addr *);
void store_embedded_top(struct store *, uint64_t ticket, size_t n);
/* A step of the first search; true when there is more to do. */
bool store_embedded_search(struct embedded *);
void store_embedded_searches_destroy(struct embedded *);

/* The sections of a snapshot; see store_save(). */
void store_embedded_save(const struct store *, struct snapshot_writer *);
bool store_embedded_load(
    struct store *, struct snapshot_reader *, uint8_t section);

#endif
