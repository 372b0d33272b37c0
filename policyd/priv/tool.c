/*
 * tool: see tool.h.
 */
#include "policyd/priv/tool.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lib/core/log.h"
#include "lib/core/program.h"
#include "lib/core/xalloc.h"

#define TOOL_LOOK 50 /* milliseconds between looks whether it has ended */
#define PIPE_ROOM (1 << 20)

void
tool_printf(struct tool_text *t, const char *fmt, ...)
{
	va_list ap;
	int n;

	if (t->size - t->len < 512) {
		t->size = t->size ? t->size * 2 : 4096;
		t->buf = x_reallocarray(t->buf, t->size, 1);
	}
	va_start(ap, fmt);
	n = vsnprintf(t->buf + t->len, t->size - t->len, fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= t->size - t->len)
		log_fatal("a line for a firewall tool is too long");
	t->len += (size_t)n;
}

void
tool_free(struct tool_text *t)
{
	free(t->buf);
	memset(t, 0, sizeof(*t));
}

static void __attribute__((noreturn))
tool_child(const char *path, const char *const *argv, int in, int out)
{
	static char *const env[] = { (char *)(uintptr_t)PROGRAM_PATH,
		(char *)(uintptr_t) "LC_ALL=C", NULL };

	/* It shall end by them. */
	for (int sig = 1; sig < NSIG; sig++)
		signal(sig, SIG_DFL);
	if (dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(out, 2) < 0)
		_exit(126);
	close_range(3, ~0u, 0);
	execve(path, (char *const *)(uintptr_t)argv, env);
	_exit(127);
}

struct run {
	int in, out; /* our ends; -1 when closed */
	const char *input;
	size_t left;
	struct tool_text *said; /* its output, as far as `most` */
	size_t most;
	pid_t pid; /* 0: it has ended with this */
	int status;
};

static void
run_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void
run_write(struct run *r)
{
	ssize_t n = write(r->in, r->input, r->left);

	if (n > 0) {
		r->input += n;
		r->left -= (size_t)n;
	}
	if (r->left == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
		run_close(&r->in);
}

static void
text_append(struct tool_text *t, const char *buf, size_t n)
{
	if (t->size - t->len <= n) {
		t->size = t->size * 2 + n + 4096;
		t->buf = x_reallocarray(t->buf, t->size, 1);
	}
	memcpy(t->buf + t->len, buf, n);
	t->len += n;
	t->buf[t->len] = '\0';
}

static void
run_read(struct run *r)
{
	char buf[16384];
	ssize_t n = read(r->out, buf, sizeof(buf));

	if (n > 0) {
		size_t room = r->most - r->said->len;

		text_append(r->said, buf, (size_t)n < room ? (size_t)n : room);
	} else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
		run_close(&r->out);
	}
}

static double
monotonic(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static bool
run_ended(struct run *r)
{
	if (r->pid != 0 && waitpid(r->pid, &r->status, WNOHANG) == r->pid)
		r->pid = 0;
	return r->pid == 0;
}

/* Feeds it and listens until it has ended: what it may have left running can
 * keep its output open. False: it took too long. */
static bool
run_talk(struct run *r)
{
	double end = monotonic() + TOOL_TIMEOUT;
	bool ended = false;

	for (;;) {
		struct pollfd p[2] = { { .fd = r->out, .events = POLLIN },
			{ .fd = r->in, .events = POLLOUT } };
		int n;

		if (ended && r->out < 0)
			return true;
		if (monotonic() >= end)
			return ended;
		/* After its end, only what is still in the pipe. */
		n = poll(p, 2, ended ? 0 : r->out < 0 ? 2 : TOOL_LOOK);
		if (p[1].revents != 0)
			run_write(r);
		if (n > 0 && p[0].revents != 0)
			run_read(r);
		else if (ended)
			return true;
		if (n <= 0 || r->out < 0)
			ended = run_ended(r);
	}
}

static bool
run_program(const char *path, const char *const *argv, struct run *r)
{
	int in[2], out[2];
	bool ended;

	if (pipe2(in, O_CLOEXEC) != 0)
		return false;
	if (pipe2(out, O_CLOEXEC) != 0) {
		close(in[0]);
		close(in[1]);
		return false;
	}
	r->pid = fork();
	if (r->pid == 0)
		tool_child(path, argv, in[0], out[1]);
	close(in[0]);
	close(out[1]);
	r->in = in[1];
	r->out = out[0];
	fcntl(r->in, F_SETFL, O_NONBLOCK);
	/* Fewer turns with a tool that reads megabytes; as it is, if not. */
	(void)fcntl(r->in, F_SETPIPE_SZ, PIPE_ROOM);
	fcntl(r->out, F_SETFL, O_NONBLOCK);
	if (r->left == 0 || r->pid < 0)
		run_close(&r->in);
	ended = r->pid > 0 && run_talk(r);
	run_close(&r->in);
	run_close(&r->out);
	if (r->pid > 0) {
		kill(r->pid, SIGKILL);
		while (waitpid(r->pid, &r->status, 0) < 0 && errno == EINTR)
			;
	}
	return ended;
}

/* Why it did not succeed, unless it did. */
static const char *
run_failed(const struct run *r, bool ran, char buf[64])
{
	if (!ran)
		return "no end within its time";
	if (WIFSIGNALED(r->status))
		snprintf(buf, 64, "signal %d", WTERMSIG(r->status));
	else if (WEXITSTATUS(r->status) != 0)
		snprintf(buf, 64, "status %d", WEXITSTATUS(r->status));
	else
		return NULL;
	return buf;
}

static bool
tool_exec(const char *const *argv, struct run *r, bool quiet)
{
	char *path = program_find(argv[0]), buf[64];
	const char *failed;
	bool ran;

	r->in = r->out = -1;
	if (path == NULL) {
		log_error("%s: there is no such program", argv[0]);
		return false;
	}
	text_append(r->said, "", 0);
	ran = run_program(path, argv, r);
	free(path);
	failed = run_failed(r, ran, buf);
	if (failed != NULL && !quiet) {
		r->said->buf[strcspn(r->said->buf, "\n")] = '\0';
		log_error("%s failed (%s)%s%s", argv[0], failed,
		    r->said->buf[0] != '\0' ? ": " : "", r->said->buf);
	}
	return failed == NULL;
}

bool
tool_run(const char *const *argv, const struct tool_text *input, bool quiet)
{
	struct tool_text said = { NULL, 0, 0 };
	struct run r = { .said = &said, .most = 512 };
	bool good;

	if (input != NULL) {
		r.input = input->buf;
		r.left = input->len;
	}
	good = tool_exec(argv, &r, quiet);
	tool_free(&said);
	return good;
}

bool
tool_output(const char *const *argv, struct tool_text *out)
{
	struct run r = { .said = out, .most = TOOL_OUTPUT };

	return tool_exec(argv, &r, true);
}
