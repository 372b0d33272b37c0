/*
 * hook: runs the administrator's command (notify.command) for blocks and their
 * ends.
 *
 *   event --rate, room in the queue--> queued --a place is free--> running
 *       \--else: counted, told with the next one     --ended, or killed
 *
 * No shell: the command is a program and its arguments; what happened is in
 * its environment (MXW_EVENT, MXW_ADDRESS, ...; mxwarden.conf(5)). It runs as
 * the daemon's user, with no descriptor but 0 (/dev/null), 1 and 2 (stderr),
 * without the possibility of more privileges (no set-user-id programs), and is
 * killed with its process group at the time-out.
 *
 * A host tells of its own decisions and of what is done on it by hand, not of
 * what other hosts have decided: they tell that themselves.
 *
 * mxwardend forbids itself to run programs unless a command is configured at
 * the start. One that is configured later needs a restart.
 */
#ifndef MXW_HOOK_H
#define MXW_HOOK_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/core/blocklist.h"
#include "lib/core/store.h"

#define HOOK_RUNNING 4
#define HOOK_QUEUE 64

struct conf;
struct hook;
struct loop;
struct reaper;

struct hook_stats {
	uint64_t done;	     /* ended with status 0 */
	uint64_t failed;     /* another status, a signal, or not started */
	uint64_t timeouts;   /* killed; counted as failed, too */
	uint64_t suppressed; /* by the rate or the length of the queue */
	unsigned running, queued;
};

/* May programs be run at all, by this configuration? */
bool hook_wanted(const struct conf *);
/* `conf` is borrowed until hook_reconfigure(). */
struct hook *hook_create(struct loop *, struct reaper *, const struct conf *);
/* Ends those that run. */
void hook_destroy(struct hook **);
void hook_reconfigure(struct hook *, const struct conf *);
void hook_blocked(struct hook *, const struct block *, enum store_why);
void hook_unblocked(struct hook *, const struct block *, enum store_why);
void hook_stats(const struct hook *, struct hook_stats *);

#endif
