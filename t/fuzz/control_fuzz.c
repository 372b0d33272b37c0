/*
 * control: the control server with its commands, on real connections, an engine
 * and an embedded store. See peers.h for the form of an input; besides:
 *
 *     e N text     the engine has an event of kind N: an offence, a block, the
 *                  end of one; the text is the name of the rule
 *     a N text     the store's answer N to the last ticket, out of turn
 *     f N          the firewall's tools have come to the result N
 *     u N          the next clients are another user (odd) or root
 *
 * However it goes: a client gets a greeting and then nothing but records, of
 * which one that ends the answer comes last, and comes once; a complete request
 * is answered unless its client leaves; what a user may not do is not done; the
 * server's counts are those of its clients, and what they make it hold is
 * bounded. With the option STEPS the same bytes are sent again in one piece,
 * and every client must get the same.
 */
#include "lib/core/engine.h"
#include "lib/core/history.h"
#include "lib/core/privmsg.h"
#include "lib/core/store_embedded.h"
#include "policyd/daemon/control_int.h"
#include "t/fuzz/peers.h"

#define BACKLOG 262144 /* of control_events.c */

enum option { SMALL_OUTPUT = 1, STEPS = 2, NO_FIREWALL = 4, CROWD = 8 };

static struct level levels[3];
static struct addr allow[1];
static struct conf conf = { .host = "mx1",
	.file = "test.conf",
	.allow = allow,
	.n_allow = 1,
	.window = 600,
	.ipv4_prefix = 32,
	.ipv6_prefix = 64,
	.repeat = { 2, 86400, 864000 },
	.levels = levels,
	.n_levels = 3 };
static struct store *store;
static struct engine *engine;
static struct control *control;
static uint8_t options;
static bool stranger;	    /* the next client is */
static bool strange[PEERS]; /* it was */
static unsigned reloads;
static struct {
	void (*done)(void *client, int result);
	void *client;
} firewall;

/* --- What stands behind the server -----------------------------------------
 */

static void
hook_status(void *ctx, struct control_client *c)
{
	struct record_out *o = control_put(c, "daemon");

	must(ctx == &conf);
	record_str(o, "version", "x");
	control_put_end(c);
}

static int
hook_reload(void *ctx, struct errbuf *err)
{
	must(ctx == &conf);
	return ++reloads % 2 == 0 ? errbuf_set(err, "it has not changed") : 0;
}

/* One at a time, as firewall.c has it. */
static bool
hook_firewall(void *ctx, bool repair, void (*done)(void *client, int result),
    void *client, struct errbuf *err)
{
	must(ctx == &conf);
	if ((options & NO_FIREWALL) != 0 || firewall.client != NULL) {
		errbuf_set(err, "none here for %s", repair ? "this" : "that");
		return false;
	}
	firewall.done = done;
	firewall.client = client;
	return true;
}

static void
hook_forget(void *ctx, void *client)
{
	must(ctx == &conf);
	must(firewall.client == client);
	firewall.client = NULL;
}

static const struct control_hooks hooks = { hook_status, hook_reload,
	hook_firewall, hook_forget };

static void
on_offence(void *ctx, const struct offence *of)
{
	(void)ctx;
	control_event_offence(control, of);
}

static void
on_blocked(void *ctx, const struct block *b, enum store_why why)
{
	(void)ctx;
	if (control != NULL)
		control_event_blocked(control, b, why);
}

static void
on_unblocked(void *ctx, const struct block *b, enum store_why why)
{
	(void)ctx;
	control_event_unblocked(control, b, why);
}

static void
on_info(void *ctx, uint64_t ticket, const struct score_info *info)
{
	(void)ctx;
	control_event_info(control, ticket, info);
}

static void
on_line(void *ctx, uint64_t ticket, const struct history_line *line)
{
	(void)ctx;
	control_event_line(control, ticket, line);
}

static void
on_done(void *ctx, uint64_t ticket, enum store_result result, const char *text)
{
	(void)ctx;
	if (control != NULL)
		control_event_done(control, ticket, result, text);
}

static const struct engine_events events = { .offence = on_offence,
	.blocked = on_blocked,
	.unblocked = on_unblocked,
	.info = on_info,
	.line = on_line,
	.done = on_done };

static struct addr
address(const char *text)
{
	struct addr a;

	must(addr_parse(text, strlen(text), &a));
	return a;
}

static struct block
some_block(unsigned n, const struct level *level)
{
	char text[32];
	struct block b = { .since = PEERS_BASE,
		.until = PEERS_BASE + 300,
		.score = 7,
		.level = level->name,
		.rule = name_intern_str("postfix-relay"),
		.by = name_intern_str("mx1") };

	snprintf(text, sizeof(text), "198.51.%u.%u", n / 256, n % 256);
	b.addr = address(text);
	return b;
}

static void
engine_begin(void)
{
	static const char *const names[] = { "defer", "reject", "firewall" };
	unsigned n = (options & CROWD) != 0 ? 160 : 3;

	for (size_t i = 0; i < 3; i++)
		levels[i] = (struct level){ .name = name_intern_str(names[i]),
			.threshold = 5.0 * (double)(i + 1),
			.duration = 600,
			.action = "DEFER {address}",
			.firewall = i == 2 };
	allow[0] = address("10.9.0.0/16");
	store = store_embedded_create(NULL, 100);
	engine = engine_create(&conf, store, &events, NULL);
	engine_keep_history(engine, 16);
	for (unsigned i = 0; i < n; i++) {
		struct block b = some_block(i, &levels[i % 3]);

		engine_block(engine, 0, &b);
	}
	while (engine_tick(engine, PEERS_BASE))
		;
}

/* --- Pieces ----------------------------------------------------------------
 */

static void
welcome(struct peer *p)
{
	struct conn *c = LIST_FIRST(&control->server->conns);
	const int least = 1;

	must(c != NULL && c->has_cred);
	if ((options & SMALL_OUTPUT) != 0)
		setsockopt(c->fd, SOL_SOCKET, SO_SNDBUF, &least, sizeof(least));
	strange[p - peers] = stranger;
	if (stranger) {
		c->uid = geteuid() + 1;
		c->gid = (gid_t)-1;
	}
}

static void
event(unsigned kind, const char *text, size_t len)
{
	struct block b = some_block(kind, &levels[0]);
	struct rule rule = { .name = name_intern(text, len) };
	struct offence of = { .addr = b.addr,
		.t = loop_now(&peers_loop),
		.weight = kind,
		.attempts = 1,
		.rule = &rule,
		.source = "/log",
		.text = text,
		.text_len = len };

	b.rule = rule.name;
	/* Many of them, for who does not read. */
	for (unsigned i = 0; i < (kind >= 128 ? 48 : 1); i++) {
		if (kind % 3 == 0)
			control_event_offence(control, &of);
		else if (kind % 3 == 1)
			control_event_blocked(control, &b, kind / 3 % 6);
		else
			control_event_unblocked(control, &b, kind / 3 % 6);
	}
}

static void
answer(unsigned kind, const char *text, size_t len)
{
	struct score_info info = { .addr = address("192.0.2.1"),
		.score = { kind, 1, 2 },
		.n_rules = 1,
		.rules = { { name_intern(text, len), kind } } };
	struct history_line line = { .t = kind, .rule = info.rules[0].rule };
	char said[256];

	/* The engine does not know the tickets of who waits for the firewall.
	 */
	for (struct control_client *c = control->clients; c != NULL;
	     c = c->next)
		if (c->firewall && c->ticket == control->ticket)
			return;
	history_set_text(&line, text, len);
	snprintf(
	    said, sizeof(said), "%.*s", (int)(len < 255 ? len : 255), text);
	if (kind % 5 == 0)
		control_event_info(control, control->ticket, &info);
	else if (kind % 5 == 1)
		control_event_line(control, control->ticket, &line);
	else
		control_event_done(
		    control, control->ticket, kind % 5 - 2, said);
}

static void
other(const uint8_t *b, size_t len)
{
	const char *text = len > 2 ? (const char *)b + 2 : "";
	size_t text_len = len > 2 ? len - 2 : 0;
	unsigned n = len > 1 ? b[1] : 0;
	void *client;

	switch (b[0]) {
	case 'e':
		event(n, text, text_len);
		break;
	case 'a':
		answer(n, text, text_len);
		break;
	case 'f':
		client = firewall.client;
		firewall.client = NULL;
		if (client != NULL)
			firewall.done(client, (int)(n % 8) - 1);
		break;
	case 'u':
		stranger = (n & 1) != 0;
		break;
	default:
		break;
	}
}

/* --- What must hold --------------------------------------------------------
 */

static void
check(void)
{
	size_t n = 0, watching = 0, offences = 0;

	must(!control->chunking && control->server->out_len == 0);
	for (struct control_client *c = control->clients; c != NULL;
	     c = c->next) {
		bool hold = c->state == CONTROL_PENDING ||
		    c->state == CONTROL_LISTING || c->state == CONTROL_WATCHING;

		n++;
		watching += c->state == CONTROL_WATCHING;
		offences += c->state == CONTROL_WATCHING && c->offences;
		must(c->conn->held == hold);
		must((c->ticket != 0) == (c->state == CONTROL_PENDING));
		must(!c->firewall || firewall.client == c);
		must(c->conn->in_cap <= RECORD_MAX + 4096);
		must(c->conn->out_len <= BACKLOG + 4 * CONTROL_CHUNK);
		must(c->n_lines <= 64 + HISTORY_LINES);
	}
	must(n == control->n_clients && n == control->server->stats.open);
	must(watching == control->n_watching);
	must(offences == control->n_offences);
}

static bool
is_last(const struct record *r)
{
	return strcmp(r->kind, "ok") == 0 || strcmp(r->kind, "no") == 0 ||
	    strcmp(r->kind, "error") == 0;
}

/* Does what the client has sent hold a whole line that can be a request, and
 * which? */
static bool
peer_asked(const struct peer *p, char *line, struct record *req)
{
	const char *nl =
	    p->sent_len > 0 ? memchr(p->sent, '\n', p->sent_len) : NULL;
	size_t len = nl != NULL ? (size_t)(nl - p->sent) : 0;

	if (nl == NULL || len >= RECORD_MAX)
		return false;
	memcpy(line, p->sent, len);
	if (!record_parse(line, len, req))
		req->kind = "";
	return true;
}

static void
check_records(const struct peer *p, bool watches, bool asked, bool denied)
{
	static char line[RECORD_MAX + 1];
	const char *at, *end = p->got + p->got_len, *nl;
	size_t n = 0;
	bool last = false;
	struct record r;

	if (p->got_len == 0) {
		must(p->cut);
		return;
	}
	nl = memchr(p->got, '\n', p->got_len);
	must(nl != NULL && strncmp(p->got, "mxwarden 1 ", 11) == 0);
	for (at = nl + 1; at < end; at = nl + 1) {
		nl = memchr(at, '\n', (size_t)(end - at));
		/* Only what was closed for want of a reader may be half. */
		if (nl == NULL) {
			must(p->cut);
			return;
		}
		must((size_t)(nl - at) < RECORD_MAX && !last);
		memcpy(line, at, (size_t)(nl - at));
		must(record_parse(line, (size_t)(nl - at), &r));
		last = is_last(&r);
		must(!denied || strcmp(r.kind, "error") == 0);
		n++;
	}
	if (!p->cut && asked && !watches)
		must(last);
	must(asked || n == 0 || p->sent_len >= RECORD_MAX);
}

static bool
is_for_root(const char *kind)
{
	const struct control_verb *v = control_verb_find(kind);

	return v != NULL && v->writes;
}

static void
check_peers(void)
{
	static char line[RECORD_MAX + 1];

	for (size_t i = 0; i < PEERS; i++) {
		const struct peer *p = &peers[i];
		struct record req;
		bool asked;

		if (!p->came || p->fd < 0)
			continue;
		must(p->over);
		asked = peer_asked(p, line, &req);
		check_records(p, asked && strcmp(req.kind, "watch") == 0, asked,
		    asked && strange[i] && is_for_root(req.kind));
	}
}

/* --- Runs ------------------------------------------------------------------
 */

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	peers_init();
	peers_welcome = welcome;
	return 0;
}

static void
run(const uint8_t *data, size_t size, size_t step)
{
	struct errbuf err;

	stranger = false;
	reloads = 0;
	memset(&firewall, 0, sizeof(firewall));
	engine_begin();
	control = control_create(&peers_loop, engine, &conf, &hooks, &conf);
	must(conn_server_adopt(control->server, peers_begin(), &err) == 0);
	peers_run(data, size, step, other, check);
	peers_finish(check);
	/* Whoever waits for what never comes is told so. */
	peers_pass(CONTROL_FIREWALL + 2);
	peers_finish(check);
	check_peers();
	must(control->n_clients == 0 && firewall.client == NULL);
	control_destroy(&control);
	engine_destroy(&engine);
	store_destroy(&store);
	names_destroy();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *got[PEERS];
	size_t len[PEERS];

	options = size > 0 ? data[0] : 0;
	size -= size > 0;
	data += size > 0;
	if ((options & STEPS) == 0) {
		run(data, size, 0);
		peers_end();
		return 0;
	}
	run(data, size, 1u + options / 16);
	for (size_t i = 0; i < PEERS; i++) {
		got[i] = peers[i].got;
		len[i] = peers[i].got_len;
		peers[i].got = NULL;
	}
	peers_end();
	run(data, size, 0);
	for (size_t i = 0; i < PEERS; i++) {
		must(len[i] == peers[i].got_len);
		must(len[i] == 0 || memcmp(got[i], peers[i].got, len[i]) == 0);
		free(got[i]);
	}
	peers_end();
	return 0;
}
