/*
 * conn_server: listeners, accepting, timeouts and the end; see conn.h.
 *
 * Timeouts are found by a walk over all connections every few seconds, which
 * is cheaper than a timer that every request sets anew.
 *
 *   accepting --no descriptor left--> paused --one comes free--> accepting
 *       \-------------- drain() ------------> draining
 *
 * While paused the listeners are not polled: what waits in their queues would
 * wake the loop without end.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/core/xalloc.h"
#include "lib/io/conn_private.h"

#define SERVER_ACCEPTS 16    /* accepted in a turn */
#define SERVER_PAUSE 0.1     /* seconds without accepting */
#define SERVER_SWEEP_MAX 5.0 /* seconds between looks at the timeouts */
#define SERVER_SWEEP_MIN 0.02

/* What conn_later() has left. */
static void
server_later(void *arg)
{
	struct conn_server *s = arg;
	struct conn *c;

	while ((c = LIST_FIRST(&s->later)) != NULL) {
		LIST_REMOVE(c, later);
		c->queued = false;
		conn_resume(c);
	}
	if (s->drain_later)
		conn_server_drain(s);
}

static const char *
server_overdue(const struct conn *c, double now)
{
	const struct conn_handler *h = c->server->handler;
	const double waited = now - c->mark;

	if (c->out_len > 0)
		return h->partial_timeout > 0 && waited > h->partial_timeout
		    ? "peer does not read"
		    : NULL;
	if (c->held)
		return NULL;
	if (c->in_len > 0)
		return h->partial_timeout > 0 && waited > h->partial_timeout
		    ? "timeout in the middle of a request"
		    : NULL;
	return h->idle_timeout > 0 && waited > h->idle_timeout ? "idle" : NULL;
}

static void
server_sweep(void *arg)
{
	struct conn_server *s = arg;
	const double now = loop_mono(s->loop);
	struct conn *c, *next;

	for (c = LIST_FIRST(&s->conns); c != NULL; c = next) {
		const char *reason = server_overdue(c, now);

		next = LIST_NEXT(c, link);
		if (reason != NULL) {
			s->stats.timeouts++;
			conn_destroy(c, reason);
		}
	}
	if (!LIST_EMPTY(&s->conns))
		loop_timer_set(s->sweep_timer, s->sweep_every);
}

/* Is there a descriptor left for a client, besides those for others? The
 * lowest free one tells. */
static bool
server_has_descriptor(const struct conn_server *s)
{
	struct rlimit rl;
	rlim_t spare = s->handler->spare_fds;
	int fd;

	if (s->n_sources == 0)
		return true;
	fd = fcntl(listener_fd(s->sources[0]->listener), F_DUPFD_CLOEXEC, 0);
	if (fd < 0)
		return false;
	close(fd);
	if (getrlimit(RLIMIT_NOFILE, &rl) != 0 || rl.rlim_cur == RLIM_INFINITY)
		return true;
	if (spare > rl.rlim_cur / 8)
		spare = rl.rlim_cur / 8;
	return (rlim_t)fd < rl.rlim_cur - spare;
}

static void
server_pause(struct conn_server *s, const char *why)
{
	s->stats.paused++;
	log_limited(&s->limit, loop_mono(s->loop), MSG_WARNING,
	    "%s: %s with %zu connections: no more are accepted until one "
	    "closes",
	    listener_name(s->sources[0]->listener), why, s->stats.open);
	s->paused = true;
	for (size_t i = 0; i < s->n_sources; i++)
		event_del(s->sources[i]->ev);
	loop_timer_set(s->resume_timer, SERVER_PAUSE);
}

void
conn_server_resume(struct conn_server *s)
{
	if (!s->paused)
		return;
	if (!server_has_descriptor(s)) {
		if (!loop_timer_pending(s->resume_timer))
			loop_timer_set(s->resume_timer, SERVER_PAUSE);
		return;
	}
	s->paused = false;
	loop_timer_clear(s->resume_timer);
	for (size_t i = 0; i < s->n_sources; i++)
		event_add(s->sources[i]->ev, NULL);
}

static void
server_resume_timer(void *arg)
{
	conn_server_resume(arg);
}

/* Who is at the other end; text as for conn_peer(). True with credentials. */
static bool
server_identify(int fd, const struct sockaddr_storage *ss, struct ucred *cred,
    char *buf, size_t size)
{
	const struct sockaddr_in *in = (const struct sockaddr_in *)ss;
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)ss;
	char text[INET6_ADDRSTRLEN];
	socklen_t len = sizeof(*cred);

	if (ss->ss_family == AF_INET) {
		inet_ntop(AF_INET, &in->sin_addr, text, sizeof(text));
		snprintf(buf, size, "%s:%u", text, ntohs(in->sin_port));
		return false;
	}
	if (ss->ss_family == AF_INET6) {
		inet_ntop(AF_INET6, &in6->sin6_addr, text, sizeof(text));
		snprintf(buf, size, "[%s]:%u", text, ntohs(in6->sin6_port));
		return false;
	}
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, cred, &len) != 0) {
		snprintf(buf, size, "unix");
		return false;
	}
	snprintf(buf, size, "unix:pid=%ld uid=%lu", (long)cred->pid,
	    (unsigned long)cred->uid);
	return true;
}

static void
server_welcome(struct conn_server *s, int fd, const struct sockaddr_storage *ss)
{
	struct ucred cred;
	char peer[80];
	const bool has_cred =
	    server_identify(fd, ss, &cred, peer, sizeof(peer));
	struct conn *c = conn_create(s, fd, peer);

	s->stats.accepted++;
	if (c == NULL) {
		s->stats.refused++;
		close(fd);
		return;
	}
	if (has_cred) {
		c->has_cred = true;
		c->uid = cred.uid;
		c->gid = cred.gid;
	}
	if (s->sweep_every > 0 && !loop_timer_pending(s->sweep_timer))
		loop_timer_set(s->sweep_timer, s->sweep_every);
	conn_start(c);
}

static void
server_accept(evutil_socket_t lfd, short what, void *arg)
{
	struct conn_server *s = arg;

	(void)what;
	for (int i = 0; i < SERVER_ACCEPTS && !s->drain_later; i++) {
		struct sockaddr_storage ss = { .ss_family = AF_UNSPEC };
		socklen_t len = sizeof(ss);
		int fd;

		if (!server_has_descriptor(s)) {
			server_pause(s, "short of descriptors");
			return;
		}
		fd = accept4(lfd, (struct sockaddr *)&ss, &len,
		    SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd >= 0) {
			server_welcome(s, fd, &ss);
			continue;
		}
		switch (errno) {
		case EMFILE:
		case ENFILE:
		case ENOBUFS:
		case ENOMEM:
			server_pause(s, strerror(errno));
			return;
		case EAGAIN:
			return;
		default:
			/* A client that is gone again, or a network that is;
			 * see accept(2). */
			s->stats.errors++;
			break;
		}
	}
}

struct conn_server *
conn_server_create(
    struct loop *loop, const struct conn_handler *handler, void *server_ctx)
{
	struct conn_server *s = x_calloc(1, sizeof(*s));
	double least = handler->idle_timeout;

	s->loop = loop;
	s->handler = handler;
	s->ctx = server_ctx;
	/* Where libevent uses epoll(7), and has not been told otherwise. */
	s->edge = (~event_base_get_features(loop_base(loop)) &
		      (EV_FEATURE_ET | EV_FEATURE_EARLY_CLOSE)) == 0;
	LIST_INIT(&s->conns);
	LIST_INIT(&s->later);
	s->later_timer = loop_timer_create(loop, LOOP_ANSWERS, server_later, s);
	s->sweep_timer = loop_timer_create(loop, LOOP_WORK, server_sweep, s);
	s->resume_timer =
	    loop_timer_create(loop, LOOP_ANSWERS, server_resume_timer, s);
	if (s->later_timer == NULL || s->sweep_timer == NULL ||
	    s->resume_timer == NULL)
		log_fatal("cannot create timers");
	if (least <= 0 ||
	    (handler->partial_timeout > 0 && handler->partial_timeout < least))
		least = handler->partial_timeout;
	if (least > 0) {
		s->sweep_every = least / 8;
		if (s->sweep_every > SERVER_SWEEP_MAX)
			s->sweep_every = SERVER_SWEEP_MAX;
		if (s->sweep_every < SERVER_SWEEP_MIN)
			s->sweep_every = SERVER_SWEEP_MIN;
	}
	return s;
}

static void
server_free_source(struct conn_source *src)
{
	if (src->ev != NULL)
		event_free(src->ev);
	listener_close(&src->listener);
	free(src);
}

static void
server_close_sources(struct conn_server *s)
{
	for (size_t i = 0; i < s->n_sources; i++)
		server_free_source(s->sources[i]);
	free(s->sources);
	s->sources = NULL;
	s->n_sources = 0;
	s->paused = false;
	loop_timer_clear(s->resume_timer);
}

void
conn_server_destroy(struct conn_server **sp)
{
	struct conn_server *s = *sp;
	struct conn *c;

	if (s == NULL)
		return;
	server_close_sources(s);
	while ((c = LIST_FIRST(&s->conns)) != NULL)
		conn_destroy(c, "shutting down");
	loop_timer_destroy(&s->later_timer);
	loop_timer_destroy(&s->sweep_timer);
	loop_timer_destroy(&s->resume_timer);
	free(s);
	*sp = NULL;
}

static struct conn_source *
server_source(struct conn_server *s, struct listener *l, struct errbuf *err)
{
	struct conn_source *src = x_calloc(1, sizeof(*src));

	src->server = s;
	src->listener = l;
	src->ev = event_new(loop_base(s->loop), listener_fd(l),
	    EV_READ | EV_PERSIST, server_accept, s);
	s->sources =
	    x_reallocarray(s->sources, s->n_sources + 1, sizeof(*s->sources));
	s->sources[s->n_sources++] = src;
	if (src->ev != NULL && event_priority_set(src->ev, LOOP_ANSWERS) == 0)
		return src;
	errbuf_set(err, "%s: cannot watch it", listener_name(l));
	return NULL;
}

static int
server_add(struct conn_server *s, struct listener *l, struct errbuf *err)
{
	struct conn_source *src = server_source(s, l, err);

	if (src == NULL)
		return -1;
	if (!s->paused && event_add(src->ev, NULL) != 0)
		return errbuf_set(err, "%s: cannot watch it", listener_name(l));
	return 0;
}

/* Closes the sources that are not wanted. */
static void
server_prune(struct conn_server *s)
{
	size_t kept = 0;

	for (size_t i = 0; i < s->n_sources; i++) {
		if (s->sources[i]->wanted)
			s->sources[kept++] = s->sources[i];
		else
			server_free_source(s->sources[i]);
	}
	s->n_sources = kept;
}

/* An old listener on the port of `ep` that is in its way: it stops listening.
 * What waits to be accepted is accepted first. */
static bool
server_make_room(struct conn_server *s, const struct conf_endpoint *ep)
{
	bool made = false;

	for (size_t i = 0; i < s->n_sources && !ep->is_unix; i++) {
		struct conn_source *src = s->sources[i];

		if (src->wanted || src->fresh || src->suspended ||
		    ep->port == 0 || listener_port(src->listener) != ep->port)
			continue;
		for (int turn = 0; turn < 64 && !s->paused; turn++)
			server_accept(listener_fd(src->listener), EV_READ, s);
		src->suspended = listener_suspend(src->listener);
		made |= src->suspended;
		if (src->suspended)
			event_del(src->ev);
	}
	return made;
}

static int
server_prepare_one(struct conn_server *s, const struct conn_listen *want,
    const struct conf_endpoint *ep, struct errbuf *err)
{
	struct listener *l;
	struct conn_source *src;

	l = listener_open(ep, want->mode, want->uid, want->gid, err);
	if (l == NULL && errno == EADDRINUSE && server_make_room(s, ep))
		l = listener_open(ep, want->mode, want->uid, want->gid, err);
	if (l == NULL)
		return -1;
	src = server_source(s, l, err);
	if (src == NULL)
		return -1;
	src->fresh = true;
	return 0;
}

static bool
server_listens_at(const struct conn_server *s, const struct conf_endpoint *ep)
{
	bool found = false;

	for (size_t i = 0; i < s->n_sources; i++) {
		struct conn_source *src = s->sources[i];

		if (!listener_is_at(src->listener, ep))
			continue;
		src->wanted = true;
		found = true;
	}
	return found;
}

int
conn_server_prepare(
    struct conn_server *s, const struct conn_listen *want, struct errbuf *err)
{
	/* First all that stays: it is not to make room. */
	for (size_t i = 0; i < s->n_sources; i++)
		s->sources[i]->wanted =
		    listener_is_adopted(s->sources[i]->listener);
	for (size_t i = 0; i < want->count; i++)
		(void)server_listens_at(s, &want->endpoints[i]);
	for (size_t i = 0; i < want->count; i++) {
		if (server_listens_at(s, &want->endpoints[i]) ||
		    server_prepare_one(s, want, &want->endpoints[i], err) == 0)
			continue;
		conn_server_rollback(s);
		return -1;
	}
	return 0;
}

void
conn_server_commit(struct conn_server *s)
{
	for (size_t i = 0; i < s->n_sources; i++) {
		struct conn_source *src = s->sources[i];

		src->wanted |= src->fresh;
		if (src->fresh && !s->paused)
			event_add(src->ev, NULL);
		src->fresh = false;
	}
	server_prune(s);
}

void
conn_server_rollback(struct conn_server *s)
{
	for (size_t i = 0; i < s->n_sources; i++)
		s->sources[i]->wanted = !s->sources[i]->fresh;
	server_prune(s);
	for (size_t i = 0; i < s->n_sources; i++) {
		struct conn_source *src = s->sources[i];

		if (!src->suspended)
			continue;
		listener_resume(src->listener);
		src->suspended = false;
		if (!s->paused)
			event_add(src->ev, NULL);
	}
}

int
conn_server_listen(struct conn_server *s, const struct conf_endpoint *ep,
    unsigned mode, uid_t uid, gid_t gid, struct errbuf *err)
{
	struct listener *l = listener_open(ep, mode, uid, gid, err);

	return l != NULL ? server_add(s, l, err) : -1;
}

int
conn_server_adopt(struct conn_server *s, int fd, struct errbuf *err)
{
	struct listener *l = listener_adopt(fd, err);

	return l != NULL ? server_add(s, l, err) : -1;
}

void
conn_server_drain(struct conn_server *s)
{
	struct conn *c, *next;

	/* The buffers are in use, and the caller is on the stack. */
	s->drain_later = s->current != NULL;
	if (s->drain_later) {
		loop_timer_set(s->later_timer, 0);
		return;
	}
	server_close_sources(s);
	s->draining = true;
	for (c = LIST_FIRST(&s->conns); c != NULL; c = next) {
		next = LIST_NEXT(c, link);
		if (c->want == EV_READ)
			conn_read(c);
	}
}

void
conn_server_stats(const struct conn_server *s, struct conn_server_stats *out)
{
	*out = s->stats;
}

uint16_t
conn_server_port(const struct conn_server *s, size_t n)
{
	return n < s->n_sources ? listener_port(s->sources[n]->listener) : 0;
}

const char *
conn_server_name(const struct conn_server *s, size_t n)
{
	return n < s->n_sources ? listener_name(s->sources[n]->listener) : NULL;
}
