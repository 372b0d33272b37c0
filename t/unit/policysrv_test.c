/*
 * The policy server over real sockets, with an engine that answers by the
 * client's address. Every send(2) of the server is counted here.
 */
#include "policyd/daemon/policysrv.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "lib/core/log.h"
#include "lib/io/loop.h"
#include "t/unit/tap.h"

#define DEADLINE 10.0
#define DUNNO_REPLY "action=DUNNO\n\n"

struct engine {
	size_t queries;
	char long_action[POLICY_ACTION_MAX + 1];
};

static size_t sends;
static size_t warnings;
static char last_message[2048];

ssize_t
send(int fd, const void *buf, size_t len, int flags)
{
	sends++;
	return sendto(fd, buf, len, flags, NULL, 0);
}

/* Hints, no more: there is nothing to fetch. */
void
engine_expect(struct engine *e, const char *address, size_t len)
{
	(void)e;
	(void)address;
	(void)len;
}

void
engine_expect_later(const struct engine *e)
{
	(void)e;
}

/* 192.0.2.1 is blocked, 192.0.2.2 with the longest action, no address at all
 * is one of the reasons for DUNNO. */
void
engine_query(struct engine *e, const struct policy_request *req, double now,
    struct verdict *out)
{
	const struct policy_str *a = &req->attr[POLICY_CLIENT_ADDRESS];

	e->queries++;
	memset(out, 0, sizeof(*out));
	out->action = POLICY_DUNNO;
	out->dunno = true;
	if (now < 1.6e9)
		out->action = "550 no time";
	if (a->ptr == NULL || !addr_parse_host(a->ptr, a->len, &out->addr)) {
		out->why = VERDICT_NO_ADDRESS;
	} else if (a->len == 9 && memcmp(a->ptr, "192.0.2.1", 9) == 0) {
		out->why = VERDICT_BLOCKED;
		out->action = "REJECT 5.7.1 Abuse [mxw]";
		out->dunno = false;
	} else if (a->len == 9 && memcmp(a->ptr, "192.0.2.2", 9) == 0) {
		out->why = VERDICT_BLOCKED;
		out->action = e->long_action;
	} else {
		out->why = VERDICT_PASS;
	}
	out->action_len = strlen(out->action);
}

struct fixture {
	struct loop *loop;
	struct engine engine;
	struct policysrv *srv;
};

static double
mono(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void
fixture_start(struct fixture *f)
{
	struct conf_endpoint ep = { .is_unix = false };
	struct errbuf err = { "" };

	memset(f, 0, sizeof(*f));
	memset(f->engine.long_action, 'x', POLICY_ACTION_MAX);
	memcpy(f->engine.long_action, "REJECT ", 7);
	f->loop = loop_create();
	f->srv = policysrv_create(f->loop, &f->engine, 310);
	addr_parse_host("127.0.0.1", 9, &ep.addr);
	ok(conn_server_listen(policysrv_conns(f->srv), &ep, 0, (uid_t)-1,
	       (gid_t)-1, &err) == 0,
	    "listening %s", err.text);
}

static void
fixture_stop(struct fixture *f)
{
	policysrv_destroy(&f->srv);
	loop_destroy(&f->loop);
}

static struct policysrv_stats
fixture_stats(const struct fixture *f)
{
	struct policysrv_stats st;

	policysrv_stats(f->srv, &st);
	return st;
}

static void
fixture_turn(struct fixture *f)
{
	event_base_loop(loop_base(f->loop), EVLOOP_NONBLOCK);
}

static int
fixture_connect(struct fixture *f)
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
		.sin_port = htons(conn_server_port(policysrv_conns(f->srv), 0)),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (connect(fd, (struct sockaddr *)&sin, sizeof(sin)) != 0)
		printf("# connect: %s\n", strerror(errno));
	fcntl(fd, F_SETFL, O_NONBLOCK);
	return fd;
}

/* Writes and turns the loop until everything is taken and `want` bytes have
 * come, or the server closes, or the deadline; returns how many came. */
static size_t
fixture_talk(struct fixture *f, int fd, const char *data, size_t len,
    char *reply, size_t want, bool *closed)
{
	const double end = mono() + DEADLINE;
	size_t at = 0, got = 0;

	*closed = false;
	while ((at < len || got < want) && !*closed && mono() < end) {
		ssize_t n = at < len ? write(fd, data + at, len - at) : -1;

		if (n > 0)
			at += (size_t)n;
		else if (at < len && n < 0 && errno != EAGAIN)
			*closed = true;
		fixture_turn(f);
		n = recv(fd, reply + got, want - got + 1, 0);
		if (n > 0)
			got += (size_t)n;
		else if (n == 0 || errno == ECONNRESET)
			*closed = true;
	}
	return got;
}

static void
talk(struct fixture *f, int fd, const char *request, const char *want,
    const char *what)
{
	char reply[4096];
	bool closed;
	size_t got = fixture_talk(
	    f, fd, request, strlen(request), reply, strlen(want), &closed);

	reply[got] = '\0';
	is_str(reply, want, "%s", what);
	if (closed)
		ok(false, "%s: closed", what);
	/* Not a byte more. */
	fixture_turn(f);
	ok(recv(fd, reply, 1, 0) < 0 && errno == EAGAIN, "%s: nothing else",
	    what);
}

#define R "request=smtpd_access_policy\n"
#define BLOCKED R "client_address=192.0.2.1\nsender=a=b@example.org\n\n"
#define FREE R "client_address=198.51.100.1\nx=y\n\n"
#define REJECT_REPLY "action=REJECT 5.7.1 Abuse [mxw]\n\n"

static void
test_answers(void)
{
	static const char two[] = FREE BLOCKED;
	static const char both[] = DUNNO_REPLY REJECT_REPLY;
	struct fixture f;
	struct policysrv_stats st;
	int fd, fd2;

	fixture_start(&f);
	fd = fixture_connect(&f);
	fd2 = fixture_connect(&f);
	talk(&f, fd, FREE, DUNNO_REPLY, "a client that is not blocked");
	talk(&f, fd, BLOCKED, REJECT_REPLY, "one that is, same connection");
	talk(&f, fd2, BLOCKED, REJECT_REPLY, "on another one");
	talk(&f, fd, R "\n", DUNNO_REPLY, "no address");
	talk(&f, fd, "client_address=192.0.2.1\n\n", REJECT_REPLY,
	    "the least that a request can be");
	sends = 0;
	talk(&f, fd, FREE BLOCKED FREE, DUNNO_REPLY REJECT_REPLY DUNNO_REPLY,
	    "pipelined");
	is_int(sends, 1, "three answers in one write");
	for (size_t cut = 1; cut < sizeof(two) - 1; cut++) {
		/* The first part may be answered before the second is sent. */
		const size_t first =
		    cut >= strlen(FREE) ? strlen(DUNNO_REPLY) : 0;
		char reply[256];
		bool closed;

		fixture_talk(&f, fd, two, cut, reply, first, &closed);
		fixture_talk(&f, fd, two + cut, sizeof(two) - 1 - cut,
		    reply + first, strlen(both) - first, &closed);
		if (closed || memcmp(reply, both, strlen(both)) != 0)
			ok(false, "cut at %zu", cut);
	}
	is_int(f.engine.queries, 8 + 2 * (strlen(FREE BLOCKED) - 1),
	    "two requests cut at every position");
	st = fixture_stats(&f);
	is_int(st.requests, f.engine.queries, "requests are counted");
	is_int(st.by_why[VERDICT_NO_ADDRESS], 1, "by verdict: no address");
	is_int(st.by_why[VERDICT_BLOCKED], 4 + strlen(FREE BLOCKED) - 1,
	    "blocked");
	is_int(st.by_why[VERDICT_PASS], 3 + strlen(FREE BLOCKED) - 1, "pass");
	is_int(st.garbage, 0, "garbage");
	is_int(st.conns.open, 2, "connections");
	close(fd);
	close(fd2);
	fixture_stop(&f);
}

/* As Exim does it: request, half-close, read to the end. */
static void
test_half_close(void)
{
	struct fixture f;
	char reply[256];
	bool closed;
	size_t got;
	int fd;

	fixture_start(&f);
	fd = fixture_connect(&f);
	if (write(fd, BLOCKED FREE "client_add", strlen(BLOCKED FREE) + 10) < 0)
		printf("# write: %s\n", strerror(errno));
	shutdown(fd, SHUT_WR);
	got = fixture_talk(&f, fd, "", 0, reply, sizeof(reply) - 1, &closed);
	reply[got] = '\0';
	is_str(reply, REJECT_REPLY DUNNO_REPLY,
	    "complete requests are answered after a half-close");
	ok(closed, "then it closes");
	close(fd);
	fixture_stop(&f);
}

static void
keep_message(void *ctx, enum msg_level level, const char *text)
{
	(void)ctx;
	if (level == MSG_WARNING)
		warnings++;
	snprintf(last_message, sizeof(last_message), "%s", text);
}

static void
test_garbage(void)
{
	static const struct {
		const char *data;
		size_t len;
		const char *says;
	} bad[] = {
		{ "\n", 1, "empty request" },
		{ "GET /?a=b HTTP/1.0\r\nHost: x\r\n\r\n", 31,
		    "begins \"GET /?a=b HTTP/1.0??" },
		{ "request=other\n\n", 15, "unknown kind" },
		{ R "sender=\0\n\n", sizeof(R) + 9, "NUL byte" },
		{ "\xff\x1b[31m\n", 7, "begins \"??[31m?\"" },
	};
	struct fixture f;
	char reply[256], *big;
	bool closed;
	size_t n = sizeof(bad) / sizeof(*bad);
	int fd;

	fixture_start(&f);
	log_set_sink(keep_message, NULL);
	for (size_t i = 0; i < n; i++) {
		fd = fixture_connect(&f);
		is_int(fixture_talk(
			   &f, fd, bad[i].data, bad[i].len, reply, 1, &closed),
		    0, "no answer to garbage %zu", i);
		ok(closed, "but the end");
		if (!ok(strstr(last_message, bad[i].says) != NULL &&
			    strstr(last_message, "127.0.0.1:") != NULL,
			"it is said who and why"))
			printf("# %s\n", last_message);
		close(fd);
	}
	is_int(fixture_stats(&f).garbage, n, "counted");

	/* Good ones before it are answered. */
	fd = fixture_connect(&f);
	is_int(fixture_talk(&f, fd, FREE "junk\n\n" FREE,
		   strlen(FREE "junk\n\n" FREE), reply, 200, &closed),
	    strlen(DUNNO_REPLY), "what came before garbage is answered");
	ok(closed, "nothing behind it");
	close(fd);

	/* Bounds. */
	big = malloc(200000);
	memset(big, 'a', 200000);
	fd = fixture_connect(&f);
	is_int(fixture_talk(&f, fd, big, 200000, reply, 1, &closed), 0,
	    "an endless line");
	ok(closed, "is disconnected");
	close(fd);
	for (size_t i = 0; i + 4 <= 200000; i += 4)
		memcpy(big + i, "a=b\n", 4);
	fd = fixture_connect(&f);
	is_int(fixture_talk(&f, fd, big, 200000, reply, 1, &closed), 0,
	    "an endless request");
	ok(closed, "is disconnected");
	close(fd);
	free(big);

	for (int i = 0; i < 50; i++) {
		fd = fixture_connect(&f);
		fixture_talk(&f, fd, "\n", 1, reply, 1, &closed);
		close(fd);
	}
	ok(warnings < 20, "messages about garbage are limited");
	is_int(fixture_stats(&f).garbage, n + 3 + 50, "but all are counted");
	fd = fixture_connect(&f);
	talk(&f, fd, FREE, DUNNO_REPLY, "others are served as before");
	close(fd);
	log_set_sink(NULL, NULL);
	fixture_stop(&f);
}

/* Tiny requests with long answers, from a client that does not read. */
static void
test_bounded(void)
{
	static const char tiny[] = "client_address=192.0.2.2\n\n";
	const size_t each = strlen("action=") + POLICY_ACTION_MAX + 2;
	struct fixture f;
	size_t sent = 0, got = 0, rest, stalls = 0;
	double end = mono() + DEADLINE;
	char *data, buf[65536];
	ssize_t n;
	int fd;

	fixture_start(&f);
	fd = fixture_connect(&f);
	data = malloc((sizeof(tiny) - 1) * 2000);
	for (size_t i = 0; i < 2000; i++)
		memcpy(data + i * (sizeof(tiny) - 1), tiny, sizeof(tiny) - 1);
	while (stalls < 50 && mono() < end) {
		size_t at = sent % ((sizeof(tiny) - 1) * 2000);

		n = write(fd, data + at, (sizeof(tiny) - 1) * 2000 - at);
		stalls = n > 0 ? 0 : stalls + 1;
		if (n > 0)
			sent += (size_t)n;
		fixture_turn(&f);
	}
	is_int(stalls, 50, "a client that does not read is not read either");
	rest = sent / (sizeof(tiny) - 1);
	ok(f.engine.queries < rest, "%zu of %zu requests wait",
	    rest - f.engine.queries, rest);
	while (got < rest * each && mono() < end) {
		n = recv(fd, buf, sizeof(buf), 0);
		if (n > 0)
			got += (size_t)n;
		else
			fixture_turn(&f);
	}
	is_int(got, rest * each, "when it reads, all are answered");
	is_int(f.engine.queries, rest, "each once");
	free(data);
	close(fd);
	fixture_stop(&f);
}

static void
test_refusal_log(void)
{
	struct fixture f;
	int fd;

	fixture_start(&f);
	fd = fixture_connect(&f);
	log_set_sink(keep_message, NULL);
	last_message[0] = '\0';
	talk(&f, fd, BLOCKED, REJECT_REPLY, "blocked");
	is_str(last_message, "", "nothing is logged by default");
	log_set_level(MSG_INFO);
	talk(&f, fd, BLOCKED, REJECT_REPLY, "blocked");
	is_str(last_message,
	    "192.0.2.1: REJECT 5.7.1 Abuse [mxw]; "
	    "from=<a=b@example.org> to=<>",
	    "at level info a refusal is");
	last_message[0] = '\0';
	talk(&f, fd, FREE, DUNNO_REPLY, "not blocked");
	is_str(last_message, "", "and nothing else");
	log_set_level(MSG_NOTICE);
	log_set_sink(NULL, NULL);
	close(fd);
	fixture_stop(&f);
}

int
main(void)
{
	test_answers();
	test_half_close();
	test_garbage();
	test_bounded();
	test_refusal_log();
	return tap_done();
}
