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
#include "lib/core/xalloc.h"

static const char *const directories[] = { "/usr/sbin", "/usr/bin", "/sbin",
	"/bin" };

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

/* The program's path, or NULL. The caller frees it. */
static char *
tool_find(const char *name)
{
	if (strchr(name, '/') != NULL)
		return access(name, X_OK) == 0 ? x_strdup(name) : NULL;
	for (size_t i = 0; i < sizeof(directories) / sizeof(directories[0]);
	     i++) {
		char *path = x_asprintf("%s/%s", directories[i], name);

		if (access(path, X_OK) == 0)
			return path;
		free(path);
	}
	return NULL;
}

bool
tool_exists(const char *name)
{
	char *path = tool_find(name);

	free(path);
	return path != NULL;
}

static void __attribute__((noreturn))
tool_child(const char *path, const char *const *argv, int in, int out)
{
	static char *const env[] = {
		(char *)(uintptr_t)"PATH=/usr/sbin:/usr/bin:/sbin:/bin",
		(char *)(uintptr_t)"LC_ALL=C", NULL };

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
	char *said; /* the beginning of its output */
	size_t n_said, size;
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
run_read(struct run *r)
{
	char buf[4096];
	ssize_t n = read(r->out, buf, sizeof(buf));
	size_t room = r->size - 1 - r->n_said;

	if (n > 0) {
		size_t take = (size_t)n < room ? (size_t)n : room;

		memcpy(r->said + r->n_said, buf, take);
		r->n_said += take;
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

/* Feeds it and listens until it closes its output. False: it took too long. */
static bool
run_talk(struct run *r)
{
	double end = monotonic() + TOOL_TIMEOUT;

	while (r->out >= 0) {
		struct pollfd p[2] = { { .fd = r->out, .events = POLLIN },
			{ .fd = r->in, .events = POLLOUT } };
		double left = end - monotonic();

		if (left <= 0)
			return false;
		if (poll(p, 2, (int)(left * 1000) + 1) <= 0)
			continue;
		if (p[1].revents != 0)
			run_write(r);
		if (p[0].revents != 0)
			run_read(r);
	}
	return true;
}

static bool
run_program(const char *path, const char *const *argv, struct run *r,
    int *status_r)
{
	int in[2], out[2];
	pid_t pid;
	bool ended;

	if (pipe2(in, O_CLOEXEC) != 0)
		return false;
	if (pipe2(out, O_CLOEXEC) != 0) {
		close(in[0]);
		close(in[1]);
		return false;
	}
	pid = fork();
	if (pid == 0)
		tool_child(path, argv, in[0], out[1]);
	close(in[0]);
	close(out[1]);
	r->in = in[1];
	r->out = out[0];
	fcntl(r->in, F_SETFL, O_NONBLOCK);
	fcntl(r->out, F_SETFL, O_NONBLOCK);
	if (r->left == 0)
		run_close(&r->in);
	ended = pid > 0 && run_talk(r);
	run_close(&r->in);
	run_close(&r->out);
	if (pid < 0)
		return false;
	if (!ended)
		kill(pid, SIGKILL);
	while (waitpid(pid, status_r, 0) < 0 && errno == EINTR)
		;
	return ended;
}

/* Runs it; its status is in *status_r, what it said in r->said. */
static bool
tool_exec(const char *const *argv, struct run *r, int *status_r)
{
	char *path = tool_find(argv[0]);
	bool ran;

	r->in = r->out = -1;
	r->n_said = 0;
	*status_r = 0;
	if (path == NULL) {
		log_error("%s: there is no such program", argv[0]);
		return false;
	}
	ran = run_program(path, argv, r, status_r);
	free(path);
	r->said[r->n_said] = '\0';
	return ran;
}

bool
tool_run(const char *const *argv, const struct tool_text *input, bool quiet)
{
	char said[512] = "";
	struct run r = { .said = said, .size = sizeof(said) };
	int status;
	bool ran;

	if (input != NULL) {
		r.input = input->buf;
		r.left = input->len;
	}
	ran = tool_exec(argv, &r, &status);
	if (ran && WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return true;
	said[strcspn(said, "\n")] = '\0';
	if (!quiet)
		log_error("%s failed (%s %d): %s", argv[0],
		    !ran		   ? "no answer within its time, status"
			: WIFEXITED(status) ? "status"
					    : "signal",
		    WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status),
		    said[0] != '\0' ? said : "it said nothing");
	return false;
}

bool
tool_output(const char *const *argv, char *out, size_t size)
{
	struct run r = { .said = out, .size = size };
	int status;

	return tool_exec(argv, &r, &status) && WIFEXITED(status) &&
	    WEXITSTATUS(status) == 0;
}
