/*
 * rsentinel: see rsentinel.h.
 */
#include "lib/io/rsentinel.h"

#include <hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/core/log.h"
#include "lib/core/num.h"
#include "lib/core/xalloc.h"
#include "lib/io/loop.h"
#include "lib/io/resp.h"
#include "lib/io/sockaddr.h"

#define LISTEN_AGAIN 1.0 /* seconds until the next one is listened to */
#define PING_EVERY 1.0

enum state { IDLE, ASKING, LISTENING };

struct rsentinel {
	struct loop *loop;
	const struct storeuri *uri;
	double timeout;
	const struct rsentinel_events *events;
	void *ctx;
	enum state state;
	unsigned next;	/* sentinel to ask */
	unsigned tried; /* in this round */
	struct resp *conn;
	struct loop_timer *timer;
	double heard;
	char why[200];
};

static void rsentinel_ask(struct rsentinel *);

static void
rsentinel_try_next(struct rsentinel *rs)
{
	resp_destroy(&rs->conn);
	rs->next = (rs->next + 1) % rs->uri->n_hosts;
	if (rs->state == LISTENING || ++rs->tried < rs->uri->n_hosts) {
		loop_timer_set(
		    rs->timer, rs->state == LISTENING ? LISTEN_AGAIN : 0);
		return;
	}
	rs->state = IDLE;
	loop_timer_clear(rs->timer);
	rs->events->failed(rs->ctx, rs->why);
}

static void
on_closed(void *ctx, const char *why)
{
	struct rsentinel *rs = ctx;

	snprintf(rs->why, sizeof(rs->why), "sentinel: %s", why);
	rsentinel_try_next(rs);
}

/* ["ip", "port"] at these two elements of an array. */
static bool
read_master(const struct redisReply *ip, const struct redisReply *port,
    struct addr *a, uint16_t *port_r)
{
	uint64_t n;

	if (!resp_is_text(ip) || !resp_is_text(port) ||
	    !addr_parse_host(ip->str, (size_t)ip->len, a) ||
	    !num_parse_u64(port->str, (size_t)port->len, &n) || n == 0 ||
	    n > UINT16_MAX)
		return false;
	*port_r = (uint16_t)n;
	return true;
}

static void
on_address(void *ctx, const struct redisReply *r)
{
	struct rsentinel *rs = ctx;
	bool listening = rs->state == LISTENING;
	struct addr a;
	uint16_t port;

	if (r->type != REDIS_REPLY_ARRAY || r->elements != 2 ||
	    !read_master(r->element[0], r->element[1], &a, &port)) {
		resp_fail(rs->conn,
		    r->type == REDIS_REPLY_NIL ? "does not know this master"
			: r->type == REDIS_REPLY_ARRAY
			? "gave no address (names are not looked up)"
			: resp_describe(r));
		return;
	}
	rs->state = LISTENING;
	resp_push_command(rs->conn, "SUBSCRIBE", "+switch-master", NULL);
	loop_timer_set(rs->timer, PING_EVERY);
	if (!listening)
		rs->events->master(rs->ctx, &a, port);
}

/* "name old-ip old-port new-ip new-port" */
static void
on_switch(struct rsentinel *rs, const char *s, size_t len)
{
	struct redisReply part[5];
	struct addr a;
	uint16_t port;
	char text[512];
	char *save = NULL, *word;
	unsigned n = 0;

	if (len >= sizeof(text))
		return;
	memcpy(text, s, len);
	text[len] = '\0';
	memset(part, 0, sizeof(part));
	for (word = strtok_r(text, " ", &save); word != NULL && n < 5;
	     word = strtok_r(NULL, " ", &save)) {
		part[n].type = REDIS_REPLY_STRING;
		part[n].str = word;
		part[n++].len = strlen(word);
	}
	if (n != 5 || strcmp(part[0].str, rs->uri->name) != 0)
		return;
	if (!read_master(&part[3], &part[4], &a, &port))
		return;
	log_notice("sentinel: the master of %s is now %s port %u",
	    rs->uri->name, part[3].str, port);
	rs->events->master(rs->ctx, &a, port);
}

static void
on_push(void *ctx, const struct redisReply *r)
{
	struct rsentinel *rs = ctx;

	if (r->type == REDIS_REPLY_ERROR) {
		resp_fail(rs->conn, r->str);
		return;
	}
	rs->heard = loop_mono(rs->loop);
	if (r->type == REDIS_REPLY_ARRAY && r->elements == 3 &&
	    resp_is_text(r->element[0]) && resp_is_text(r->element[2]) &&
	    strcmp(r->element[0]->str, "message") == 0)
		on_switch(rs, r->element[2]->str, (size_t)r->element[2]->len);
}

static void
on_open(void *ctx)
{
	struct rsentinel *rs = ctx;

	rs->heard = loop_mono(rs->loop);
	resp_command(rs->conn, on_address, rs, "SENTINEL",
	    "get-master-addr-by-name", rs->uri->name, NULL);
}

static void
rsentinel_ask(struct rsentinel *rs)
{
	static const struct resp_events events = { on_open, on_push,
		on_closed };
	struct sockaddr_storage ss;
	socklen_t len;

	resp_destroy(&rs->conn);
	len = sockaddr_of(
	    &rs->uri->hosts[rs->next].addr, rs->uri->hosts[rs->next].port, &ss);
	rs->conn = resp_create(
	    rs->loop, (struct sockaddr *)&ss, len, rs->timeout, &events, rs);
	if (rs->conn == NULL)
		on_closed(rs, "no descriptor left");
}

static void
on_timer(void *ctx)
{
	struct rsentinel *rs = ctx;

	if (rs->state == IDLE)
		return;
	if (rs->conn == NULL) {
		rsentinel_ask(rs);
		return;
	}
	if (rs->state != LISTENING)
		return;
	if (loop_mono(rs->loop) - rs->heard > PING_EVERY * 2 + rs->timeout) {
		on_closed(rs, "is silent");
		return;
	}
	resp_push_command(rs->conn, "PING", NULL);
	loop_timer_set(rs->timer, PING_EVERY);
}

struct rsentinel *
rsentinel_create(struct loop *loop, const struct storeuri *uri, double timeout,
    const struct rsentinel_events *events, void *ctx)
{
	struct rsentinel *rs = x_calloc(1, sizeof(*rs));

	rs->loop = loop;
	rs->uri = uri;
	rs->timeout = timeout;
	rs->events = events;
	rs->ctx = ctx;
	rs->timer = loop_timer_create(loop, LOOP_WORK, on_timer, rs);
	if (rs->timer == NULL)
		log_fatal("out of memory");
	return rs;
}

void
rsentinel_destroy(struct rsentinel **rsp)
{
	struct rsentinel *rs = *rsp;

	if (rs == NULL)
		return;
	resp_destroy(&rs->conn);
	loop_timer_destroy(&rs->timer);
	free(rs);
	*rsp = NULL;
}

void
rsentinel_locate(struct rsentinel *rs)
{
	rs->state = ASKING;
	rs->tried = 0;
	resp_destroy(&rs->conn);
	loop_timer_set(rs->timer, 0);
}
