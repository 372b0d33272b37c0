/*
 * notify: what the service manager is told (sd_notify(3)), without libsystemd.
 *
 * One datagram to the socket that $NOTIFY_SOCKET names, also an abstract one,
 * for each change of state. Without that variable everything here does
 * nothing. What the socket does not take now is sent a moment later: nobody
 * waits for the manager.
 *
 *   READY=1                            answering
 *   RELOADING=1 MONOTONIC_USEC=...     then READY=1, whatever came of it
 *   STOPPING=1                         draining
 *   STATUS=...                         when it changes, not more often than
 *                                      every NOTIFY_STATUS_EVERY seconds
 *   WATCHDOG=1                         from the loop, at half the time that
 *                                      $WATCHDOG_USEC allows: a loop that does
 *                                      not turn is found out
 */
#ifndef MXW_NOTIFY_H
#define MXW_NOTIFY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct loop;
struct notify;

#define NOTIFY_STATUS_EVERY 3.0
#define NOTIFY_STATUS_MAX 200

/* Takes NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID out of the environment:
 * children are not to speak for us. */
struct notify *notify_create(struct loop *);
void notify_destroy(struct notify **);
bool notify_is_on(const struct notify *);
void notify_ready(struct notify *);
void notify_reloading(struct notify *);
void notify_stopping(struct notify *);
/* Cut to NOTIFY_STATUS_MAX bytes. */
void notify_status(struct notify *, const char *text);

/* Seconds between signs of life, 0 = none wanted: what WATCHDOG_USEC and
 * WATCHDOG_PID (either may be NULL) mean to process `self`. */
double notify_watchdog_interval(const char *usec, const char *pid, pid_t self);

#endif
