/*
 * loop: see loop.h.
 */
#include "lib/io/loop.h"

#include <event2/event.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>

#include "lib/core/log.h"
#include "lib/core/xalloc.h"

struct loop {
	struct event_base *base;
};

struct loop_timer {
	struct event *ev;
	struct event *late; /* for work: the same, later, among the answers */
	loop_timer_fn *fn;
	void *ctx;
};

/* The event only notes that the descriptor is ready; the timer does the work,
 * and has its turn for certain. */
struct loop_watch {
	struct event *ev;
	struct loop_timer *run;
	enum loop_want want;
	loop_timer_fn *fn;
	void *ctx;
};

struct loop *
loop_create(void)
{
	struct loop *loop = x_calloc(1, sizeof(*loop));
	struct event_config *cfg = event_config_new();

	/* After each callback of the lower priority look for answers again. */
	if (cfg != NULL) {
		event_config_set_flag(cfg, EVENT_BASE_FLAG_NOLOCK);
		event_config_set_max_dispatch_interval(cfg, NULL, 1, LOOP_WORK);
		loop->base = event_base_new_with_config(cfg);
		event_config_free(cfg);
	}
	if (loop->base == NULL ||
	    event_base_priority_init(loop->base, LOOP_NPRIORITIES) != 0) {
		loop_destroy(&loop);
		return NULL;
	}
	/* A peer that is gone is an error of write(2), not a signal. */
	signal(SIGPIPE, SIG_IGN);
	return loop;
}

void
loop_destroy(struct loop **loopp)
{
	if (*loopp == NULL)
		return;
	if ((*loopp)->base != NULL)
		event_base_free((*loopp)->base);
	free(*loopp);
	*loopp = NULL;
}

struct event_base *
loop_base(struct loop *loop)
{
	return loop->base;
}

int
loop_run(struct loop *loop)
{
	return event_base_dispatch(loop->base) < 0 ? -1 : 0;
}

void
loop_stop(struct loop *loop)
{
	event_base_loopbreak(loop->base);
}

double
loop_now(const struct loop *loop)
{
	struct timeval tv;

	event_base_gettimeofday_cached(loop->base, &tv);
	return (double)tv.tv_sec + (double)tv.tv_usec / 1e6;
}

double
loop_mono(const struct loop *loop)
{
	struct timespec ts;

	(void)loop;
	clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void
loop_timer_fire(evutil_socket_t fd, short what, void *arg)
{
	struct loop_timer *t = arg;

	(void)fd;
	(void)what;
	loop_timer_clear(t);
	t->fn(t->ctx);
}

static struct loop_timer *
timer_make(struct loop *loop, enum loop_priority priority, loop_timer_fn *fn,
    void *ctx)
{
	struct loop_timer *t = calloc(1, sizeof(*t));

	if (t == NULL)
		return NULL;
	t->fn = fn;
	t->ctx = ctx;
	t->ev = event_new(loop->base, -1, 0, loop_timer_fire, t);
	if (t->ev != NULL)
		event_priority_set(t->ev, priority);
	if (priority != LOOP_ANSWERS) {
		t->late = event_new(loop->base, -1, 0, loop_timer_fire, t);
		if (t->late != NULL)
			event_priority_set(t->late, LOOP_ANSWERS);
	}
	if (t->ev == NULL || (priority != LOOP_ANSWERS && t->late == NULL))
		loop_timer_destroy(&t);
	return t;
}

struct loop_timer *
loop_timer_create(struct loop *loop, enum loop_priority priority,
    loop_timer_fn *fn, void *ctx)
{
	struct loop_timer *t = timer_make(loop, priority, fn, ctx);

	if (t == NULL)
		log_fatal("out of memory");
	return t;
}

void
loop_timer_destroy(struct loop_timer **tp)
{
	if (*tp == NULL)
		return;
	if ((*tp)->ev != NULL)
		event_free((*tp)->ev);
	if ((*tp)->late != NULL)
		event_free((*tp)->late);
	free(*tp);
	*tp = NULL;
}

static void
loop_add(struct event *ev, double seconds)
{
	struct timeval tv = { (time_t)seconds,
		(suseconds_t)((seconds - floor(seconds)) * 1e6) };

	event_add(ev, &tv);
}

void
loop_timer_set(struct loop_timer *t, double seconds)
{
	if (!(seconds > 0))
		seconds = 0;
	if (seconds > 1e8)
		seconds = 1e8;
	loop_add(t->ev, seconds);
	if (t->late != NULL)
		loop_add(t->late, seconds + LOOP_PATIENCE);
}

void
loop_timer_clear(struct loop_timer *t)
{
	event_del(t->ev);
	if (t->late != NULL)
		event_del(t->late);
}

bool
loop_timer_pending(const struct loop_timer *t)
{
	return event_pending(t->ev, EV_TIMEOUT, NULL) != 0;
}

static void
watch_ready(evutil_socket_t fd, short what, void *arg)
{
	struct loop_watch *w = arg;

	(void)fd;
	(void)what;
	loop_timer_set(w->run, 0);
}

static void
watch_run(void *ctx)
{
	struct loop_watch *w = ctx;

	if (w->want == LOOP_READ)
		event_add(w->ev, NULL);
	w->fn(w->ctx);
}

struct loop_watch *
loop_watch_create(struct loop *loop, int fd, enum loop_want want,
    loop_timer_fn *fn, void *ctx)
{
	struct loop_watch *w = calloc(1, sizeof(*w));

	if (w == NULL)
		return NULL;
	w->want = want;
	w->fn = fn;
	w->ctx = ctx;
	w->run = timer_make(loop, LOOP_WORK, watch_run, w);
	w->ev = event_new(loop->base, fd,
	    want == LOOP_READ ? EV_READ : EV_WRITE, watch_ready, w);
	if (w->ev != NULL)
		event_priority_set(w->ev, LOOP_ANSWERS);
	if (w->ev == NULL || w->run == NULL)
		loop_watch_destroy(&w);
	return w;
}

void
loop_watch_destroy(struct loop_watch **wp)
{
	if (*wp == NULL)
		return;
	if ((*wp)->ev != NULL)
		event_free((*wp)->ev);
	loop_timer_destroy(&(*wp)->run);
	free(*wp);
	*wp = NULL;
}

void
loop_watch_set(struct loop_watch *w)
{
	if (!loop_timer_pending(w->run))
		event_add(w->ev, NULL);
}

void
loop_watch_clear(struct loop_watch *w)
{
	event_del(w->ev);
	loop_timer_clear(w->run);
}
