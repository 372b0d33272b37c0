/*
 * notify: see notify.h.
 */
#include "lib/io/notify.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "lib/core/log.h"
#include "lib/core/num.h"
#include "lib/core/xalloc.h"
#include "lib/io/loop.h"

#define NOTIFY_AGAIN 0.1 /* seconds until what was not taken is sent again */

struct notify {
	struct loop *loop;
	int fd; /* -1: nobody listens */
	struct sockaddr_un to;
	socklen_t to_len;
	char state[80]; /* not sent yet, "" = none */
	char status[NOTIFY_STATUS_MAX + 1];
	bool status_due;
	double status_next; /* monotonic */
	double watchdog;    /* seconds, 0 = none */
	struct loop_timer *ev_send, *ev_watchdog;
	struct loglimit limit;
};

/* False when it has to be tried again. What can never arrive is given up. */
static bool
notify_send(struct notify *n, const char *text)
{
	ssize_t rc;

	if (n->fd < 0)
		return true;
	do
		rc = sendto(n->fd, text, strlen(text),
		    MSG_NOSIGNAL | MSG_DONTWAIT, (struct sockaddr *)&n->to,
		    n->to_len);
	while (rc < 0 && errno == EINTR);
	if (rc >= 0)
		return true;
	if (errno == EAGAIN || errno == ENOBUFS)
		return false;
	log_limited(&n->limit, loop_mono(n->loop), MSG_WARNING,
	    "the service manager cannot be told: %s", strerror(errno));
	return true;
}

static void
notify_flush(void *arg)
{
	struct notify *n = arg;
	char text[NOTIFY_STATUS_MAX + 16];
	double now = loop_mono(n->loop);

	if (n->state[0] != '\0' && notify_send(n, n->state))
		n->state[0] = '\0';
	if (n->state[0] == '\0' && n->status_due && now >= n->status_next) {
		snprintf(text, sizeof(text), "STATUS=%s", n->status);
		n->status_due = !notify_send(n, text);
		if (!n->status_due)
			n->status_next = now + NOTIFY_STATUS_EVERY;
	}
	if (n->state[0] != '\0' || (n->status_due && now >= n->status_next))
		loop_timer_set(n->ev_send, NOTIFY_AGAIN);
	else if (n->status_due)
		loop_timer_set(n->ev_send, n->status_next - now);
}

static void
notify_alive(void *arg)
{
	struct notify *n = arg;

	(void)notify_send(n, "WATCHDOG=1");
	loop_timer_set(n->ev_watchdog, n->watchdog);
}

double
notify_watchdog_interval(const char *usec, const char *pid, pid_t self)
{
	uint64_t us, who;

	if (usec == NULL || !num_parse_u64(usec, strlen(usec), &us) || us == 0)
		return 0;
	if (pid != NULL &&
	    (!num_parse_u64(pid, strlen(pid), &who) || who != (uint64_t)self))
		return 0;
	return (double)us / 1e6 / 2;
}

static void
notify_open(struct notify *n, const char *path)
{
	size_t len = strlen(path);

	if ((path[0] != '/' && path[0] != '@') || len < 2 ||
	    len >= sizeof(n->to.sun_path)) {
		log_warning("NOTIFY_SOCKET '%.*s' is not the name of a socket",
		    120, path);
		return;
	}
	n->to.sun_family = AF_UNIX;
	memcpy(n->to.sun_path, path, len + 1);
	n->to_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
	if (path[0] == '@')
		n->to.sun_path[0] = '\0';
	else
		n->to_len++;
	n->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
}

struct notify *
notify_create(struct loop *loop)
{
	struct notify *n = x_calloc(1, sizeof(*n));
	const char *path = getenv("NOTIFY_SOCKET");

	n->loop = loop;
	n->fd = -1;
	n->ev_send = loop_timer_create(loop, LOOP_ANSWERS, notify_flush, n);
	n->ev_watchdog = loop_timer_create(loop, LOOP_ANSWERS, notify_alive, n);
	if (n->ev_send == NULL || n->ev_watchdog == NULL)
		log_fatal("out of memory");
	if (path != NULL)
		notify_open(n, path);
	if (n->fd >= 0)
		n->watchdog = notify_watchdog_interval(
		    getenv("WATCHDOG_USEC"), getenv("WATCHDOG_PID"), getpid());
	unsetenv("NOTIFY_SOCKET");
	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
	if (n->watchdog > 0)
		loop_timer_set(n->ev_watchdog, 0);
	return n;
}

void
notify_destroy(struct notify **np)
{
	struct notify *n = *np;

	if (n == NULL)
		return;
	loop_timer_destroy(&n->ev_send);
	loop_timer_destroy(&n->ev_watchdog);
	if (n->fd >= 0)
		close(n->fd);
	free(n);
	*np = NULL;
}

bool
notify_is_on(const struct notify *n)
{
	return n->fd >= 0;
}

/* A state that was not taken yet is replaced: the last one counts. */
static void
notify_say(struct notify *n, const char *state)
{
	if (n->fd < 0)
		return;
	snprintf(n->state, sizeof(n->state), "%s", state);
	notify_flush(n);
}

void
notify_ready(struct notify *n)
{
	notify_say(n, "READY=1");
}

void
notify_reloading(struct notify *n)
{
	struct timespec ts;
	char text[80];

	clock_gettime(CLOCK_MONOTONIC, &ts);
	snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%llu",
	    (unsigned long long)ts.tv_sec * 1000000u +
		(unsigned long long)ts.tv_nsec / 1000u);
	notify_say(n, text);
}

void
notify_stopping(struct notify *n)
{
	notify_say(n, "STOPPING=1");
}

void
notify_status(struct notify *n, const char *text)
{
	char cut[NOTIFY_STATUS_MAX + 1];

	if (n->fd < 0)
		return;
	snprintf(cut, sizeof(cut), "%s", text);
	/* One line: a second one would be another assignment. */
	cut[strcspn(cut, "\n")] = '\0';
	if (strcmp(cut, n->status) == 0)
		return;
	memcpy(n->status, cut, sizeof(n->status));
	n->status_due = true;
	notify_flush(n);
}
