/*
 * redis_peer: the world in which redis_fuzz.c runs the store: a loop, a clock
 * and the other ends of connections, all in this process. Time passes only in
 * peer_pass_time(): to the next timer. What the store sends is read as
 * commands; those that are not EVALSHA may be answered as Redis does.
 */
#ifndef MXW_REDIS_PEER_H
#define MXW_REDIS_PEER_H

#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/core/addr.h"
#include "lib/io/loop.h"
#include "t/fuzz/fuzz.h"

#define PEER_START 1795000000.0
#define PEER_PORT_SENTINEL 26379

/* --- Loop and clock --------------------------------------------------------
 */

struct loop_timer {
	TAILQ_ENTRY(loop_timer) link;
	loop_timer_fn *fn;
	void *ctx;
	bool set;
	double due;
};

struct loop_watch {
	TAILQ_ENTRY(loop_watch) link;
	int fd;
	enum loop_want want;
	loop_timer_fn *fn;
	void *ctx;
	bool set;
};

static TAILQ_HEAD(, loop_timer) peer_timers = TAILQ_HEAD_INITIALIZER(
    peer_timers);
static TAILQ_HEAD(, loop_watch) peer_watches = TAILQ_HEAD_INITIALIZER(
    peer_watches);
static double peer_mono;

static double
peer_now(void)
{
	return PEER_START + peer_mono;
}

double
loop_now(const struct loop *loop)
{
	(void)loop;
	return peer_now();
}

double
loop_mono(const struct loop *loop)
{
	(void)loop;
	return peer_mono;
}

struct loop_timer *
loop_timer_create(
    struct loop *loop, enum loop_priority p, loop_timer_fn *fn, void *ctx)
{
	struct loop_timer *t = calloc(1, sizeof(*t));

	(void)loop;
	(void)p;
	must(t != NULL);
	t->fn = fn;
	t->ctx = ctx;
	TAILQ_INSERT_TAIL(&peer_timers, t, link);
	return t;
}

void
loop_timer_destroy(struct loop_timer **t)
{
	if (*t == NULL)
		return;
	TAILQ_REMOVE(&peer_timers, *t, link);
	free(*t);
	*t = NULL;
}

void
loop_timer_set(struct loop_timer *t, double seconds)
{
	must(seconds >= 0);
	t->set = true;
	t->due = peer_mono + seconds;
}

void
loop_timer_clear(struct loop_timer *t)
{
	t->set = false;
}

bool
loop_timer_pending(const struct loop_timer *t)
{
	return t->set;
}

struct loop_watch *
loop_watch_create(struct loop *loop, int fd, enum loop_want want,
    loop_timer_fn *fn, void *ctx)
{
	struct loop_watch *w = calloc(1, sizeof(*w));

	(void)loop;
	must(w != NULL);
	w->fd = fd;
	w->want = want;
	w->fn = fn;
	w->ctx = ctx;
	TAILQ_INSERT_TAIL(&peer_watches, w, link);
	return w;
}

void
loop_watch_destroy(struct loop_watch **w)
{
	if (*w == NULL)
		return;
	TAILQ_REMOVE(&peer_watches, *w, link);
	free(*w);
	*w = NULL;
}

void
loop_watch_set(struct loop_watch *w)
{
	w->set = true;
}

void
loop_watch_clear(struct loop_watch *w)
{
	w->set = false;
}

/* --- Connections -----------------------------------------------------------
 */

#define PEER_CONNS 8
#define PEER_IN_MAX 65536

/* The far end of one. Bytes that do not fit are dropped: the store is not
 * tested for what it does with more than it takes at once. */
struct peer {
	bool open, closed, subscribed;
	char kind; /* 'n'; 's' and 'c' once it has told which */
	char in[PEER_IN_MAX];
	size_t in_at, in_len;
	char *out; /* commands, as far as they are not yet read */
	size_t out_len;
};

static struct peer peers[PEER_CONNS];
static bool peer_does_answer, peer_does_track;
static size_t peer_piece;

static struct peer *
peer_of(int fd)
{
	must(fd >= 0 && fd < PEER_CONNS && peers[fd].open);
	return &peers[fd];
}

static void
peer_put(struct peer *p, const char *s, size_t len)
{
	if (p->in_at == p->in_len)
		p->in_at = p->in_len = 0;
	if (len > PEER_IN_MAX - p->in_len)
		len = PEER_IN_MAX - p->in_len;
	memcpy(p->in + p->in_len, s, len);
	p->in_len += len;
}

/* Where the first whole command in `s` ends, and its first two words; 0 if it
 * is not whole. What the store sends must be an array of strings. */
static size_t
peer_command(const char *s, size_t len, char words[2][16])
{
	const char *p = s, *end = s + len;
	unsigned long n, bytes;
	char *next;

	memset(words, 0, 32);
	if (memchr(p, '\n', len) == NULL)
		return 0;
	must(*p == '*');
	n = strtoul(p + 1, &next, 10);
	must(n > 0 && next[0] == '\r' && next[1] == '\n');
	p = next + 2;
	for (unsigned long i = 0; i < n; i++) {
		if (memchr(p, '\n', (size_t)(end - p)) == NULL)
			return 0;
		must(*p == '$');
		bytes = strtoul(p + 1, &next, 10);
		must(next[0] == '\r' && next[1] == '\n');
		p = next + 2;
		if ((size_t)(end - p) < bytes + 2)
			return 0;
		if (i < 2)
			memcpy(words[i], p, bytes < 15 ? bytes : 15);
		p += bytes;
		must(p[0] == '\r' && p[1] == '\n');
		p += 2;
	}
	return (size_t)(p - s);
}

static const char *
peer_answer(const struct peer *p, const char *verb, const char *word)
{
	if (strcmp(verb, "EVALSHA") == 0)
		return "";
	if (strcmp(verb, "SUBSCRIBE") == 0)
		return "*3\r\n$9\r\nsubscribe\r\n$1\r\nx\r\n:1\r\n";
	if (strcmp(verb, "SENTINEL") == 0)
		return "*2\r\n$9\r\n192.0.2.9\r\n$4\r\n6379\r\n";
	if (strcmp(verb, "ROLE") == 0)
		return "*1\r\n$6\r\nmaster\r\n";
	if (strcmp(verb, "PING") == 0)
		return p->subscribed ? "*2\r\n$4\r\npong\r\n$0\r\n\r\n"
				     : "+PONG\r\n";
	if (strcmp(verb, "SCRIPT") == 0)
		return "$40\r\n0123456789abcdef0123456789abcdef01234567\r\n";
	if (strcmp(verb, "CLIENT") == 0 && strcmp(word, "ID") == 0)
		return peer_does_track ? ":7\r\n" : "-ERR unknown command\r\n";
	return "+OK\r\n";
}

/* Commands that have come whole. */
static void
peer_read(struct peer *p)
{
	char words[2][16];
	size_t at = 0, n;

	while ((n = peer_command(p->out + at, p->out_len - at, words)) > 0) {
		const char *reply = peer_answer(p, words[0], words[1]);

		if (p->kind == '?')
			p->kind = strcmp(words[0], "CLIENT") == 0 ? 's' : 'c';
		if (strcmp(words[0], "SUBSCRIBE") == 0) {
			p->subscribed = true;
			if (p->kind != 'n')
				p->kind = 's';
		}
		if (peer_does_answer)
			peer_put(p, reply, strlen(reply));
		at += n;
	}
	memmove(p->out, p->out + at, p->out_len - at);
	p->out_len -= at;
}

static int
peer_socket(int family, int type, int protocol)
{
	(void)family;
	(void)type;
	(void)protocol;
	for (int i = 0; i < PEER_CONNS; i++) {
		struct peer *p = &peers[i];

		if (p->open)
			continue;
		p->open = true;
		p->closed = p->subscribed = false;
		p->kind = '?';
		p->in_at = p->in_len = p->out_len = 0;
		return i;
	}
	abort(); /* the store leaks descriptors */
}

static int
peer_connect(int fd, const struct sockaddr *sa, socklen_t len)
{
	struct sockaddr_in sin;

	must(len >= sizeof(sin));
	memcpy(&sin, sa, sizeof(sin));
	if (ntohs(sin.sin_port) == PEER_PORT_SENTINEL)
		peer_of(fd)->kind = 'n';
	return 0;
}

static int
peer_close_fd(int fd)
{
	peer_of(fd)->open = false;
	return 0;
}

static ssize_t
peer_recv(int fd, void *buf, size_t len, int flags)
{
	struct peer *p = peer_of(fd);
	size_t n = p->in_len - p->in_at;

	(void)flags;
	if (n == 0 && p->closed)
		return 0;
	if (n == 0) {
		errno = EAGAIN;
		return -1;
	}
	if (n > len)
		n = len;
	if (n > peer_piece)
		n = peer_piece;
	memcpy(buf, p->in + p->in_at, n);
	p->in_at += n;
	return (ssize_t)n;
}

static ssize_t
peer_sent(int fd, const void *buf, size_t len, int flags)
{
	struct peer *p = peer_of(fd);
	char *out;

	(void)flags;
	if (p->closed) {
		errno = EPIPE;
		return -1;
	}
	if (len > peer_piece * 64)
		len = peer_piece * 64;
	out = realloc(p->out, p->out_len + len);
	must(out != NULL);
	p->out = out;
	memcpy(out + p->out_len, buf, len);
	p->out_len += len;
	peer_read(p);
	return (ssize_t)len;
}

static int
peer_option(int fd, int level, int name, const void *value, socklen_t len)
{
	(void)level;
	(void)name;
	(void)value;
	(void)len;
	peer_of(fd);
	return 0;
}

static int
peer_error(int fd, int level, int name, void *value, socklen_t *len)
{
	(void)level;
	(void)name;
	peer_of(fd);
	memset(value, 0, *len);
	return 0;
}

/* The connection as it is, but for what it asks of the system. */
#define socket(family, type, protocol) peer_socket(family, type, protocol)
#define connect(fd, sa, len) peer_connect(fd, sa, len)
#define close(fd) peer_close_fd(fd)
#define recv(fd, buf, len, flags) peer_recv(fd, buf, len, flags)
#define send(fd, buf, len, flags) peer_sent(fd, buf, len, flags)
#define setsockopt(fd, level, name, v, len) peer_option(fd, level, name, v, len)
#define getsockopt(fd, level, name, v, len) peer_error(fd, level, name, v, len)
#include "lib/io/resp.c"
#undef socket
#undef connect
#undef close
#undef recv
#undef send
#undef setsockopt
#undef getsockopt

/* --- What happens ----------------------------------------------------------
 */

static void
peer_reset(bool answers, bool tracking, size_t piece)
{
	for (size_t i = 0; i < PEER_CONNS; i++) {
		must(!peers[i].open);
		free(peers[i].out);
		memset(&peers[i], 0, sizeof(peers[i]));
	}
	must(TAILQ_EMPTY(&peer_timers) && TAILQ_EMPTY(&peer_watches));
	peer_does_answer = answers;
	peer_does_track = tracking;
	peer_piece = piece > SIZE_MAX / 64 ? SIZE_MAX / 64 : piece;
	peer_mono = 1;
}

static void
peer_answers(bool answers)
{
	peer_does_answer = answers;
}

static void
peer_send(uint8_t kind, const char *s, size_t len)
{
	for (size_t i = 0; i < PEER_CONNS; i++)
		if (peers[i].open && peers[i].kind == (char)kind)
			peer_put(&peers[i], s, len);
}

static void
peer_close(char kind)
{
	for (size_t i = 0; i < PEER_CONNS; i++)
		if (peers[i].open && peers[i].kind == kind)
			peers[i].closed = true;
}

/* One callback that is due; false if there is none. */
static bool
peer_step(void)
{
	struct loop_watch *w;
	struct loop_timer *t;

	TAILQ_FOREACH(w, &peer_watches, link)
	{
		const struct peer *p = peer_of(w->fd);

		if (!w->set ||
		    (w->want == LOOP_READ && p->in_at == p->in_len &&
			!p->closed))
			continue;
		if (w->want == LOOP_WRITE)
			w->set = false;
		w->fn(w->ctx);
		return true;
	}
	TAILQ_FOREACH(t, &peer_timers, link)
	if (t->set && t->due <= peer_mono) {
		t->set = false;
		t->fn(t->ctx);
		return true;
	}
	return false;
}

static void
peer_run(int steps)
{
	while (steps-- > 0 && peer_step()) {
	}
}

/* To the next timer. */
static void
peer_pass_time(void)
{
	const struct loop_timer *t, *first = NULL;

	TAILQ_FOREACH(t, &peer_timers, link)
	if (t->set && (first == NULL || t->due < first->due))
		first = t;
	if (first != NULL && first->due > peer_mono)
		peer_mono = first->due;
}

#endif
