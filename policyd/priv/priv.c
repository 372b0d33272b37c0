/*
 * priv: see priv.h.
 */
#include "policyd/priv/priv.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <syslog.h>
#include <unistd.h>

#include "lib/core/log.h"
#include "lib/core/names.h"
#include "lib/core/preflight.h"
#include "policyd/priv/sandbox.h"

bool
priv_receive(struct privmsg_request *req)
{
	ssize_t n;

	memset(req, 0, sizeof(*req));
	do
		n = recv(PRIV_FD, req, sizeof(*req), MSG_TRUNC);
	while (n < 0 && errno == EINTR);
	if (n <= 0)
		return false;
	if (!privmsg_request_valid(req, (size_t)n)) {
		log_error("the daemon sent what no daemon of ours sends (%zd "
			  "bytes, op %u): ending",
		    n, req->op);
		return false;
	}
	return true;
}

bool
priv_waiting(int milliseconds)
{
	struct pollfd p = { .fd = PRIV_FD, .events = POLLIN };

	return poll(&p, 1, milliseconds) > 0;
}

bool
priv_is_over(void)
{
	struct pollfd p = { .fd = PRIV_FD };

	return poll(&p, 1, 0) > 0 && (p.revents & (POLLHUP | POLLERR)) != 0;
}

static bool
priv_send(const void *buf, size_t len, int fd)
{
	struct iovec iov = { (void *)(uintptr_t)buf, len };
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(int))];
	} control;
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t n;

	if (fd >= 0) {
		struct cmsghdr *c;

		memset(&control, 0, sizeof(control));
		msg.msg_control = control.buf;
		msg.msg_controllen = sizeof(control.buf);
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &fd, sizeof(int));
	}
	do
		n = sendmsg(PRIV_FD, &msg, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n == (ssize_t)len;
}

void
priv_reply(
    const struct privmsg_request *req, struct privmsg_reply *reply, int fd)
{
	reply->magic = PRIVMSG_MAGIC;
	reply->op = req->op;
	reply->seq = req->seq;
	/* If it cannot be sent, the daemon is gone: the next read says so. */
	(void)priv_send(reply, sizeof(*reply), fd);
}

bool
priv_reload(const struct privmsg_request *req, struct conf **conf,
    const struct conf *keep)
{
	struct privmsg_reply reply = { .result = PRIVMSG_OK };
	struct errbuf err;
	struct conf *new;

	if (req->op != PRIVMSG_RELOAD)
		return false;
	new = conf_read_trusted((*conf)->file, &err);
	if (new == NULL) {
		log_error("configuration not reloaded: %s", err.text);
		reply.result = PRIVMSG_ERROR;
	} else {
		if (*conf != keep)
			conf_destroy(conf);
		*conf = new;
	}
	priv_reply(req, &reply, -1);
	return true;
}

static void
priv_syslog(void *ctx, enum msg_level level, const char *text)
{
	(void)ctx;
	syslog(level >= MSG_ERROR      ? LOG_ERR
		: level == MSG_WARNING ? LOG_WARNING
				       : LOG_NOTICE,
	    "%s%s%s", level >= MSG_WARNING ? log_level_name(level) : "",
	    level >= MSG_WARNING ? ": " : "", text);
}

/* Whoever started the daemon does not wait for us, too; nor do we die of
 * signals that are sent to all of its processes: the end of the socket is what
 * ends us, when the daemon has had its last words. */
static void
priv_settle(bool foreground)
{
	static const int ignored[] = { SIGTERM, SIGINT, SIGHUP, SIGPIPE,
		SIGUSR1, SIGUSR2, SIGQUIT };
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
		signal(ignored[i], SIG_IGN);
	signal(SIGCHLD, SIG_DFL);
	if (null < 0)
		log_fatal("/dev/null: %s", strerror(errno));
	dup2(null, 0);
	if (!foreground) {
		dup2(null, 1);
		dup2(null, 2);
	}
	if (null > 2)
		close(null);
}

static int
priv_start(const char *file, bool logs, struct conf **conf, struct errbuf *err)
{
	*conf = conf_read_trusted(file, err);
	if (*conf == NULL)
		return -1;
	if (!logs && preflight_tools(*conf, err) != 0)
		return -1;
	return sandbox_enter(
	    logs ? SANDBOX_LOGS : SANDBOX_FIREWALL, *conf, err);
}

/* mxwarden-priv logs|firewall CONFIG syslog|stderr, with the socket on 3. */
int
main(int argc, char **argv)
{
	struct privmsg_hello hello = { .magic = PRIVMSG_MAGIC };
	struct errbuf err = { "" };
	struct conf *conf = NULL;
	bool logs, foreground;

	log_set_prefix("mxwarden-priv");
	if (argc != 4 ||
	    (strcmp(argv[1], "logs") != 0 &&
		strcmp(argv[1], "firewall") != 0)) {
		fputs("mxwarden-priv is started by mxwardend, not by hand\n",
		    stderr);
		return 2;
	}
	logs = strcmp(argv[1], "logs") == 0;
	foreground = strcmp(argv[3], "syslog") != 0;
	if (!foreground) {
		openlog("mxwarden-priv", LOG_PID | LOG_NDELAY, LOG_MAIL);
		log_set_sink(priv_syslog, NULL);
	}
	priv_settle(foreground);
	hello.ready = priv_start(argv[2], logs, &conf, &err) == 0;
	snprintf(hello.why, sizeof(hello.why), "%s", err.text);
	if (priv_send(&hello, sizeof(hello), -1) && hello.ready) {
		if (logs)
			priv_logs(&conf);
		else
			priv_firewall(&conf);
	}
	conf_destroy(&conf);
	names_destroy();
	closelog();
	return hello.ready ? 0 : 1;
}
