/*
 * reaper: see reaper.h.
 */
#include "lib/io/reaper.h"

#include <event2/event.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "lib/core/log.h"
#include "lib/core/xalloc.h"
#include "lib/io/loop.h"

struct reaper {
	struct event *ev;
	LIST_HEAD(reaper_list, reaper_child) children;
};

static struct reaper_child *
reaper_find(struct reaper *r, pid_t pid)
{
	struct reaper_child *c;

	LIST_FOREACH(c, &r->children, link)
	if (c->pid == pid)
		return c;
	return NULL;
}

static void
reaper_signal(evutil_socket_t sig, short what, void *arg)
{
	struct reaper *r = arg;
	int status;
	pid_t pid;

	(void)sig;
	(void)what;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		struct reaper_child *c = reaper_find(r, pid);

		if (c == NULL)
			continue;
		reaper_forget(c);
		c->fn(c->ctx, pid, status);
	}
}

struct reaper *
reaper_create(struct loop *loop)
{
	struct reaper *r = x_calloc(1, sizeof(*r));

	LIST_INIT(&r->children);
	r->ev = evsignal_new(loop_base(loop), SIGCHLD, reaper_signal, r);
	if (r->ev == NULL)
		log_fatal("out of memory");
	event_add(r->ev, NULL);
	return r;
}

void
reaper_destroy(struct reaper **rp)
{
	struct reaper *r = *rp;
	struct reaper_child *c;

	if (r == NULL)
		return;
	while ((c = LIST_FIRST(&r->children)) != NULL)
		reaper_forget(c);
	event_free(r->ev);
	free(r);
	*rp = NULL;
}

void
reaper_add(struct reaper *r, struct reaper_child *c, pid_t pid, reaper_fn *fn,
    void *ctx)
{
	c->pid = pid;
	c->fn = fn;
	c->ctx = ctx;
	LIST_INSERT_HEAD(&r->children, c, link);
}

void
reaper_forget(struct reaper_child *c)
{
	if (c->pid == 0)
		return;
	LIST_REMOVE(c, link);
	c->pid = 0;
}
