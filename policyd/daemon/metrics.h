/*
 * metrics: the daemon's figures in Prometheus's text format, and whether it is
 * healthy. Names and labels are documented in mxwardend(8).
 */
#ifndef MXW_METRICS_H
#define MXW_METRICS_H

#include <stdbool.h>

#include "policyd/daemon/status.h"

struct engine_events;
struct evbuffer;
struct metrics;
struct offence;
struct block;

struct metrics *metrics_create(void);
void metrics_destroy(struct metrics **);

/* An offence was scored. */
void metrics_offence(struct metrics *, const struct offence *);
/* A block was decided or raised here, at this moment. */
void metrics_decided(struct metrics *);

void metrics_write(
    const struct metrics *, const struct status_parts *, struct evbuffer *);
/* Writes "ok" or one line for each trouble; true if there is none. */
bool metrics_health(const struct status_parts *, struct evbuffer *);

#endif
