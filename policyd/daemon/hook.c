/*
 * hook: see hook.h.
 *
 * posix_spawn(), not fork(): the child never copies the page tables of a
 * process that may be large.
 */
#include "policyd/daemon/hook.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/core/conf.h"
#include "lib/core/log.h"
#include "lib/core/num.h"
#include "lib/core/rate.h"
#include "lib/core/xalloc.h"
#include "lib/io/loop.h"
#include "lib/io/reaper.h"
#include "policyd/daemon/report.h"

#define HOOK_VARS 12
#define HOOK_TEXT 2048

/* The environment of one run. */
struct hook_event {
	STAILQ_ENTRY(hook_event) link;
	char *vars[HOOK_VARS + 1];
	size_t n_vars, used;
	char text[HOOK_TEXT];
};

struct hook_run {
	struct hook *hook;
	struct reaper_child child;
	struct loop_timer *timeout;
	bool killed;
};

struct hook {
	struct loop *loop;
	struct reaper *reaper;
	const struct conf *conf;
	bool possible; /* programs may be run */
	struct rate rate;
	unsigned long suppressed; /* since the last event */
	STAILQ_HEAD(hook_queue, hook_event) queue;
	struct loop_timer *start;
	struct hook_run runs[HOOK_RUNNING];
	struct loglimit limit;
	struct hook_stats stats;
};

bool
hook_wanted(const struct conf *conf)
{
	return conf->notify.command[0] != NULL;
}

/* NAME=value; values hold no control characters. */
static void __attribute__((format(printf, 2, 3)))
event_put(struct hook_event *e, const char *fmt, ...)
{
	char *to = e->text + e->used;
	size_t room = sizeof(e->text) - e->used;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(to, room, fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= room || e->n_vars >= HOOK_VARS)
		return; /* cannot be: all values are bounded */
	for (char *s = to; *s != '\0'; s++)
		if ((unsigned char)*s < 0x20 || *s == 0x7f)
			*s = '?';
	e->vars[e->n_vars++] = to;
	e->used += (size_t)n + 1;
}

static void
event_fill(struct hook_event *e, const char *event, const struct block *b,
    enum store_why why, unsigned long suppressed)
{
	char text[ADDR_STRLEN], score[NUM_SCORE_LEN], until[NUM_TIME_LEN];

	event_put(e, "PATH=/usr/sbin:/usr/bin:/sbin:/bin");
	event_put(e, "MXW_EVENT=%s", event);
	event_put(e, "MXW_ADDRESS=%s", addr_format(&b->addr, text));
	event_put(e, "MXW_LEVEL=%.100s", name_text(b->level));
	event_put(e, "MXW_SCORE=%s", num_format_score(b->score, score));
	event_put(e, "MXW_RULE=%.500s", name_text(b->rule));
	event_put(e, "MXW_HOST=%.300s", name_text(b->by));
	event_put(e, "MXW_UNTIL=%s", num_format_time(b->until, until));
	event_put(e, "MXW_STRIKES=%u", b->strikes);
	event_put(e, "MXW_REASON=%s", report_why(why));
	event_put(e, "MXW_SUPPRESSED=%lu", suppressed);
}

/* 0, or an error number. */
static int
hook_spawn(const char *const *command, char *const *env, pid_t *pid_r)
{
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	sigset_t none, defaults;
	int rc;

	/* Ours are closed by exec anyway; not so what whoever started us has
	 * left open. */
	close_range(3, ~0u, CLOSE_RANGE_CLOEXEC);
	sigemptyset(&none);
	sigemptyset(&defaults);
	sigaddset(&defaults, SIGPIPE);
	if ((rc = posix_spawn_file_actions_init(&files)) != 0)
		return rc;
	if ((rc = posix_spawnattr_init(&attr)) == 0) {
		posix_spawnattr_setflags(&attr,
		    POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF |
			POSIX_SPAWN_SETSIGMASK);
		posix_spawnattr_setsigmask(&attr, &none);
		posix_spawnattr_setsigdefault(&attr, &defaults);
		rc = posix_spawn_file_actions_addopen(
		    &files, 0, "/dev/null", O_RDONLY, 0);
		if (rc == 0)
			rc = posix_spawn_file_actions_adddup2(&files, 2, 1);
		if (rc == 0)
			rc = posix_spawn(pid_r, command[0], &files, &attr,
			    (char *const *)(uintptr_t)command, env);
		posix_spawnattr_destroy(&attr);
	}
	posix_spawn_file_actions_destroy(&files);
	return rc;
}

static void
hook_failed(struct hook *h, const char *what, int number)
{
	h->stats.failed++;
	log_limited(&h->limit, loop_mono(h->loop), MSG_WARNING,
	    "notify.command: %s: %s%s%.0d",
	    h->conf->notify.command[0] != NULL ? h->conf->notify.command[0]
					       : "",
	    what, number != 0 ? " " : "", number);
}

static void
run_ended(void *ctx, pid_t pid, int status)
{
	struct hook_run *r = ctx;
	struct hook *h = r->hook;

	(void)pid;
	loop_timer_clear(r->timeout);
	h->stats.running--;
	if (r->killed) {
		h->stats.timeouts++;
		hook_failed(h, "killed at its time-out", 0);
	} else if (WIFSIGNALED(status)) {
		hook_failed(h, "ended by signal", WTERMSIG(status));
	} else if (WEXITSTATUS(status) != 0) {
		hook_failed(h, "exit status", WEXITSTATUS(status));
	} else {
		h->stats.done++;
	}
	if (!STAILQ_EMPTY(&h->queue))
		loop_timer_set(h->start, 0);
}

static void
run_timeout(void *ctx)
{
	struct hook_run *r = ctx;

	if (r->child.pid == 0)
		return;
	r->killed = true;
	kill(-r->child.pid, SIGKILL);
}

static void
hook_run_one(struct hook *h, struct hook_run *r)
{
	struct hook_event *e = STAILQ_FIRST(&h->queue);
	pid_t pid;
	int rc;

	STAILQ_REMOVE_HEAD(&h->queue, link);
	h->stats.queued--;
	/* A reload may have taken the command away. */
	if (hook_wanted(h->conf)) {
		rc = hook_spawn(h->conf->notify.command, e->vars, &pid);
		if (rc != 0) {
			hook_failed(h, strerror(rc), 0);
		} else {
			r->killed = false;
			h->stats.running++;
			reaper_add(h->reaper, &r->child, pid, run_ended, r);
			loop_timer_set(r->timeout, h->conf->notify.timeout);
		}
	}
	free(e);
}

/* One program in a turn of the loop. */
static void
hook_start(void *ctx)
{
	struct hook *h = ctx;

	for (size_t i = 0; i < HOOK_RUNNING; i++) {
		if (h->runs[i].child.pid != 0 || STAILQ_EMPTY(&h->queue))
			continue;
		hook_run_one(h, &h->runs[i]);
		if (!STAILQ_EMPTY(&h->queue))
			loop_timer_set(h->start, 0);
		return;
	}
}

struct hook *
hook_create(struct loop *loop, struct reaper *reaper, const struct conf *conf)
{
	struct hook *h = x_calloc(1, sizeof(*h));

	h->loop = loop;
	h->reaper = reaper;
	h->conf = conf;
	h->possible = hook_wanted(conf);
	h->rate = conf->notify.rate;
	STAILQ_INIT(&h->queue);
	h->start = loop_timer_create(loop, LOOP_WORK, hook_start, h);
	for (size_t i = 0; i < HOOK_RUNNING; i++) {
		h->runs[i].hook = h;
		h->runs[i].timeout = loop_timer_create(
		    loop, LOOP_WORK, run_timeout, &h->runs[i]);
		if (h->runs[i].timeout == NULL)
			log_fatal("out of memory");
	}
	if (h->start == NULL)
		log_fatal("out of memory");
	return h;
}

void
hook_destroy(struct hook **hp)
{
	struct hook *h = *hp;
	struct hook_event *e;

	if (h == NULL)
		return;
	while ((e = STAILQ_FIRST(&h->queue)) != NULL) {
		STAILQ_REMOVE_HEAD(&h->queue, link);
		free(e);
	}
	for (size_t i = 0; i < HOOK_RUNNING; i++) {
		if (h->runs[i].child.pid != 0)
			kill(-h->runs[i].child.pid, SIGTERM);
		reaper_forget(&h->runs[i].child);
		loop_timer_destroy(&h->runs[i].timeout);
	}
	loop_timer_destroy(&h->start);
	free(h);
	*hp = NULL;
}

void
hook_reconfigure(struct hook *h, const struct conf *conf)
{
	/* What was used up stays used up, unless the rate itself is new. */
	if (h->rate.count != conf->notify.rate.count ||
	    h->rate.period != conf->notify.rate.period)
		h->rate = conf->notify.rate;
	h->conf = conf;
	if (hook_wanted(conf) && !h->possible)
		log_warning("option 'notify.command' was not set at the start: "
			    "a restart is needed for it");
}

static bool
hook_is_for(const struct hook *h, const struct block *b, enum store_why why)
{
	const struct conf *c = h->conf;
	int level = level_find(c->levels, c->n_levels, b->level);

	if (!h->possible || !hook_wanted(c) || why == STORE_LOADED ||
	    level < (int)c->notify.min_level)
		return false;
	return why == STORE_MANUAL || strcmp(name_text(b->by), c->host) == 0;
}

static void
hook_event(struct hook *h, const char *event, const struct block *b,
    enum store_why why)
{
	struct hook_event *e = NULL;

	if (!hook_is_for(h, b, why))
		return;
	if (h->stats.queued < HOOK_QUEUE &&
	    rate_pass(&h->rate, loop_mono(h->loop)))
		e = calloc(1, sizeof(*e));
	if (e == NULL) {
		h->suppressed++;
		h->stats.suppressed++;
		return;
	}
	event_fill(e, event, b, why, h->suppressed);
	h->suppressed = 0;
	STAILQ_INSERT_TAIL(&h->queue, e, link);
	h->stats.queued++;
	loop_timer_set(h->start, 0);
}

void
hook_blocked(struct hook *h, const struct block *b, enum store_why why)
{
	/* Redis echoes what this host has decided. */
	if (why != STORE_SHARED && why != STORE_EXPIRED)
		hook_event(h, "blocked", b, why);
}

void
hook_unblocked(struct hook *h, const struct block *b, enum store_why why)
{
	hook_event(h, "unblocked", b, why);
}

void
hook_stats(const struct hook *h, struct hook_stats *out)
{
	*out = h->stats;
}
