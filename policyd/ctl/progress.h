/*
 * progress: a bar on the terminal while long logs are read.
 *
 * On stderr, only if that is a terminal and the work lasts; it is gone when the
 * work is done.
 */
#ifndef MXW_PROGRESS_H
#define MXW_PROGRESS_H

#include <stdint.h>

struct progress;

/* `total` bytes are expected, 0 = unknown. NULL where there is no terminal; all
 * functions take that. */
struct progress *progress_create(uint64_t total, double now);
void progress_destroy(struct progress **);
/* `done` bytes and so many lines by now (monotonic seconds). */
void progress_show(
    struct progress *, uint64_t done, uint64_t lines, double now);
/* Wipes the bar away. */
void progress_clear(struct progress *);

#endif
