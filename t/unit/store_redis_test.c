/*
 * The Redis store against a server that is no Redis: each connection behaves
 * for some commands and is hostile from then on. Nothing of it may stop the
 * store, hold up the loop, or leave a call without its answer; and when a real
 * Redis comes, every hit gets there.
 */
#include "lib/io/store_redis.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <math.h>
#include <sys/resource.h>
#include <sys/un.h>

#include "lib/core/log.h"
#include "lib/core/names.h"
#include "lib/core/xalloc.h"
#include "lib/io/loop.h"
#include "lib/io/sockaddr.h"

#include "t/unit/rediskit.h"
#include "t/unit/rnd.h"
#include "t/unit/tap.h"

#define ROUNDS 400
#define N_CALLS 6

static struct loop *loop;
static struct blocklist *view;
static struct level levels[2];
static struct store_params params = { .window = 600,
	.repeat = { 2, 86400, 86400 },
	.levels = levels,
	.n_levels = 2 };
static int answered[N_CALLS + 1];
static int bad_answers;
static double worst_turn;

/* --- The sink ----------------------------------------------------------------
 */

static void
sink_blocked(void *ctx, const struct block *b, enum store_why why)
{
	(void)ctx;
	(void)why;
	if (isnan(b->until) || b->addr.plen > 128)
		bad_answers++;
	blocklist_set(view, b);
}

static void
sink_unblocked(void *ctx, const struct addr *a, enum store_why why)
{
	(void)ctx;
	(void)why;
	blocklist_del(view, a);
}

static void
sink_allowed(void *ctx, const struct addr *a, bool present)
{
	(void)ctx;
	(void)a;
	(void)present;
}

static void
sink_info(void *ctx, uint64_t ticket, const struct score_info *info)
{
	(void)ctx;
	if (ticket == 0 || ticket > N_CALLS || info->n_rules > STORE_RULES_MAX)
		bad_answers++;
}

static void
sink_done(void *ctx, uint64_t ticket, enum store_result r, const char *text)
{
	(void)ctx;
	(void)r;
	(void)text;
	if (ticket == 0 || ticket > N_CALLS)
		bad_answers++;
	else
		answered[ticket]++;
}

static const struct store_sink sink = { .blocked = sink_blocked,
	.unblocked = sink_unblocked,
	.allowed = sink_allowed,
	.info = sink_info,
	.done = sink_done };

/* --- The server
 * --------------------------------------------------------------- */

struct peer {
	struct bufferevent *bev;
	redisReader *reader;
	int good; /* commands that are still answered as Redis would */
	struct peer *next;
};

static struct peer *peers;
static unsigned scripts; /* loaded on the last connection */

static void __attribute__((format(printf, 2, 3)))
put(struct peer *p, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	evbuffer_add_vprintf(bufferevent_get_output(p->bev), fmt, ap);
	va_end(ap);
}

/* Something that RESP allows. */
static void
put_random(struct peer *p, int depth)
{
	static const char *const errors[] = { "LOADING Redis is loading",
		"READONLY You can't write", "OOM command not allowed",
		"NOSCRIPT No matching script", "NOAUTH Authentication required",
		"MOVED 1 192.0.2.1:1", "WRONGTYPE Operation", "BUSY script",
		"ERR x: @user_script: 1", "", "MISCONF x", "CLUSTERDOWN x" };
	static const char *const words[] = { "message", "subscribe", "0",
		"mxwarden:block:192.0.2.1", "reject", "mxwarden:allow",
		"18446744073709551615", "reject score=1 until=1e300", "bbbb" };
	unsigned n;

	switch (rnd_below(depth > 0 ? 8 : 6)) {
	case 0:
		put(p, "-%s\r\n",
		    errors[rnd_below(sizeof(errors) / sizeof(errors[0]))]);
		return;
	case 1:
		put(p, ":%lld\r\n", (long long)(rnd() >> rnd_below(64)));
		return;
	case 2:
		put(p, "$-1\r\n");
		return;
	case 3:
		put(p, "*%d\r\n", -(int)rnd_below(2));
		return;
	case 4:
		put(p, "+OK\r\n");
		return;
	case 5:
		n = rnd_below(sizeof(words) / sizeof(words[0]));
		put(p, "$%zu\r\n%s\r\n", strlen(words[n]), words[n]);
		return;
	default:
		n = rnd_below(8);
		put(p, "*%u\r\n", n);
		while (n-- > 0)
			put_random(p, depth - 1);
	}
}

static void
put_hostile(struct peer *p)
{
	unsigned n;

	switch (rnd_below(14)) {
	case 0:
		put(p, "$999999999\r\n");
		return;
	case 1:
		put(p, "*1000000000\r\n");
		return;
	case 2:
		for (int i = 0; i < 30; i++)
			put(p, "*1\r\n");
		return;
	case 3:
		for (n = rnd_below(200); n > 0; n--)
			put(p, "%c", (int)rnd_below(256));
		return;
	case 4:
		bufferevent_disable(p->bev, EV_READ | EV_WRITE);
		return; /* silence */
	case 5:
		put(p, "+OK\r\n+OK\r\n:1\r\n*0\r\n"); /* not asked for */
		return;
	case 6:
		put(p, "$10\r\nabc\r\n");
		return;
	case 7:
		put(p, "*16000\r\n");
		for (int i = 0; i < 16000; i++)
			put(p, "$1\r\n0\r\n");
		return;
	case 8:
		put(p, "$-2147483648\r\n*-7\r\n");
		return;
	case 9:
		put(p, "%%1\r\n+a\r\n+b\r\n"); /* RESP3 */
		return;
	default:
		put_random(p, 4);
	}
}

static void
answer_script(struct peer *p, const redisReply *r, unsigned which)
{
	size_t n;

	switch (which) {
	case RSCRIPT_HITS:
		n = (r->elements - 3 - 8 - 6) / 6;
		put(p, "*%d\r\n$%zu\r\n", 1 + (n > 0), n);
		for (size_t i = 0; i < n; i++)
			put(p, "%c", i == 0 ? "1br"[rnd_below(3)] : '1');
		put(p, "\r\n");
		if (n > 0)
			put(p, "+reject until=1e11\r\n");
		return;
	case RSCRIPT_READ:
		put(p, "*%zu\r\n", (r->elements - 3) * 2);
		for (size_t i = 3; i < r->elements; i++)
			put(p, "+reject\r\n:1000\r\n");
		return;
	case RSCRIPT_SCAN:
		put(p,
		    "*4\r\n+0\r\n+mxwarden:block:192.0.2.8\r\n"
		    "+reject\r\n:5000\r\n");
		return;
	default:
		put(p, "*1\r\n+0\r\n");
	}
}

static void
answer(struct peer *p, const redisReply *r)
{
	const char *cmd = r->elements > 0 ? r->element[0]->str : "";

	if (p->good-- <= 0)
		put_hostile(p);
	else if (strcmp(cmd, "CLIENT") == 0)
		put(p, r->elements == 2 ? ":5\r\n" : "+OK\r\n");
	else if (strcmp(cmd, "SUBSCRIBE") == 0)
		put(p, "*3\r\n$9\r\nsubscribe\r\n+x\r\n:1\r\n");
	else if (strcmp(cmd, "SCRIPT") == 0)
		put(p, "$40\r\n%040x\r\n", scripts++ % RSCRIPT_COUNT);
	else if (strcmp(cmd, "EVALSHA") == 0)
		answer_script(
		    p, r, (unsigned)strtoul(r->element[1]->str, NULL, 16));
	else
		put(p, "+PONG\r\n");
}

static void
peer_free(struct peer *p)
{
	struct peer **at = &peers;

	while (*at != p)
		at = &(*at)->next;
	*at = p->next;
	bufferevent_free(p->bev);
	redisReaderFree(p->reader);
	free(p);
}

static void
on_peer_read(struct bufferevent *bev, void *ctx)
{
	struct peer *p = ctx;
	char buf[4096];
	size_t n;
	void *reply;

	while ((n = bufferevent_read(bev, buf, sizeof(buf))) > 0)
		redisReaderFeed(p->reader, buf, n);
	while (redisReaderGetReply(p->reader, &reply) == REDIS_OK &&
	    reply != NULL) {
		answer(p, reply);
		freeReplyObject(reply);
	}
	if (p->good < -3 && rnd_below(3) == 0)
		peer_free(p);
}

static void
on_peer_event(struct bufferevent *bev, short what, void *ctx)
{
	(void)bev;
	(void)what;
	peer_free(ctx);
}

static void
on_accept(struct evconnlistener *l, evutil_socket_t fd, struct sockaddr *sa,
    int len, void *ctx)
{
	struct peer *p = x_calloc(1, sizeof(*p));

	(void)l;
	(void)sa;
	(void)len;
	(void)ctx;
	p->bev =
	    bufferevent_socket_new(loop_base(loop), fd, BEV_OPT_CLOSE_ON_FREE);
	p->reader = redisReaderCreate();
	p->good = (int)rnd_below(30);
	p->next = peers;
	peers = p;
	scripts = 0;
	bufferevent_setcb(p->bev, on_peer_read, NULL, on_peer_event, p);
	bufferevent_enable(p->bev, EV_READ | EV_WRITE);
}

/* --- Rounds
 * --------------------------------------------------------------------- */

/* Seconds; short for the server that is played here, which often says nothing.
 * A real one may be slow on a machine that is busy. */
static double answer_within = 0.04;

/* What a turn costs us, whatever else runs. */
static double
cpu_clock(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static struct store *
store_new(const char *path)
{
	struct store_redis_options o = { .params = &params,
		.max_addresses = 1000,
		.link = { .prefix = "mxwarden:",
		    .user = "",
		    .password_file = "",
		    .timeout = answer_within } };
	struct store *s;

	o.link.uri.kind = STOREURI_UNIX;
	snprintf(o.link.uri.path, sizeof(o.link.uri.path), "%s", path);
	s = store_redis_create(loop, &o);
	store_set_sink(s, &sink, NULL, view);
	store_configure(s, &params);
	return s;
}

static void
turns(struct store *s, double seconds, bool (*until)(struct store *))
{
	double end = kit_clock() + seconds, start;

	do {
		event_base_loop(loop_base(loop), EVLOOP_ONCE | EVLOOP_NONBLOCK);
		start = cpu_clock();
		store_flow(s, STORE_FLOW_CURRENT);
		store_poll(s, loop_now(loop), loop_now(loop) - 600);
		worst_turn = fmax(worst_turn, cpu_clock() - start);
		usleep(200);
	} while (kit_clock() < end && (until == NULL || !until(s)));
}

static void
hit(struct store *s, unsigned addr, uint64_t offset)
{
	struct hit h = { .t = loop_now(loop),
		.weight = 1,
		.epoch = 9,
		.offset = offset,
		.rule = name_intern_str("r") };
	char text[32];

	snprintf(text, sizeof(text), "192.0.2.%u", addr);
	addr_parse(text, strlen(text), &h.addr);
	store_hit(s, &h);
}

static bool
all_answered(struct store *s)
{
	(void)s;
	for (int i = 1; i <= N_CALLS; i++)
		if (answered[i] == 0)
			return false;
	return true;
}

static bool
is_done(struct store *s)
{
	struct store_status st;

	store_status(s, &st);
	return st.ready && st.pending == 0 && st.resyncs > 0;
}

static void
calls(struct store *s)
{
	struct block b = { .until = 1e10, .level = levels[1].name };
	struct addr a;

	memset(answered, 0, sizeof(answered));
	addr_parse("192.0.2.1", 9, &a);
	b.addr = a;
	store_block(s, 1, &b);
	store_fetch(s, 2, &a);
	store_top(s, 3, 10);
	store_unblock(s, 4, &a);
	store_allow(s, 5, &a, true);
	if (rnd_below(2) == 0)
		store_unblock_all(s, 6);
	else
		store_forgive(s, 6, &a);
}

static long
rss_kib(void)
{
	struct rusage ru;

	getrusage(RUSAGE_SELF, &ru);
	return ru.ru_maxrss;
}

static void
test_hostile(void)
{
	char dir[] = "/tmp/mxwarden-fake-XXXXXX", path[64];
	struct evconnlistener *l;
	struct sockaddr_storage ss;
	struct store *s;
	socklen_t len;
	int unanswered = 0, twice = 0;
	long rss;

	if (mkdtemp(dir) == NULL)
		exit(1);
	snprintf(path, sizeof(path), "%s/sock", dir);
	len = sockaddr_of_path(path, &ss);
	l = evconnlistener_new_bind(loop_base(loop), on_accept, NULL,
	    LEV_OPT_CLOSE_ON_FREE, 16, (struct sockaddr *)&ss, (int)len);
	rss = rss_kib();
	for (int round = 0; round < ROUNDS; round++) {
		s = store_new(path);
		for (unsigned i = 0; i < 12; i++)
			hit(s, i % 4, i + 1);
		turns(s, 0.002 * rnd_below(10), NULL);
		calls(s);
		turns(s, rnd_below(4) == 0 ? 0 : 2, all_answered);
		if (rnd_below(4) != 0)
			turns(s, 0.01, all_answered);
		if (rnd_below(4) != 0) {
			turns(s, 2, all_answered);
			for (int i = 1; i <= N_CALLS; i++) {
				unanswered += answered[i] == 0;
				twice += answered[i] > 1;
			}
		}
		store_destroy(&s);
	}
	evconnlistener_free(l);
	while (peers != NULL)
		peer_free(peers);
	unlink(path);
	rmdir(dir);
	is_int(unanswered, 0, "every call was answered");
	is_int(twice, 0, "... once");
	is_int(bad_answers, 0, "nothing that cannot be was handed on");
	ok(rss_kib() - rss < 262144, "memory: %ld KiB more", rss_kib() - rss);
	ok(worst_turn < 0.5, "longest turn %.1f ms", worst_turn * 1000);
}

/* Away at first, then a real one. */
static void
test_real(void)
{
	struct store *s;
	struct store_status st;
	struct addr a;
	struct block b;

	s = store_new("/nonexistent/socket");
	hit(s, 1, 1);
	turns(s, 0.05, NULL);
	for (uint64_t i = 2; i <= 6; i++)
		hit(s, 1, i);
	turns(s, 0.01, NULL);
	addr_parse("192.0.2.1", 9, &a);
	ok(blocklist_get(view, &a, &b), "blocked here while Redis is away");
	store_status(s, &st);
	is_int(st.pending, 6, "six hits wait");
	ok(!st.ready && strstr(st.detail, "deciding here") != NULL,
	    "status: %s", st.detail);
	store_destroy(&s);

	if (!kit_start()) {
		ok(true, "the rest is skipped: redis-server is not installed");
		return;
	}
	answer_within = 60;
	s = store_new(kit_socket);
	for (uint64_t i = 1; i <= 1000; i++)
		hit(s, 5, i);
	for (uint64_t i = 1; i <= 1000; i++)
		hit(s, 5, i);
	turns(s, 60, is_done);
	store_status(s, &st);
	is_int(st.applied, 1000, "hits are applied");
	is_int(st.repeated, 1000, "repeated ones are not");
	is_int(kit_int("EXISTS mxwarden:block:192.0.2.5"), 1, "blocked");
	addr_parse("192.0.2.5", 9, &a);
	ok(blocklist_get(view, &a, &b), "... in the view as well");
	addr_parse("192.0.2.1", 9, &a);
	ok(!blocklist_get(view, &a, &b),
	    "what Redis does not know is swept out of the view");
	store_destroy(&s);
}

static void
quiet(void *ctx, enum msg_level level, const char *text)
{
	(void)ctx;
	(void)level;
	(void)text;
}

int
main(void)
{
	log_set_sink(quiet, NULL);
	loop = loop_create();
	view = blocklist_create();
	for (int i = 0; i < 2; i++) {
		levels[i].name = name_intern_str(i ? "reject" : "defer");
		levels[i].threshold = i ? 10 : 5;
		levels[i].duration = 600;
	}
	params.host = name_intern_str("mx1");
	test_hostile();
	blocklist_destroy(&view);
	view = blocklist_create();
	test_real();
	blocklist_destroy(&view);
	loop_destroy(&loop);
	names_destroy();
	return tap_done();
}
