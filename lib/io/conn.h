/*
 * conn: listeners and stream connections, for the policy and the control
 * server.
 *
 *   open --peer half-closes--> ending --all written--> closed
 *     \--- error, close, too slow ------------------/
 *
 * Idle connections cost a few hundred bytes: input is read into one buffer
 * that all connections share, and only an incomplete request is kept. Output
 * is written at once; what does not fit into the socket waits, and nothing
 * more is read until it is gone. After the peer's half-close everything
 * complete is still answered, then the connection is closed. A connection is
 * never freed inside its own callback.
 *
 * When the process is out of descriptors, accepting pauses and goes on when
 * one comes free; it is said and counted. A server can leave some of them for
 * the rest of the process (spare_fds): logs must be reopened, and an
 * administrator wants to be answered, when clients have taken all others.
 */
#ifndef MXW_CONN_H
#define MXW_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/core/conf.h"
#include "lib/core/errbuf.h"

struct loop;
struct conn;
struct conn_server;

#define CONN_CONTINUE ((ssize_t)0)
#define CONN_CLOSE ((ssize_t)-1)

struct conn_handler {
	/* A client has connected; returns its context or NULL to refuse. */
	void *(*opened)(void *server_ctx, struct conn *);
	/*
	 * Bytes have come. `buf` holds all that was not consumed before.
	 * Returns how many bytes are consumed, or CONN_CLOSE: written output is
	 * flushed, then it closes. The rest is kept and passed again: at once
	 * if something was consumed, else with more bytes, after drained() and
	 * after conn_hold(false). So it may stop at any request, to bound its
	 * output. `eof`: no more will come; what is not consumed then is lost.
	 */
	ssize_t (*input)(
	    void *ctx, struct conn *, const char *buf, size_t len, bool eof);
	/*
	 * All output has been written, after some of it had to wait: the
	 * producer of a long answer goes on here. It may write and close. NULL
	 * where answers are short.
	 */
	void (*drained)(void *ctx, struct conn *);
	/* It is gone; the context may be freed. `reason` is static. */
	void (*closed)(void *ctx, struct conn *, const char *reason);
	size_t max_input;    /* more unconsumed bytes than this: it is closed */
	double idle_timeout; /* nothing pending: seconds, 0 = none */
	double partial_timeout; /* in the middle of a request, or of output
				   that the peer does not take; 0 = none */
	unsigned spare_fds;	/* descriptors that are left to others */
};

struct conn_server_stats {
	uint64_t accepted;
	uint64_t refused;
	uint64_t timeouts;
	uint64_t errors; /* reset by peer and the like */
	uint64_t paused; /* times accepting stopped for want of descriptors */
	size_t open;
};

struct conn_server *conn_server_create(
    struct loop *, const struct conn_handler *, void *server_ctx);
/* Closes listeners and connections at once. */
void conn_server_destroy(struct conn_server **);
/* Opens and listens. `mode`, `uid` and `gid` apply to unix sockets ((uid_t)-1
 * = leave). A stale socket file (nobody answers) is replaced; a live one is an
 * error. */
int conn_server_listen(struct conn_server *, const struct conf_endpoint *,
    unsigned mode, uid_t uid, gid_t gid, struct errbuf *);
/* Adopts a listening descriptor (socket activation); it is owned then. */
int conn_server_adopt(struct conn_server *, int fd, struct errbuf *);
/*
 * The listeners of a configuration, in two steps: prepare opens what is not
 * open yet, and nothing else is changed; then commit takes the new ones into
 * service and closes those that are not wanted any more, or rollback closes the
 * new ones. Adopted listeners stay. Connections are not touched. Where a new
 * address holds an old one's (127.0.0.1 and 0.0.0.0 on the same port), the old
 * one does not listen between the two steps.
 */
struct conn_listen {
	const struct conf_endpoint *endpoints;
	size_t count;
	unsigned mode; /* of unix sockets that are opened, and their owner */
	uid_t uid;
	gid_t gid;
};
/* -1: all is as before. */
int conn_server_prepare(
    struct conn_server *, const struct conn_listen *, struct errbuf *);
void conn_server_commit(struct conn_server *);
void conn_server_rollback(struct conn_server *);
/* The name of the nth listener, NULL behind the last. */
const char *conn_server_name(const struct conn_server *, size_t n);
/* No new connections. What idle ones have sent already is still answered; they
 * are closed before this returns (soon after it if it is called by a callback
 * of this server). Those with a request in the middle are closed as they
 * finish: stats.open is 0 then. */
void conn_server_drain(struct conn_server *);
void conn_server_stats(const struct conn_server *, struct conn_server_stats *);
/* The port of the nth listener (for port 0 in tests); 0 if none. */
uint16_t conn_server_port(const struct conn_server *, size_t n);

/* Appends to the output; it is written when the input callback returns, or at
 * once outside of it. False when there is no memory: close it then. */
bool conn_write(struct conn *, const void *buf, size_t len);
/* Closes after the output is written. */
void conn_close(struct conn *);
/* An answer will come later, outside of the input callback: until it is said
 * to be over (or conn_close()), the peer's half-close does not end the
 * connection and no timeout but that of unwritten output applies. */
void conn_hold(struct conn *, bool hold);
/* Who connected: address text or "unix:pid=.. uid=.."; lives with the conn. */
const char *conn_peer(const struct conn *);
/* Credentials of a unix peer; false for inet. */
bool conn_peer_cred(const struct conn *, uid_t *uid_r, gid_t *gid_r);
/* Is this the unix peer's group, or one of its supplementary groups as the
 * kernel knows them (SO_PEERGROUPS: no look-up of names that could wait)?
 * False for (gid_t)-1. */
bool conn_peer_in_group(const struct conn *, gid_t gid);
/* Bytes waiting to be written. */
size_t conn_backlog(const struct conn *);

#endif
