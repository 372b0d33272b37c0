/*
 * resp: see resp.h.
 */
#include "lib/io/resp.h"

#include <errno.h>
#include <hiredis.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/core/xalloc.h"
#include "lib/io/loop.h"

/* The type of the element count changed between the versions. */
#if HIREDIS_MAJOR < 1
typedef int resp_count;
#else
typedef size_t resp_count;
#endif

enum state { CONNECTING, OPEN, DEAD };

struct want {
	resp_reply *fn;
	void *ctx;
};

struct resp {
	struct loop *loop;
	const struct resp_events *events;
	void *ctx;
	double timeout;
	enum state state;
	int fd;
	struct loop_watch *readable, *writable;
	struct loop_timer *timer;
	redisReader *reader;
	char *out;
	size_t out_at, out_len, out_room;
	struct want *wants; /* a ring */
	size_t want_at, want_n, want_room;
	double moved;  /* when something was last heard, monotonic */
	unsigned busy; /* depth of our callbacks */
	bool destroyed;
	char why[160]; /* "" = alive */
};

static redisReplyObjectFunctions resp_functions;
static void *(*resp_array_default)(const redisReadTask *, resp_count);

static void *
resp_array(const redisReadTask *task, resp_count n)
{
	if ((long long)n > RESP_ELEMENTS_MAX)
		return NULL;
	return resp_array_default(task, n);
}

static redisReader *
reader_create(void)
{
	redisReader *r = redisReaderCreate();

	if (r == NULL)
		return NULL;
	if (resp_array_default == NULL) {
		resp_functions = *r->fn;
		resp_array_default = resp_functions.createArray;
		resp_functions.createArray = resp_array;
	}
	r->fn = &resp_functions;
	return r;
}

static void
resp_free(struct resp *r)
{
	loop_watch_destroy(&r->readable);
	loop_watch_destroy(&r->writable);
	if (r->fd >= 0)
		close(r->fd);
	if (r->reader != NULL)
		redisReaderFree(r->reader);
	loop_timer_destroy(&r->timer);
	free(r->out);
	free(r->wants);
	free(r);
}

void
resp_destroy(struct resp **rp)
{
	struct resp *r = *rp;

	if (r == NULL)
		return;
	*rp = NULL;
	r->destroyed = true;
	if (r->busy == 0)
		resp_free(r);
}

/* No more events; the owner is told. */
static void
resp_die(struct resp *r, const char *why)
{
	if (r->state == DEAD)
		return;
	r->state = DEAD;
	if (r->why[0] == '\0')
		snprintf(r->why, sizeof(r->why), "%s", why);
	loop_watch_clear(r->readable);
	loop_watch_clear(r->writable);
	loop_timer_clear(r->timer);
	if (!r->destroyed)
		r->events->closed(r->ctx, r->why);
}

void
resp_fail(struct resp *r, const char *why)
{
	if (r->state == DEAD || r->why[0] != '\0')
		return;
	snprintf(r->why, sizeof(r->why), "%s", why);
	loop_timer_set(r->timer, 0);
}

static void
resp_deliver(struct resp *r, redisReply *reply)
{
	if (r->want_n > 0) {
		struct want w = r->wants[r->want_at];

		r->want_at = (r->want_at + 1) % r->want_room;
		r->want_n--;
		if (w.fn != NULL)
			w.fn(w.ctx, reply);
	} else if (r->events->push != NULL) {
		r->events->push(r->ctx, reply);
	} else {
		resp_die(r,
		    reply->type == REDIS_REPLY_ERROR
			? reply->str
			: "a reply that nobody asked for");
	}
}

/* What has been received: every complete reply in it. */
static void
resp_parse(struct resp *r)
{
	for (;;) {
		void *reply = NULL;

		if (redisReaderGetReply(r->reader, &reply) != REDIS_OK) {
			resp_die(r, r->reader->errstr);
			return;
		}
		if (reply == NULL)
			break;
		resp_deliver(r, reply);
		r->reader->fn->freeObject(reply);
		if (r->destroyed || r->state == DEAD)
			return;
	}
	if (r->reader->len > RESP_REPLY_MAX)
		resp_die(r, "a reply that is too long");
}

static void
resp_read(struct resp *r)
{
	char buf[RESP_CHUNK];
	ssize_t n = recv(r->fd, buf, sizeof(buf), 0);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n < 0) {
		resp_die(r, strerror(errno));
		return;
	}
	if (n == 0) {
		resp_die(r, "closed by the server");
		return;
	}
	r->moved = loop_mono(r->loop);
	if (redisReaderFeed(r->reader, buf, (size_t)n) != REDIS_OK)
		resp_die(r, r->reader->errstr);
	else
		resp_parse(r);
}

static void
resp_write(struct resp *r)
{
	size_t len = r->out_len - r->out_at;
	ssize_t n;

	if (len > RESP_CHUNK * 2)
		len = RESP_CHUNK * 2;
	if (len == 0)
		return;
	n = send(r->fd, r->out + r->out_at, len, MSG_NOSIGNAL);
	if (n < 0 && errno != EAGAIN && errno != EINTR) {
		resp_die(r, strerror(errno));
		return;
	}
	if (n > 0)
		r->out_at += (size_t)n;
	if (r->out_at == r->out_len)
		r->out_at = r->out_len = 0;
	else
		loop_watch_set(r->writable);
}

void
resp_flush(struct resp *r)
{
	ssize_t n;

	if (r->state != OPEN || r->out_at == r->out_len)
		return;
	/* What goes wrong is told of by the event, not inside of a call. */
	n = send(
	    r->fd, r->out + r->out_at, r->out_len - r->out_at, MSG_NOSIGNAL);
	if (n > 0)
		r->out_at += (size_t)n;
	if (r->out_at < r->out_len)
		return;
	r->out_at = r->out_len = 0;
	loop_watch_clear(r->writable);
}

static void
resp_connected(struct resp *r)
{
	int why = 0;
	socklen_t len = sizeof(why);

	if (getsockopt(r->fd, SOL_SOCKET, SO_ERROR, &why, &len) != 0)
		why = errno;
	if (why != 0) {
		resp_die(r, strerror(why));
		return;
	}
	r->state = OPEN;
	r->moved = loop_mono(r->loop);
	loop_watch_set(r->readable);
	r->events->open(r->ctx);
}

/* Our callbacks may destroy the object under our feet: it goes at the end. */
static void
resp_enter(struct resp *r)
{
	r->busy++;
}

static void
resp_leave(struct resp *r)
{
	if (--r->busy == 0 && r->destroyed)
		resp_free(r);
}

static void
resp_readable(void *arg)
{
	struct resp *r = arg;

	resp_enter(r);
	if (r->state == OPEN)
		resp_read(r);
	resp_leave(r);
}

static void
resp_writable(void *arg)
{
	struct resp *r = arg;

	resp_enter(r);
	if (r->state == CONNECTING)
		resp_connected(r);
	if (r->state == OPEN && !r->destroyed)
		resp_write(r);
	resp_leave(r);
}

static void
resp_timer(void *arg)
{
	struct resp *r = arg;
	double left;
	char why[64];

	resp_enter(r);
	/* We may have been late ourselves: is there something to read? */
	if (r->state == OPEN && r->why[0] == '\0')
		resp_read(r);
	if (r->state == DEAD || r->destroyed) {
		resp_leave(r);
		return;
	}
	left = r->moved + r->timeout - loop_mono(r->loop);
	if (r->why[0] != '\0') {
		resp_die(r, r->why);
	} else if (r->state == OPEN && r->want_n == 0) {
		/* set again by the next command */
	} else if (left > 0) {
		loop_timer_set(r->timer, left + 0.005);
	} else {
		snprintf(why, sizeof(why), "no %s within %.0f ms",
		    r->state == OPEN ? "reply" : "connection",
		    r->timeout * 1000);
		resp_die(r, why);
	}
	resp_leave(r);
}

struct resp *
resp_create(struct loop *loop, const struct sockaddr *sa, socklen_t len,
    double timeout, const struct resp_events *events, void *ctx)
{
	struct resp *r = calloc(1, sizeof(*r));
	int on = 1;

	if (r == NULL)
		return NULL;
	r->loop = loop;
	r->events = events;
	r->ctx = ctx;
	r->timeout = timeout;
	r->moved = loop_mono(loop);
	r->fd = socket(
	    sa->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	r->reader = reader_create();
	r->timer = loop_timer_create(loop, LOOP_WORK, resp_timer, r);
	if (r->fd < 0 || r->reader == NULL || r->timer == NULL) {
		resp_free(r);
		return NULL;
	}
	r->readable =
	    loop_watch_create(loop, r->fd, LOOP_READ, resp_readable, r);
	r->writable =
	    loop_watch_create(loop, r->fd, LOOP_WRITE, resp_writable, r);
	if (r->readable == NULL || r->writable == NULL) {
		resp_free(r);
		return NULL;
	}
	if (sa->sa_family != AF_UNIX)
		setsockopt(r->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (connect(r->fd, sa, len) != 0 && errno != EINPROGRESS)
		resp_fail(r, strerror(errno));
	else
		loop_timer_set(r->timer, timeout);
	loop_watch_set(r->writable);
	return r;
}

static void
out_put(struct resp *r, const char *s, size_t len)
{
	if (r->out_at > 0 && r->out_len + len > r->out_room) {
		memmove(r->out, r->out + r->out_at, r->out_len - r->out_at);
		r->out_len -= r->out_at;
		r->out_at = 0;
	}
	if (r->out_len + len > r->out_room) {
		size_t room = (r->out_len + len) * 2 + 1024;
		char *out = room <= RESP_OUT_MAX ? realloc(r->out, room) : NULL;

		if (out == NULL) {
			resp_fail(r, "too much to send, or out of memory");
			return;
		}
		r->out = out;
		r->out_room = room;
	}
	memcpy(r->out + r->out_len, s, len);
	r->out_len += len;
}

/* "*12\r\n" */
static void
out_size(struct resp *r, char what, size_t n)
{
	char buf[24], *p = buf + sizeof(buf);

	*--p = '\n';
	*--p = '\r';
	do {
		*--p = (char)('0' + n % 10);
		n /= 10;
	} while (n > 0);
	*--p = what;
	out_put(r, p, (size_t)(buf + sizeof(buf) - p));
}

void
resp_begin(struct resp *r, size_t n_args)
{
	out_size(r, '*', n_args);
}

void
resp_arg(struct resp *r, const char *s, size_t len)
{
	out_size(r, '$', len);
	out_put(r, s, len);
	out_put(r, "\r\n", 2);
}

void
resp_arg_str(struct resp *r, const char *s)
{
	resp_arg(r, s, strlen(s));
}

void
resp_arg_u64(struct resp *r, uint64_t v)
{
	char buf[24], *p = buf + sizeof(buf);

	do {
		*--p = (char)('0' + v % 10);
		v /= 10;
	} while (v > 0);
	resp_arg(r, p, (size_t)(buf + sizeof(buf) - p));
}

void
resp_arg_num(struct resp *r, double v)
{
	char buf[40];

	/* printf of a double is slow; most are whole. */
	if (v >= 0 && v < 1e15 && v == (double)(uint64_t)v) {
		resp_arg_u64(r, (uint64_t)v);
		return;
	}
	snprintf(buf, sizeof(buf), "%.17g", v);
	resp_arg_str(r, buf);
}

static bool
wants_grow(struct resp *r)
{
	size_t room = r->want_room * 2 + 16;
	struct want *w;

	if (r->want_n < r->want_room)
		return true;
	w = calloc(room, sizeof(*w));
	if (w == NULL)
		return false;
	for (size_t i = 0; i < r->want_n; i++)
		w[i] = r->wants[(r->want_at + i) % r->want_room];
	free(r->wants);
	r->wants = w;
	r->want_at = 0;
	r->want_room = room;
	return true;
}

void
resp_end(struct resp *r, resp_reply *fn, void *ctx)
{
	if (r->state == DEAD)
		return;
	if (!wants_grow(r)) {
		resp_fail(r, "out of memory");
		return;
	}
	if (r->want_n == 0 && r->state == OPEN) {
		r->moved = loop_mono(r->loop);
		if (r->why[0] == '\0' && !loop_timer_pending(r->timer))
			loop_timer_set(r->timer, r->timeout + 0.005);
	}
	r->wants[(r->want_at + r->want_n++) % r->want_room] =
	    (struct want){ fn, ctx };
	if (r->state == OPEN)
		loop_watch_set(r->writable);
}

static void
resp_words(struct resp *r, va_list ap)
{
	size_t n = 0;
	const char *word;
	va_list count;

	va_copy(count, ap);
	while (va_arg(count, const char *) != NULL)
		n++;
	va_end(count);
	resp_begin(r, n);
	while ((word = va_arg(ap, const char *)) != NULL)
		resp_arg_str(r, word);
}

void
resp_command(struct resp *r, resp_reply *fn, void *ctx, ...)
{
	va_list ap;

	va_start(ap, ctx);
	resp_words(r, ap);
	va_end(ap);
	resp_end(r, fn, ctx);
}

void
resp_push_command(struct resp *r, ...)
{
	va_list ap;

	va_start(ap, r);
	resp_words(r, ap);
	va_end(ap);
	if (r->state == OPEN)
		loop_watch_set(r->writable);
}

size_t
resp_waiting(const struct resp *r)
{
	return r->want_n;
}

bool
resp_is_text(const struct redisReply *reply)
{
	return reply->type == REDIS_REPLY_STRING ||
	    reply->type == REDIS_REPLY_STATUS;
}

bool
resp_is_error(const struct redisReply *reply, const char *code)
{
	return reply->type == REDIS_REPLY_ERROR &&
	    strncmp(reply->str, code, strlen(code)) == 0;
}

const char *
resp_describe(const struct redisReply *reply)
{
	switch (reply->type) {
	case REDIS_REPLY_ERROR:
		return reply->str;
	case REDIS_REPLY_STRING:
	case REDIS_REPLY_STATUS:
		return "unexpected reply: text";
	case REDIS_REPLY_ARRAY:
		return "unexpected reply: an array";
	case REDIS_REPLY_INTEGER:
		return "unexpected reply: a number";
	case REDIS_REPLY_NIL:
		return "unexpected reply: nothing";
	default:
		return "unexpected reply";
	}
}
