/*
 * client: see client.h.
 */
#include "policyd/ctl/client.h"

#include <errno.h>
#include <math.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "lib/core/num.h"
#include "lib/core/xalloc.h"

struct client {
	int fd;
	char *path;
	size_t start, len; /* unread bytes in buf */
	char buf[2 * RECORD_MAX];
};

static double
client_mono(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* Waits until the descriptor is ready. `deadline` INFINITY: for ever. */
static int
client_poll(struct client *c, short events, double deadline, struct errbuf *err)
{
	struct pollfd pfd = { .fd = c->fd, .events = events };

	for (;;) {
		double left = deadline - client_mono();
		int ms = isinf(left) ? -1
		    : left <= 0	     ? 0
				     : (int)(left * 1000) + 1;
		int n = poll(&pfd, 1, ms);

		if (n > 0)
			return 0;
		if (n == 0)
			return errbuf_set(
			    err, "mxwardend at %s does not answer", c->path);
		if (errno != EINTR)
			return errbuf_set(err, "poll: %s", strerror(errno));
	}
}

static int
client_read(struct client *c, double deadline, struct errbuf *err)
{
	ssize_t n;

	if (c->start > 0) {
		memmove(c->buf, c->buf + c->start, c->len);
		c->start = 0;
	}
	if (c->len >= RECORD_MAX)
		return errbuf_set(err,
		    "mxwardend at %s sent a record that is "
		    "too long",
		    c->path);
	do {
		if (client_poll(c, POLLIN, deadline, err) < 0)
			return -1;
		n = recv(c->fd, c->buf + c->len, sizeof(c->buf) - c->len, 0);
	} while (n < 0 && (errno == EINTR || errno == EAGAIN));
	if (n < 0)
		return errbuf_set(
		    err, "mxwardend at %s: %s", c->path, strerror(errno));
	if (n == 0)
		return errbuf_set(
		    err, "mxwardend at %s closed the connection", c->path);
	c->len += (size_t)n;
	return 0;
}

/* The next line without its newline; it stays in the buffer until the next
 * call, and the byte behind it may be written. */
static char *
client_line(struct client *c, double wait, size_t *len_r, struct errbuf *err)
{
	double deadline = wait > 0 ? client_mono() + wait : INFINITY;
	size_t seen = 0;

	for (;;) {
		char *line = c->buf + c->start;
		char *nl = memchr(line + seen, '\n', c->len - seen);

		if (nl != NULL) {
			*len_r = (size_t)(nl - line);
			c->start += *len_r + 1;
			c->len -= *len_r + 1;
			return line;
		}
		seen = c->len;
		if (client_read(c, deadline, err) < 0)
			return NULL;
	}
}

/* `mxwarden <protocol> <version>` */
static int
client_greet(struct client *c, struct errbuf *err)
{
	static const char name[] = "mxwarden ";
	const size_t skip = sizeof(name) - 1;
	uint64_t protocol;
	size_t len;
	char *line = client_line(c, CLIENT_TIMEOUT, &len, err);
	char *blank;

	if (line == NULL)
		return -1;
	line[len] = '\0';
	blank = len > skip ? strchr(line + skip, ' ') : NULL;
	if (strncmp(line, name, skip) != 0 || blank == NULL ||
	    !num_parse_u64(
		line + skip, (size_t)(blank - line) - skip, &protocol))
		return errbuf_set(
		    err, "%s is not mxwardend's control socket", c->path);
	if (protocol != RECORD_PROTOCOL)
		return errbuf_set(err,
		    "mxwardend at %s is version %.32s, which speaks another "
		    "protocol than this mxwarden (version %s)",
		    c->path, blank + 1, PACKAGE_VERSION);
	return 0;
}

static const char *
client_hint(int error)
{
	switch (error) {
	case ENOENT:
	case ECONNREFUSED:
		return ": is it running?";
	case EACCES:
		return ": are you root, or a member of the socket's group?";
	default:
		return "";
	}
}

static int
client_connect(struct client *c, struct errbuf *err)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };

	if (strlen(c->path) >= sizeof(sun.sun_path))
		return errbuf_set(err,
		    "%s: the path of a socket has at most %zu bytes", c->path,
		    sizeof(sun.sun_path) - 1);
	memcpy(sun.sun_path, c->path, strlen(c->path) + 1);
	c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->fd < 0)
		return errbuf_set(err, "socket: %s", strerror(errno));
	if (connect(c->fd, (struct sockaddr *)&sun, sizeof(sun)) < 0)
		return errbuf_set(err, "cannot reach mxwardend at %s: %s%s",
		    c->path, strerror(errno), client_hint(errno));
	return 0;
}

struct client *
client_create(const char *path, struct errbuf *err)
{
	struct client *c = x_calloc(1, sizeof(*c));

	c->fd = -1;
	c->path = x_strdup(path);
	if (client_connect(c, err) < 0 || client_greet(c, err) < 0)
		client_destroy(&c);
	return c;
}

void
client_destroy(struct client **cp)
{
	struct client *c = *cp;

	if (c == NULL)
		return;
	if (c->fd >= 0)
		close(c->fd);
	free(c->path);
	free(c);
	*cp = NULL;
}

int
client_send(struct client *c, struct record_out *req, struct errbuf *err)
{
	double deadline = client_mono() + CLIENT_TIMEOUT;
	size_t len, at = 0;
	const char *line = record_end(req, &len);
	int rc = 0;

	if (line == NULL)
		rc = errbuf_set(err, "the request is too long");
	while (rc == 0 && at < len) {
		ssize_t n;

		rc = client_poll(c, POLLOUT, deadline, err);
		if (rc < 0)
			break;
		n = send(
		    c->fd, line + at, len - at, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n >= 0)
			at += (size_t)n;
		else if (errno != EINTR && errno != EAGAIN)
			rc = errbuf_set(err, "mxwardend at %s: %s", c->path,
			    strerror(errno));
	}
	record_free(req);
	return rc;
}

int
client_next(
    struct client *c, double wait, struct record *out, struct errbuf *err)
{
	size_t len;
	char *line = client_line(c, wait, &len, err);

	if (line == NULL)
		return -1;
	if (!record_parse(line, len, out))
		return errbuf_set(err,
		    "mxwardend at %s sent a record of a bad "
		    "form",
		    c->path);
	return 0;
}
