/*
 * rlink: the way to a Redis that answers. Connects, logs in, loads the
 * scripts, turns on client tracking; does all of it again when it is lost.
 *
 *   waiting --timer--> locating --address--> subscribing --> preparing --> up
 *      ^  (Sentinel only)  |                      |              |         |
 *      +------------- whatever goes wrong, a pause that grows ----+--------+
 *
 * Two connections: one for commands, one that is subscribed to
 * __redis__:invalidate, to which CLIENT TRACKING ... BCAST redirects what
 * changes under our prefix. Either one lost ends both. A Redis that has no
 * client tracking (< 6), or does not permit it, is used without: tracking is
 * false then.
 *
 * The pause doubles from 50 ms to 3 s, with jitter; it starts anew once the
 * link has been up for a second. While it is up, a PING a second makes sure
 * that silence is noticed.
 */
#ifndef MXW_RLINK_H
#define MXW_RLINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/core/storeuri.h"
#include "lib/io/resp.h"
#include "lib/io/rscript.h"

struct loop;
struct rlink;

struct rlink_options {
	struct storeuri uri;
	const char *prefix;	   /* copied, as the others */
	const char *user;	   /* "" = that of the URI */
	const char *password_file; /* "" = none; read at each connect, so that
				      a new password needs no restart */
	double timeout;
};

struct rlink_events {
	void (*up)(void *ctx);
	/* It was up and is not; or an attempt has failed. */
	void (*down)(void *ctx, const char *why);
	/* This key may have changed. NULL: any may have. */
	void (*changed)(void *ctx, const char *key, size_t len);
};

struct rlink *rlink_create(struct loop *, const struct rlink_options *,
    const struct rlink_events *, void *ctx);
void rlink_destroy(struct rlink **);
bool rlink_is_up(const struct rlink *);
bool rlink_has_tracking(const struct rlink *);
/* One word: "waiting", "locating", ... */
const char *rlink_state(const struct rlink *);
/* "redis://127.0.0.1:6379/0"; never the password. */
const char *rlink_endpoint(const struct rlink *);

/* A call of a script, only while up: the arguments follow with resp_arg() on
 * what is returned, then resp_end(). */
struct resp *rlink_call(struct rlink *, enum rscript, size_t n_args);
/* A reply said NOSCRIPT: loads them again, before any later call. */
void rlink_reload(struct rlink *);
/* Gives this connection up, in the next turn. */
void rlink_fail(struct rlink *, const char *why);

#endif
