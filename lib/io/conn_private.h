/*
 * conn_private: what conn.c (one connection) and conn_server.c (listeners,
 * accepting, timeouts, the end) share. For these two files only.
 */
#ifndef MXW_CONN_PRIVATE_H
#define MXW_CONN_PRIVATE_H

#include <event2/event.h>
#include <event2/event_struct.h>
#include <sys/queue.h>

#include "lib/core/log.h"
#include "lib/io/conn.h"
#include "lib/io/listener.h"
#include "lib/io/loop.h"

#define CONN_BUFFER 65536 /* shared: one read, and the answers to it */

/*
 * Bytes. Each turn of the loop reads from all connections that have something,
 * and nothing else happens until it is over. When the connections together have
 * had so much in a turn, the others get only a share, of which nobody but those
 * who send many requests at once will notice: no number of them can make a turn
 * long.
 */
#define CONN_TURN (4 * CONN_BUFFER)
#define CONN_SHARE 2048

enum conn_state {
	CONN_OPEN,    /* reading */
	CONN_ENDED,   /* the peer has half-closed; the rest is answered */
	CONN_CLOSING, /* closed by us; only waiting output is still written */
	CONN_DEAD     /* inside closed(), freed next */
};

struct conn {
	struct event ev;
	struct conn_server *server;
	void *ctx;
	LIST_ENTRY(conn) link;
	LIST_ENTRY(conn) later; /* while `queued` */
	double mark;		/* when the current wait began, monotonic */
	char *in;		/* input not consumed */
	size_t in_len, in_cap;
	char *out; /* output not written: out_len bytes from out_at */
	size_t out_at, out_len, out_cap;
	const char *failed; /* why it must be closed at once, or NULL */
	int fd;
	enum conn_state state;
	short want;	 /* EV_READ, EV_WRITE or 0: what `ev` waits for */
	bool look_again; /* more may have come than has been read */
	bool held;
	bool queued;
	bool has_cred;
	uid_t uid;
	gid_t gid;
	char peer[];
};

LIST_HEAD(conn_list, conn);

struct conn_source {
	struct conn_server *server;
	struct listener *listener;
	struct event *ev;
	/* Between prepare and commit: */
	bool fresh;	/* opened by prepare, not in service yet */
	bool wanted;	/* stays */
	bool suspended; /* makes room for another one */
};

struct conn_server {
	struct loop *loop;
	const struct conn_handler *handler;
	void *ctx;
	struct conn_source **sources;
	size_t n_sources;
	struct conn_list conns;
	struct conn_list later;
	struct conn *current; /* whose callback is running */
	struct loop_timer *later_timer;
	struct loop_timer *sweep_timer;
	struct loop_timer *resume_timer;
	double sweep_every; /* 0 = no timeouts */
	double turn;	    /* loop_now() of the last read; it has ticks */
	size_t turn_bytes;  /* read since then */
	bool edge;	    /* events are edge-triggered */
	bool paused;	    /* not accepting: out of descriptors */
	bool draining;
	bool drain_later; /* asked for inside a callback */
	struct loglimit limit;
	struct conn_server_stats stats;
	size_t out_len; /* of the current connection's output in `out` */
	char in[CONN_BUFFER];
	char out[CONN_BUFFER];
};

/* A connection on this socket, which it owns then; `peer` is copied. NULL
 * without memory. opened() is not called yet. */
struct conn *conn_create(struct conn_server *, int fd, const char *peer);
/* Calls opened(); the connection may be gone after it. */
void conn_start(struct conn *);
/* Calls closed() and frees; never inside a callback of this connection. */
void conn_destroy(struct conn *, const char *reason);
/* Closes the connection if its time has come, else sets what it waits for. */
void conn_settle(struct conn *);
/* One turn: reads, lets the handler answer, writes. */
void conn_read(struct conn *);
/* One turn without reading: input that was kept, if any. */
void conn_resume(struct conn *);

/* A connection is gone: its descriptor may let another one in. */
void conn_server_resume(struct conn_server *);

#endif
