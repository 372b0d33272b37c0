/*
 * policy-load: as many policy requests as a server answers.
 *
 *     policy-load [-c CONNECTIONS] [-t SECONDS] [-i IDLE] [-a PREFIX]... \
 *         ENDPOINT
 *
 * Each connection is persistent and has one request in flight, as an smtpd
 * has. The requests are those of Postfix 3.7, made before the start: random
 * clients from the prefixes (default 198.18.0.0/15), with names, senders and
 * recipients of their own. Idle connections are opened beside them. Every
 * answer is checked: one action, one empty line, nothing else.
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
#include <time.h>
#include <unistd.h>

#include "t/bench/bench.h"

#define POOL 4096 /* requests made before */
#define PREFIXES_MAX 64

/* Latencies in nanoseconds: 128 buckets for each power of two. */
#define SUB_BITS 7
#define BUCKETS ((64 - SUB_BITS) << SUB_BITS)

struct request {
	size_t len;
	char text[1200];
};

struct client {
	int fd;
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

static void
make_request(struct request *r)
{
	const size_t i = random32() % n_prefixes;
	const uint32_t a = prefixes[i].addr |
	    (prefixes[i].len < 32 ? random32() >> prefixes[i].len : 0);
	char ip[32], name[64];
	int n;

	snprintf(ip, sizeof(ip), "%u.%u.%u.%u", a >> 24, a >> 16 & 255,
	    a >> 8 & 255, a & 255);
	snprintf(name, sizeof(name), "mail-%u.dynamic.example.net", a & 65535);
	n = snprintf(r->text, sizeof(r->text),
	    "request=smtpd_access_policy\nprotocol_state=RCPT\n"
	    "protocol_name=ESMTP\nclient_address=%s\nclient_name=%s\n"
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
	    ip, name, 1024 + random32() % 60000, name, name,
	    random32() % 100000, random32() % 1000, random32() & 65535,
	    random32() & 0xfffff, random32() % 100000);
	r->len = (size_t)n;
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
	const struct request *r = &pool[random32() % POOL];

	c->got = 0;
	c->sent_at = now_ns();
	if (write(c->fd, r->text, r->len) != (ssize_t)r->len)
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

static double
run(struct client *clients, size_t n, double seconds)
{
	struct epoll_event evs[256];
	const uint64_t start = now_ns();
	const uint64_t end = start + (uint64_t)(seconds * 1e9);
	const uint64_t from = start + (uint64_t)(seconds * 1e8);
	const int ep = epoll_create1(EPOLL_CLOEXEC);
	uint64_t now = start;

	for (size_t i = 0; i < n; i++) {
		struct epoll_event ev = { .events = EPOLLIN,
			.data.ptr = &clients[i] };

		epoll_ctl(ep, EPOLL_CTL_ADD, clients[i].fd, &ev);
		ask(&clients[i]);
	}
	while (now < end) {
		int k = epoll_wait(ep, evs, 256, 5000);

		if (k == 0) {
			fprintf(stderr, "policy-load: no answer for 5 s\n");
			exit(1);
		}
		for (int i = 0; i < k; i++) {
			struct client *c = evs[i].data.ptr;

			if (!take(c))
				continue;
			now = now_ns();
			if (c->sent_at >= from) {
				record(now - c->sent_at);
				answers++;
				if (strcmp(c->reply, "action=DUNNO") == 0)
					dunno++;
				else
					other++;
			}
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
	double seconds = 3, took;
	int opt;

	while ((opt = getopt(argc, argv, "a:c:i:t:")) != -1) {
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
		case 't':
			seconds = strtod(optarg, NULL);
			break;
		default:
			return 2;
		}
	}
	if (optind + 1 != argc || n == 0) {
		fprintf(stderr,
		    "usage: policy-load [-c CONNECTIONS] [-t SECONDS] "
		    "[-i IDLE] [-a PREFIX]... ENDPOINT\n");
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
	took = run(clients, n, seconds);
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
