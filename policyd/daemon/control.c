/*
 * control: see control.h; states in control_int.h.
 *
 * Clients are few (CONTROL_CLIENTS_MAX), so they are one list, walked for
 * tickets, deadlines and events. What a client can make us hold is bounded: one
 * request line (by conn), one piece of a listing, CONTROL_BACKLOG bytes of
 * events.
 *
 * Listings are made at work priority: a client that asks for a million blocks
 * competes with the logs, not with policy requests.
 */
#include "policyd/daemon/control.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/core/log.h"
#include "lib/core/xalloc.h"
#include "lib/io/conn.h"
#include "lib/io/loop.h"
#include "policyd/daemon/control_int.h"

#define CONTROL_CHECK 0.25 /* seconds between looks at deadlines */

double
control_now(const struct control *s)
{
	return loop_now(s->loop);
}

void
control_set_state(struct control_client *c, enum control_state state)
{
	struct control *s = c->server;

	if (c->state == CONTROL_WATCHING) {
		s->n_watching--;
		s->n_offences -= c->offences;
	}
	if (state == CONTROL_WATCHING) {
		s->n_watching++;
		s->n_offences += c->offences;
	}
	c->state = state;
	c->ticket = 0;
	conn_hold(c->conn,
	    state == CONTROL_PENDING || state == CONTROL_LISTING ||
		state == CONTROL_WATCHING);
}

void
control_write(struct control_client *c, const char *buf, size_t len)
{
	if (c->state == CONTROL_CLOSING)
		return;
	if (!conn_write(c->conn, buf, len)) {
		log_warning(
		    "control: %s: out of memory, closed", conn_peer(c->conn));
		control_set_state(c, CONTROL_CLOSING);
		conn_close(c->conn);
	}
}

struct record_out *
control_put(struct control_client *c, const char *kind)
{
	record_begin(&c->server->out, kind);
	return &c->server->out;
}

void
control_put_end(struct control_client *c)
{
	struct control *s = c->server;
	size_t len;
	const char *line = record_end(&s->out, &len);

	if (line == NULL) {
		log_warning("control: %s: a record was left out: too long or "
			    "out of memory",
		    conn_peer(c->conn));
		return;
	}
	if (!s->chunking) {
		control_write(c, line, len);
		return;
	}
	/* There is room: control_full() is asked before each record. */
	memcpy(s->chunk + s->chunk_len, line, len);
	s->chunk_len += len;
}

bool
control_full(const struct control_client *c, size_t visits)
{
	return c->server->chunk_len >= CONTROL_CHUNK ||
	    visits >= CONTROL_VISITS;
}

void
control_put_last(struct control_client *c)
{
	control_put_end(c);
	if (c->state == CONTROL_CLOSING)
		return;
	control_set_state(c, CONTROL_CLOSING);
	conn_close(c->conn);
}

void
control_answer(struct control_client *c, const char *kind, const char *fmt, ...)
{
	struct record_out *o = control_put(c, kind);
	char text[1200];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	record_str(o, "text", text);
	control_put_last(c);
}

uint64_t
control_pend(struct control_client *c)
{
	struct control *s = c->server;

	control_set_state(c, CONTROL_PENDING);
	c->ticket = ++s->ticket;
	c->deadline = loop_mono(s->loop) + CONTROL_TIMEOUT;
	/* An embedded store has the answer ready: fetch it in the next turn. */
	loop_timer_set(s->tick, 0);
	return c->ticket;
}

static void
control_tick(void *arg)
{
	struct control *s = arg;
	bool more = engine_tick(s->engine, loop_now(s->loop));
	bool pending = false;
	double now;

	now = loop_mono(s->loop);
	for (struct control_client *c = s->clients; c != NULL; c = c->next) {
		if (c->state != CONTROL_PENDING)
			continue;
		if (now >= c->deadline)
			control_answer(c, "error",
			    "the %s did not answer within %.0f s",
			    c->firewall ? "firewall" : "store",
			    c->firewall ? CONTROL_FIREWALL : CONTROL_TIMEOUT);
		else
			pending = true;
	}
	if (pending)
		loop_timer_set(s->tick, more ? 0 : CONTROL_CHECK);
}

void
control_start_listing(struct control_client *c)
{
	control_set_state(c, CONTROL_LISTING);
	loop_timer_set(c->server->work, 0);
}

static void
control_list_piece(struct control_client *c)
{
	struct control *s = c->server;
	bool more;

	s->chunking = true;
	s->chunk_len = 0;
	more = c->verb->more(c);
	s->chunking = false;
	if (s->chunk_len > 0)
		control_write(c, s->chunk, s->chunk_len);
	if (!more && c->state == CONTROL_LISTING)
		control_answer(c, "ok", "%s", "");
}

/* One piece for every listing whose client has taken the last one. */
static void
control_work(void *arg)
{
	struct control *s = arg;
	bool again = false;

	for (struct control_client *c = s->clients; c != NULL; c = c->next) {
		if (c->state != CONTROL_LISTING || conn_backlog(c->conn) > 0)
			continue;
		control_list_piece(c);
		if (c->state == CONTROL_LISTING && conn_backlog(c->conn) == 0)
			again = true;
	}
	if (again)
		loop_timer_set(s->work, 0);
}

static struct control_client *
control_find(struct control *s, uint64_t ticket)
{
	if (ticket == 0)
		return NULL;
	for (struct control_client *c = s->clients; c != NULL; c = c->next)
		if (c->state == CONTROL_PENDING && c->ticket == ticket)
			return c;
	return NULL;
}

void
control_event_info(
    struct control *s, uint64_t ticket, const struct score_info *info)
{
	struct control_client *c = control_find(s, ticket);

	if (c == NULL)
		return;
	if (c->verb->info != NULL) {
		c->verb->info(c, info);
		return;
	}
	c->info = *info;
	c->has_info = true;
}

void
control_event_line(
    struct control *s, uint64_t ticket, const struct history_line *line)
{
	struct control_client *c = control_find(s, ticket);

	if (c != NULL)
		control_show_line(c, line);
}

void
control_event_done(struct control *s, uint64_t ticket, enum store_result result,
    const char *text)
{
	struct control_client *c = control_find(s, ticket);

	if (c != NULL)
		c->verb->finish(c, result, text);
}

static bool
control_may_write(const struct control_client *c)
{
	uid_t uid;
	gid_t gid;

	if (!conn_peer_cred(c->conn, &uid, &gid))
		return false;
	return uid == 0 || uid == geteuid() ||
	    conn_peer_in_group(c->conn, c->server->gid);
}

/* What was asked for, for the log. */
static void
control_log_request(const struct control_client *c, const struct record *req)
{
	char text[512];
	size_t n;

	n = (size_t)snprintf(text, sizeof(text), "%s", req->kind);
	for (size_t i = 0; i < req->n_fields && n < sizeof(text); i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, " %s=%s",
		    req->fields[i].name, req->fields[i].value);
	log_notice("control: %s: %s", conn_peer(c->conn), text);
}

static void
control_dispatch(struct control_client *c, const struct record *req)
{
	const struct control_verb *v = control_verb_find(req->kind);

	if (v == NULL) {
		control_answer(c, "error", "this daemon has no command '%.64s'",
		    req->kind);
	} else if (req->n_fields < v->min_args || req->n_fields > v->max_args) {
		control_answer(
		    c, "error", "wrong number of arguments for '%s'", v->name);
	} else if (v->writes && !control_may_write(c)) {
		control_answer(c, "error",
		    "permission denied: '%s' is for root, the daemon's user "
		    "and the members of the control socket's group",
		    v->name);
	} else {
		c->verb = v;
		if (v->writes)
			control_log_request(c, req);
		v->run(c, req);
	}
}

static ssize_t
control_input(
    void *ctx, struct conn *conn, const char *buf, size_t len, bool eof)
{
	struct control_client *c = ctx;
	struct control *s = c->server;
	const char *nl;
	struct record req;
	size_t n;

	(void)conn;
	/* Nothing more is expected. A client that waits for an answer may have
	 * half-closed; a watcher that says nothing more has gone. */
	if (c->state != CONTROL_REQUEST)
		return eof && c->state == CONTROL_WATCHING ? CONN_CLOSE
							   : (ssize_t)len;
	nl = memchr(buf, '\n', len);
	if (nl == NULL)
		return eof ? CONN_CLOSE : CONN_CONTINUE;
	n = (size_t)(nl - buf);
	if (n >= sizeof(s->line)) {
		control_answer(c, "error", "the request is too long");
		return (ssize_t)len;
	}
	memcpy(s->line, buf, n);
	if (record_parse(s->line, n, &req))
		control_dispatch(c, &req);
	else
		control_answer(c, "error", "the request has a bad form");
	return (ssize_t)len;
}

static void *
control_opened(void *ctx, struct conn *conn)
{
	struct control *s = ctx;
	struct control_client *c;
	char hello[64];
	int n;

	if (s->n_clients >= CONTROL_CLIENTS_MAX)
		return NULL;
	c = calloc(1, sizeof(*c));
	if (c == NULL)
		return NULL;
	c->server = s;
	c->conn = conn;
	c->next = s->clients;
	s->clients = c;
	s->n_clients++;
	n = snprintf(hello, sizeof(hello), "mxwarden %d %s\n", RECORD_PROTOCOL,
	    PACKAGE_VERSION);
	control_write(c, hello, (size_t)n);
	return c;
}

static void
control_drained(void *ctx, struct conn *conn)
{
	struct control_client *c = ctx;

	(void)conn;
	if (c->state == CONTROL_LISTING)
		loop_timer_set(c->server->work, 0);
	else if (c->state == CONTROL_WATCHING)
		control_report_lost(c);
}

static void
control_closed(void *ctx, struct conn *conn, const char *reason)
{
	struct control_client *c = ctx, **p;
	struct control *s = c->server;

	(void)conn;
	log_debug("control: client gone: %s", reason);
	if (c->state == CONTROL_WATCHING) {
		s->n_watching--;
		s->n_offences -= c->offences;
	}
	if (c->firewall)
		s->hooks->firewall_forget(s->ctx, c);
	for (p = &s->clients; *p != c; p = &(*p)->next)
		;
	*p = c->next;
	s->n_clients--;
	free(c->lines);
	free(c);
}

static const struct conn_handler control_handler = {
	.opened = control_opened,
	.input = control_input,
	.drained = control_drained,
	.closed = control_closed,
	.max_input = RECORD_MAX,
	.idle_timeout = 30,
	.partial_timeout = 30,
};

struct control *
control_create(struct loop *loop, struct engine *engine,
    const struct conf *conf, const struct control_hooks *hooks, void *ctx)
{
	struct control *s = x_calloc(1, sizeof(*s));

	s->loop = loop;
	s->engine = engine;
	s->conf = conf;
	s->hooks = hooks;
	s->ctx = ctx;
	s->gid = (gid_t)-1;
	s->server = conn_server_create(loop, &control_handler, s);
	s->tick = loop_timer_create(loop, LOOP_ANSWERS, control_tick, s);
	s->work = loop_timer_create(loop, LOOP_WORK, control_work, s);
	if (s->server == NULL || s->tick == NULL || s->work == NULL)
		log_fatal("control: out of memory");
	return s;
}

void
control_destroy(struct control **sp)
{
	struct control *s = *sp;

	if (s == NULL)
		return;
	conn_server_destroy(&s->server);
	loop_timer_destroy(&s->tick);
	loop_timer_destroy(&s->work);
	record_free(&s->out);
	free(s);
	*sp = NULL;
}

int
control_listen(struct control *s, const char *path, unsigned mode, uid_t uid,
    gid_t gid, struct errbuf *err)
{
	struct conf_endpoint ep = { .is_unix = true };
	struct stat st;

	if (strlen(path) >= sizeof(ep.path))
		return errbuf_set(err,
		    "%s: the path of a socket has at most "
		    "%zu bytes",
		    path, sizeof(ep.path) - 1);
	memcpy(ep.path, path, strlen(path) + 1);
	if (conn_server_listen(s->server, &ep, mode, uid, gid, err) < 0)
		return -1;
	s->gid = stat(path, &st) == 0 ? st.st_gid : (gid_t)-1;
	return 0;
}

void
control_reconfigure(struct control *s, const struct conf *conf)
{
	s->conf = conf;
}

void
control_stats(const struct control *s, struct conn_server_stats *out)
{
	conn_server_stats(s->server, out);
}
