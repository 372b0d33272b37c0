/*
 * strikes: how often an address has been blocked before. Kept for
 * repeat.memory after the beginning of the last block.
 */
#ifndef MXW_STRIKES_H
#define MXW_STRIKES_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/core/addr.h"

struct strikes;
struct snapshot_writer;
struct snapshot_reader;

/* Beyond `max` addresses some old entry makes room. */
struct strikes *strikes_create(size_t max);
void strikes_destroy(struct strikes **);
/* Earlier blocks at time t; 0 if none, or forgotten. */
unsigned strikes_get(
    const struct strikes *, const struct addr *, double t, double memory);
/* So many blocks, the last of which began at time t. False: no memory. */
bool strikes_set(
    struct strikes *, const struct addr *, unsigned count, double t);
bool strikes_del(struct strikes *, const struct addr *);
/* Looks at a few entries and drops those forgotten at `horizon`. */
void strikes_sweep(struct strikes *, double horizon, double memory);
size_t strikes_count(const struct strikes *);

void strikes_save(const struct strikes *, struct snapshot_writer *);
/* How many there was no memory for. */
size_t strikes_load(struct strikes *, struct snapshot_reader *);

#endif
