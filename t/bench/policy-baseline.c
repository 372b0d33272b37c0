/*
 * policy-baseline: the least that a policy server on libevent can do, to
 * measure ours against. It finds the empty line and answers DUNNO.
 *
 *     policy-baseline [-m raw|buffer] ENDPOINT
 *
 * raw: events with read(2) and write(2), one of each for a request, and one
 * shared buffer; input that does not end with a request is kept. buffer: a
 * bufferevent for each connection, as the libevent book does it. Compare with
 * the better of the two.
 */
#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <unistd.h>

#include "t/bench/bench.h"

static const char reply[] = "action=DUNNO\n\n";
#define REPLY_LEN (sizeof(reply) - 1)

struct client {
	struct event *ev;
	size_t kept;
	char keep[65536];
};

static char shared[65536];

static void
raw_close(struct client *c)
{
	close(event_get_fd(c->ev));
	event_free(c->ev);
	free(c);
}

static void
raw_read(evutil_socket_t fd, short what, void *arg)
{
	struct client *c = arg;
	char *buf = c->kept > 0 ? c->keep : shared;
	char out[REPLY_LEN * 64];
	size_t n_out = 0, len;
	const char *p, *end, *nl;
	ssize_t n = read(fd, buf + c->kept, sizeof(shared) - c->kept);

	(void)what;
	if (n <= 0) {
		if (n == 0 || errno != EAGAIN)
			raw_close(c);
		return;
	}
	len = c->kept + (size_t)n;
	end = buf + len;
	for (p = buf; p < end; p = nl + 2) {
		nl = memmem(p, (size_t)(end - p), "\n\n", 2);
		if (nl == NULL || n_out == sizeof(out))
			break;
		memcpy(out + n_out, reply, REPLY_LEN);
		n_out += REPLY_LEN;
	}
	c->kept = (size_t)(end - p);
	if (c->kept > 0)
		memmove(c->keep, p, c->kept);
	if ((n_out > 0 && write(fd, out, n_out) != (ssize_t)n_out) ||
	    c->kept == sizeof(shared))
		raw_close(c);
}

static void
raw_accept(struct evconnlistener *l, evutil_socket_t fd, struct sockaddr *sa,
    int len, void *arg)
{
	struct client *c = malloc(sizeof(*c));

	(void)sa;
	(void)len;
	(void)arg;
	c->kept = 0;
	c->ev = event_new(
	    evconnlistener_get_base(l), fd, EV_READ | EV_PERSIST, raw_read, c);
	event_add(c->ev, NULL);
}

static void
buffer_read(struct bufferevent *bev, void *arg)
{
	struct evbuffer *in = bufferevent_get_input(bev);
	struct evbuffer_ptr p;

	(void)arg;
	while ((p = evbuffer_search(in, "\n\n", 2, NULL)).pos >= 0) {
		evbuffer_drain(in, (size_t)p.pos + 2);
		bufferevent_write(bev, reply, REPLY_LEN);
	}
}

static void
buffer_event(struct bufferevent *bev, short what, void *arg)
{
	(void)what;
	(void)arg;
	bufferevent_free(bev);
}

static void
buffer_accept(struct evconnlistener *l, evutil_socket_t fd, struct sockaddr *sa,
    int len, void *arg)
{
	struct bufferevent *bev = bufferevent_socket_new(
	    evconnlistener_get_base(l), fd, BEV_OPT_CLOSE_ON_FREE);

	(void)sa;
	(void)len;
	(void)arg;
	bufferevent_setcb(bev, buffer_read, NULL, buffer_event, NULL);
	bufferevent_enable(bev, EV_READ | EV_WRITE);
}

int
main(int argc, char **argv)
{
	struct bench_address addr;
	struct event_base *base;
	struct evconnlistener *l;
	bool raw = true;
	int opt;

	while ((opt = getopt(argc, argv, "m:")) != -1) {
		if (opt != 'm')
			return 2;
		raw = strcmp(optarg, "buffer") != 0;
	}
	if (optind + 1 != argc) {
		fprintf(stderr,
		    "usage: policy-baseline [-m raw|buffer] ENDPOINT\n");
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	bench_parse(argv[optind], &addr);
	base = event_base_new();
	l = evconnlistener_new_bind(base, raw ? raw_accept : buffer_accept,
	    NULL, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_REUSEABLE, 1024,
	    (struct sockaddr *)&addr.ss, (int)addr.len);
	if (l == NULL) {
		perror(argv[optind]);
		return 2;
	}
	event_base_dispatch(base);
	evconnlistener_free(l);
	event_base_free(base);
	return 0;
}
