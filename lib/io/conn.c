/*
 * conn: one connection; see conn.h, and conn_server.c for the rest of it.
 *
 * One answer costs one epoll_wait, one read and one write. The event of a
 * connection is registered once; it is changed only when output has to wait
 * (write instead of read) and after the peer's half-close (none).
 *
 * It is edge-triggered: the kernel need not look at each connection a second
 * time to find that nothing more has come. After a read that has filled the
 * buffer, or with the peer's half-close behind it, more may be there of which
 * there will be no event: then it is registered anew, which looks again. (What
 * a reset leaves behind a part of a request is found by the timeout.)
 *
 * conn_settle() alone decides what comes next. It runs at the end of each turn
 * of a connection; calls from elsewhere (conn_close(), conn_hold()) only note
 * what is wanted, and a timer settles it in the next turn of the loop. So no
 * callback is called from inside a public function, and none can free what
 * its caller still uses.
 */
#include "lib/io/conn.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/io/conn_private.h"

#define CONN_MORE 4096 /* least room behind kept input */

static void conn_event(evutil_socket_t, short, void *);

/* Makes the event wait for `want`. */
static void
conn_want(struct conn *c, short want)
{
	short how = EV_PERSIST;

	if (c->want == want && !c->look_again)
		return;
	if (c->want != 0)
		event_del(&c->ev);
	c->want = 0;
	c->look_again = false;
	if (want == 0)
		return;
	if (want == EV_READ && c->server->edge)
		how |= EV_ET | EV_CLOSED;
	event_assign(&c->ev, loop_base(c->server->loop), c->fd,
	    (short)(want | how), conn_event, c);
	event_priority_set(&c->ev, LOOP_ANSWERS);
	if (event_add(&c->ev, NULL) != 0)
		c->failed = "no event";
	else
		c->want = want;
}

void
conn_destroy(struct conn *c, const char *reason)
{
	struct conn_server *s = c->server;

	conn_want(c, 0);
	c->state = CONN_DEAD;
	if (c->queued)
		LIST_REMOVE(c, later);
	LIST_REMOVE(c, link);
	s->stats.open--;
	if (c->ctx != NULL)
		s->handler->closed(c->ctx, c, reason);
	close(c->fd);
	free(c->in);
	free(c->out);
	free(c);
	if (s->paused)
		conn_server_resume(s);
}

static bool
conn_is_idle(const struct conn *c)
{
	return c->in_len == 0 && c->out_len == 0 && !c->held;
}

void
conn_settle(struct conn *c)
{
	struct conn_server *s = c->server;
	const bool more = c->look_again;

	if (c->failed == NULL && c->out_len > 0)
		conn_want(c, EV_WRITE);
	else if (c->failed == NULL && c->state == CONN_OPEN)
		conn_want(c, EV_READ);
	else
		conn_want(c, 0);

	if (c->failed != NULL) {
		s->stats.errors++;
		conn_destroy(c, c->failed);
	} else if (c->out_len > 0) {
		return;
	} else if (c->state == CONN_CLOSING) {
		conn_destroy(c, "closed");
	} else if (c->state == CONN_ENDED && !c->held) {
		conn_destroy(c,
		    c->in_len > 0 ? "closed by peer in the middle of a request"
				  : "closed by peer");
	} else if (c->in_len > s->handler->max_input) {
		s->stats.errors++;
		conn_destroy(c, "request too long");
	} else if (s->draining && !more && conn_is_idle(c)) {
		conn_destroy(c, "shutting down");
	}
}

/* Lets conn_settle() run in the next turn. */
static void
conn_later(struct conn *c)
{
	struct conn_server *s = c->server;

	if (c->queued || c->state == CONN_DEAD || c == s->current)
		return;
	c->queued = true;
	LIST_INSERT_HEAD(&s->later, c, later);
	loop_timer_set(s->later_timer, 0);
}

/* Sends what the socket takes; returns how much that was. */
static size_t
conn_send(struct conn *c, const char *buf, size_t len)
{
	size_t sent = 0;

	while (sent < len && c->failed == NULL) {
		const ssize_t n =
		    send(c->fd, buf + sent, len - sent, MSG_NOSIGNAL);

		if (n >= 0)
			sent += (size_t)n;
		else if (errno == EAGAIN || errno == EWOULDBLOCK)
			break;
		else if (errno != EINTR)
			c->failed = errno == EPIPE || errno == ECONNRESET
			    ? "connection lost"
			    : "write error";
	}
	return sent;
}

/* Keeps output for later. */
static bool
conn_defer(struct conn *c, const char *buf, size_t len)
{
	if (c->out_at > 0) {
		memmove(c->out, c->out + c->out_at, c->out_len);
		c->out_at = 0;
	}
	if (len > c->out_cap - c->out_len) {
		size_t cap = c->out_cap < 4096 ? 4096 : c->out_cap;
		char *p;

		while (cap - c->out_len < len && cap <= SIZE_MAX / 2)
			cap *= 2;
		p = realloc(c->out, cap);
		if (p == NULL)
			return false;
		c->out = p;
		c->out_cap = cap;
	}
	if (c->out_len == 0)
		c->mark = loop_mono(c->server->loop);
	memcpy(c->out + c->out_len, buf, len);
	c->out_len += len;
	return true;
}

/* Writes now, and keeps what does not fit. */
static bool
conn_send_or_defer(struct conn *c, const char *buf, size_t len)
{
	const size_t sent = c->out_len > 0 ? 0 : conn_send(c, buf, len);

	if (c->failed != NULL || sent == len)
		return true;
	return conn_defer(c, buf + sent, len - sent);
}

/* Ends a callback: writes what it has put into the shared buffer. */
static void
conn_flush_shared(struct conn *c)
{
	struct conn_server *s = c->server;
	const size_t len = s->out_len;

	s->out_len = 0;
	if (len > 0 && !conn_send_or_defer(c, s->out, len))
		c->failed = "out of memory";
}

/* Passes input on until the handler wants no more of it, or its output has to
 * wait. Returns how much is consumed. */
static size_t
conn_consume(struct conn *c, const char *buf, size_t len)
{
	struct conn_server *s = c->server;
	size_t at = 0;
	ssize_t n;

	do {
		s->current = c;
		n = s->handler->input(
		    c->ctx, c, buf + at, len - at, c->state == CONN_ENDED);
		s->current = NULL;
		conn_flush_shared(c);
		if (n == CONN_CLOSE)
			c->state = CONN_CLOSING;
		if (c->state == CONN_CLOSING || c->failed != NULL)
			return len;
		assert(n >= 0 && (size_t)n <= len - at);
		at += (size_t)n;
	} while (n > 0 && at < len && c->out_len == 0);
	return at;
}

/* Keeps input that was not consumed; `buf` is the shared buffer or c->in. */
static void
conn_keep(struct conn *c, const char *buf, size_t len)
{
	if (len == 0) {
		free(c->in);
		c->in = NULL;
		c->in_cap = 0;
	} else if (c->in != NULL) {
		if (buf != c->in)
			memmove(c->in, buf, len);
	} else {
		c->in = malloc(len);
		if (c->in == NULL) {
			c->failed = "out of memory";
			return;
		}
		c->in_cap = len;
		memcpy(c->in, buf, len);
	}
	c->in_len = len;
}

/* One turn with these bytes as input; the connection may be gone after it. */
static void
conn_turn(struct conn *c, const char *buf, size_t len)
{
	const bool waiting = c->in_len > 0;
	const size_t used = conn_consume(c, buf, len);

	/* A request must be complete in time, however often bytes come. */
	if ((used > 0 || !waiting) && c->out_len == 0)
		c->mark = loop_mono(c->server->loop);
	conn_keep(c, buf + used, len - used);
	conn_settle(c);
}

/* Room for more input behind what is kept. */
static bool
conn_grow(struct conn *c)
{
	const size_t max = c->server->handler->max_input + CONN_MORE;
	size_t cap = c->in_cap * 2;
	char *p;

	if (c->in_cap - c->in_len >= CONN_MORE)
		return true;
	if (cap < c->in_len + CONN_MORE)
		cap = c->in_len + CONN_MORE;
	if (cap > max)
		cap = max;
	if (cap <= c->in_cap)
		return true;
	p = realloc(c->in, cap);
	if (p == NULL)
		return false;
	c->in = p;
	c->in_cap = cap;
	return true;
}

/* How much of so many bytes may be read now. */
static size_t
server_share(struct conn_server *s, size_t size)
{
	const double turn = loop_now(s->loop);

	if (turn != s->turn) {
		s->turn = turn;
		s->turn_bytes = 0;
	}
	return s->turn_bytes < CONN_TURN || size < CONN_SHARE ? size
							      : CONN_SHARE;
}

void
conn_read(struct conn *c)
{
	struct conn_server *s = c->server;
	char *buf = s->in;
	size_t size = sizeof(s->in);
	ssize_t n;

	if (c->in_len > 0) {
		if (!conn_grow(c)) {
			c->failed = "out of memory";
			conn_settle(c);
			return;
		}
		buf = c->in;
		size = c->in_cap;
	}
	size = server_share(s, size - c->in_len);
	n = recv(c->fd, buf + c->in_len, size, 0);
	if (n > 0) {
		c->look_again |= (size_t)n == size;
		s->turn_bytes += (size_t)n;
		conn_turn(c, buf, c->in_len + (size_t)n);
		return;
	}
	if (n == 0) {
		c->state = CONN_ENDED;
		conn_want(c, 0);
		conn_turn(c, buf, c->in_len);
		return;
	}
	if (errno == EINTR)
		c->look_again = true;
	else if (errno != EAGAIN && errno != EWOULDBLOCK)
		c->failed =
		    errno == ECONNRESET ? "connection lost" : "read error";
	conn_settle(c);
}

void
conn_resume(struct conn *c)
{
	if (c->state != CONN_CLOSING && c->failed == NULL && c->in_len > 0 &&
	    c->out_len == 0)
		conn_turn(c, c->in, c->in_len);
	else
		conn_settle(c);
}

/* The socket takes output again. */
static void
conn_write_more(struct conn *c)
{
	struct conn_server *s = c->server;
	const size_t sent = conn_send(c, c->out + c->out_at, c->out_len);

	c->out_at += sent;
	c->out_len -= sent;
	if (sent > 0)
		c->mark = loop_mono(s->loop);
	if (c->failed != NULL || c->out_len > 0) {
		conn_settle(c);
		return;
	}
	free(c->out);
	c->out = NULL;
	c->out_at = c->out_cap = 0;
	if (c->state != CONN_CLOSING && s->handler->drained != NULL) {
		s->current = c;
		s->handler->drained(c->ctx, c);
		s->current = NULL;
		conn_flush_shared(c);
	}
	conn_resume(c);
}

static void
conn_event(evutil_socket_t fd, short what, void *arg)
{
	struct conn *c = arg;

	(void)fd;
	if ((what & EV_WRITE) != 0) {
		conn_write_more(c);
		return;
	}
	if ((what & EV_CLOSED) != 0)
		c->look_again = true;
	conn_read(c);
}

struct conn *
conn_create(struct conn_server *s, int fd, const char *peer)
{
	struct conn *c = calloc(1, sizeof(*c) + strlen(peer) + 1);

	if (c == NULL)
		return NULL;
	memcpy(c->peer, peer, strlen(peer) + 1);
	c->server = s;
	c->fd = fd;
	c->mark = loop_mono(s->loop);
	LIST_INSERT_HEAD(&s->conns, c, link);
	s->stats.open++;
	return c;
}

void
conn_start(struct conn *c)
{
	struct conn_server *s = c->server;

	s->current = c;
	c->ctx = s->handler->opened(s->ctx, c);
	s->current = NULL;
	conn_flush_shared(c);
	if (c->ctx == NULL) {
		s->stats.refused++;
		conn_destroy(c, "refused");
	} else {
		conn_settle(c);
	}
}

bool
conn_write(struct conn *c, const void *buf, size_t len)
{
	struct conn_server *s = c->server;

	if (c->state == CONN_DEAD || c->failed != NULL)
		return false;
	if (c == s->current && c->out_len == 0) {
		if (len <= sizeof(s->out) - s->out_len) {
			memcpy(s->out + s->out_len, buf, len);
			s->out_len += len;
			return true;
		}
		conn_flush_shared(c);
	}
	if (!conn_send_or_defer(c, buf, len))
		return false;
	/* Settled now it would be freed under the caller's feet. */
	if (c->failed != NULL || c->out_len > 0)
		conn_later(c);
	return true;
}

void
conn_close(struct conn *c)
{
	if (c->state == CONN_DEAD)
		return;
	c->state = CONN_CLOSING;
	conn_later(c);
}

void
conn_hold(struct conn *c, bool hold)
{
	if (c->held == hold || c->state == CONN_DEAD)
		return;
	c->held = hold;
	if (hold)
		return;
	c->mark = loop_mono(c->server->loop);
	conn_later(c);
}

const char *
conn_peer(const struct conn *c)
{
	return c->peer;
}

bool
conn_peer_cred(const struct conn *c, uid_t *uid_r, gid_t *gid_r)
{
	if (!c->has_cred)
		return false;
	*uid_r = c->uid;
	*gid_r = c->gid;
	return true;
}

bool
conn_peer_in_group(const struct conn *c, gid_t gid)
{
	socklen_t len = 0;
	bool found = false;
	gid_t *groups;

	if (!c->has_cred || gid == (gid_t)-1)
		return false;
	if (c->gid == gid)
		return true;
	/* The first call only tells how much room is needed. */
	if (getsockopt(c->fd, SOL_SOCKET, SO_PEERGROUPS, NULL, &len) == 0 ||
	    errno != ERANGE)
		return false;
	groups = malloc(len);
	if (groups == NULL)
		return false;
	if (getsockopt(c->fd, SOL_SOCKET, SO_PEERGROUPS, groups, &len) == 0)
		for (size_t i = 0; i < len / sizeof(groups[0]); i++)
			found |= groups[i] == gid;
	free(groups);
	return found;
}

size_t
conn_backlog(const struct conn *c)
{
	return c->out_len + (c == c->server->current ? c->server->out_len : 0);
}
