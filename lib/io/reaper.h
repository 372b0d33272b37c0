/*
 * reaper: the one place where children are waited for. Who starts a child
 * says so, and is called from the loop when it has ended. Children that nobody
 * named are reaped as well.
 */
#ifndef MXW_REAPER_H
#define MXW_REAPER_H

#include <sys/queue.h>
#include <sys/types.h>

struct loop;
struct reaper;

/* `status` as from waitpid(2). */
typedef void reaper_fn(void *ctx, pid_t pid, int status);

/* Belongs to whoever starts the child; zero it once. */
struct reaper_child {
	pid_t pid; /* 0 = none */
	reaper_fn *fn;
	void *ctx;
	LIST_ENTRY(reaper_child) link;
};

struct reaper *reaper_create(struct loop *);
void reaper_destroy(struct reaper **);
/* In the turn of the loop in which it was started; pid is set to 0 before `fn`
 * is called. */
void reaper_add(
    struct reaper *, struct reaper_child *, pid_t pid, reaper_fn *, void *ctx);
/* `fn` is not to be called any more. Does nothing where pid is 0. */
void reaper_forget(struct reaper_child *);

#endif
