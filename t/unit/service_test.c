/*
 * What the service manager tells us, and listeners that are replaced by a
 * reload.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/core/conf.h"
#include "lib/io/activation.h"
#include "lib/io/conn.h"
#include "lib/io/loop.h"
#include "lib/io/notify.h"
#include "lib/io/reaper.h"
#include "lib/io/sockaddr.h"
#include "t/unit/tap.h"

static void
test_watchdog(void)
{
	is_num(notify_watchdog_interval(NULL, NULL, 7), 0, "none wanted");
	is_num(notify_watchdog_interval("30000000", NULL, 7), 15, "half of it");
	is_num(notify_watchdog_interval("30000000", "7", 7), 15, "for us");
	is_num(notify_watchdog_interval("30000000", "8", 7), 0, "for another");
	is_num(notify_watchdog_interval("30000000", "x", 7), 0, "for nobody");
	is_num(notify_watchdog_interval("0", NULL, 7), 0, "none");
	is_num(notify_watchdog_interval("-1", NULL, 7), 0, "negative");
	is_num(notify_watchdog_interval("1s", NULL, 7), 0, "not a number");
	is_num(notify_watchdog_interval("99999999999999999999999", NULL, 7), 0,
	    "too large a number");
}

static void
test_activation(void)
{
	struct activation a;
	struct errbuf err;
	char names[2000];

	is_int(activation_parse(NULL, NULL, NULL, 7, &a, &err), 0, "nothing");
	is_int(a.count, 0, "no descriptor");
	is_int(activation_parse("7", NULL, NULL, 7, &a, &err), 0, "no count");
	is_int(a.count, 0, "no descriptor");
	is_int(activation_parse("7", "2", NULL, 7, &a, &err), 0, "no names");
	is_int(a.count, 2, "two descriptors");
	is_str(a.names[1], "", "without a name");
	is_int(activation_parse("8", "2", "a:b", 7, &a, &err), 0, "not for us");
	is_int(a.count, 0, "no descriptor");
	is_int(activation_parse("8", "nonsense", "a:b", 7, &a, &err), 0,
	    "nonsense that is not for us");
	is_int(activation_parse("7", "3", "a::c", 7, &a, &err), 0, "names");
	is_str(a.names[0], "a", "the first");
	is_str(a.names[1], "", "an empty one");
	is_str(a.names[2], "c", "the last");
	is_int(activation_parse("7", "2", "a:b:c:d", 7, &a, &err), 0,
	    "more names than descriptors");
	is_str(a.names[1], "b", "are left");
	memset(names, 'n', sizeof(names) - 1);
	names[sizeof(names) - 1] = '\0';
	is_int(
	    activation_parse("7", "1", names, 7, &a, &err), 0, "a long name");
	is_int(strlen(a.names[0]), ACTIVATION_NAME - 1, "is cut");
	is_int(activation_parse("7", "64", "", 7, &a, &err), 0, "the most");
	is_int(activation_parse("7", "65", "", 7, &a, &err), -1, "too many");
	is_int(activation_parse("7", "-1", "", 7, &a, &err), -1, "negative");
	is_int(activation_parse("7", "", "", 7, &a, &err), -1, "empty");
	is_int(activation_parse("x", "1", "", 7, &a, &err), -1, "bad pid");
}

/* --- Listeners ------------------------------------------------------------ */

static ssize_t
discard(void *ctx, struct conn *c, const char *buf, size_t len, bool eof)
{
	(void)ctx;
	(void)c;
	(void)buf;
	(void)eof;
	return (ssize_t)len;
}

static void *
accept_all(void *ctx, struct conn *c)
{
	(void)c;
	return ctx;
}

static void
nothing(void *ctx, struct conn *c, const char *reason)
{
	(void)ctx;
	(void)c;
	(void)reason;
}

static uint16_t
free_port(void)
{
	struct sockaddr_in sin = { .sin_family = AF_INET };
	socklen_t len = sizeof(sin);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (bind(fd, (struct sockaddr *)&sin, sizeof(sin)) != 0 ||
	    getsockname(fd, (struct sockaddr *)&sin, &len) != 0)
		exit(1);
	close(fd);
	return ntohs(sin.sin_port);
}

static struct conf_endpoint
endpoint(const char *host, uint16_t port)
{
	struct conf_endpoint ep;
	struct errbuf err;
	char text[80];

	snprintf(text, sizeof(text), "inet:%s:%u", host, port);
	if (!conf_parse_endpoint(text, &ep, &err))
		exit(1);
	return ep;
}

static int
client(const char *host, uint16_t port)
{
	struct sockaddr_in sin = { .sin_family = AF_INET };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	inet_pton(AF_INET, host, &sin.sin_addr);
	sin.sin_port = htons(port);
	if (connect(fd, (struct sockaddr *)&sin, sizeof(sin)) == 0)
		return fd;
	close(fd);
	return -1;
}

static bool
connects(const char *host, uint16_t port)
{
	int fd = client(host, port);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

static bool
prepare(struct conn_server *cs, const struct conf_endpoint *eps, size_t n,
    struct errbuf *err)
{
	struct conn_listen want = {
		.endpoints = eps, .count = n, .uid = (uid_t)-1, .gid = (gid_t)-1
	};

	return conn_server_prepare(cs, &want, err) == 0;
}

static void
turns(struct loop *loop)
{
	for (int i = 0; i < 20; i++)
		event_base_loop(loop_base(loop), EVLOOP_NONBLOCK);
}

static void
test_listeners(void)
{
	struct conn_handler h = { .opened = accept_all,
		.input = discard,
		.closed = nothing,
		.max_input = 100 };
	struct loop *loop = loop_create();
	struct conn_server *cs = conn_server_create(loop, &h, &h);
	struct conn_server_stats st;
	struct errbuf err;
	uint16_t a = free_port(), b = free_port(), taken = free_port();
	struct conf_endpoint one[] = { endpoint("127.0.0.1", a) };
	struct conf_endpoint two[] = { endpoint("127.0.0.1", b), one[0] };
	struct conf_endpoint wide[] = { endpoint("0.0.0.0", a) };
	struct conf_endpoint bad[] = { wide[0], endpoint("127.0.0.1", taken) };
	struct conn_server *other = conn_server_create(loop, &h, &h);
	struct conf_endpoint occupied = endpoint("127.0.0.1", taken);
	int fd, kept;

	ok(conn_server_listen(
	       other, &occupied, 0, (uid_t)-1, (gid_t)-1, &err) == 0,
	    "somebody else listens");
	ok(prepare(cs, one, 1, &err), "one listener");
	conn_server_commit(cs);
	kept = client("127.0.0.1", a);
	turns(loop);
	conn_server_stats(cs, &st);
	is_int(st.open, 1, "a connection");

	ok(prepare(cs, two, 2, &err), "a second one");
	conn_server_rollback(cs);
	ok(!connects("127.0.0.1", b), "rolled back: it is closed");
	ok(connects("127.0.0.1", a), "the first one is open");
	ok(prepare(cs, two, 2, &err), "a second one again");
	conn_server_commit(cs);
	ok(connects("127.0.0.1", a) && connects("127.0.0.1", b), "both");
	ok(prepare(cs, one, 1, &err), "one of them");
	conn_server_commit(cs);
	ok(connects("127.0.0.1", a) && !connects("127.0.0.1", b), "is left");

	/* On the same port, around the old one. */
	fd = client("127.0.0.1", a); /* not accepted yet */
	ok(prepare(cs, wide, 1, &err), "a wider address: %s", err.text);
	conn_server_commit(cs);
	ok(connects("127.0.0.2", a) && connects("127.0.0.1", a), "is open");
	ok(conn_server_name(cs, 1) == NULL, "nothing else");
	turns(loop);
	conn_server_stats(cs, &st);
	ok(st.accepted >= 6 && send(fd, "x", 1, MSG_NOSIGNAL) == 1,
	    "who waited to be accepted is");
	close(fd);
	ok(prepare(cs, one, 1, &err), "back to the narrower one");
	conn_server_commit(cs);
	ok(!connects("127.0.0.2", a) && connects("127.0.0.1", a), "it is");

	/* Room was made, and then something else does not work. */
	ok(!prepare(cs, bad, 2, &err), "an address that is taken");
	ok(strstr(err.text, "bind: Address already in use") != NULL,
	    "it is said: %s", err.text);
	ok(connects("127.0.0.1", a) && !connects("127.0.0.2", a),
	    "the old listener listens again");
	turns(loop);
	fd = client("127.0.0.1", a);
	conn_server_stats(cs, &st);
	for (uint64_t n = st.accepted; st.accepted == n;) {
		turns(loop);
		conn_server_stats(cs, &st);
	}
	ok(true, "and accepts");
	close(fd);
	ok(prepare(cs, NULL, 0, &err), "none at all");
	conn_server_commit(cs);
	ok(!connects("127.0.0.1", a), "closed");
	ok(send(kept, "x", 1, MSG_NOSIGNAL) == 1, "the connection survives");
	turns(loop);
	conn_server_stats(cs, &st);
	is_int(st.open, 1, "it all");
	close(kept);
	conn_server_destroy(&cs);
	conn_server_destroy(&other);
	loop_destroy(&loop);
}

/* --- Children ------------------------------------------------------------- */

struct seen {
	struct reaper_child child;
	int count, status;
};

static void
gone(void *ctx, pid_t pid, int status)
{
	struct seen *seen = ctx;

	(void)pid;
	seen->count++;
	seen->status = status;
}

static pid_t
child(int status)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(status);
	return pid;
}

static void
test_reaper(void)
{
	struct loop *loop = loop_create();
	struct reaper *r = reaper_create(loop);
	struct seen a = { .count = 0 }, b = { .count = 0 };
	pid_t pid, forgotten;

	reaper_add(r, &a.child, child(3), gone, &a);
	reaper_add(r, &b.child, child(4), gone, &b);
	pid = child(5); /* nobody's */
	while (a.count == 0 || b.count == 0 || kill(pid, 0) == 0)
		event_base_loop(loop_base(loop), EVLOOP_ONCE);
	is_int(WEXITSTATUS(a.status), 3, "the status of one child");
	is_int(WEXITSTATUS(b.status), 4, "and of another");
	is_int(a.count + b.count, 2, "told once");
	ok(waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD,
	    "no child is left");
	forgotten = child(6);
	reaper_add(r, &a.child, forgotten, gone, &a);
	reaper_forget(&a.child);
	reaper_forget(&a.child);
	while (kill(forgotten, 0) == 0)
		event_base_loop(loop_base(loop), EVLOOP_ONCE);
	is_int(a.count, 1, "a forgotten one is not told");
	reaper_add(r, &a.child, child(7), gone, &a);
	reaper_destroy(&r);
	is_int(a.child.pid, 0, "the reaper's end forgets");
	waitpid(-1, NULL, 0);
	loop_destroy(&loop);
}

int
main(void)
{
	test_watchdog();
	test_activation();
	test_listeners();
	test_reaper();
	return tap_done();
}
