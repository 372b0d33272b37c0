/*
 * conn: the policy server on its connections: what clients send, in whatever
 * pieces, with answers that nobody takes, half-closed, left or silent. See
 * peers.h for the form of an input; a piece 'D' drains the server.
 *
 * Whatever the pieces are, a client gets the answers that its bytes, parsed in
 * one and asked of the engine one by one, lead to: all of them, in that order
 * and nothing else, unless it leaves, is too slow, or the server ends. What a
 * connection holds is bounded, and silence ends it.
 */
#include "lib/core/engine.h"
#include "lib/core/store_embedded.h"
#include "policyd/daemon/policysrv.h"
#include "t/fuzz/peers.h"

#define IDLE 310.0
#define REPLY_MAX (sizeof("action=\n\n") + POLICY_ACTION_MAX)
#define BUDGET 32768 /* of policysrv.c */

enum option { SILENT = 1, SMALL_OUTPUT = 2, STEPS = 4 };

static struct level levels[2];
static struct conf conf = { .host = "mx1",
	.window = 600,
	.ipv4_prefix = 32,
	.ipv6_prefix = 64,
	.allow_authenticated = true,
	.repeat = { 2, 86400, 864000 },
	.levels = levels,
	.n_levels = 2 };
static struct store *store;
static struct engine *engine;
static struct policysrv *srv;
static uint8_t options;

static void
block(const char *text, const struct level *level, uint64_t ticket)
{
	struct block b = { .until = PEERS_BASE + 1e8,
		.since = PEERS_BASE,
		.level = level->name };

	must(addr_parse(text, strlen(text), &b.addr));
	b.rule = name_intern_str("postfix-relay");
	engine_block(engine, ticket, &b);
}

static void
welcome(struct peer *p)
{
	struct conn_server *s = policysrv_conns(srv);
	const int least = 1;

	(void)p;
	if ((options & SMALL_OUTPUT) != 0 && !LIST_EMPTY(&s->conns))
		setsockopt(LIST_FIRST(&s->conns)->fd, SOL_SOCKET, SO_SNDBUF,
		    &least, sizeof(least));
}

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	static const struct engine_events none;

	(void)argc;
	(void)argv;
	peers_init();
	peers_welcome = welcome;
	levels[0] = (struct level){ .name = name_intern_str("defer"),
		.threshold = 5,
		.duration = 60,
		.action = "DEFER 4.7.1 {address} {rule}" };
	levels[1] = (struct level){ .name = name_intern_str("reject"),
		.threshold = 10,
		.duration = 600,
		.action = "REJECT 5.7.1 {address} {rule} {level} {address} "
			  "{rule} {level} {address} {rule} {level} {address} "
			  "{rule} {level} {address} {rule} {level} {address} "
			  "{rule} {level} {address} {rule} {level} {address}" };
	store = store_embedded_create(NULL, 100);
	engine = engine_create(&conf, store, &none, NULL);
	block("192.0.2.1", &levels[0], 1);
	block("192.0.2.2", &levels[1], 2);
	block("2001:db8::/64", &levels[1], 3);
	while (engine_tick(engine, PEERS_BASE))
		;
	return 0;
}

static void
drain(const uint8_t *b, size_t len)
{
	(void)len;
	if (b[0] != 'D')
		return;
	for (size_t i = 0; i < PEERS; i++)
		peers[i].cut |= !peers[i].over;
	peers_refused = true;
	conn_server_drain(policysrv_conns(srv));
}

/* After each piece: no connection holds more than it may, and each waits for
 * what it has to. */
static void
check(void)
{
	struct conn_server *s = policysrv_conns(srv);
	size_t open = 0;
	struct conn *c;

	must(s->current == NULL && s->out_len == 0);
	LIST_FOREACH(c, &s->conns, link)
	{
		open++;
		must(c->state != CONN_DEAD && c->failed == NULL);
		must(c->in_len <= c->in_cap);
		must(c->in_cap <= POLICY_REQUEST_MAX + 4096);
		must(c->out_len <= BUDGET + REPLY_MAX);
		must(c->out_at + c->out_len <= c->out_cap);
		must(c->out_cap <= 2 * BUDGET);
		must((c->in == NULL) == (c->in_len == 0));
		must((c->out == NULL) == (c->out_len == 0));
		must(c->want ==
		    (c->out_len > 0		    ? EV_WRITE
			    : c->state == CONN_OPEN ? EV_READ
						    : 0));
		must(c->out_len > 0 || c->state == CONN_OPEN);
	}
	must(s->stats.open == open);
}

/* What the client should have got; how many answers that is. */
static size_t
check_answers(const struct peer *p)
{
	struct policy_scan scan = { .done = 0 };
	struct policy_request req;
	struct verdict verdict;
	const char *reason;
	size_t at = 0, got = 0, n = 0, used;
	char reply[REPLY_MAX];
	int len;

	while (at < p->sent_len &&
	    policy_parse(&scan, p->sent + at, p->sent_len - at, &req, &used,
		&reason) == POLICY_COMPLETE) {
		engine_query(engine, &req, loop_now(&peers_loop), &verdict);
		len = snprintf(reply, sizeof(reply), "action=%.*s\n\n",
		    (int)verdict.action_len, verdict.action);
		must(len > 0 && (size_t)len < sizeof(reply));
		if (p->got_len - got < (size_t)len) {
			must(p->cut);
			must(got == p->got_len ||
			    memcmp(p->got + got, reply, p->got_len - got) == 0);
			return n;
		}
		must(memcmp(p->got + got, reply, (size_t)len) == 0);
		got += (size_t)len;
		at += used;
		n++;
	}
	must(got == p->got_len);
	return n;
}

/* Nobody says or takes anything: in the end nobody is there. */
static void
finish_silently(void)
{
	for (int i = 0; i < 3; i++)
		peers_pass(POLICYSRV_TIMEOUT + 10);
	peers_pass(IDLE + 10);
	for (size_t i = 0; i < PEERS; i++) {
		peers[i].cut = true;
		peer_read(&peers[i]);
		must(peers[i].fd < 0 || peers[i].over);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct policysrv_stats st;
	size_t came = 0, answers = 0;
	bool cut = false;
	struct errbuf err;

	options = size > 0 ? data[0] : 0;
	srv = policysrv_create(&peers_loop, engine, IDLE);
	must(conn_server_adopt(policysrv_conns(srv), peers_begin(), &err) == 0);
	if (size > 0)
		peers_run(data + 1, size - 1,
		    (options & STEPS) != 0 ? 1u + options / 8 : 0, drain,
		    check);
	if ((options & SILENT) != 0)
		finish_silently();
	else
		peers_finish(check);
	policysrv_stats(srv, &st);
	for (size_t i = 0; i < PEERS; i++) {
		const struct peer *p = &peers[i];

		came += p->came;
		cut |= p->cut;
		must(p->fd < 0 || p->over);
		answers += check_answers(p);
	}
	must(st.conns.open == 0 && st.conns.accepted == came);
	must(cut ? st.requests >= answers : st.requests == answers);
	policysrv_destroy(&srv);
	peers_end();
	return 0;
}
