/*
 * policysrv: the policy server. Requests of Postfix in, verdicts of the engine
 * out; it knows nothing but the protocol.
 *
 * An answer is "action=...", a newline and exactly one empty line; nothing is
 * ever written unasked, because Postfix takes any other byte for a server that
 * has hung up (src/global/attr_clnt.c). Answers to pipelined requests go out in
 * one write. What is no request is not answered, since any answer would be
 * taken as a verdict: it is logged, counted and disconnected.
 */
#ifndef MXW_POLICYSRV_H
#define MXW_POLICYSRV_H

#include <stdint.h>

#include "lib/core/engine.h"
#include "lib/core/histogram.h"
#include "lib/io/conn.h"

struct loop;
struct policysrv;

/* Seconds for a request that has begun, or an answer that is not taken:
 * Postfix sends a request in one piece. */
#define POLICYSRV_TIMEOUT 30.0
/* Descriptors left to the rest of the daemon. */
#define POLICYSRV_SPARE_FDS 32

struct policysrv_stats {
	uint64_t requests; /* answered */
	uint64_t by_why[VERDICT_BLOCKED + 1];
	uint64_t dry;		  /* of the blocked: DUNNO by dry_run */
	uint64_t garbage;	  /* disconnected without an answer */
	struct histogram latency; /* from the turn of the loop in which a
				     request came to its answer */
	struct conn_server_stats conns;
};

/* `engine` is borrowed. idle_timeout in seconds, 0 = none; more than the 300 s
 * after which Postfix closes idle connections itself (max_idle). */
struct policysrv *policysrv_create(
    struct loop *, struct engine *engine, double idle_timeout);
void policysrv_destroy(struct policysrv **);
/* For connections that are open already, too. */
void policysrv_set_idle_timeout(struct policysrv *, double idle_timeout);
/* To listen, adopt and drain. */
struct conn_server *policysrv_conns(struct policysrv *);
void policysrv_stats(const struct policysrv *, struct policysrv_stats *out);

#endif
