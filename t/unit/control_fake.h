/*
 * control_fake: the control server on a connection, a loop and an engine that
 * the test plays, so that every order of events can be had: answers that never
 * come, clients that leave, and clients that do not read.
 */
#ifndef MXW_CONTROL_FAKE_H
#define MXW_CONTROL_FAKE_H

#include "policyd/daemon/control.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/core/history.h"
#include "lib/core/log.h"
#include "lib/io/conn.h"
#include "lib/io/loop.h"
#include "t/unit/tap.h"

#define CONNS 70

/* --- The other side of control.c ------------------------------------------ */

struct conn {
	void *ctx;
	char *out; /* all that was written, NUL-terminated */
	size_t len;
	size_t unread; /* while the client does not read */
	bool stuck, closed, held, failing, open, in_group;
	uid_t uid;
};

struct conn_server {
	const struct conn_handler *handler;
	void *ctx;
};

struct loop_timer {
	loop_timer_fn *fn;
	void *ctx;
	bool set;
	double seconds;
};

static struct conn_server server;
static struct conn conns[CONNS];
static struct loop_timer timers[LOOP_NPRIORITIES];
static size_t n_timers;
static double now = 1000, mono = 50;
static struct blocklist *view;
static struct {
	const char *call;
	uint64_t ticket;
	struct addr addr;
	struct block block;
	size_t n;
	bool present;
} last;
static int reloads, ticks;
static const char *reload_error;

struct conn_server *
conn_server_create(struct loop *loop, const struct conn_handler *h, void *ctx)
{
	(void)loop;
	server.handler = h;
	server.ctx = ctx;
	return &server;
}

void
conn_server_destroy(struct conn_server **s)
{
	for (size_t i = 0; i < CONNS; i++) {
		if (conns[i].open)
			server.handler->closed(conns[i].ctx, &conns[i], "end");
		free(conns[i].out);
		memset(&conns[i], 0, sizeof(conns[i]));
	}
	*s = NULL;
}

int
conn_server_listen(struct conn_server *s, const struct conf_endpoint *ep,
    unsigned mode, uid_t uid, gid_t gid, struct errbuf *err)
{
	(void)s;
	(void)mode;
	(void)uid;
	(void)gid;
	(void)err;
	return ep->is_unix ? 0 : -1;
}

void
conn_server_stats(const struct conn_server *s, struct conn_server_stats *out)
{
	(void)s;
	memset(out, 0, sizeof(*out));
}

bool
conn_write(struct conn *c, const void *buf, size_t len)
{
	char *p;

	if (c->failing)
		return false;
	p = realloc(c->out, c->len + len + 1);
	if (p == NULL)
		abort();
	c->out = p;
	memcpy(c->out + c->len, buf, len);
	c->len += len;
	c->out[c->len] = '\0';
	if (c->stuck)
		c->unread += len;
	return true;
}

void
conn_close(struct conn *c)
{
	c->closed = true;
}

void
conn_hold(struct conn *c, bool hold)
{
	c->held = hold;
}

const char *
conn_peer(const struct conn *c)
{
	(void)c;
	return "unix:test";
}

bool
conn_peer_cred(const struct conn *c, uid_t *uid_r, gid_t *gid_r)
{
	*uid_r = c->uid;
	*gid_r = 12345;
	return true;
}

bool
conn_peer_in_group(const struct conn *c, gid_t gid)
{
	(void)gid;
	return c->in_group;
}

size_t
conn_backlog(const struct conn *c)
{
	return c->unread;
}

double
loop_now(const struct loop *loop)
{
	(void)loop;
	return now;
}

double
loop_mono(const struct loop *loop)
{
	(void)loop;
	return mono;
}

struct loop_timer *
loop_timer_create(
    struct loop *loop, enum loop_priority p, loop_timer_fn *fn, void *ctx)
{
	struct loop_timer *t = &timers[p];

	(void)loop;
	*t = (struct loop_timer){ .fn = fn, .ctx = ctx };
	n_timers++;
	return t;
}

void
loop_timer_destroy(struct loop_timer **t)
{
	*t = NULL;
}

void
loop_timer_set(struct loop_timer *t, double seconds)
{
	t->set = true;
	t->seconds = seconds;
}

static void
called(const char *call, uint64_t ticket, const struct addr *a)
{
	last.call = call;
	last.ticket = ticket;
	if (a != NULL)
		last.addr = *a;
}

void
engine_block(struct engine *e, uint64_t ticket, const struct block *b)
{
	(void)e;
	called("block", ticket, &b->addr);
	last.block = *b;
}

void
engine_unblock(struct engine *e, uint64_t ticket, const struct addr *a)
{
	(void)e;
	called("unblock", ticket, a);
}

void
engine_unblock_all(struct engine *e, uint64_t ticket)
{
	(void)e;
	called("unblock_all", ticket, NULL);
}

void
engine_forgive(struct engine *e, uint64_t ticket, const struct addr *a)
{
	(void)e;
	called("forgive", ticket, a);
}

void
engine_allow(
    struct engine *e, uint64_t ticket, const struct addr *a, bool present)
{
	(void)e;
	called("allow", ticket, a);
	last.present = present;
}

void
engine_fetch(struct engine *e, uint64_t ticket, const struct addr *a)
{
	(void)e;
	called("fetch", ticket, a);
}

void
engine_top(struct engine *e, uint64_t ticket, size_t n)
{
	(void)e;
	called("top", ticket, NULL);
	last.n = n;
}

bool
engine_tick(struct engine *e, double t)
{
	(void)e;
	(void)t;
	ticks++;
	return false;
}

const struct blocklist *
engine_view(const struct engine *e)
{
	(void)e;
	return view;
}

/* NULL, or what a test has put there. */
static struct history *history;

const struct history *
engine_history(const struct engine *e)
{
	(void)e;
	return history;
}

struct addr
engine_scope(const struct engine *e, const struct addr *a)
{
	(void)e;
	return addr_is_v4(a) ? *a : addr_mask(a, 64);
}

bool
engine_match(
    const struct engine *e, const struct addr *a, double t, struct block *out)
{
	(void)e;
	return blocklist_match(view, a, t, NULL, 0, out);
}

bool
engine_is_allowed(const struct engine *e, const struct addr *a)
{
	char text[ADDR_STRLEN];

	(void)e;
	return strcmp(addr_format(a, text), "127.0.0.1") == 0;
}

bool
engine_allow_next(const struct engine *e, size_t *cursor, struct addr *out)
{
	(void)e;
	if ((*cursor)++ > 0)
		return false;
	return addr_parse("192.0.2.200", 11, out);
}

/* --- Playing -------------------------------------------------------------- */

static struct level levels[3];
static struct addr allowed;
static struct conf conf = { .host = "mx1",
	.file = "test.conf",
	.levels = levels,
	.n_levels = 3,
	.allow = &allowed,
	.n_allow = 1 };
static struct control *control;

static void
hook_status(void *ctx, struct control_client *c)
{
	(void)ctx;
	record_str(control_put(c, "daemon"), "version", "x");
	control_put_end(c);
}

static int
hook_reload(void *ctx, struct errbuf *err)
{
	(void)ctx;
	reloads++;
	if (reload_error != NULL)
		return errbuf_set(err, "%s", reload_error);
	return 0;
}

static struct {
	bool possible, repair;
	void (*done)(void *client, int result);
	void *client;
	int forgotten;
} fake_firewall;

static bool
hook_firewall(void *ctx, bool repair, void (*done)(void *client, int result),
    void *client, struct errbuf *err)
{
	(void)ctx;
	if (!fake_firewall.possible) {
		errbuf_set(err, "none here");
		return false;
	}
	fake_firewall.repair = repair;
	fake_firewall.done = done;
	fake_firewall.client = client;
	return true;
}

static void
hook_firewall_forget(void *ctx, void *client)
{
	(void)ctx;
	fake_firewall.forgotten += client == fake_firewall.client;
}

static const struct control_hooks hooks = { hook_status, hook_reload,
	hook_firewall, hook_firewall_forget };

static struct conn *
client(uid_t uid)
{
	for (size_t i = 0; i < CONNS; i++) {
		struct conn *c = &conns[i];

		if (c->open)
			continue;
		free(c->out);
		memset(c, 0, sizeof(*c));
		c->uid = uid;
		c->ctx = server.handler->opened(server.ctx, c);
		c->open = c->ctx != NULL;
		return c->open ? c : NULL;
	}
	return NULL;
}

static void
leave(struct conn *c)
{
	server.handler->closed(c->ctx, c, "gone");
	c->open = false;
}

static ssize_t
input(struct conn *c, const char *text)
{
	return server.handler->input(c->ctx, c, text, strlen(text), false);
}

/* A new client of root, and its request. */
static struct conn *
request(const char *text)
{
	struct conn *c = client(0);

	last.ticket = 0;
	last.call = "";
	if (c == NULL)
		abort();
	input(c, text);
	return c;
}

static bool
said(const struct conn *c, const char *text)
{
	return c->out != NULL && strstr(c->out, text) != NULL;
}

#define answers(c, text, ...)                                       \
	do {                                                        \
		if (!ok(said(c, text) && (c)->closed && !(c)->held, \
			__VA_ARGS__))                               \
			printf("#   got: %s\n", (c)->out);          \
		leave(c);                                           \
	} while (0)

static void
fire(enum loop_priority p)
{
	timers[p].set = false;
	timers[p].fn(timers[p].ctx);
}

static struct addr
addr(const char *text)
{
	struct addr a;

	if (!addr_parse(text, strlen(text), &a))
		abort();
	return a;
}

static void
add_block(const char *text, const char *level, double until)
{
	struct block b = { .addr = addr(text),
		.until = until,
		.since = 900,
		.score = 5.5,
		.level = name_intern_str(level),
		.rule = name_intern_str("a-rule"),
		.by = name_intern_str("mx1") };

	blocklist_set(view, &b);
}

static void
quiet(void *ctx, enum msg_level level, const char *text)
{
	(void)ctx;
	(void)level;
	(void)text;
}

static void
play_begin(void)
{
	static const char *const names[] = { "defer", "reject", "firewall" };
	struct errbuf err;

	log_set_sink(quiet, NULL);
	for (size_t i = 0; i < 3; i++) {
		levels[i].name = name_intern_str(names[i]);
		levels[i].duration = i == 1 ? 3600 : 600;
		levels[i].firewall = i == 2;
	}
	allowed = addr("10.9.0.0/16");
	view = blocklist_create();
	add_block("192.0.2.0/24", "reject", now + 50);
	control = control_create(NULL, NULL, &conf, &hooks, NULL);
	is_int(n_timers, 2, "one timer for answers, one for work");
	ok(control_listen(control, "/nonexistent/c", 0660, 0, 0, &err) == 0,
	    "listens");
}

static int
play_end(void)
{
	control_destroy(&control);
	ok(control == NULL, "destroyed with clients in every state");
	blocklist_destroy(&view);
	names_destroy();
	return tap_done();
}

#endif
