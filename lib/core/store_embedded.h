/*
 * store_embedded: scores, blocks, strikes and the allow list in this process.
 *
 * Decisions are made at once and delivered by the next poll. Memory is
 * bounded by max_addresses: beyond it the score that was not touched for the
 * longest time is dropped, and counted. Everything can be saved and loaded
 * (snapshot.h); a crash is repaired by reading the log again from the position
 * in the snapshot.
 *
 * The Redis store uses the same code as its local defence.
 */
#ifndef MXW_STORE_EMBEDDED_H
#define MXW_STORE_EMBEDDED_H

#include "lib/core/store.h"

struct snapshot_writer;
struct snapshot_reader;

struct store *store_embedded_create(const struct store_params *params,
    size_t max_addresses);

/* Writes its sections of a snapshot (snapshot.h). */
void store_embedded_save(const struct store *, struct snapshot_writer *);
/* Takes a section whose tag was just read; false if it is not one of its
 * sections. Blocks and allow entries go to the sink at once. */
bool store_embedded_load(struct store *, struct snapshot_reader *,
    uint8_t section);

#endif
