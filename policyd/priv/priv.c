/*
 * priv: see priv.h.
 */
#include "policyd/priv/priv.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <syslog.h>
#include <unistd.h>

#include "lib/core/log.h"
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
			  "bytes, op %u): ending", n, req->op);
		return false;
	}
	return true;
}

bool
priv_waiting(void)
{
	struct pollfd p = { .fd = PRIV_FD, .events = POLLIN };

	return poll(&p, 1, PRIV_COMPANY) > 0;
}

void
priv_reply(const struct privmsg_request *req, enum privmsg_result result,
    int error, unsigned count, int fd)
{
	struct privmsg_reply reply = { .magic = PRIVMSG_MAGIC, .op = req->op,
		.seq = req->seq, .result = result, .error = error,
		.count = count };
	struct iovec iov = { &reply, sizeof(reply) };
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(int))];
	} control;
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

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
	while (sendmsg(PRIV_FD, &msg, MSG_NOSIGNAL) < 0 && errno == EINTR)
		;
}

bool
priv_reload(const struct privmsg_request *req, struct conf **conf)
{
	struct errbuf err;
	struct conf *new;

	if (req->op != PRIVMSG_RELOAD)
		return false;
	new = conf_read_trusted((*conf)->file, &err);
	if (new == NULL) {
		log_error("configuration not reloaded: %s", err.text);
		priv_reply(req, PRIVMSG_ERROR, 0, 0, -1);
		return true;
	}
	conf_destroy(conf);
	*conf = new;
	priv_reply(req, PRIVMSG_OK, 0, 0, -1);
	return true;
}

static void
priv_syslog(void *ctx, enum msg_level level, const char *text)
{
	(void)ctx;
	syslog(level >= MSG_ERROR ? LOG_ERR
		: level == MSG_WARNING ? LOG_WARNING
				       : LOG_NOTICE,
	    "%s%s%s", level >= MSG_WARNING ? log_level_name(level) : "",
	    level >= MSG_WARNING ? ": " : "", text);
}

/* mxwarden-priv logs|firewall CONFIG syslog|stderr, with the socket on 3. */
int
main(int argc, char **argv)
{
	struct errbuf err;
	struct conf *conf;
	bool logs;

	log_set_prefix("mxwarden-priv");
	if (argc != 4 || (strcmp(argv[1], "logs") != 0 &&
			     strcmp(argv[1], "firewall") != 0)) {
		fputs("mxwarden-priv is started by mxwardend, not by hand\n",
		    stderr);
		return 2;
	}
	logs = strcmp(argv[1], "logs") == 0;
	if (strcmp(argv[3], "syslog") == 0) {
		openlog("mxwarden-priv", LOG_PID | LOG_NDELAY, LOG_MAIL);
		log_set_sink(priv_syslog, NULL);
	}
	conf = conf_read_trusted(argv[2], &err);
	if (conf == NULL)
		log_fatal("%s", err.text);
	if (sandbox_enter(logs ? SANDBOX_LOGS : SANDBOX_FIREWALL, &err) != 0)
		log_fatal("%s", err.text);
	if (logs)
		priv_logs(&conf);
	else
		priv_firewall(&conf);
	conf_destroy(&conf);
	return 0;
}
