/*
 * privclient: the daemon's end of one mxwarden-priv process.
 *
 *   open --end of file, bad reply, error--> gone
 *
 * Never waits. A helper that is gone stays gone (it could only be started with
 * the privileges that the daemon has given up): `gone` is called once, and
 * requests fail from then on. Its answers are checked like any peer's.
 */
#ifndef MXW_PRIVCLIENT_H
#define MXW_PRIVCLIENT_H

#include <stdbool.h>
#include <sys/types.h>

#include "lib/core/errbuf.h"
#include "lib/core/privmsg.h"

struct loop;
struct privclient;

struct privclient_events {
	/* fd: a descriptor that came with it, -1 if none; the receiver owns
	 * it. */
	void (*reply)(void *ctx, const struct privmsg_reply *, int fd);
	/* After a send that failed for want of room: try again. */
	void (*writable)(void *ctx);
	void (*gone)(void *ctx, const char *why);
};

/* Starts `program ROLE CONFIG syslog|stderr` and waits until it is ready.
 * Before privileges are dropped. NULL and why it cannot do its work. */
struct privclient *privclient_create(struct loop *, const char *program,
    const char *role, const char *config, bool foreground,
    const struct privclient_events *, void *ctx, struct errbuf *);
/* Closes; the helper ends by that, and is waited for briefly. */
void privclient_destroy(struct privclient **);
/* Sends a request whose op and arguments are filled in; returns its sequence
 * number, 0 if it was not sent (no room: `writable` will be called; or gone).
 */
uint32_t privclient_send(struct privclient *, struct privmsg_request *);
bool privclient_is_gone(const struct privclient *);
pid_t privclient_pid(const struct privclient *);
/* Waits for what is on its way, at most `seconds`; for exit only. */
void privclient_settle(struct privclient *, double seconds);

#endif
