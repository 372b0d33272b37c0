/*
 * listener: see listener.h.
 */
#include "lib/io/listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/core/log.h"
#include "lib/core/xalloc.h"

#define LISTENER_BACKLOG 1024 /* the kernel lowers it to net.core.somaxconn */

union listener_sockaddr {
	struct sockaddr sa;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
	struct sockaddr_un un;
};

struct listener {
	int fd;
	bool is_unix;
	bool adopted;
	uint16_t port;
	char path[sizeof(((struct sockaddr_un *)NULL)->sun_path)]; /* ours */
	dev_t dev;
	ino_t ino;
	char name[128];
};

/* The address to bind to; returns its length. */
static socklen_t
listener_address(const struct conf_endpoint *ep, union listener_sockaddr *out)
{
	memset(out, 0, sizeof(*out));
	if (ep->is_unix) {
		out->un.sun_family = AF_UNIX;
		snprintf(
		    out->un.sun_path, sizeof(out->un.sun_path), "%s", ep->path);
		return sizeof(out->un);
	}
	if (addr_is_v4(&ep->addr)) {
		out->in.sin_family = AF_INET;
		out->in.sin_port = htons(ep->port);
		memcpy(&out->in.sin_addr, ep->addr.b + 12, 4);
		return sizeof(out->in);
	}
	out->in6.sin6_family = AF_INET6;
	out->in6.sin6_port = htons(ep->port);
	memcpy(&out->in6.sin6_addr, ep->addr.b, 16);
	return sizeof(out->in6);
}

/* Sets name, kind and port from what the socket is bound to. */
static int
listener_identify(struct listener *l)
{
	union listener_sockaddr u;
	socklen_t len = sizeof(u);
	char text[INET6_ADDRSTRLEN];

	memset(&u, 0, sizeof(u));
	if (getsockname(l->fd, &u.sa, &len) != 0)
		return -1;
	switch (u.sa.sa_family) {
	case AF_UNIX:
		l->is_unix = true;
		snprintf(l->name, sizeof(l->name), "unix:%.*s",
		    (int)sizeof(u.un.sun_path), u.un.sun_path);
		return 0;
	case AF_INET:
		l->port = ntohs(u.in.sin_port);
		inet_ntop(AF_INET, &u.in.sin_addr, text, sizeof(text));
		snprintf(l->name, sizeof(l->name), "inet:%s:%u", text, l->port);
		return 0;
	case AF_INET6:
		l->port = ntohs(u.in6.sin6_port);
		inet_ntop(AF_INET6, &u.in6.sin6_addr, text, sizeof(text));
		snprintf(
		    l->name, sizeof(l->name), "inet:[%s]:%u", text, l->port);
		return 0;
	default:
		errno = EAFNOSUPPORT;
		return -1;
	}
}

/* Is the socket file left over by a server that is gone? */
static bool
listener_is_stale(const union listener_sockaddr *u, socklen_t len)
{
	struct stat st;
	bool stale;
	int fd;

	if (lstat(u->un.sun_path, &st) != 0)
		return errno == ENOENT;
	if (!S_ISSOCK(st.st_mode))
		return false;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return false;
	stale = connect(fd, &u->sa, len) != 0 && errno == ECONNREFUSED;
	close(fd);
	return stale;
}

static int
listener_bind_unix(
    int fd, const union listener_sockaddr *u, socklen_t len, unsigned mode)
{
	mode_t mask;
	int rc, saved;

	/* Linux gives the file the mode of the unbound socket. */
	if (fchmod(fd, (mode_t)mode) != 0)
		return -1;
	mask = umask(0);
	rc = bind(fd, &u->sa, len);
	if (rc != 0 && errno == EADDRINUSE && listener_is_stale(u, len) &&
	    (unlink(u->un.sun_path) == 0 || errno == ENOENT))
		rc = bind(fd, &u->sa, len);
	saved = errno;
	umask(mask);
	errno = saved;
	return rc;
}

/* Remembers which file is ours, and gives it to its owner. */
static int
listener_own(struct listener *l, uid_t uid, gid_t gid)
{
	struct stat st;
	int rc = -1;
	int fd = open(l->path, O_PATH | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return -1;
	if (fstat(fd, &st) == 0) {
		l->dev = st.st_dev;
		l->ino = st.st_ino;
		if (!S_ISSOCK(st.st_mode))
			errno = ENOTSOCK;
		else if (uid == (uid_t)-1 && gid == (gid_t)-1)
			rc = 0;
		else
			rc = fchownat(fd, "", uid, gid, AT_EMPTY_PATH);
	}
	close(fd);
	return rc;
}

/* Options are inherited by the accepted sockets. */
static void
listener_set_options(int fd, int family)
{
	const int on = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
}

/* What to say when it does not work; errno tells what. */
static void
listener_complain(
    const struct conf_endpoint *ep, const char *what, struct errbuf *err)
{
	const int e = errno;
	const char *why = strerror(e);
	char text[ADDR_STRLEN];

	if (ep->is_unix) {
		if (e == EADDRINUSE)
			why = "something else is there, or a server that is "
			      "running";
		errbuf_set(err, "unix:%s: %s: %s", ep->path, what, why);
	} else {
		errbuf_set(err,
		    addr_is_v4(&ep->addr) ? "inet:%s:%u: %s: %s"
					  : "inet:[%s]:%u: %s: %s",
		    addr_format(&ep->addr, text), ep->port, what, why);
	}
}

struct listener *
listener_open(const struct conf_endpoint *ep, unsigned mode, uid_t uid,
    gid_t gid, struct errbuf *err)
{
	struct listener *l = x_calloc(1, sizeof(*l));
	union listener_sockaddr u;
	const socklen_t len = listener_address(ep, &u);
	const char *what = "socket";
	int saved;

	l->fd = socket(
	    u.sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (l->fd < 0)
		goto fail;
	what = "bind";
	if (ep->is_unix) {
		if (listener_bind_unix(l->fd, &u, len, mode) != 0)
			goto fail;
		memcpy(l->path, u.un.sun_path, sizeof(l->path));
		what = "owner";
		if (listener_own(l, uid, gid) != 0)
			goto fail;
	} else {
		listener_set_options(l->fd, u.sa.sa_family);
		if (bind(l->fd, &u.sa, len) != 0)
			goto fail;
	}
	what = "listen";
	if (listen(l->fd, LISTENER_BACKLOG) != 0 || listener_identify(l) != 0)
		goto fail;
	return l;
fail:
	saved = errno;
	listener_complain(ep, what, err);
	listener_close(&l);
	errno = saved;
	return NULL;
}

struct listener *
listener_adopt(int fd, struct errbuf *err)
{
	struct listener *l = x_calloc(1, sizeof(*l));
	int listening = 0, type = 0, flags;
	socklen_t len = sizeof(int);

	l->fd = -1;
	if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &len) != 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) != 0 ||
	    !listening || type != SOCK_STREAM) {
		errbuf_set(
		    err, "descriptor %d is no listening stream socket", fd);
		listener_close(&l);
		return NULL;
	}
	flags = fcntl(fd, F_GETFL);
	l->fd = fd;
	l->adopted = true;
	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0 ||
	    fcntl(fd, F_SETFD, FD_CLOEXEC) != 0 || listener_identify(l) != 0) {
		errbuf_set(err, "descriptor %d: %s", fd, strerror(errno));
		l->fd = -1;
		listener_close(&l);
		return NULL;
	}
	return l;
}

void
listener_close(struct listener **lp)
{
	struct listener *l = *lp;
	struct stat st;

	if (l == NULL)
		return;
	if (l->path[0] != '\0' && l->ino != 0 && lstat(l->path, &st) == 0 &&
	    st.st_dev == l->dev && st.st_ino == l->ino)
		unlink(l->path);
	if (l->fd >= 0)
		close(l->fd);
	free(l);
	*lp = NULL;
}

bool
listener_suspend(struct listener *l)
{
	return !l->is_unix && !l->adopted && shutdown(l->fd, SHUT_RD) == 0;
}

void
listener_resume(struct listener *l)
{
	if (listen(l->fd, LISTENER_BACKLOG) != 0)
		log_error(
		    "%s: cannot listen again: %s", l->name, strerror(errno));
}

bool
listener_is_at(const struct listener *l, const struct conf_endpoint *ep)
{
	struct conf_endpoint own;
	struct errbuf ignored;

	if (!conf_parse_endpoint(l->name, &own, &ignored) ||
	    own.is_unix != ep->is_unix)
		return false;
	if (own.is_unix)
		return strcmp(own.path, ep->path) == 0;
	return own.port == ep->port &&
	    memcmp(&own.addr, &ep->addr, sizeof(own.addr)) == 0;
}

bool
listener_is_adopted(const struct listener *l)
{
	return l->adopted;
}

int
listener_fd(const struct listener *l)
{
	return l->fd;
}

bool
listener_is_unix(const struct listener *l)
{
	return l->is_unix;
}

uint16_t
listener_port(const struct listener *l)
{
	return l->port;
}

const char *
listener_name(const struct listener *l)
{
	return l->name;
}
