/*
 * state: the snapshot file in state_dir, read at start, written on a timer,
 * after changes by hand and at exit.
 *
 * Writing happens in a forked child: it has the memory as it was at the fork,
 * so the snapshot is of one moment and answers wait for the fork alone. A
 * failure (disk full) is said, and tried again at the next interval. A file
 * that cannot be used is set aside as state.corrupt.
 */
#ifndef MXW_STATE_H
#define MXW_STATE_H

#include <stdbool.h>

#include "lib/core/engine.h"
#include "lib/core/errbuf.h"

struct loop;
struct reaper;
struct state;

struct state_stats {
	uint64_t written;
	uint64_t failed;
	double last;	 /* time of the last good one, 0 = none */
	char error[256]; /* of the last failure, "" after a success */
};

/* `before` brings the positions of all sources up to date. */
struct state *state_create(struct loop *, struct reaper *, const char *dir,
    double interval, struct engine *, struct store *, void (*before)(void *ctx),
    void *ctx);
void state_destroy(struct state **);
void state_set_interval(struct state *, double interval);
/* Reads the file. *fresh_r: there was none. *damaged_r: there was one that
 * could not be used. */
void state_load(struct state *, bool *fresh_r, bool *damaged_r);
/* There is something new to write at the next interval. */
void state_touch(struct state *);
/* The same, but soon. */
void state_hurry(struct state *);
/* Writes now, in this process; for exit. */
int state_save_now(struct state *, struct errbuf *);
void state_stats(const struct state *, struct state_stats *);

#endif
