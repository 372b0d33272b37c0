/*
 * loop: the event loop, with time read once a turn.
 *
 * Wraps libevent's base. Two priorities: answers (policy, control, signals,
 * HTTP) go before work (logs, store, snapshots), so bounded pieces of work
 * never make a client wait for more than one piece. As long as there are
 * answers to give, libevent runs nothing else; so that a busy server goes on
 * reading its logs and talking to its store, work that has waited
 * LOOP_PATIENCE is run among the answers, be it a timer or a descriptor.
 */
#ifndef MXW_LOOP_H
#define MXW_LOOP_H

#include <stdbool.h>

struct event_base;
struct loop;
struct loop_timer;

/* Events without a priority get that in the middle: signals and HTTP are
 * answers, too. */
enum loop_priority { LOOP_ANSWERS = 1, LOOP_WORK = 2, LOOP_NPRIORITIES = 3 };

struct loop *loop_create(void);
void loop_destroy(struct loop **);
struct event_base *loop_base(struct loop *);
/* Runs until loop_stop(). -1 when the back end fails. */
int loop_run(struct loop *);
void loop_stop(struct loop *);
/* Seconds since 1970; read once per turn of the loop. */
double loop_now(const struct loop *);
/* Monotonic seconds, read once per turn: for timeouts. */
double loop_mono(const struct loop *);

#define LOOP_PATIENCE 0.005

/* Timers. The callback may destroy its own timer. */
typedef void loop_timer_fn(void *ctx);
struct loop_timer *loop_timer_create(
    struct loop *, enum loop_priority, loop_timer_fn *, void *ctx);
void loop_timer_destroy(struct loop_timer **);
/* Once, `seconds` from now; replaces what was set. 0 = next turn. */
void loop_timer_set(struct loop_timer *, double seconds);
void loop_timer_clear(struct loop_timer *);
bool loop_timer_pending(const struct loop_timer *);

/*
 * Descriptors that work waits for. What must not wait for answers is done here
 * as by a timer for work: the callback comes in one of the next turns, after
 * LOOP_PATIENCE at the latest. It may destroy its own watch. Clear or destroy
 * before the descriptor is closed.
 */
enum loop_want { LOOP_READ, LOOP_WRITE };

struct loop_watch;
/* NULL without memory. */
struct loop_watch *loop_watch_create(
    struct loop *, int fd, enum loop_want, loop_timer_fn *, void *ctx);
void loop_watch_destroy(struct loop_watch **);
/* LOOP_READ: each time, until cleared. LOOP_WRITE: once. */
void loop_watch_set(struct loop_watch *);
void loop_watch_clear(struct loop_watch *);

#endif
