/*
 * policy-load: as many policy requests as a server answers.
 *
 *     policy-load [-c CONNECTIONS] [-t SECONDS] [-r RATE] [-i IDLE] \
 *         [-a PREFIX]... ENDPOINT
 *
 * Each connection is persistent and has one request in flight, as an smtpd
 * has. The requests are those of Postfix 3.7: each of another random client
 * from the prefixes (default 198.18.0.0/15), so that no cache of the server's
 * knows it; names, senders and recipients were made before the start. Idle
 * connections are opened beside them. Every answer is checked: one action, one
 * empty line, nothing else.
 *
 * With -r so many requests a second are sent, by the connections in turn; what
 * a connection cannot send because it still waits is not made up for.
 *
 * Prints one line of name=value: answers per second, latencies in
 * microseconds, how many were DUNNO and how many were something else. The
 * first tenth of the time is not counted.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "t/bench/bench.h"

#define POOL 1024 /* requests made before */
#define PREFIXES_MAX 64

/* Latencies in nanoseconds: 128 buckets for each power of two. */
#define SUB_BITS 7
#define BUCKETS ((64 - SUB_BITS) << SUB_BITS)

/* The client's address goes between the two. */
struct request {
	size_t head_len, tail_len;
	char head[200];
	char tail[1000];
};

struct client {
	int fd;
	bool waits; /* for an answer */
	size_t got;
	uint64_t sent_at;
	char reply[1024];
};

static struct request *pool;
static uint64_t buckets[BUCKETS];
static uint64_t answers, dunno, other, longest;
static struct {
	uint32_t addr;
	unsigned len;
} prefixes[PREFIXES_MAX];
static size_t n_prefixes;
static uint64_t seed = 88172645463325252u;

static void
die(const char *what)
{
	fprintf(stderr, "policy-load: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t
now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static uint32_t
random32(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (uint32_t)(seed >> 16);
}

static void
parse_prefix(const char *text)
{
	char host[32];
	struct in_addr in;
	const char *slash = strchr(text, '/');
	size_t len = slash != NULL ? (size_t)(slash - text) : strlen(text);

	snprintf(host, sizeof(host), "%.*s", (int)len, text);
	if (inet_pton(AF_INET, host, &in) != 1 || n_prefixes == PREFIXES_MAX) {
		fprintf(stderr, "policy-load: %s: not an IPv4 prefix\n", text);
		exit(2);
	}
	prefixes[n_prefixes].addr = ntohl(in.s_addr);
	prefixes[n_prefixes++].len =
	    slash != NULL ? (unsigned)strtoul(slash + 1, NULL, 10) : 32;
}

static uint32_t
random_address(void)
{
	const size_t i = n_prefixes > 1 ? random32() % n_prefixes : 0;

	return prefixes[i].addr |
	    (prefixes[i].len < 32 ? random32() >> prefixes[i].len : 0);
}

static void
make_request(struct request *r)
{
	const uint32_t id = random32();
	char name[64];

	snprintf(name, sizeof(name), "mail-%u.dynamic.example.net", id & 65535);
	r->head_len = (size_t)snprintf(r->head, sizeof(r->head),
	    "request=smtpd_access_policy\nprotocol_state=RCPT\n"
	    "protocol_name=ESMTP\nclient_address=");
	r->tail_len = (size_t)snprintf(r->tail, sizeof(r->tail),
	    "\nclient_name=%s\n"
	    "client_port=%u\nreverse_client_name=%s\n"
	    "server_address=192.0.2.25\nserver_port=25\nhelo_name=%s\n"
	    "sender=bounce-%u+user=example.com@lists.example.org\n"
	    "recipient=someone.%u@example.com\nrecipient_count=0\nqueue_id=\n"
	    "instance=%x.5f3c1d2e.%x.0\nsize=%u\netrn_domain=\nstress=\n"
	    "sasl_method=\nsasl_username=\nsasl_sender=\nccert_subject=\n"
	    "ccert_issuer=\nccert_fingerprint=\nccert_pubkey_fingerprint=\n"
	    "encryption_protocol=TLSv1.3\n"
	    "encryption_cipher=TLS_AES_256_GCM_SHA384\n"
	    "encryption_keysize=256\npolicy_context=\n\n",
	    name, 1024 + random32() % 60000, name, name, random32() % 100000,
	    random32() % 1000, random32() & 65535, random32() & 0xfffff,
	    random32() % 100000);
}

/* Dotted quad; what snprintf(3) needs for it would be half of all. */
static size_t
format_address(uint32_t a, char *out)
{
	char *p = out;

	for (int shift = 24; shift >= 0; shift -= 8) {
		const unsigned b = a >> shift & 255;

		if (b >= 100)
			*p++ = (char)('0' + b / 100);
		if (b >= 10)
			*p++ = (char)('0' + b / 10 % 10);
		*p++ = (char)('0' + b % 10);
		*p++ = '.';
	}
	return (size_t)(p - out) - 1;
}

static int
dial(const struct bench_address *addr)
{
	int fd = socket(addr->ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		die("socket");
	if (connect(fd, (const struct sockaddr *)&addr->ss, addr->len) != 0)
		die("connect");
	return fd;
}

static void
ask(struct client *c)
{
	struct request *r = &pool[random32() % POOL];
	char address[20];
	struct iovec iov[3] = { { r->head, r->head_len },
		{ address, format_address(random_address(), address) },
		{ r->tail, r->tail_len } };
	const size_t len = r->head_len + iov[1].iov_len + r->tail_len;

	c->got = 0;
	c->waits = true;
	c->sent_at = now_ns();
	if (writev(c->fd, iov, 3) != (ssize_t)len)
		die("write");
}

static void
record(uint64_t ns)
{
	unsigned shift = 0;

	if (ns > longest)
		longest = ns;
	while (ns >> shift >= 2u << SUB_BITS)
		shift++;
	/* Mantissa with its leading bit, so the ranges do not overlap. */
	buckets[((uint64_t)shift << SUB_BITS) + (ns >> shift)]++;
}

static double
percentile(double q)
{
	uint64_t want = (uint64_t)(q * (double)answers), sum = 0;

	for (uint64_t i = 0; i < BUCKETS; i++) {
		uint64_t shift, m;

		sum += buckets[i];
		if (sum <= want)
			continue;
		shift = i >> SUB_BITS;
		shift = shift > 0 ? shift - 1 : 0;
		m = i - (shift << SUB_BITS);
		return (double)(m << shift) / 1000;
	}
	return (double)longest / 1000;
}

/* Takes what has come; true when it is an answer. */
static bool
take(struct client *c)
{
	ssize_t n = read(c->fd, c->reply + c->got, sizeof(c->reply) - c->got);
	size_t digits;

	if (n <= 0) {
		if (n == 0)
			errno = ECONNRESET;
		die("read");
	}
	c->got += (size_t)n;
	if (c->got < 2 || memcmp(c->reply + c->got - 2, "\n\n", 2) != 0)
		return false;
	c->reply[c->got - 2] = '\0';
	digits = strspn(c->reply + 7, "0123456789");
	if (strlen(c->reply) != c->got - 2 || strchr(c->reply, '\n') != NULL ||
	    strncmp(c->reply, "action=", 7) != 0 ||
	    c->reply[7 + digits] == '\0') {
		fprintf(stderr, "policy-load: not an answer: '%s'\n", c->reply);
		exit(1);
	}
	return true;
}

/* An answer has come at `now` to a request that counts. */
static void
count(const struct client *c, uint64_t now)
{
	record(now - c->sent_at);
	answers++;
	if (strcmp(c->reply, "action=DUNNO") == 0)
		dunno++;
	else
		other++;
}

/* Sends what is due by `now`; *next is the number of the next request. */
static void
pace(struct client *clients, size_t n, uint64_t start, double rate,
    uint64_t now, uint64_t *next)
{
	for (; start + (uint64_t)((double)*next * 1e9 / rate) <= now; ++*next)
		if (!clients[*next % n].waits)
			ask(&clients[*next % n]);
}

static double
run(struct client *clients, size_t n, double seconds, double rate)
{
	struct epoll_event evs[256];
	const uint64_t start = now_ns();
	const uint64_t end = start + (uint64_t)(seconds * 1e9);
	const uint64_t from = start + (uint64_t)(seconds * 1e8);
	const int ep = epoll_create1(EPOLL_CLOEXEC);
	uint64_t now = start, next = 0, heard = start;

	for (size_t i = 0; i < n; i++) {
		struct epoll_event ev = { .events = EPOLLIN,
			.data.ptr = &clients[i] };

		epoll_ctl(ep, EPOLL_CTL_ADD, clients[i].fd, &ev);
		if (rate == 0)
			ask(&clients[i]);
	}
	while (now < end) {
		int k;

		if (rate > 0)
			pace(clients, n, start, rate, now, &next);
		k = epoll_wait(ep, evs, 256, rate > 0 ? 1 : 5000);
		now = now_ns();
		if (k > 0)
			heard = now;
		if (now - heard > 5000000000u) {
			fprintf(stderr, "policy-load: no answer for 5 s\n");
			exit(1);
		}
		for (int i = 0; i < k; i++) {
			struct client *c = evs[i].data.ptr;

			if (!take(c))
				continue;
			now = now_ns();
			c->waits = false;
			if (c->sent_at >= from)
				count(c, now);
			if (rate == 0)
				ask(c);
		}
	}
	close(ep);
	return (double)(now - from) / 1e9;
}

int
main(int argc, char **argv)
{
	struct bench_address addr;
	struct client *clients;
	struct rlimit rl;
	size_t n = 10, idle = 0;
	double seconds = 3, rate = 0, took;
	int opt;

	while ((opt = getopt(argc, argv, "a:c:i:r:t:")) != -1) {
		switch (opt) {
		case 'a':
			parse_prefix(optarg);
			break;
		case 'c':
			n = strtoul(optarg, NULL, 10);
			break;
		case 'i':
			idle = strtoul(optarg, NULL, 10);
			break;
		case 'r':
			rate = strtod(optarg, NULL);
			break;
		case 't':
			seconds = strtod(optarg, NULL);
			break;
		default:
			return 2;
		}
	}
	if (optind + 1 != argc || n == 0 || !(rate >= 0)) {
		fprintf(stderr,
		    "usage: policy-load [-c CONNECTIONS] [-t SECONDS] "
		    "[-r RATE] [-i IDLE] [-a PREFIX]... ENDPOINT\n");
		return 2;
	}
	if (n_prefixes == 0)
		parse_prefix("198.18.0.0/15");
	getrlimit(RLIMIT_NOFILE, &rl);
	rl.rlim_cur = rl.rlim_max;
	setrlimit(RLIMIT_NOFILE, &rl);
	bench_parse(argv[optind], &addr);
	pool = calloc(POOL, sizeof(*pool));
	clients = calloc(n, sizeof(*clients));
	if (pool == NULL || clients == NULL)
		die("calloc");
	for (size_t i = 0; i < POOL; i++)
		make_request(&pool[i]);
	for (size_t i = 0; i < n; i++)
		clients[i].fd = dial(&addr);
	for (size_t i = 0; i < idle; i++)
		dial(&addr);
	took = run(clients, n, seconds, rate);
	printf("rate=%.0f p50=%.1f p99=%.1f max=%.1f answers=%llu dunno=%llu "
	       "other=%llu\n",
	    (double)answers / took, percentile(0.5), percentile(0.99),
	    (double)longest / 1000, (unsigned long long)answers,
	    (unsigned long long)dunno, (unsigned long long)other);
	for (size_t i = 0; i < n; i++)
		close(clients[i].fd);
	free(clients);
	free(pool);
	return 0;
}
