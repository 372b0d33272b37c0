/*
 * attack: a daemon that has been taken over, and what it can get out of its
 * helper. Starts a real mxwarden-priv with a socket on descriptor 3, as the
 * daemon does, and takes commands, one per line:
 *
 *     start PROGRAM ROLE CONFIG   ends the one before
 *     send FIELD=VALUE...         a request; see send_request(). Prints the
 *                                 answer or "end"
 *     raw N BYTE                  N bytes of this value
 *     descriptor                  a request with a descriptor of ours
 *     fuzz SEED COUNT             random requests, most of them nearly right;
 *                                 prints what came of them
 *     bulk N sync|change          N addresses, as the daemon sends them; prints
 *                                 the seconds until all are in (t/bench)
 *     pid, end
 *
 * An answer is "RESULT error=N refused=N full=N entries=N", and "file=DEV:INO"
 * when a descriptor came with it.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lib/core/logpos.h"
#include "lib/core/privmsg.h"
#include "t/unit/rnd.h"

#define PATIENCE 20000 /* milliseconds */

static int sock = -1;
static pid_t child;
static uint32_t seq;

static void
helper_end(void)
{
	if (sock >= 0)
		close(sock);
	if (child > 0)
		waitpid(child, NULL, 0);
	sock = -1;
	child = 0;
}

static bool
helper_readable(void)
{
	struct pollfd p = { .fd = sock, .events = POLLIN };

	return poll(&p, 1, PATIENCE) > 0;
}

static void
helper_start(char *program, char *role, char *config, bool quiet)
{
	char *argv[] = { program, role, config, NULL, NULL };
	char *env[] = { NULL };
	char mode[] = "stderr";
	struct privmsg_hello hello;
	int fds[2];

	helper_end();
	argv[3] = mode;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) != 0)
		abort();
	child = fork();
	if (child == 0) {
		if (fds[1] != 3)
			dup2(fds[1], 3);
		else
			fcntl(3, F_SETFD, 0);
		close_range(4, ~0u, 0);
		execve(program, argv, env);
		_exit(127);
	}
	close(fds[1]);
	sock = fds[0];
	if (!helper_readable() ||
	    recv(sock, &hello, sizeof(hello), 0) != (ssize_t)sizeof(hello) ||
	    !privmsg_hello_valid(&hello, sizeof(hello)))
		printf("no hello\n");
	else if (hello.ready && !quiet)
		printf("ready\n");
	else if (!hello.ready)
		printf("refuses: %s\n", hello.why);
}

/* The answer to a request: its result, -1 at the end. */
static int
answer(struct privmsg_reply *r, int *fd_r)
{
	struct iovec iov = { r, sizeof(*r) };
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(4 * sizeof(int))];
	} control;
	struct msghdr msg = { .msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.buf,
		.msg_controllen = sizeof(control.buf) };
	struct cmsghdr *c;
	ssize_t n;

	*fd_r = -1;
	if (!helper_readable()) {
		printf("hangs\n");
		exit(1);
	}
	n = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC);
	if (n <= 0)
		return -1;
	if (!privmsg_reply_valid(r, (size_t)n)) {
		printf("a bad reply\n");
		exit(1);
	}
	c = CMSG_FIRSTHDR(&msg);
	if (c != NULL && c->cmsg_type == SCM_RIGHTS)
		memcpy(fd_r, CMSG_DATA(c), sizeof(int));
	return (int)r->result;
}

static void
print_answer(void)
{
	static const char *const names[] = { "ok", "error", "refused",
		"missing", "off" };
	struct privmsg_reply r;
	struct stat st;
	int fd, result = answer(&r, &fd);

	if (result < 0) {
		printf("end\n");
		return;
	}
	printf("%s error=%d refused=%u full=%u entries=%u", names[result],
	    r.error, r.refused, r.full, r.entries);
	if (r.seq != seq)
		printf(" seq=%u", r.seq);
	if (fd >= 0 && fstat(fd, &st) == 0)
		printf(" file=%llu:%llu flags=%d",
		    (unsigned long long)st.st_dev,
		    (unsigned long long)st.st_ino,
		    fcntl(fd, F_GETFL) & O_ACCMODE);
	if (fd >= 0)
		close(fd);
	printf("\n");
}

static void
request_init(struct privmsg_request *r)
{
	memset(r, 0, sizeof(*r));
	r->magic = PRIVMSG_MAGIC;
	r->seq = ++seq;
}

static unsigned
number_of(const char *s)
{
	return (unsigned)strtoul(s, NULL, 0);
}

/* One field: op log dev inode path count reserved magic len entry=ADDR,TTL
 * host (bits set beyond the prefix) junk (behind the entries). */
static void
request_field(struct privmsg_request *r, size_t *len, char *name, char *value)
{
	struct privmsg_entry *e = &r->entries[r->count % PRIVMSG_ENTRIES];
	char *comma = strchr(value, ',');
	struct addr a;

	if (strcmp(name, "op") == 0)
		r->op = number_of(value);
	else if (strcmp(name, "log") == 0)
		r->log = number_of(value);
	else if (strcmp(name, "dev") == 0)
		r->dev = strtoull(value, NULL, 0);
	else if (strcmp(name, "inode") == 0)
		r->inode = strtoull(value, NULL, 0);
	else if (strcmp(name, "path") == 0)
		r->name = logpos_hash(value, strlen(value));
	else if (strcmp(name, "count") == 0)
		r->count = number_of(value);
	else if (strcmp(name, "reserved") == 0)
		r->reserved = number_of(value);
	else if (strcmp(name, "magic") == 0)
		r->magic = number_of(value);
	else if (strcmp(name, "len") == 0)
		*len = number_of(value);
	else if (strcmp(name, "plen") == 0)
		r->entries[0].plen = (uint8_t)number_of(value);
	else if (strcmp(name, "junk") == 0)
		r->entries[PRIVMSG_ENTRIES - 1].ttl = number_of(value);
	else if (strcmp(name, "entry") == 0 && comma != NULL &&
	    addr_parse(value, (size_t)(comma - value), &a)) {
		privmsg_entry_set(e, &a, number_of(comma + 1));
		r->count++;
	} else {
		fprintf(stderr, "attack: what is '%s'?\n", name);
		exit(2);
	}
}

static void
send_request(char *fields)
{
	static struct {
		struct privmsg_request r;
		char more[4096];
	} big;
	size_t len = sizeof(big.r);
	char *save = NULL;

	memset(&big, 0, sizeof(big));
	request_init(&big.r);
	for (char *f = strtok_r(fields, " ", &save); f != NULL;
	     f = strtok_r(NULL, " ", &save)) {
		char *eq = strchr(f, '=');

		if (eq == NULL)
			exit(2);
		*eq = '\0';
		request_field(&big.r, &len, f, eq + 1);
	}
	if (sock < 0 || send(sock, &big, len, MSG_NOSIGNAL) < 0)
		printf("end\n");
	else
		print_answer();
}

static void
send_raw(size_t n, int byte)
{
	char *buf = malloc(n + 1);

	if (buf == NULL)
		abort();
	memset(buf, byte, n);
	if (sock < 0 || send(sock, buf, n, MSG_NOSIGNAL) < 0)
		printf("end\n");
	else
		print_answer();
	free(buf);
}

/* A valid request, and with it a descriptor, which is not to arrive. */
static void
send_descriptor(void)
{
	struct privmsg_request r;
	struct iovec iov = { &r, sizeof(r) };
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(int))];
	} control;
	struct msghdr msg = { .msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.buf,
		.msg_controllen = sizeof(control.buf) };
	struct cmsghdr *c;
	int fd = 0;

	request_init(&r);
	r.op = PRIVMSG_CHECK;
	memset(&control, 0, sizeof(control));
	c = CMSG_FIRSTHDR(&msg);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof(int));
	if (sendmsg(sock, &msg, MSG_NOSIGNAL) < 0)
		printf("end\n");
	else
		print_answer();
}

/* A request that is right, or wrong in one place. Entries are documentation
 * addresses, which the test looks for, and protected ones. */
static size_t
request_random(struct privmsg_request *r)
{
	static const char *const addrs[] = { "192.0.2.1", "192.0.2.0/24",
		"127.0.0.1", "0.0.0.0/0", "::/0", "::1", "198.51.100.19",
		"198.51.100.0/24", "2001:db8:7::/64", "::ffff:127.0.0.1",
		"2001:db8::/16", "0.0.0.0" };
	unsigned char *bytes = (unsigned char *)r;
	size_t len = sizeof(*r);

	request_init(r);
	r->op = (uint32_t)rnd_below(11);
	r->log = rnd_below(4) == 0 ? (uint32_t)rnd_below(2000) : 0;
	if (r->op == PRIVMSG_OPEN_LOG)
		r->inode = rnd_below(3);
	if (r->op == PRIVMSG_CHANGE || r->op == PRIVMSG_SYNC_ENTRIES)
		r->count = (uint32_t)rnd_below(4);
	for (uint32_t i = 0; i < r->count; i++) {
		const char *text =
		    addrs[rnd_below(sizeof(addrs) / sizeof(addrs[0]))];
		struct addr a;

		if (addr_parse(text, strlen(text), &a))
			privmsg_entry_set(
			    &r->entries[i], &a, (uint32_t)rnd_below(3) * 100);
	}
	if (rnd_below(3) == 0)
		bytes[rnd_below(64)] ^= (unsigned char)(1 + rnd_below(255));
	if (rnd_below(20) == 0)
		len = rnd_below(sizeof(*r));
	return len;
}

static void
fuzz(uint64_t seed, unsigned count, char *program, char *role, char *config)
{
	unsigned answered = 0, ended = 0, files = 0;

	rnd_state = seed * 0x9e3779b97f4a7c15u | 1;
	for (unsigned i = 0; i < count; i++) {
		struct privmsg_request r;
		struct privmsg_reply reply;
		size_t len = request_random(&r);
		int fd = -1;

		if (len == 0)
			len = 1;
		if (send(sock, &r, len, MSG_NOSIGNAL) > 0 &&
		    answer(&reply, &fd) >= 0) {
			answered++;
			files += fd >= 0;
			if (fd >= 0)
				close(fd);
			continue;
		}
		ended++;
		helper_start(program, role, config, true);
	}
	printf("fuzz: answered=%u ended=%u files=%u\n", answered, ended, files);
}

/* One message; reads the answers that have come meanwhile. */
static void
bulk_send(struct privmsg_request *r, unsigned *sent, unsigned *answered)
{
	struct pollfd p = { .fd = sock, .events = POLLIN };
	struct privmsg_reply reply;
	int fd;

	if (send(sock, r, sizeof(*r), MSG_NOSIGNAL) < 0)
		exit(1);
	++*sent;
	while (poll(&p, 1, 0) > 0) {
		if (answer(&reply, &fd) != PRIVMSG_OK)
			exit(1);
		++*answered;
	}
}

static void
bulk(unsigned count, bool sync)
{
	unsigned sent = 0, answered = 0;
	struct privmsg_request r;
	struct privmsg_reply reply = { .result = 0 };
	struct timespec from, to;
	int fd;

	clock_gettime(CLOCK_MONOTONIC, &from);
	if (sync) {
		request_init(&r);
		r.op = PRIVMSG_SYNC_BEGIN;
		bulk_send(&r, &sent, &answered);
	}
	for (unsigned i = 0; i < count;) {
		request_init(&r);
		r.op = sync ? PRIVMSG_SYNC_ENTRIES : PRIVMSG_CHANGE;
		for (; i < count && r.count < PRIVMSG_ENTRIES; i++) {
			/* Hosts of 10.0.0.0/8, not one after the other. */
			unsigned n = (i * 7919u + 1) & 0xffffffu;
			struct addr a = { .b = { [10] = 0xff,
					      [11] = 0xff,
					      [12] = 10,
					      [13] = (uint8_t)(n >> 16),
					      [14] = (uint8_t)(n >> 8),
					      [15] = (uint8_t)n },
				.plen = 128 };

			privmsg_entry_set(&r.entries[r.count++], &a, 3600);
		}
		bulk_send(&r, &sent, &answered);
	}
	if (sync) {
		request_init(&r);
		r.op = PRIVMSG_SYNC_END;
		bulk_send(&r, &sent, &answered);
	}
	for (; answered < sent; answered++)
		if (answer(&reply, &fd) != PRIVMSG_OK)
			exit(1);
	clock_gettime(CLOCK_MONOTONIC, &to);
	printf("%.3f entries=%u\n",
	    (double)(to.tv_sec - from.tv_sec) +
		(double)(to.tv_nsec - from.tv_nsec) / 1e9,
	    reply.entries);
}

int
main(void)
{
	static char line[8192], program[512], role[32], config[512], how[16];
	unsigned long long seed;
	unsigned n, byte;

	setvbuf(stdout, NULL, _IOLBF, 0);
	signal(SIGPIPE, SIG_IGN);
	while (fgets(line, sizeof(line), stdin) != NULL) {
		line[strcspn(line, "\n")] = '\0';
		if (sscanf(line, "start %511s %31s %511s", program, role,
			config) == 3)
			helper_start(program, role, config, false);
		else if (strncmp(line, "send ", 5) == 0)
			send_request(line + 5);
		else if (sscanf(line, "raw %u %u", &n, &byte) == 2)
			send_raw(n, (int)byte);
		else if (sscanf(line, "bulk %u %15s", &n, how) == 2)
			bulk(n, strcmp(how, "sync") == 0);
		else if (strcmp(line, "descriptor") == 0)
			send_descriptor();
		else if (sscanf(line, "fuzz %llu %u", &seed, &n) == 2)
			fuzz(seed, n, program, role, config);
		else if (strcmp(line, "pid") == 0)
			printf("%d\n", (int)child);
		else if (strcmp(line, "end") == 0) {
			helper_end();
			printf("ended\n");
		} else
			return 2;
	}
	helper_end();
	return 0;
}
