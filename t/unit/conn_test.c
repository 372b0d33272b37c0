/*
 * Connections: a server that answers lines, driven by clients in the same
 * process, through everything that clients and kernels do to it.
 */
#include "lib/io/conn.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "lib/core/log.h"
#include "lib/io/conn_private.h"
#include "t/unit/tap.h"

#define DEADLINE 10.0

/*
 * The server under test: each line is answered by itself, but
 *     big N    N bytes        close    answered, then closed
 *     hold     answered later
 *     one      and all after it: one line for each call
 */
struct server {
	struct loop *loop;
	struct conn_server *cs;
	struct conn_handler handler;
	size_t lines;
	size_t drained;
	size_t closed;
	size_t inputs;
	size_t max_backlog;
	bool refuse;
	bool one;
	bool drain_inside;
	bool saw_eof;
	struct conn *last; /* the newest, NULL after any has closed */
	struct conn *held;
	char reason[64];
};

static double
mono(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void *
server_opened(void *ctx, struct conn *c)
{
	struct server *sv = ctx;

	if (sv->refuse) {
		conn_write(c, "no\n", 3);
		return NULL;
	}
	sv->last = c;
	return sv;
}

static bool
server_line(struct server *sv, struct conn *c, const char *line, size_t len)
{
	char text[64];

	sv->lines++;
	snprintf(text, sizeof(text), "%.*s", (int)len - 1, line);
	if (strncmp(text, "big ", 4) == 0) {
		size_t n = strtoul(text + 4, NULL, 10);
		char *p = malloc(n);

		memset(p, 'b', n);
		conn_write(c, p, n);
		free(p);
		if (conn_backlog(c) > sv->max_backlog)
			sv->max_backlog = conn_backlog(c);
		return true;
	}
	if (strcmp(text, "hold") == 0) {
		conn_hold(c, true);
		sv->held = c;
		return true;
	}
	if (strcmp(text, "one") == 0)
		sv->one = true;
	if (sv->drain_inside)
		conn_server_drain(sv->cs);
	conn_write(c, line, len);
	return strcmp(text, "close") != 0;
}

static ssize_t
server_input(void *ctx, struct conn *c, const char *buf, size_t len, bool eof)
{
	struct server *sv = ctx;
	size_t at = 0;
	const char *nl;

	sv->inputs++;
	sv->saw_eof = eof;
	while (
	    (nl = len > at ? memchr(buf + at, '\n', len - at) : NULL) != NULL) {
		size_t n = (size_t)(nl - (buf + at)) + 1;

		if (!server_line(sv, c, buf + at, n))
			return CONN_CLOSE;
		at += n;
		if (sv->one)
			break;
	}
	return (ssize_t)at;
}

static void
server_drained(void *ctx, struct conn *c)
{
	struct server *sv = ctx;

	sv->drained++;
	conn_write(c, "drained\n", 8);
}

static void
server_closed(void *ctx, struct conn *c, const char *reason)
{
	struct server *sv = ctx;

	/* All of these must be harmless here. */
	conn_close(c);
	conn_hold(c, true);
	if (conn_write(c, "x", 1))
		printf("# written to a closed connection\n");
	sv->closed++;
	sv->last = NULL;
	snprintf(sv->reason, sizeof(sv->reason), "%s", reason);
}

static struct server *
server_start(double idle, double partial)
{
	struct server *sv = calloc(1, sizeof(*sv));

	sv->loop = loop_create();
	sv->handler = (struct conn_handler){ .opened = server_opened,
		.input = server_input,
		.drained = server_drained,
		.closed = server_closed,
		.max_input = 10000,
		.idle_timeout = idle,
		.partial_timeout = partial };
	sv->cs = conn_server_create(sv->loop, &sv->handler, sv);
	return sv;
}

static void
server_stop(struct server **svp)
{
	conn_server_destroy(&(*svp)->cs);
	loop_destroy(&(*svp)->loop);
	free(*svp);
	*svp = NULL;
}

static void
server_turn(struct server *sv)
{
	event_base_loop(loop_base(sv->loop), EVLOOP_NONBLOCK);
}

static struct conn_server_stats
server_stats(const struct server *sv)
{
	struct conn_server_stats st;

	conn_server_stats(sv->cs, &st);
	return st;
}

/* Turns the loop until `cond` or a deadline. */
#define UNTIL(sv, cond)                                \
	do {                                           \
		const double end_ = mono() + DEADLINE; \
		while (!(cond) && mono() < end_) {     \
			server_turn(sv);               \
			poll(NULL, 0, 1);              \
		}                                      \
	} while (0)

static void
server_listen_inet(struct server *sv)
{
	struct conf_endpoint ep = { .is_unix = false };
	struct errbuf err = { "" };

	addr_parse_host("127.0.0.1", 9, &ep.addr);
	if (conn_server_listen(sv->cs, &ep, 0, (uid_t)-1, (gid_t)-1, &err) != 0)
		printf("# %s\n", err.text);
}

static int
client_connect_to(uint16_t port)
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (connect(fd, (struct sockaddr *)&sin, sizeof(sin)) != 0) {
		close(fd);
		return -1;
	}
	fcntl(fd, F_SETFL, O_NONBLOCK);
	return fd;
}

static int
client_connect(struct server *sv)
{
	return client_connect_to(conn_server_port(sv->cs, 0));
}

static void
client_send(int fd, const char *text)
{
	size_t len = strlen(text);

	if (send(fd, text, len, MSG_NOSIGNAL) != (ssize_t)len)
		printf("# client: send: %s\n", strerror(errno));
}

/* Reads until `want` bytes or EOF or the deadline. */
static const char *
client_recv(struct server *sv, int fd, size_t want)
{
	static char buf[200000];
	const double end = mono() + DEADLINE;
	size_t got = 0;

	while (got < want && mono() < end) {
		ssize_t n = recv(fd, buf + got, want - got, 0);

		if (n == 0 || (n < 0 && errno != EAGAIN))
			break;
		if (n > 0) {
			got += (size_t)n;
			continue;
		}
		server_turn(sv);
	}
	buf[got] = '\0';
	return buf;
}

/* Does the peer close without another byte? */
static bool
client_sees_end(struct server *sv, int fd)
{
	const double end = mono() + DEADLINE;
	ssize_t n = -1;
	char c;

	do {
		server_turn(sv);
		n = recv(fd, &c, 1, 0);
	} while (n < 0 && errno == EAGAIN && mono() < end);
	return n == 0 || (n < 0 && errno == ECONNRESET);
}

static void
test_answers(void)
{
	struct server *sv = server_start(0, 0);
	const char *text = "one line\nanother\n\nlast\n";
	int fd;

	server_listen_inet(sv);
	ok(conn_server_port(sv->cs, 0) != 0, "a port was found");
	is_int(conn_server_port(sv->cs, 1), 0, "there is no second listener");
	fd = client_connect(sv);
	for (size_t cut = 0; cut <= strlen(text); cut++) {
		send(fd, text, cut, MSG_NOSIGNAL);
		server_turn(sv);
		send(fd, text + cut, strlen(text) - cut, MSG_NOSIGNAL);
		if (strcmp(client_recv(sv, fd, strlen(text)), text) != 0)
			ok(false, "answers when cut at %zu", cut);
	}
	is_int(sv->lines, 4 * (strlen(text) + 1), "pipelined lines, cut");
	for (size_t i = 0; i < strlen(text); i++) {
		send(fd, text + i, 1, MSG_NOSIGNAL);
		server_turn(sv);
	}
	is_str(client_recv(sv, fd, strlen(text)), text, "every byte alone");

	client_send(fd, "a\nb\nno newline");
	shutdown(fd, SHUT_WR);
	is_str(
	    client_recv(sv, fd, 4), "a\nb\n", "answered after the half-close");
	ok(client_sees_end(sv, fd), "then closed");
	ok(sv->saw_eof, "the handler was told");
	is_str(
	    sv->reason, "closed by peer in the middle of a request", "and why");
	close(fd);

	fd = client_connect(sv);
	client_send(fd, "a\nclose\nignored\n");
	is_str(client_recv(sv, fd, 8), "a\nclose\n", "output before a close");
	ok(client_sees_end(sv, fd), "is written");
	is_str(sv->reason, "closed", "closed by us");
	close(fd);
	is_int(server_stats(sv).accepted, 2, "two accepted");
	is_int(server_stats(sv).open, 0, "none open");

	sv->refuse = true;
	fd = client_connect(sv);
	is_str(client_recv(sv, fd, 3), "no\n", "a refusal may say why");
	ok(client_sees_end(sv, fd), "and closes");
	is_int(server_stats(sv).refused, 1, "and is counted");
	close(fd);
	server_stop(&sv);
}

/* A handler that stops at each request is called again for the next. */
static void
test_one_by_one(void)
{
	struct server *sv = server_start(0, 0);
	int fd;

	server_listen_inet(sv);
	fd = client_connect(sv);
	client_send(fd, "one\n2\n3\n4\n5\n6");
	is_str(
	    client_recv(sv, fd, 12), "one\n2\n3\n4\n5\n", "all are answered");
	is_int(sv->inputs, 6, "in a call each, and one for the rest");
	client_send(fd, "\n7\n");
	is_str(client_recv(sv, fd, 4), "6\n7\n", "and the rest is not lost");
	close(fd);
	server_stop(&sv);
}

/* However many connections send however much, a turn has an end. */
static void
test_share(void)
{
	enum { N = 200, LINES = 1000, LINE = 16 };
	struct server *sv = server_start(0, 0);
	const double end = mono() + DEADLINE;
	size_t most = 0, before;
	char text[LINES * LINE + 1];
	int fds[N];

	for (int i = 0; i < LINES; i++)
		memcpy(text + i * LINE, "123456789012345\n", LINE);
	text[LINES * LINE] = '\0';
	server_listen_inet(sv);
	for (int i = 0; i < N; i++) {
		fds[i] = client_connect(sv);
		UNTIL(sv, server_stats(sv).open == (size_t)i + 1);
	}
	for (int i = 0; i < N; i++)
		client_send(fds[i], text);
	while (sv->lines < N * LINES && mono() < end) {
		before = sv->lines;
		event_base_loop(
		    loop_base(sv->loop), EVLOOP_ONCE | EVLOOP_NONBLOCK);
		if (sv->lines - before > most)
			most = sv->lines - before;
	}
	is_int(sv->lines, N * LINES, "all lines of all connections");
	ok(most > LINES, "many in a turn (%zu)", most);
	ok(most * LINE <= CONN_TURN + CONN_BUFFER + N * CONN_SHARE,
	    "but not all of them");
	for (int i = 0; i < N; i++) {
		if (strcmp(client_recv(sv, fds[i], LINES * LINE), text) != 0)
			ok(false, "connection %d: not what was sent", i);
		close(fds[i]);
	}
	server_stop(&sv);
}

/* All that has come is read, though nothing more comes to tell of it: more than
 * the buffer, exactly as much, with the end behind it, with a reset. */
static void
test_unannounced(void)
{
	enum { LINE = 16, MORE = CONN_BUFFER / LINE * 2 + 5 };
	const size_t n_lines[] = { 1, CONN_BUFFER / LINE,
		CONN_BUFFER / LINE + 1, MORE };
	const struct linger reset = { .l_onoff = 1 };
	struct server *sv = server_start(0, 0);
	static char text[MORE * LINE + 1];
	int fd;

	for (size_t i = 0; i < MORE; i++)
		memcpy(text + i * LINE, "123456789012345\n", LINE);
	server_listen_inet(sv);
	for (int end = 0; end <= 1; end++)
		for (size_t i = 0; i < sizeof(n_lines) / sizeof(*n_lines);
		     i++) {
			const size_t len = n_lines[i] * LINE;
			const size_t before = sv->lines;
			size_t sent;

			fd = client_connect(sv);
			UNTIL(sv, server_stats(sv).open == 1);
			for (sent = 0; sent < len;) {
				ssize_t n = send(
				    fd, text + sent, len - sent, MSG_NOSIGNAL);

				if (n > 0)
					sent += (size_t)n;
				else
					server_turn(sv);
			}
			if (end)
				shutdown(fd, SHUT_WR);
			is_int(strlen(client_recv(sv, fd, len)), len,
			    "%zu bytes%s are answered", len,
			    end ? " with the end behind them" : "");
			is_int(sv->lines - before, n_lines[i], "each once");
			ok(!end || client_sees_end(sv, fd), "then closed");
			close(fd);
			UNTIL(sv, server_stats(sv).open == 0);
			is_int(server_stats(sv).open, 0, "and gone");
		}
	server_stop(&sv);

	sv = server_start(0, 0.2);
	server_listen_inet(sv);
	for (int part = 0; part <= 1; part++) {
		fd = client_connect(sv);
		UNTIL(sv, server_stats(sv).open == 1);
		if (part)
			client_send(fd, "part of a li");
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
		close(fd);
		UNTIL(sv, server_stats(sv).open == 0);
		is_int(server_stats(sv).open, 0, "reset %s: gone",
		    part ? "in the middle of a request" : "between requests");
	}
	server_stop(&sv);
}

/* More output than the socket takes. */
static void
test_backlog(void)
{
	struct server *sv = server_start(0, 0);
	const size_t big = 8 * 1024 * 1024;
	size_t got = 0, inputs;
	char buf[65536];
	double end = mono() + DEADLINE;
	ssize_t n;
	int fd;

	server_listen_inet(sv);
	fd = client_connect(sv);
	client_send(fd, "one\nbig 8388608\nafter\n");
	UNTIL(sv, sv->max_backlog > 0);
	ok(sv->max_backlog > 0, "output waits");
	client_send(fd, "later\n");
	inputs = sv->inputs;
	for (int i = 0; i < 10; i++)
		server_turn(sv);
	is_int(sv->inputs, inputs, "nothing more is read meanwhile");
	while (got < big + 4 && mono() < end) {
		n = recv(fd, buf, sizeof(buf), 0);
		if (n > 0)
			got += (size_t)n;
		else
			server_turn(sv);
		if (got > big + 4 - sizeof(buf))
			break;
	}
	while (got < big + 4) {
		const char *p = client_recv(sv, fd, big + 4 - got);

		if (*p == '\0')
			break;
		got += strlen(p);
	}
	is_int(got, big + 4, "all of it arrives");
	is_str(client_recv(sv, fd, 20), "drained\nafter\nlater\n",
	    "the producer goes on, then kept and new input");
	is_int(sv->drained, 1, "drained is told once");

	client_send(fd, "big 8388608\n");
	UNTIL(sv, sv->last != NULL && conn_backlog(sv->last) > 0);
	close(fd);
	UNTIL(sv, sv->closed == 1);
	is_str(sv->reason, "connection lost", "the peer goes in the middle");
	is_int(server_stats(sv).errors, 1, "an error");
	server_stop(&sv);
}

static void
test_too_long(void)
{
	struct server *sv = server_start(0, 0);
	char *text = calloc(1, 10002);
	int fd;

	server_listen_inet(sv);
	fd = client_connect(sv);
	memset(text, 'x', 10000);
	text[9999] = '\n';
	for (int i = 0; i < 10000; i += 1000) {
		send(fd, text + i, 1000, MSG_NOSIGNAL);
		server_turn(sv);
	}
	is_int(strlen(client_recv(sv, fd, 10000)), 10000,
	    "as much as max_input is kept");
	text[9999] = 'x';
	text[10000] = 'x';
	client_send(fd, text);
	ok(client_sees_end(sv, fd), "more is not");
	is_str(sv->reason, "request too long", "and why");
	free(text);
	close(fd);
	server_stop(&sv);
}

static void
test_timeouts(void)
{
	struct server *sv = server_start(0.3, 0.15);
	double start = mono();
	int idle, slow, held, deaf;

	server_listen_inet(sv);
	idle = client_connect(sv);
	client_send(idle, "a\n");
	client_recv(sv, idle, 2);
	held = client_connect(sv);
	client_send(held, "hold\n");
	UNTIL(sv, sv->lines == 2);
	ok(client_sees_end(sv, idle), "idle: closed");
	is_str(sv->reason, "idle", "and why");
	ok(mono() - start >= 0.28, "not too early");
	ok(server_stats(sv).open == 1, "not while an answer is awaited");

	/* Bytes that keep coming do not prolong a request. */
	slow = client_connect(sv);
	start = mono();
	while (sv->closed == 1 && mono() < start + DEADLINE) {
		send(slow, "x", 1, MSG_NOSIGNAL);
		server_turn(sv);
		poll(NULL, 0, 5);
	}
	is_str(sv->reason, "timeout in the middle of a request",
	    "a request must end in time");
	ok(mono() - start >= 0.14, "not too early");

	deaf = client_connect(sv);
	client_send(deaf, "big 8388608\n");
	UNTIL(sv, sv->closed == 3);
	is_str(sv->reason, "peer does not read", "output must be taken");
	is_int(server_stats(sv).timeouts, 3, "all are counted");
	is_int(server_stats(sv).open, 1, "the held one is left");
	close(idle);
	close(held);
	close(slow);
	close(deaf);
	server_stop(&sv);
}

/* Answers that come later. */
static void
test_hold(void)
{
	struct server *sv = server_start(0, 0);
	int fd;

	server_listen_inet(sv);
	fd = client_connect(sv);
	client_send(fd, "hold\n");
	shutdown(fd, SHUT_WR);
	UNTIL(sv, sv->saw_eof);
	server_turn(sv);
	is_int(sv->closed, 0, "a half-close does not end a held connection");
	ok(conn_write(sv->last, "answer\n", 7), "the answer");
	is_str(client_recv(sv, fd, 7), "answer\n", "is sent at once");
	conn_hold(sv->last, false);
	is_int(sv->closed, 0, "no callback inside of a call");
	ok(client_sees_end(sv, fd), "released: closed");
	close(fd);

	fd = client_connect(sv);
	client_send(fd, "a\n");
	client_recv(sv, fd, 2);
	conn_write(sv->last, "bye\n", 4);
	conn_close(sv->last);
	is_int(sv->closed, 1, "no callback inside of a call");
	is_str(client_recv(sv, fd, 4), "bye\n", "what was written");
	ok(client_sees_end(sv, fd), "comes before the end");
	close(fd);

	fd = client_connect(sv);
	client_send(fd, "a\n");
	client_recv(sv, fd, 2);
	{
		char *p = calloc(1, 8 * 1024 * 1024);

		ok(conn_write(sv->last, p, 8 * 1024 * 1024), "a lot");
		ok(conn_backlog(sv->last) > 0, "has to wait");
		conn_close(sv->last);
		free(p);
	}
	for (int i = 0; i < 10; i++)
		server_turn(sv);
	is_int(sv->closed, 2, "and is waited for");
	close(fd);
	UNTIL(sv, sv->closed == 3);
	is_int(sv->closed, 3, "until the peer goes");
	server_stop(&sv);
}

/* More than one read takes, all of it in the kernel: which TCP does not promise
 * to have there. */
static void
test_drain_long(void)
{
	enum { LEN = CONN_BUFFER + 16 };
	struct server *sv = server_start(0, 0);
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	socklen_t len = sizeof(sun);
	struct errbuf err = { "" };
	static char text[LEN + 1];
	int fd;

	for (size_t i = 0; i < LEN; i += 16)
		memcpy(text + i, "123456789012345\n", 16);
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	ok(bind(fd, (struct sockaddr *)&sun, sizeof(sa_family_t)) == 0 &&
		listen(fd, 5) == 0 &&
		getsockname(fd, (struct sockaddr *)&sun, &len) == 0 &&
		conn_server_adopt(sv->cs, fd, &err) == 0,
	    "a unix socket %s", err.text);
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	ok(connect(fd, (struct sockaddr *)&sun, len) == 0, "connected");
	fcntl(fd, F_SETFL, O_NONBLOCK);
	UNTIL(sv, server_stats(sv).open == 1);
	client_send(fd, text);
	conn_server_drain(sv->cs);
	is_int(strlen(client_recv(sv, fd, LEN)), LEN,
	    "drained: what takes two reads is answered");
	ok(client_sees_end(sv, fd), "and then closed");
	close(fd);
	server_stop(&sv);
}

static void
test_drain(void)
{
	struct server *sv = server_start(0, 0);
	int idle, sent, half, held;
	uint16_t port;

	server_listen_inet(sv);
	port = conn_server_port(sv->cs, 0);
	idle = client_connect(sv);
	sent = client_connect(sv);
	half = client_connect(sv);
	held = client_connect(sv);
	client_send(held, "hold\n");
	client_send(half, "half ");
	UNTIL(sv,
	    server_stats(sv).open == 4 && sv->lines == 1 && sv->inputs >= 2);
	client_send(sent, "in the kernel\n");
	conn_server_drain(sv->cs);
	is_int(server_stats(sv).open, 2, "idle ones are closed at once");
	ok(client_sees_end(sv, idle), "the idle one");
	is_str(client_recv(sv, sent, 14), "in the kernel\n",
	    "what was sent before is answered");
	ok(client_sees_end(sv, sent), "and then closed");
	is_int(client_connect_to(port), -1, "nobody listens");
	client_send(half, "done\n");
	is_str(client_recv(sv, half, 10), "half done\n",
	    "a request in the middle is finished");
	ok(client_sees_end(sv, half), "and then closed");
	is_int(server_stats(sv).open, 1, "held ones wait");
	shutdown(held, SHUT_WR);
	UNTIL(sv, sv->saw_eof);
	conn_hold(sv->held, false);
	UNTIL(sv, server_stats(sv).open == 0);
	is_int(server_stats(sv).open, 0, "until they are released");
	close(idle);
	close(sent);
	close(half);
	close(held);
	server_stop(&sv);

	sv = server_start(0, 0);
	server_listen_inet(sv);
	idle = client_connect(sv);
	sent = client_connect(sv);
	UNTIL(sv, server_stats(sv).open == 2);
	sv->drain_inside = true;
	client_send(sent, "a\n");
	is_str(client_recv(sv, sent, 2), "a\n", "drained in a callback");
	UNTIL(sv, server_stats(sv).open == 0);
	is_int(server_stats(sv).open, 0, "all are closed soon");
	close(idle);
	close(sent);
	server_stop(&sv);
	test_drain_long();
}

static size_t paused_said;

static void
count_messages(void *ctx, enum msg_level level, const char *text)
{
	(void)ctx;
	(void)level;
	if (strstr(text, "no more are accepted") != NULL)
		paused_said++;
}

/* Lowest descriptor that is free. */
static int
free_fd(void)
{
	int fd = dup(0);

	close(fd);
	return fd;
}

static void
test_descriptors(unsigned spare)
{
	struct server *sv = server_start(0, 0);
	struct rlimit old, low;
	size_t turns, n;
	int fds[20], more;

	sv->handler.spare_fds = spare;
	server_listen_inet(sv);
	for (int i = 0; i < 20; i++)
		fds[i] = client_connect(sv);
	getrlimit(RLIMIT_NOFILE, &old);
	low = old;
	low.rlim_cur = (rlim_t)free_fd() + 8;
	setrlimit(RLIMIT_NOFILE, &low);
	n = 8 - (spare < low.rlim_cur / 8 ? spare : low.rlim_cur / 8);
	log_set_sink(count_messages, NULL);
	paused_said = 0;
	UNTIL(sv, server_stats(sv).paused > 0);
	is_int(server_stats(sv).open, n, "as many as descriptors are left");
	ok(server_stats(sv).paused > 0, "accepting pauses");
	ok(paused_said > 0, "it is said");

	/* Those who are in are served, and the loop does not spin. */
	client_send(fds[0], "a\n");
	is_str(client_recv(sv, fds[0], 2), "a\n", "clients are served");
	turns = server_stats(sv).paused;
	for (int i = 0; i < 100; i++)
		server_turn(sv);
	ok(server_stats(sv).paused - turns < 5, "no accept in each turn");

	/* One goes (its descriptor here stays), one comes. */
	shutdown(fds[0], SHUT_RDWR);
	UNTIL(sv, server_stats(sv).accepted == n + 1);
	is_int(server_stats(sv).accepted, n + 1, "one goes, one comes");
	is_int(server_stats(sv).open, n, "as many as before");
	for (int i = 1; i < 20 - (int)n; i++)
		shutdown(fds[i], SHUT_RDWR);
	UNTIL(sv, server_stats(sv).accepted == 20);
	is_int(server_stats(sv).accepted, 20, "in the end all were accepted");
	if (spare > 0) {
		more = open("/dev/null", O_RDONLY | O_CLOEXEC);
		ok(more >= 0, "there was one to spare all the time");
		close(more);
	}

	setrlimit(RLIMIT_NOFILE, &old);
	log_set_sink(NULL, NULL);
	for (int i = 0; i < 20; i++)
		close(fds[i]);
	server_stop(&sv);
}

/* Descriptors come back without a connection closing. */
static void
test_descriptors_timer(void)
{
	struct server *sv = server_start(0, 0);
	struct rlimit old, low;
	int fd;

	server_listen_inet(sv);
	fd = client_connect(sv);
	getrlimit(RLIMIT_NOFILE, &old);
	low = old;
	low.rlim_cur = (rlim_t)free_fd();
	setrlimit(RLIMIT_NOFILE, &low);
	log_set_sink(count_messages, NULL);
	UNTIL(sv, server_stats(sv).paused > 0);
	is_int(server_stats(sv).open, 0, "not a single descriptor");
	setrlimit(RLIMIT_NOFILE, &old);
	UNTIL(sv, server_stats(sv).open == 1);
	is_int(server_stats(sv).open, 1, "accepted when there are some again");
	log_set_sink(NULL, NULL);
	close(fd);
	server_stop(&sv);
}

static int
client_connect_unix(const char *path)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", path);
	if (connect(fd, (struct sockaddr *)&sun, sizeof(sun)) != 0) {
		close(fd);
		return -1;
	}
	fcntl(fd, F_SETFL, O_NONBLOCK);
	return fd;
}

static int
listen_unix(struct server *sv, const char *path, unsigned mode, uid_t uid,
    gid_t gid, struct errbuf *err)
{
	struct conf_endpoint ep = { .is_unix = true };

	snprintf(ep.path, sizeof(ep.path), "%s", path);
	return conn_server_listen(sv->cs, &ep, mode, uid, gid, err);
}

static void
test_unix(const char *dir)
{
	struct server *sv = server_start(0, 0), *sv2;
	struct errbuf err = { "" };
	char path[100], want[64];
	struct stat st;
	uid_t uid;
	gid_t gid;
	int fd;

	snprintf(path, sizeof(path), "%s/sock", dir);
	umask(077);
	ok(listen_unix(sv, path, 0666, (uid_t)-1, (gid_t)-1, &err) == 0,
	    "a unix socket %s", err.text);
	is_int(umask(022), 077, "the umask is as before");
	stat(path, &st);
	is_int(st.st_mode, S_IFSOCK | 0666, "with the mode that was asked for");
	fd = client_connect_unix(path);
	client_send(fd, "a\n");
	is_str(client_recv(sv, fd, 2), "a\n", "it answers");
	snprintf(want, sizeof(want), "unix:pid=%ld uid=%lu", (long)getpid(),
	    (unsigned long)getuid());
	is_str(conn_peer(sv->last), want, "who it is");
	ok(conn_peer_cred(sv->last, &uid, &gid) && uid == getuid() &&
		gid == getgid(),
	    "credentials");

	sv2 = server_start(0, 0);
	ok(listen_unix(sv2, path, 0600, (uid_t)-1, (gid_t)-1, &err) == -1,
	    "not twice");
	ok(strstr(err.text, path) != NULL &&
		strstr(err.text, "running") != NULL,
	    "and why: %s", err.text);
	close(fd);
	fd = client_connect_unix(path);
	ok(fd >= 0, "the first goes on");
	close(fd);

	/* A successor has taken the path. */
	unlink(path);
	ok(listen_unix(sv2, path, 0600, (uid_t)-1, (gid_t)-1, &err) == 0,
	    "a successor");
	server_stop(&sv);
	ok(stat(path, &st) == 0 && (st.st_mode & 0777) == 0600,
	    "keeps its socket when the old server ends");
	server_stop(&sv2);
	ok(stat(path, &st) != 0, "and removes it in the end");
}

static void
test_unix_stale(const char *dir)
{
	struct server *sv = server_start(0, 0);
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	struct errbuf err = { "" };
	char path[100];
	struct stat st;
	int fd;

	snprintf(path, sizeof(path), "%s/stale", dir);
	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bind(fd, (struct sockaddr *)&sun, sizeof(sun));
	listen(fd, 1);
	close(fd);
	ok(stat(path, &st) == 0, "a socket that was left over");
	ok(listen_unix(sv, path, 0600, getuid(), getgid(), &err) == 0,
	    "is replaced %s", err.text);
	fd = client_connect_unix(path);
	client_send(fd, "a\n");
	is_str(client_recv(sv, fd, 2), "a\n", "and answers");
	close(fd);

	snprintf(path, sizeof(path), "%s/file", dir);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	close(fd);
	ok(listen_unix(sv, path, 0600, (uid_t)-1, (gid_t)-1, &err) == -1,
	    "a file is not");
	ok(stat(path, &st) == 0 && S_ISREG(st.st_mode), "and stays");
	unlink(path);
	snprintf(path, sizeof(path), "%s/none/sock", dir);
	ok(listen_unix(sv, path, 0600, (uid_t)-1, (gid_t)-1, &err) == -1,
	    "no directory");
	ok(strstr(err.text, "No such file") != NULL, "and why: %s", err.text);
	if (getuid() == 0) {
		snprintf(path, sizeof(path), "%s/owned", dir);
		ok(listen_unix(sv, path, 0660, 65534, 65533, &err) == 0,
		    "for another user");
		stat(path, &st);
		ok(st.st_uid == 65534 && st.st_gid == 65533 &&
			(st.st_mode & 0777) == 0660,
		    "owner and mode");
	}
	server_stop(&sv);
}

static void
test_adopt(void)
{
	struct server *sv = server_start(0, 0);
	struct sockaddr_in6 sin6 = { .sin6_family = AF_INET6,
		.sin6_addr = IN6ADDR_LOOPBACK_INIT };
	socklen_t len = sizeof(sin6);
	struct errbuf err = { "" };
	uid_t uid;
	gid_t gid;
	int fd;

	fd = socket(AF_INET6, SOCK_STREAM, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&sin6, len) != 0) {
		ok(true, "no IPv6 here # SKIP");
		server_stop(&sv);
		return;
	}
	ok(conn_server_adopt(sv->cs, fd, &err) == -1, "not listening");
	ok(err.text[0] != '\0', "and why: %s", err.text);
	listen(fd, 5);
	ok(conn_server_adopt(sv->cs, fd, &err) == 0, "adopted");
	ok((fcntl(fd, F_GETFL) & O_NONBLOCK) != 0 &&
		(fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0,
	    "and made fit");
	sin6.sin6_port = htons(conn_server_port(sv->cs, 0));
	fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ok(connect(fd, (struct sockaddr *)&sin6, len) == 0, "connected");
	fcntl(fd, F_SETFL, O_NONBLOCK);
	client_send(fd, "a\n");
	is_str(client_recv(sv, fd, 2), "a\n", "it answers");
	ok(strncmp(conn_peer(sv->last), "[::1]:", 6) == 0, "peer %s",
	    conn_peer(sv->last));
	ok(!conn_peer_cred(sv->last, &uid, &gid), "no credentials");
	close(fd);
	server_stop(&sv);
}

int
main(void)
{
	char dir[] = "/tmp/conn_test.XXXXXX";

	if (mkdtemp(dir) == NULL)
		return 1;
	test_answers();
	test_one_by_one();
	test_share();
	test_unannounced();
	test_backlog();
	test_too_long();
	test_timeouts();
	test_hold();
	test_drain();
	test_descriptors(0);
	test_descriptors(3);
	test_descriptors_timer();
	test_unix(dir);
	test_unix_stale(dir);
	test_adopt();
	rmdir(dir);
	return tap_done();
}
