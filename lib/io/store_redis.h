/*
 * store_redis: scores and blocks in Redis, shared by several hosts.
 *
 *     hit --> local score
 *         \-> queue --EVALSHA, one call under way--> Redis --> blocked (view)
 *                         acknowledged <----------/
 *     other hosts, hands --> invalidation --> read of the key --> view
 *
 * Who decides: Redis, while it takes our hits. As soon as it does not (away,
 * silent for the timeout, LOADING, read-only, out of memory), this host
 * decides by its own count, beginning with the hits that Redis has not
 * acknowledged; it goes on until Redis has caught up with all of them. The
 * view stays as it is meanwhile, so nobody who was blocked gets through.
 *
 * Exactly once. Hits are kept in a queue of STORE_REDIS_QUEUE until they are
 * acknowledged, and are sent in their order, with one call under way, so that
 * a later line of an address never overtakes an earlier one; the script
 * ignores what is not newer than what it has applied for that log and address.
 * The state file holds the queue beside the position, as one: after a crash
 * the queue is sent again, the log is read from the position, and what was
 * applied is ignored. What was acknowledged in the last seconds is sent again
 * after a reconnect, because a replica that took over may not have it.
 *
 * The queue never grows. When the next piece of a log might not fit, flow()
 * says MARK: the places in all logs and the connections known there are
 * remembered (and are what the state file holds from now on), and hits only
 * count on this host. When Redis is back and the queue has drained, flow()
 * says REPLAY: the logs are read again from there, with the connections of
 * then, so the same lines give the same hits; on this host they count no
 * second time. It is exact unless the rules or the allow list were changed
 * meanwhile: then what is read again is judged by the new ones.
 *
 * Where it ends: what Redis forgets by itself while it is away for longer
 * than the window (the hash's TTL runs on) is forgotten; a Redis that lost
 * more than the last seconds has lost that. TTLs are given relative to this
 * host's clock, which should be right to a second (NTP).
 *
 * By hand while Redis is away: block, unblock, forgive and allow act on this
 * host and until Redis is back; the answer (STORE_UNAVAILABLE) says so.
 */
#ifndef MXW_STORE_REDIS_H
#define MXW_STORE_REDIS_H

#include <stddef.h>

#include "lib/core/store.h"
#include "lib/io/rlink.h"

#define STORE_REDIS_QUEUE 65536 /* hits */

struct loop;

struct store_redis_options {
	const struct store_params *params; /* until configured */
	size_t max_addresses;		   /* scored here */
	size_t queue; /* 0 = STORE_REDIS_QUEUE; at least 2 * STORE_FLOW_HITS */
	struct rlink_options link;
};

/* Begins to connect in the first turn of the loop. */
struct store *store_redis_create(
    struct loop *, const struct store_redis_options *);

#endif
