/*
 * firewall: the view's blocks of levels with `firewall = true`, in the kernel.
 *
 *   off       no backend, or dry_run, or the helper is gone
 *   waiting   for the store, at start: until its blocks are known, those that
 *             the kernel still has from before stay
 *   repairing rules and sets are being made; a sync follows
 *   syncing   the whole view goes to the helper, in pieces, and is applied
 *   ready     changes go to the helper as they come, coalesced
 *   degraded  the tools failed; tried again, at least at every interval
 *
 * Answers never wait for any of it. The kernel expires entries by itself.
 */
#ifndef MXW_FIREWALL_H
#define MXW_FIREWALL_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/core/conf.h"
#include "lib/core/engine.h"
#include "lib/core/errbuf.h"
#include "lib/core/store.h"

struct firewall;
struct loop;

struct firewall_stats {
	const char *backend;
	const char *state;
	char error[128];  /* the trouble at hand, "" = none */
	uint64_t entries; /* in the packet filter, by the helper's word */
	uint64_t pending; /* changes not yet sent */
	uint64_t sent;	  /* changes sent */
	uint64_t refused; /* by the helper: protected addresses */
	uint64_t full;	  /* not added for want of room */
	uint64_t repairs; /* times something had been missing */
	uint64_t errors;
};

/* Starts the helper: before privileges are dropped. NULL and "" in err when no
 * firewall is configured; NULL and a reason on failure. */
struct firewall *firewall_create(struct loop *, struct engine *, struct store *,
    const struct conf *, bool foreground, struct errbuf *);
/* Sends what is pending; takes the entries away, if so configured. */
void firewall_destroy(struct firewall **);
void firewall_reconfigure(struct firewall *, const struct conf *);

/* The engine's events. */
void firewall_blocked(struct firewall *, const struct block *, enum store_why);
void firewall_unblocked(
    struct firewall *, const struct block *, enum store_why);
void firewall_allowed(struct firewall *);

/* By hand: is everything there; make what is missing. The answer comes once
 * through `done`: PRIVMSG_OK when all was there, PRIVMSG_MISSING when something
 * was not (a repair has made it anew), PRIVMSG_ERROR when the tools failed, -1
 * if the helper is gone. False and why: not possible now. */
bool firewall_ask(struct firewall *, bool repair,
    void (*done)(void *ctx, int result), void *ctx, struct errbuf *);
/* `done` of this context is not to be called any more. */
void firewall_forget(struct firewall *, const void *ctx);
void firewall_stats(const struct firewall *, struct firewall_stats *);

#endif
