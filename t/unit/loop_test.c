/* loop: answers before work, but work is never starved. */
#include "lib/io/loop.h"

#include <event2/event.h>
#include <stdlib.h>
#include <unistd.h>

#include "t/unit/tap.h"

static struct loop *loop;
static struct loop_timer *answer, *work, *stop;
static int answers, works, own;
static int between, most_between; /* works since the last answer */

static void
on_answer(void *ctx)
{
	(void)ctx;
	answers++;
	if (between > most_between)
		most_between = between;
	between = 0;
	loop_timer_set(answer, 0);
}

static void
on_work(void *ctx)
{
	int goal = *(int *)ctx;

	works++;
	between++;
	if (works >= goal)
		loop_stop(loop);
	else
		loop_timer_set(work, 0);
}

static void
on_stop(void *ctx)
{
	(void)ctx;
	loop_stop(loop);
}

static void
on_own(void *ctx)
{
	struct loop_timer **t = ctx;

	own++;
	loop_timer_destroy(t);
}

/* A client that always has another question. */
static void
test_starving(void)
{
	int goal = 10;
	double begun;

	answer = loop_timer_create(loop, LOOP_ANSWERS, on_answer, NULL);
	work = loop_timer_create(loop, LOOP_WORK, on_work, &goal);
	stop = loop_timer_create(loop, LOOP_ANSWERS, on_stop, NULL);
	loop_timer_set(answer, 0);
	loop_timer_set(work, 0);
	loop_timer_set(stop, 20);
	begun = loop_mono(loop);
	loop_run(loop);
	is_int(works, goal, "work is done while answers go on");
	ok(answers > works, "%d answers meanwhile", answers);
	ok(most_between <= 1, "one piece of work at a time");
	ok(loop_mono(loop) - begun < 19, "in time");
	loop_timer_destroy(&answer);

	/* Without answers it does not wait. */
	works = 0;
	goal = 2000;
	loop_timer_set(work, 0);
	begun = loop_mono(loop);
	loop_run(loop);
	is_int(works, goal, "work alone");
	ok(loop_mono(loop) - begun < goal * LOOP_PATIENCE,
	    "does not wait for patience");
	loop_timer_destroy(&work);
}

static void
test_timers(void)
{
	struct loop_timer *t[2];
	int goal = 1;

	for (int i = 0; i < 2; i++) {
		t[i] = loop_timer_create(
		    loop, i == 0 ? LOOP_ANSWERS : LOOP_WORK, on_own, &t[i]);
		loop_timer_set(t[i], 0);
		ok(loop_timer_pending(t[i]), "pending");
	}
	work = loop_timer_create(loop, LOOP_WORK, on_work, &goal);
	works = 0;
	loop_timer_set(work, 0.03);
	loop_run(loop);
	is_int(own, 2, "a timer may destroy itself");
	ok(t[0] == NULL && t[1] == NULL, "and is gone");
	is_int(works, 1, "once");
	ok(!loop_timer_pending(work), "not pending");
	loop_timer_set(work, 0);
	loop_timer_clear(work);
	loop_timer_set(stop, 0.03);
	loop_run(loop);
	is_int(works, 1, "cleared, it does not come, nor later");
	loop_timer_set(work, 0);
	loop_timer_set(work, 100);
	loop_timer_set(stop, 0.03);
	loop_run(loop);
	is_int(works, 1, "set again, the later time counts");
	loop_timer_destroy(&work);
	loop_timer_destroy(&stop);
}

static struct loop_watch *watches[2];
static int reads, writes, goal_reads;

static void
on_readable(void *ctx)
{
	(void)ctx; /* what is there stays there: it is ready for ever */
	if (++reads >= goal_reads)
		loop_stop(loop);
}

static void
on_writable(void *ctx)
{
	(void)ctx;
	writes++;
}

static void
on_last_readable(void *ctx)
{
	(void)ctx;
	reads++;
	loop_watch_destroy(&watches[0]);
	loop_stop(loop);
}

static void
test_watches(void)
{
	int fds[2];

	if (!ok(pipe(fds) == 0 && write(fds[1], "x", 1) == 1, "a pipe"))
		return;
	watches[0] =
	    loop_watch_create(loop, fds[0], LOOP_READ, on_readable, NULL);
	watches[1] =
	    loop_watch_create(loop, fds[1], LOOP_WRITE, on_writable, NULL);
	answer = loop_timer_create(loop, LOOP_ANSWERS, on_answer, NULL);
	stop = loop_timer_create(loop, LOOP_ANSWERS, on_stop, NULL);

	/* While there is always an answer to give. */
	answers = 0;
	goal_reads = 10;
	loop_watch_set(watches[0]);
	loop_watch_set(watches[1]);
	loop_timer_set(answer, 0);
	loop_timer_set(stop, 20);
	loop_run(loop);
	is_int(reads, 10, "descriptors are not starved by answers");
	is_int(writes, 1, "writable is told once");
	ok(answers > reads, "%d answers meanwhile", answers);
	loop_watch_set(watches[1]);
	goal_reads = 15;
	loop_run(loop);
	is_int(writes, 2, "and once more when asked for");
	loop_timer_destroy(&answer);

	/* Noted as ready, and cleared before its turn has come. */
	loop_timer_set(stop, 0.03);
	loop_watch_clear(watches[0]);
	loop_watch_set(watches[1]);
	loop_watch_clear(watches[1]);
	loop_run(loop);
	is_int(reads, 15, "cleared");
	is_int(writes, 2, "both");
	loop_watch_destroy(&watches[0]);
	loop_watch_destroy(&watches[1]);
	watches[0] =
	    loop_watch_create(loop, fds[0], LOOP_READ, on_last_readable, NULL);
	loop_watch_set(watches[0]);
	loop_timer_set(stop, 20);
	loop_run(loop);
	is_int(reads, 16, "a watch may destroy itself");
	ok(watches[0] == NULL, "and is gone");
	loop_timer_destroy(&stop);
	close(fds[0]);
	close(fds[1]);
}

int
main(void)
{
	loop = loop_create();
	if (!ok(loop != NULL, "a loop"))
		return tap_done();
	test_starving();
	test_timers();
	test_watches();
	loop_destroy(&loop);
	return tap_done();
}
