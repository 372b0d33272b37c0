/*
 * rsentinel: asks Sentinel where the master is, and hears when it moves.
 *
 *   idle --locate--> asking --address--> listening --gone--> asking (the next)
 *
 * The sentinels are asked one after the other until one knows the master; that
 * one is then listened to (+switch-master). Answers are addresses: a Sentinel
 * that gives names (resolve-hostnames) is told of in the log and passed over.
 */
#ifndef MXW_RSENTINEL_H
#define MXW_RSENTINEL_H

#include <stdint.h>

#include "lib/core/addr.h"
#include "lib/core/storeuri.h"

struct loop;
struct rsentinel;

struct rsentinel_events {
	/* The answer to locate, or a fail-over that was announced. */
	void (*master)(void *ctx, const struct addr *, uint16_t port);
	/* None of them knows; ask again later. */
	void (*failed)(void *ctx, const char *why);
};

/* The URI is borrowed. */
struct rsentinel *rsentinel_create(struct loop *, const struct storeuri *,
    double timeout, const struct rsentinel_events *, void *ctx);
void rsentinel_destroy(struct rsentinel **);
/* Asks anew. One of the events follows, from the loop. */
void rsentinel_locate(struct rsentinel *);

#endif
