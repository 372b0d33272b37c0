/*
 * peers: clients of a server on conn.h, for the targets that play them.
 *
 * Sockets, listener and event base are real; the clock and the timers of the
 * loop are played here: time stands still until the input says that it passes,
 * and peers_turn() is one turn of the loop. So an input is the same run each
 * time, and a timeout of minutes costs nothing.
 *
 * An input is a byte of options and then pieces, each ended by 0xff:
 *
 *     s C bytes    client C (a digit) sends them; it connects first
 *     b C bytes    the same, a byte at a time, with a turn after each
 *     n C N bytes  the same, N times in one
 *     r C          it takes what has come
 *     h C          it half-closes
 *     x C          it is gone
 *     t N          N times two seconds pass
 *
 * What else a piece can say is the target's business. A client does not read
 * unless it is told to, or at the end.
 */
#ifndef MXW_FUZZ_PEERS_H
#define MXW_FUZZ_PEERS_H

#include <errno.h>
#include <event2/event.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/core/log.h"
#include "lib/core/xalloc.h"
#include "lib/io/conn_private.h"
#include "lib/io/loop.h"
#include "t/fuzz/fuzz.h"

#define PEERS 4
#define PEER_BYTES 100000 /* that a client sends at most */
#define PEER_OFTEN 32768  /* the same, in one piece of many */
#define PEERS_BASE 4e9	  /* seconds since 1970 when a run begins */

/* --- The loop --------------------------------------------------------------
 */

struct loop {
	struct event_base *base;
	double passed; /* seconds since the run began */
	struct loop_timer *timers;
};

struct loop_timer {
	struct loop *loop;
	struct loop_timer *next;
	loop_timer_fn *fn;
	void *ctx;
	bool set;
	double due;
};

static struct loop peers_loop;

struct event_base *
loop_base(struct loop *loop)
{
	return loop->base;
}

double
loop_now(const struct loop *loop)
{
	return PEERS_BASE + loop->passed;
}

double
loop_mono(const struct loop *loop)
{
	return 1000 + loop->passed;
}

struct loop_timer *
loop_timer_create(struct loop *loop, enum loop_priority priority,
    loop_timer_fn *fn, void *ctx)
{
	struct loop_timer *t = x_calloc(1, sizeof(*t));

	(void)priority;
	t->loop = loop;
	t->fn = fn;
	t->ctx = ctx;
	t->next = loop->timers;
	loop->timers = t;
	return t;
}

void
loop_timer_destroy(struct loop_timer **tp)
{
	struct loop_timer **p;

	if (*tp == NULL)
		return;
	for (p = &(*tp)->loop->timers; *p != *tp; p = &(*p)->next)
		;
	*p = (*tp)->next;
	free(*tp);
	*tp = NULL;
}

void
loop_timer_set(struct loop_timer *t, double seconds)
{
	t->set = true;
	t->due = t->loop->passed + (seconds > 0 ? seconds : 0);
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

/* The first timer whose time has come. */
static struct loop_timer *
peers_due(void)
{
	struct loop_timer *first = NULL;

	for (struct loop_timer *t = peers_loop.timers; t != NULL; t = t->next)
		if (t->set && t->due <= peers_loop.passed &&
		    (first == NULL || t->due < first->due))
			first = t;
	return first;
}

/* One turn: what the sockets have, then each timer once. */
static void
peers_turn(void)
{
	struct loop_timer *t;
	size_t n = 0;

	event_base_loop(peers_loop.base, EVLOOP_NONBLOCK);
	for (t = peers_loop.timers; t != NULL; t = t->next)
		n += t->set && t->due <= peers_loop.passed;
	while (n-- > 0 && (t = peers_due()) != NULL) {
		t->set = false;
		t->fn(t->ctx);
	}
}

/* --- The clients -----------------------------------------------------------
 */

struct peer {
	int fd; /* -1: it has not come yet, or is gone */
	char *sent, *got;
	size_t sent_len, got_len;
	size_t sent_cap, got_cap;
	bool came;
	bool half; /* has half-closed */
	bool over; /* has seen the end */
	bool cut;  /* left, or may have been closed before its time */
};

static struct peer peers[PEERS];
static int peers_listening; /* each run has a duplicate */
static struct sockaddr_un peers_name;
static socklen_t peers_name_len;
static bool peers_refused; /* nobody listens any more */
/* Called with each client that has been let in. */
static void (*peers_welcome)(struct peer *);

static void
peers_quiet(void *ctx, enum msg_level level, const char *text)
{
	(void)ctx;
	(void)level;
	must(text != NULL);
}

/* Once; a socket without a name in the file system. */
static void
peers_init(void)
{
	struct event_config *cfg = event_config_new();

	must(cfg != NULL);
	event_config_set_flag(cfg, EVENT_BASE_FLAG_NOLOCK);
	peers_loop.base = event_base_new_with_config(cfg);
	event_config_free(cfg);
	must(peers_loop.base != NULL);
	must(event_base_priority_init(peers_loop.base, LOOP_NPRIORITIES) == 0);
	peers_name.sun_family = AF_UNIX;
	peers_listening = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	must(bind(peers_listening, (struct sockaddr *)&peers_name,
		 sizeof(sa_family_t)) == 0);
	must(listen(peers_listening, 2 * PEERS) == 0);
	peers_name_len = sizeof(peers_name);
	must(getsockname(peers_listening, (struct sockaddr *)&peers_name,
		 &peers_name_len) == 0);
	log_set_sink(peers_quiet, NULL);
}

/* A descriptor for the server of this run. */
static int
peers_begin(void)
{
	memset(peers, 0, sizeof(peers));
	for (size_t i = 0; i < PEERS; i++)
		peers[i].fd = -1;
	peers_loop.passed = 0;
	peers_refused = false;
	return dup(peers_listening);
}

static void
peer_connect(struct peer *p)
{
	if (p->came || peers_refused)
		return;
	p->came = true;
	p->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	must(p->fd >= 0);
	must(connect(p->fd, (struct sockaddr *)&peers_name, peers_name_len) ==
	    0);
	peers_turn();
	if (peers_welcome != NULL)
		peers_welcome(p);
}

static void
peer_keep(char **to, size_t *len, size_t *cap, const void *buf, size_t n)
{
	if (*cap - *len < n) {
		*cap = 2 * *cap + n;
		*to = realloc(*to, *cap);
		must(*to != NULL);
	}
	memcpy(*to + *len, buf, n);
	*len += n;
}

/* Keeps what goes out, as far as it does. */
static void
peer_send(struct peer *p, const uint8_t *buf, size_t len)
{
	ssize_t n;

	if (p->fd < 0 || p->half || len > PEER_BYTES - p->sent_len)
		return;
	n = send(p->fd, buf, len, MSG_NOSIGNAL);
	if (n > 0)
		peer_keep(&p->sent, &p->sent_len, &p->sent_cap, buf, (size_t)n);
}

static void
peer_read(struct peer *p)
{
	static char buf[65536];
	ssize_t n;

	while (p->fd >= 0 && !p->over) {
		n = recv(p->fd, buf, sizeof(buf), 0);
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return;
		if (n <= 0) {
			p->over = true;
			return;
		}
		peer_keep(&p->got, &p->got_len, &p->got_cap, buf, (size_t)n);
	}
}

static void
peer_half_close(struct peer *p)
{
	if (p->fd < 0)
		return;
	if (!p->half)
		shutdown(p->fd, SHUT_WR);
	p->half = true;
}

static void
peer_leave(struct peer *p)
{
	if (p->fd >= 0)
		close(p->fd);
	p->fd = -1;
	p->cut = true;
}

/* The timers that are due on the way have their turns. */
static void
peers_pass(double seconds)
{
	const double end = peers_loop.passed + seconds;

	while (peers_loop.passed < end) {
		peers_loop.passed =
		    peers_loop.passed + 2 < end ? peers_loop.passed + 2 : end;
		peers_turn();
		peers_turn();
	}
}

static void
peer_send_often(struct peer *p, size_t times, const uint8_t *buf, size_t len)
{
	uint8_t *all;

	if (len == 0 || times == 0)
		return;
	if (times > PEER_OFTEN / len)
		times = PEER_OFTEN / len + 1;
	all = malloc(times * len);
	must(all != NULL);
	for (size_t i = 0; i < times; i++)
		memcpy(all + i * len, buf, len);
	peer_send(p, all, times * len);
	free(all);
}

/* A piece that says one of the above; false if it does not. `step`: how many
 * bytes of what is sent go out between two turns, 0 = all. */
static bool
peers_piece(const uint8_t *b, size_t len, size_t step)
{
	struct peer *p = &peers[len > 1 ? b[1] % PEERS : 0];
	size_t skip = len < 2 ? len : 2;

	switch (b[0]) {
	case 's':
	case 'b':
		peer_connect(p);
		if (b[0] == 'b')
			step = 1;
		else if (step == 0)
			step = len;
		for (size_t i = skip; i < len; i += step) {
			peer_send(p, b + i, i + step < len ? step : len - i);
			peers_turn();
		}
		return true;
	case 'n':
		peer_connect(p);
		if (len > 3)
			peer_send_often(p, b[2], b + 3, len - 3);
		return true;
	case 'r':
		peer_read(p);
		return true;
	case 'h':
		peer_half_close(p);
		return true;
	case 'x':
		peer_leave(p);
		return true;
	case 't':
		if (len < 2 || b[1] == 0)
			return true;
		for (size_t i = 0; i < PEERS; i++)
			peers[i].cut |= peers[i].came && !peers[i].over;
		peers_pass(2.0 * b[1]);
		return true;
	default:
		return false;
	}
}

/* All of the pieces; `other` has those that are not for a client, `check` is
 * called after each. */
static void
peers_run(const uint8_t *data, size_t size, size_t step,
    void (*other)(const uint8_t *, size_t), void (*check)(void))
{
	while (size > 0) {
		const uint8_t *end = memchr(data, 0xff, size);
		size_t len = end != NULL ? (size_t)(end - data) : size;

		if (len > 0) {
			if (!peers_piece(data, len, step) && other != NULL)
				other(data, len);
			for (int i = 0; i < 4; i++)
				peers_turn();
			check();
		}
		len += end != NULL;
		data += len;
		size -= len;
	}
}

/* What has come to all of them, ends included. */
static size_t
peers_read(bool *all_over)
{
	size_t n = 0;

	*all_over = true;
	for (size_t i = 0; i < PEERS; i++) {
		peer_read(&peers[i]);
		n += peers[i].got_len + peers[i].over;
		*all_over &= peers[i].fd < 0 || peers[i].over;
	}
	return n;
}

/* Everybody has said all there is to say, and listens until the end, or until
 * nothing more comes. */
static void
peers_finish(void (*check)(void))
{
	size_t had = 0;
	bool over = false;

	for (size_t i = 0; i < PEERS; i++)
		peer_half_close(&peers[i]);
	for (int idle = 0; idle < 16 && !over; idle++) {
		size_t have;

		peers_turn();
		check();
		have = peers_read(&over);
		if (have != had)
			idle = 0;
		had = have;
	}
}

static void
peers_end(void)
{
	for (size_t i = 0; i < PEERS; i++) {
		if (peers[i].fd >= 0)
			close(peers[i].fd);
		free(peers[i].sent);
		free(peers[i].got);
	}
	memset(peers, 0, sizeof(peers));
	must(peers_loop.timers == NULL);
}

#endif
