/*
 * ask: one policy request, as Postfix would send it.
 *
 * The answer is what Postfix would get (but for control characters on a
 * terminal); that the server closes without an answer is what it does with
 * garbage, and an error here.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "lib/core/conf.h"
#include "lib/core/log.h"
#include "policyd/ctl/ctl.h"
#include "lib/core/json.h"
#include "policyd/ctl/table.h"

#define ASK_TIMEOUT 5.0
#define ASK_REPLY_MAX 4096

struct ask {
	int fd;
	double deadline; /* monotonic, for all of it */
};

static double
ask_mono(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static bool
ask_has(const struct ctl *ctl, const char *name)
{
	size_t len = strlen(name);

	for (int i = 1; i < ctl->argc; i++)
		if (strncmp(ctl->argv[i], name, len) == 0 &&
		    ctl->argv[i][len] == '=')
			return true;
	return false;
}

/* The request; the caller frees it. NULL after an error message. */
static char *
ask_request(const struct ctl *ctl, size_t *len_r)
{
	char *text = NULL;
	FILE *f = open_memstream(&text, len_r);

	if (f == NULL)
		log_fatal("out of memory");
	if (!ask_has(ctl, "request"))
		fputs("request=smtpd_access_policy\n", f);
	if (!ask_has(ctl, "protocol_state"))
		fputs("protocol_state=RCPT\n", f);
	for (int i = 1; i < ctl->argc; i++) {
		const char *arg = ctl->argv[i], *eq = strchr(arg, '=');

		if (eq == NULL || eq == arg || strchr(arg, '\n') != NULL) {
			log_error("ask: '%s' is not name=value", arg);
			fclose(f);
			free(text);
			return NULL;
		}
		fprintf(f, "%s\n", arg);
	}
	putc('\n', f);
	if (fclose(f) != 0)
		log_fatal("out of memory");
	return text;
}

/* 0 when ready, else an errno. */
static int
ask_poll(const struct ask *a, short events)
{
	struct pollfd pfd = { .fd = a->fd, .events = events };

	for (;;) {
		double left = a->deadline - ask_mono();
		int n = poll(&pfd, 1, left > 0 ? (int)(left * 1000) + 1 : 0);

		if (n > 0)
			return 0;
		if (n == 0)
			return ETIMEDOUT;
		if (errno != EINTR)
			return errno;
	}
}

static socklen_t
ask_sockaddr(const struct conf_endpoint *ep, struct sockaddr_storage *ss)
{
	struct sockaddr_un *sun = (struct sockaddr_un *)ss;
	struct sockaddr_in *in = (struct sockaddr_in *)ss;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ss;

	memset(ss, 0, sizeof(*ss));
	if (ep->is_unix) {
		sun->sun_family = AF_UNIX;
		memcpy(sun->sun_path, ep->path, strlen(ep->path) + 1);
		return sizeof(*sun);
	}
	if (addr_is_v4(&ep->addr)) {
		in->sin_family = AF_INET;
		in->sin_port = htons(ep->port);
		memcpy(&in->sin_addr, ep->addr.b + 12, 4);
		return sizeof(*in);
	}
	in6->sin6_family = AF_INET6;
	in6->sin6_port = htons(ep->port);
	memcpy(&in6->sin6_addr, ep->addr.b, 16);
	return sizeof(*in6);
}

/* 0, or an errno. */
static int
ask_connect(struct ask *a, const struct conf_endpoint *ep)
{
	struct sockaddr_storage ss;
	socklen_t len = ask_sockaddr(ep, &ss);
	int error;

	a->fd =
	    socket(ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (a->fd < 0)
		return errno;
	if (connect(a->fd, (struct sockaddr *)&ss, len) == 0)
		return 0;
	if (errno != EINPROGRESS)
		return errno;
	error = ask_poll(a, POLLOUT);
	if (error != 0)
		return error;
	len = sizeof(error);
	if (getsockopt(a->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		return errno;
	return error;
}

static int
ask_send(const struct ask *a, const char *buf, size_t len)
{
	while (len > 0) {
		int error = ask_poll(a, POLLOUT);
		ssize_t n;

		if (error != 0)
			return error;
		n = send(a->fd, buf, len, MSG_NOSIGNAL);
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return errno;
		if (n > 0) {
			buf += n;
			len -= (size_t)n;
		}
	}
	return 0;
}

/* Reads up to the empty line. 0, or an errno; EPIPE: closed before it. */
static int
ask_receive(const struct ask *a, char buf[ASK_REPLY_MAX])
{
	size_t len = 0;

	for (;;) {
		int error = ask_poll(a, POLLIN);
		ssize_t n;

		if (error != 0)
			return error;
		n = recv(a->fd, buf + len, ASK_REPLY_MAX - 1 - len, 0);
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return errno;
		if (n == 0)
			return EPIPE;
		if (n > 0)
			len += (size_t)n;
		buf[len] = '\0';
		if (strstr(buf, "\n\n") != NULL)
			return 0;
		if (len == ASK_REPLY_MAX - 1)
			return EMSGSIZE;
	}
}

static enum ctl_status
ask_print(const struct ctl *ctl, char *reply)
{
	static const char name[] = "action=";
	struct json j = { .f = stdout };
	char *action = reply, *end = strchr(reply, '\n');

	/* Other attributes may stand before it; Postfix skips them. */
	while (end != NULL && strncmp(action, name, sizeof(name) - 1) != 0) {
		action = end + 1;
		end = *action != '\n' ? strchr(action, '\n') : NULL;
	}
	if (end == NULL) {
		log_error("ask: %s answered without an action", ctl->argv[0]);
		return CTL_ERROR;
	}
	action += sizeof(name) - 1;
	*end = '\0';
	if (ctl->json) {
		json_open(&j, NULL, '{');
		json_str(&j, "action", action);
		json_close(&j, '}');
		json_newline(&j);
	} else {
		printf("%s\n", table_clean(action, action, strlen(action) + 1));
	}
	return CTL_OK;
}

static enum ctl_status
ask_failed(const struct ctl *ctl, int error)
{
	if (error == EPIPE || error == ECONNRESET)
		log_error("ask: %s closed the connection without an answer",
		    ctl->argv[0]);
	else if (error == ETIMEDOUT)
		log_error("ask: %s did not answer within %.0f s", ctl->argv[0],
		    ASK_TIMEOUT);
	else
		log_error("ask: %s: %s", ctl->argv[0], strerror(error));
	return CTL_ERROR;
}

enum ctl_status
verb_ask(const struct ctl *ctl)
{
	struct ask a = { .fd = -1, .deadline = ask_mono() + ASK_TIMEOUT };
	struct errbuf err = { "" };
	struct conf_endpoint ep;
	char reply[ASK_REPLY_MAX] = "";
	enum ctl_status status;
	size_t len;
	char *request;
	int error;

	if (!conf_parse_endpoint(ctl->argv[0], &ep, &err)) {
		log_error("ask: %s", err.text);
		return CTL_ERROR;
	}
	request = ask_request(ctl, &len);
	if (request == NULL)
		return CTL_ERROR;
	error = ask_connect(&a, &ep);
	if (error == 0)
		error = ask_send(&a, request, len);
	if (error == 0)
		error = ask_receive(&a, reply);
	status = error == 0 ? ask_print(ctl, reply) : ask_failed(ctl, error);
	if (a.fd >= 0)
		close(a.fd);
	free(request);
	return status;
}
