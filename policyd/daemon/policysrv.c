/*
 * policysrv: see policysrv.h.
 */
#include "policyd/daemon/policysrv.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/core/log.h"
#include "lib/core/policy.h"
#include "lib/core/xalloc.h"
#include "lib/io/loop.h"

/* Output of one turn beyond which the next requests wait until it is sent. */
#define POLICYSRV_BUDGET 32768

static const char policysrv_head[] = "action=";
#define HEAD_LEN (sizeof(policysrv_head) - 1)

struct policysrv {
	struct loop *loop;
	struct engine *engine;
	struct conn_server *conns;
	struct conn_handler handler;
	struct policy_hints hints;
	struct loglimit garbage_limit;
	struct policysrv_stats stats;
};

/* What is known of a connection: where its last parse has stopped. */
struct policysrv_client {
	struct policysrv *server;
	struct policy_scan scan;
};

static void *
policysrv_opened(void *ctx, struct conn *c)
{
	struct policysrv_client *client = calloc(1, sizeof(*client));

	log_debug("%s: connected", conn_peer(c));
	if (client != NULL) {
		client->server = ctx;
		client->scan.hints = &client->server->hints;
	}
	return client;
}

static void
policysrv_closed(void *ctx, struct conn *c, const char *reason)
{
	log_debug("%s: %s", conn_peer(c), reason);
	free(ctx);
}

/* The start of what came, for the log. */
static void
policysrv_excerpt(const char *buf, size_t len, char out[33])
{
	size_t i;

	for (i = 0; i < len && i < 32; i++)
		out[i] = buf[i] >= 0x20 && buf[i] < 0x7f ? buf[i] : '?';
	out[i] = '\0';
}

static ssize_t
policysrv_garbage(struct policysrv *p, const struct conn *c, const char *buf,
    size_t len, const char *reason)
{
	char text[33];

	policysrv_excerpt(buf, len, text);
	p->stats.garbage++;
	log_limited(&p->garbage_limit, loop_mono(p->loop), MSG_WARNING,
	    "%s: no policy request: %s (it begins \"%s\"); disconnected",
	    conn_peer(c), reason, text);
	return CONN_CLOSE;
}

static void
policysrv_log_refusal(
    const struct policy_request *req, const struct verdict *verdict)
{
	const struct policy_str *from = &req->attr[POLICY_SENDER];
	const struct policy_str *to = &req->attr[POLICY_RECIPIENT];
	char address[ADDR_STRLEN];

	log_info("%s: %s%s; from=<%.*s> to=<%.*s>",
	    addr_format(&verdict->addr, address), verdict->action,
	    verdict->dry ? " (dry run)" : "",
	    (int)(from->len < 256 ? from->len : 256),
	    from->ptr != NULL ? from->ptr : "",
	    (int)(to->len < 256 ? to->len : 256),
	    to->ptr != NULL ? to->ptr : "");
}

/* The loop's time is that of the turn: all requests that were there then have
 * waited since. */
static void
policysrv_measure(struct policysrv *p)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	histogram_add(&p->stats.latency,
	    (double)ts.tv_sec + (double)ts.tv_nsec / 1e9 - loop_now(p->loop));
}

/* Answers one request; false without memory. */
static bool
policysrv_answer(
    struct policysrv *p, struct conn *c, const struct policy_request *req)
{
	char reply[HEAD_LEN + POLICY_ACTION_MAX + 2];
	struct verdict verdict;
	size_t len;

	engine_query(p->engine, req, loop_now(p->loop), &verdict);
	p->stats.requests++;
	p->stats.by_why[verdict.why]++;
	if (verdict.dry)
		p->stats.dry++;
	policysrv_measure(p);
	if (verdict.why == VERDICT_BLOCKED && log_level() <= MSG_INFO)
		policysrv_log_refusal(req, &verdict);
	len = verdict.action_len < POLICY_ACTION_MAX ? verdict.action_len
						     : POLICY_ACTION_MAX;
	memcpy(reply, policysrv_head, HEAD_LEN);
	memcpy(reply + HEAD_LEN, verdict.action, len);
	reply[HEAD_LEN + len] = '\n';
	reply[HEAD_LEN + len + 1] = '\n';
	return conn_write(c, reply, HEAD_LEN + len + 2);
}

static ssize_t
policysrv_input(
    void *ctx, struct conn *c, const char *buf, size_t len, bool eof)
{
	struct policysrv_client *client = ctx;
	struct policysrv *p = client->server;
	size_t at = 0;

	(void)eof; /* complete requests are answered, others are not */
	while (at < len && conn_backlog(c) < POLICYSRV_BUDGET) {
		struct policy_request req;
		const char *reason;
		size_t used;

		switch (policy_parse(
		    &client->scan, buf + at, len - at, &req, &used, &reason)) {
		case POLICY_COMPLETE:
			if (!policysrv_answer(p, c, &req))
				return CONN_CLOSE;
			at += used;
			break;
		case POLICY_MORE:
			return (ssize_t)at;
		case POLICY_BAD:
			return policysrv_garbage(
			    p, c, buf + at, len - at, reason);
		}
	}
	return (ssize_t)at;
}

static void
policysrv_client_seen(void *ctx, const char *address, size_t len)
{
	struct policysrv *p = ctx;

	engine_expect(p->engine, address, len);
}

static void
policysrv_later(void *ctx)
{
	const struct policysrv *p = ctx;

	engine_expect_later(p->engine);
}

struct policysrv *
policysrv_create(struct loop *loop, struct engine *engine, double idle_timeout)
{
	struct policysrv *p = x_calloc(1, sizeof(*p));

	p->loop = loop;
	p->engine = engine;
	p->hints = (struct policy_hints){
		.client = policysrv_client_seen,
		.later = policysrv_later,
		.ctx = p,
	};
	p->handler = (struct conn_handler){
		.opened = policysrv_opened,
		.input = policysrv_input,
		.closed = policysrv_closed,
		.max_input = POLICY_REQUEST_MAX,
		.idle_timeout = idle_timeout,
		.partial_timeout = POLICYSRV_TIMEOUT,
		.spare_fds = POLICYSRV_SPARE_FDS,
	};
	p->conns = conn_server_create(loop, &p->handler, p);
	return p;
}

void
policysrv_destroy(struct policysrv **pp)
{
	if (*pp == NULL)
		return;
	conn_server_destroy(&(*pp)->conns);
	free(*pp);
	*pp = NULL;
}

void
policysrv_set_idle_timeout(struct policysrv *p, double idle_timeout)
{
	p->handler.idle_timeout = idle_timeout;
}

struct conn_server *
policysrv_conns(struct policysrv *p)
{
	return p->conns;
}

void
policysrv_stats(const struct policysrv *p, struct policysrv_stats *out)
{
	*out = p->stats;
	conn_server_stats(p->conns, &out->conns);
}
