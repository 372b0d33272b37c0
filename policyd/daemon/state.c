/*
 * state: see state.h.
 *
 *   idle --touch--> dirty --timer--> writing (child) --exit--> idle or dirty
 */
#include "policyd/daemon/state.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/core/log.h"
#include "lib/core/snapshot.h"
#include "lib/core/xalloc.h"
#include "lib/io/loop.h"
#include "lib/io/reaper.h"

#define STATE_SOON 0.2 /* seconds from a change by hand to its snapshot */

struct state {
	struct loop *loop;
	struct reaper *reaper;
	struct engine *engine;
	struct store *store;
	void (*before)(void *ctx);
	void *ctx;
	char *path;
	double interval;
	bool dirty;
	struct loop_timer *timer;
	struct reaper_child child;
	int child_fd;
	struct state_stats stats;
	struct loglimit limit;
};

static void state_timer(void *arg);
static void state_child(void *arg, pid_t pid, int status);

struct state *
state_create(struct loop *loop, struct reaper *reaper, const char *dir,
    double interval, struct engine *engine, struct store *store,
    void (*before)(void *ctx), void *ctx)
{
	struct state *st = x_calloc(1, sizeof(*st));

	st->loop = loop;
	st->reaper = reaper;
	st->engine = engine;
	st->store = store;
	st->before = before;
	st->ctx = ctx;
	st->path = x_asprintf("%s/state", dir);
	st->interval = interval;
	st->child_fd = -1;
	st->timer = loop_timer_create(loop, LOOP_WORK, state_timer, st);
	if (st->timer == NULL)
		log_fatal("out of memory");
	loop_timer_set(st->timer, interval);
	return st;
}

/* For the end: whatever the child has written, we know it better. */
static void
state_stop_child(struct state *st)
{
	const pid_t pid = st->child.pid;

	if (pid == 0)
		return;
	reaper_forget(&st->child);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

void
state_destroy(struct state **stp)
{
	struct state *st = *stp;

	if (st == NULL)
		return;
	state_stop_child(st);
	if (st->child_fd >= 0)
		close(st->child_fd);
	loop_timer_destroy(&st->timer);
	free(st->path);
	free(st);
	*stp = NULL;
}

void
state_set_interval(struct state *st, double interval)
{
	st->interval = interval;
}

void
state_touch(struct state *st)
{
	st->dirty = true;
}

void
state_hurry(struct state *st)
{
	st->dirty = true;
	if (st->child.pid == 0 && st->interval > STATE_SOON)
		loop_timer_set(st->timer, STATE_SOON);
}

void
state_stats(const struct state *st, struct state_stats *out)
{
	*out = st->stats;
}

static int
state_write(struct state *st, struct errbuf *err)
{
	struct snapshot_writer *w = snapshot_writer_create(st->path, err);

	if (w == NULL)
		return -1;
	engine_save_sources(st->engine, w);
	store_save(st->store, w);
	engine_save_history(st->engine, w);
	return snapshot_writer_commit(&w, err);
}

/* In the child. The parent's sockets must not stay open in it: a new daemon
 * may want to listen on them. */
static void __attribute__((noreturn))
child_main(struct state *st, int out, pid_t parent)
{
	struct errbuf err;
	ssize_t n;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent) /* it was gone before that */
		_exit(1);
	if (out != 3 && dup2(out, 3) < 0)
		_exit(1);
	close_range(4, ~0u, 0);
	if (state_write(st, &err) == 0)
		_exit(0);
	n = write(3, err.text, strlen(err.text));
	_exit(n < 0 ? 2 : 1);
}

static void
state_failed(struct state *st, const char *why)
{
	st->stats.failed++;
	st->dirty = true;
	snprintf(st->stats.error, sizeof(st->stats.error), "%s", why);
	log_limited(&st->limit, loop_now(st->loop), MSG_ERROR,
	    "state not written, trying again: %s", why);
}

static void
state_timer(void *arg)
{
	struct state *st = arg;
	pid_t pid, parent;
	int fds[2];

	loop_timer_set(st->timer, st->interval);
	if (!st->dirty || st->child.pid != 0)
		return;
	if (pipe2(fds, O_CLOEXEC) != 0) {
		state_failed(st, strerror(errno));
		return;
	}
	st->before(st->ctx);
	parent = getpid();
	pid = fork();
	if (pid == 0)
		child_main(st, fds[1], parent);
	close(fds[1]);
	if (pid < 0) {
		close(fds[0]);
		state_failed(st, strerror(errno));
		return;
	}
	reaper_add(st->reaper, &st->child, pid, state_child, st);
	st->child_fd = fds[0];
	st->dirty = false;
}

static void
state_child(void *arg, pid_t pid, int status)
{
	struct state *st = arg;
	char why[200];
	ssize_t n;

	(void)pid;
	n = read(st->child_fd, why, sizeof(why) - 1);
	why[n > 0 ? n : 0] = '\0';
	close(st->child_fd);
	st->child_fd = -1;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
		if (st->stats.error[0] != '\0')
			log_notice("state is written again");
		st->stats.written++;
		st->stats.last = loop_now(st->loop);
		st->stats.error[0] = '\0';
	} else {
		state_failed(st, n > 0 ? why : "the writing process died");
	}
}

int
state_save_now(struct state *st, struct errbuf *err)
{
	state_stop_child(st);
	st->before(st->ctx);
	return state_write(st, err);
}

static void
state_read(struct state *st, struct snapshot_reader *r)
{
	uint8_t section;

	while ((section = snapshot_next_section(r)) != SNAPSHOT_END) {
		if (section == SNAPSHOT_SOURCES)
			engine_load_sources(st->engine, r);
		else if (section == SNAPSHOT_HISTORY)
			engine_load_history(st->engine, r);
		else if (!store_load(st->store, r, section))
			break;
	}
}

void
state_load(struct state *st, bool *fresh_r, bool *damaged_r)
{
	struct snapshot_reader *r = NULL;
	struct errbuf err = { "" };
	char *aside;

	*fresh_r = *damaged_r = false;
	switch (snapshot_reader_open(st->path, &r, &err)) {
	case SNAPSHOT_MISSING:
		*fresh_r = true;
		return;
	case SNAPSHOT_OK:
		state_read(st, r);
		snapshot_reader_destroy(&r);
		return;
	case SNAPSHOT_BAD:
		break;
	}
	*damaged_r = true;
	aside = x_asprintf("%s.corrupt", st->path);
	if (rename(st->path, aside) == 0)
		log_error("%s: %s; set aside as %s", st->path, err.text, aside);
	else
		log_error("%s: %s", st->path, err.text);
	free(aside);
}
