/*
 * privclient: see privclient.h.
 */
#include "lib/io/privclient.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lib/core/program.h"
#include "lib/core/xalloc.h"
#include "lib/io/loop.h"

#define PRIVCLIENT_BUDGET 64 /* replies per turn of the loop */
#define PRIVCLIENT_START 30  /* seconds that it may take to be ready */
#define PRIVCLIENT_REAP 0.1  /* seconds between looks for its end */

struct privclient {
	struct loop *loop;
	const struct privclient_events *events;
	void *ctx;
	int fd;	   /* -1: gone */
	pid_t pid; /* 0: its status has been collected */
	struct loop_timer *reap;
	uint32_t seq, answered;
	struct loop_watch *readable, *writable;
};

static double
privclient_clock(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void privclient_on_read(void *arg);
static void privclient_on_write(void *arg);

static void __attribute__((noreturn)) helper_exec(const char *program,
    const char *role, const char *config, bool foreground, int fd)
{
	char *const argv[] = { (char *)(uintptr_t)program,
		(char *)(uintptr_t)role, (char *)(uintptr_t)config,
		(char *)(uintptr_t)(foreground ? "stderr" : "syslog"), NULL };
	static char *const env[] = { (char *)(uintptr_t)PROGRAM_PATH, NULL };

	/* Not in our group: a terminal's interrupt is for the daemon, which
	 * may still need its helper to end properly. */
	setpgid(0, 0);
	if (fd == 3)
		fcntl(fd, F_SETFD, 0);
	else if (dup2(fd, 3) < 0)
		_exit(126);
	close_range(4, ~0u, 0);
	execve(program, argv, env);
	_exit(127);
}

static bool
helper_reap(struct privclient *pc)
{
	if (pc->pid != 0 && waitpid(pc->pid, NULL, WNOHANG) != 0)
		pc->pid = 0;
	return pc->pid == 0;
}

static void
privclient_on_reap(void *ctx)
{
	struct privclient *pc = ctx;

	if (!helper_reap(pc))
		loop_timer_set(pc->reap, PRIVCLIENT_REAP);
}

/* Its first message. It has begun, or it says why not. */
static int
helper_wait(
    const struct privclient *pc, const char *program, struct errbuf *err)
{
	struct pollfd p = { .fd = pc->fd, .events = POLLIN };
	struct privmsg_hello hello;
	double end = privclient_clock() + PRIVCLIENT_START, left;
	ssize_t n;
	int ready;

	/* A signal waits for the loop; it is no answer. */
	do {
		left = end - privclient_clock();
		ready = poll(&p, 1, left > 0 ? (int)(left * 1000) + 1 : 0);
	} while (ready < 0 && errno == EINTR);
	if (ready <= 0)
		return errbuf_set(err, "%s: not ready within %d s", program,
		    PRIVCLIENT_START);
	n = recv(pc->fd, &hello, sizeof(hello), 0);
	if (n <= 0)
		return errbuf_set(err, "%s: it ended at once", program);
	if (!privmsg_hello_valid(&hello, (size_t)n))
		return errbuf_set(err, "%s: of another version", program);
	if (!hello.ready)
		return errbuf_set(
		    err, "the privileged helper refuses: %s", hello.why);
	return 0;
}

struct privclient *
privclient_create(struct loop *loop, const char *program, const char *role,
    const char *config, bool foreground, const struct privclient_events *events,
    void *ctx, struct errbuf *err)
{
	struct privclient *pc;
	int fds[2];
	pid_t pid;

	if (access(program, X_OK) != 0) {
		errbuf_set(
		    err, "option 'helper': %s: %s", program, strerror(errno));
		return NULL;
	}
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) != 0) {
		errbuf_set(err, "socketpair: %s", strerror(errno));
		return NULL;
	}
	pid = fork();
	if (pid == 0)
		helper_exec(program, role, config, foreground, fds[1]);
	close(fds[1]);
	if (pid < 0) {
		errbuf_set(err, "fork: %s", strerror(errno));
		close(fds[0]);
		return NULL;
	}
	pc = x_calloc(1, sizeof(*pc));
	pc->loop = loop;
	pc->events = events;
	pc->ctx = ctx;
	pc->fd = fds[0];
	pc->pid = pid;
	pc->reap = loop_timer_create(loop, LOOP_WORK, privclient_on_reap, pc);
	if (helper_wait(pc, program, err) != 0) {
		privclient_destroy(&pc);
		return NULL;
	}
	fcntl(pc->fd, F_SETFL, O_NONBLOCK);
	pc->readable =
	    loop_watch_create(loop, pc->fd, LOOP_READ, privclient_on_read, pc);
	pc->writable = loop_watch_create(
	    loop, pc->fd, LOOP_WRITE, privclient_on_write, pc);
	if (pc->readable == NULL || pc->writable == NULL) {
		errbuf_set(err, "out of memory");
		privclient_destroy(&pc);
		return NULL;
	}
	loop_watch_set(pc->readable);
	return pc;
}

static void
privclient_close(struct privclient *pc)
{
	if (pc->fd < 0)
		return;
	if (pc->readable != NULL)
		loop_watch_clear(pc->readable);
	if (pc->writable != NULL)
		loop_watch_clear(pc->writable);
	close(pc->fd);
	pc->fd = -1;
}

static void
privclient_lost(struct privclient *pc, const char *why)
{
	if (pc->fd < 0)
		return;
	privclient_close(pc);
	privclient_on_reap(pc);
	pc->events->gone(pc->ctx, why);
}

void
privclient_destroy(struct privclient **pcp)
{
	struct privclient *pc = *pcp;

	if (pc == NULL)
		return;
	privclient_close(pc);
	loop_watch_destroy(&pc->readable);
	loop_watch_destroy(&pc->writable);
	/* It sees the end of file at once, unless a tool is running. */
	for (int i = 0; i < 100 && !helper_reap(pc); i++)
		poll(NULL, 0, 10);
	loop_timer_destroy(&pc->reap);
	free(pc);
	*pcp = NULL;
}

uint32_t
privclient_send(struct privclient *pc, struct privmsg_request *req)
{
	ssize_t n;

	if (pc->fd < 0)
		return 0;
	req->magic = PRIVMSG_MAGIC;
	req->seq = pc->seq + 1 != 0 ? pc->seq + 1 : 1;
	do
		n = send(pc->fd, req, sizeof(*req), MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n == (ssize_t)sizeof(*req)) {
		pc->seq = req->seq;
		return pc->seq;
	}
	if (n < 0 && (errno == EAGAIN || errno == ENOBUFS)) {
		loop_watch_set(pc->writable);
		return 0;
	}
	/* The read event finds out that it has gone: not from in here. */
	shutdown(pc->fd, SHUT_RDWR);
	return 0;
}

/* One reply. 1: got one, 0: none now, -1: the end; *why_r. */
static int
privclient_receive(struct privclient *pc, struct privmsg_reply *reply,
    int *fd_r, const char **why_r)
{
	struct iovec iov = { reply, sizeof(*reply) };
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(int))];
	} control;
	struct msghdr msg = { .msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.buf,
		.msg_controllen = sizeof(control.buf) };
	struct cmsghdr *c;
	ssize_t n;

	*fd_r = -1;
	n = recvmsg(pc->fd, &msg, MSG_CMSG_CLOEXEC);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	c = n > 0 ? CMSG_FIRSTHDR(&msg) : NULL;
	if (c != NULL && c->cmsg_level == SOL_SOCKET &&
	    c->cmsg_type == SCM_RIGHTS && c->cmsg_len == CMSG_LEN(sizeof(int)))
		memcpy(fd_r, CMSG_DATA(c), sizeof(int));
	*why_r = n == 0 ? "it has ended"
	    : n < 0	? strerror(errno)
			: "it sent a bad reply";
	if (n > 0 && (msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) == 0 &&
	    privmsg_reply_valid(reply, (size_t)n))
		return 1;
	if (*fd_r >= 0)
		close(*fd_r);
	return -1;
}

static void
privclient_on_read(void *arg)
{
	struct privclient *pc = arg;

	for (int i = 0; i < PRIVCLIENT_BUDGET && pc->fd >= 0; i++) {
		struct privmsg_reply reply;
		const char *why;
		int got, passed;

		got = privclient_receive(pc, &reply, &passed, &why);
		if (got == 0)
			return;
		if (got < 0) {
			privclient_lost(pc, why);
			return;
		}
		pc->answered = reply.seq;
		pc->events->reply(pc->ctx, &reply, passed);
	}
}

static void
privclient_on_write(void *arg)
{
	struct privclient *pc = arg;

	if (pc->events->writable != NULL)
		pc->events->writable(pc->ctx);
}

bool
privclient_is_gone(const struct privclient *pc)
{
	return pc->fd < 0;
}

pid_t
privclient_pid(const struct privclient *pc)
{
	return pc->pid;
}

void
privclient_settle(struct privclient *pc, double seconds)
{
	/* The loop's clock stands still in here. */
	double end = privclient_clock() + seconds;

	while (pc->fd >= 0 && pc->answered != pc->seq) {
		struct pollfd p = { .fd = pc->fd, .events = POLLIN };
		double now = privclient_clock();
		int n =
		    now < end ? poll(&p, 1, (int)((end - now) * 1000) + 1) : 0;

		if (n == 0 || (n < 0 && errno != EINTR))
			return;
		if (n > 0)
			privclient_on_read(pc);
	}
}
