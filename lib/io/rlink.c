/*
 * rlink: see rlink.h.
 */
#include "lib/io/rlink.h"

#include <errno.h>
#include <fcntl.h>
#include <hiredis.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "lib/core/log.h"
#include "lib/core/xalloc.h"
#include "lib/io/loop.h"
#include "lib/io/rsentinel.h"
#include "lib/io/sockaddr.h"

#define PAUSE_MIN 0.05
#define PAUSE_MAX 3.0
#define STEADY 1.0 /* seconds up that make the pause start anew */
#define PING_EVERY 1.0
#define SHA_LEN 40
#define INVALIDATE "__redis__:invalidate"

enum state { WAITING, LOCATING, SUBSCRIBING, PREPARING, UP };

struct rlink {
	struct loop *loop;
	struct rlink_options options;
	const struct rlink_events *events;
	void *ctx;
	enum state state;
	bool tracking;
	struct rsentinel *sentinel;
	struct sockaddr_storage target;
	socklen_t target_len;
	char endpoint[200];
	char password[STOREURI_TEXT];
	struct resp *cmd, *sub;
	char client_id[24]; /* of the subscribed connection */
	char sha[RSCRIPT_COUNT][SHA_LEN + 1];
	unsigned loading; /* SCRIPT LOADs without a reply */
	struct loop_timer *timer;
	double pause;
	double up_since; /* monotonic */
	double heard;	 /* on the subscribed connection */
	struct loglimit limit;
};

static void rlink_prepare(struct rlink *);

static double
jitter(void)
{
	uint32_t v = 0;

	(void)!getrandom(&v, sizeof(v), GRND_NONBLOCK);
	return 0.5 + (double)v / 4294967296.0;
}

static void
rlink_down(struct rlink *rl, const char *why)
{
	char reason[256];

	snprintf(reason, sizeof(reason), "%s", why);
	if (rl->state == UP && loop_mono(rl->loop) - rl->up_since >= STEADY)
		rl->pause = 0;
	resp_destroy(&rl->cmd);
	resp_destroy(&rl->sub);
	rl->state = WAITING;
	rl->pause = rl->pause > 0 ? fmin(rl->pause * 2, PAUSE_MAX) : PAUSE_MIN;
	loop_timer_set(rl->timer, rl->pause * jitter());
	rl->events->down(rl->ctx, reason);
}

static void
on_closed(void *ctx, const char *why)
{
	rlink_down(ctx, why);
}

void
rlink_fail(struct rlink *rl, const char *why)
{
	if (rl->cmd != NULL)
		resp_fail(rl->cmd, why);
}

/* --- Logging in ----------------------------------------------------------- */

/* The first line of the file. What was read last stays when it cannot be. */
static void
read_password(struct rlink *rl)
{
	char buf[STOREURI_TEXT];
	ssize_t n;
	int fd;

	if (rl->options.password_file[0] == '\0') {
		snprintf(rl->password, sizeof(rl->password), "%s",
		    rl->options.uri.password);
		return;
	}
	fd = open(rl->options.password_file,
	    O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	n = fd >= 0 ? read(fd, buf, sizeof(buf) - 1) : -1;
	if (n < 0)
		log_limited(&rl->limit, loop_now(rl->loop), MSG_ERROR,
		    "redis: password_file %s: %s", rl->options.password_file,
		    strerror(errno));
	if (fd >= 0)
		close(fd);
	if (n < 0)
		return;
	buf[n] = '\0';
	buf[strcspn(buf, "\r\n")] = '\0';
	memcpy(rl->password, buf, sizeof(rl->password));
}

/* An error means that this Redis cannot be used. */
static void
on_must(void *ctx, const struct redisReply *r)
{
	struct rlink *rl = ctx;

	if (r->type == REDIS_REPLY_ERROR)
		rlink_fail(rl, r->str);
}

static void
send_login(struct rlink *rl, struct resp *conn, resp_reply *fn)
{
	const char *user = rl->options.user[0] != '\0' ? rl->options.user
						       : rl->options.uri.user;

	if (rl->password[0] == '\0')
		return;
	if (user[0] != '\0')
		resp_command(conn, fn, rl, "AUTH", user, rl->password, NULL);
	else
		resp_command(conn, fn, rl, "AUTH", rl->password, NULL);
}

/* --- The subscribed connection -------------------------------------------- */

static void
sub_failed(struct rlink *rl, const char *why)
{
	if (rl->sub != NULL)
		resp_fail(rl->sub, why);
}

static void
on_sub_login(void *ctx, const struct redisReply *r)
{
	if (r->type == REDIS_REPLY_ERROR)
		sub_failed(ctx, r->str);
}

static void
no_tracking(struct rlink *rl, const char *why)
{
	log_limited(&rl->limit, loop_now(rl->loop), MSG_WARNING,
	    "redis: no client tracking (%s): changes by other hosts are read "
	    "periodically",
	    why);
	rl->tracking = false;
}

/* Redis is there but will not do this: go on without. */
static void
on_client_id(void *ctx, const struct redisReply *r)
{
	struct rlink *rl = ctx;

	if (r->type == REDIS_REPLY_INTEGER) {
		snprintf(
		    rl->client_id, sizeof(rl->client_id), "%lld", r->integer);
		return;
	}
	if (resp_is_error(r, "NOAUTH") || resp_is_error(r, "LOADING") ||
	    r->type != REDIS_REPLY_ERROR) {
		sub_failed(rl, resp_describe(r));
		return;
	}
	no_tracking(rl, r->str);
}

static void
on_message(struct rlink *rl, const struct redisReply *payload)
{
	if (payload->type == REDIS_REPLY_NIL) {
		rl->events->changed(rl->ctx, NULL, 0);
		return;
	}
	if (payload->type != REDIS_REPLY_ARRAY) {
		sub_failed(rl, resp_describe(payload));
		return;
	}
	for (size_t i = 0; i < payload->elements; i++) {
		const struct redisReply *key = payload->element[i];

		if (!resp_is_text(key)) {
			sub_failed(rl, resp_describe(key));
			return;
		}
		rl->events->changed(rl->ctx, key->str, (size_t)key->len);
	}
}

static void
on_push(void *ctx, const struct redisReply *r)
{
	struct rlink *rl = ctx;
	const char *kind;

	rl->heard = loop_mono(rl->loop);
	if (r->type == REDIS_REPLY_ERROR && rl->state == SUBSCRIBING &&
	    !resp_is_error(r, "NOAUTH") && !resp_is_error(r, "LOADING")) {
		if (rl->tracking)
			no_tracking(rl, r->str);
		rlink_prepare(rl);
		return;
	}
	if (r->type == REDIS_REPLY_STATUS)
		return; /* a PONG without a subscription */
	if (r->type != REDIS_REPLY_ARRAY || r->elements < 2 ||
	    !resp_is_text(r->element[0])) {
		sub_failed(rl, resp_describe(r));
		return;
	}
	kind = r->element[0]->str;
	if (strcmp(kind, "subscribe") == 0 && rl->state == SUBSCRIBING)
		rlink_prepare(rl);
	else if (strcmp(kind, "message") == 0 && r->elements == 3 &&
	    rl->state == UP)
		on_message(rl, r->element[2]);
}

static void
on_sub_open(void *ctx)
{
	struct rlink *rl = ctx;

	rl->heard = loop_mono(rl->loop);
	rl->tracking = true;
	rl->client_id[0] = '\0';
	send_login(rl, rl->sub, on_sub_login);
	resp_command(rl->sub, on_client_id, rl, "CLIENT", "ID", NULL);
	resp_push_command(rl->sub, "SUBSCRIBE", INVALIDATE, NULL);
	loop_timer_set(rl->timer, rl->options.timeout);
}

/* --- The connection for commands ------------------------------------------ */

static void
on_sha(void *ctx, const struct redisReply *r)
{
	struct rlink *rl = ctx;
	unsigned i = RSCRIPT_COUNT - rl->loading--;

	if (resp_is_text(r) && r->len == SHA_LEN &&
	    strspn(r->str, "0123456789abcdef") == SHA_LEN)
		memcpy(rl->sha[i], r->str, SHA_LEN + 1);
	else
		rlink_fail(rl, resp_describe(r));
}

static void
load_scripts(struct rlink *rl)
{
	rl->loading = RSCRIPT_COUNT;
	for (unsigned i = 0; i < RSCRIPT_COUNT; i++)
		resp_command(rl->cmd, on_sha, rl, "SCRIPT", "LOAD",
		    rscript_text((enum rscript)i), NULL);
}

void
rlink_reload(struct rlink *rl)
{
	if (rl->state == UP && rl->loading == 0)
		load_scripts(rl);
}

static void
on_role(void *ctx, const struct redisReply *r)
{
	struct rlink *rl = ctx;

	if (r->type != REDIS_REPLY_ARRAY || r->elements < 1 ||
	    !resp_is_text(r->element[0]))
		rlink_fail(rl, resp_describe(r));
	else if (strcmp(r->element[0]->str, "master") != 0)
		rlink_fail(rl, "is not the master");
}

static void
on_tracking(void *ctx, const struct redisReply *r)
{
	struct rlink *rl = ctx;

	if (r->type == REDIS_REPLY_ERROR) {
		if (resp_is_error(r, "NOAUTH") || resp_is_error(r, "LOADING"))
			rlink_fail(rl, r->str);
		else
			no_tracking(rl, r->str);
	} else if (!resp_is_text(r)) {
		rlink_fail(rl, resp_describe(r));
	}
}

/* The last of the replies to what on_cmd_open() sends. */
static void
on_ready(void *ctx, const struct redisReply *r)
{
	struct rlink *rl = ctx;

	/* MISCONF: it cannot write, but there is something to read. */
	if (!resp_is_text(r) && !resp_is_error(r, "MISCONF")) {
		rlink_fail(rl, resp_describe(r));
		return;
	}
	for (unsigned i = 0; i < RSCRIPT_COUNT; i++)
		if (rl->sha[i][0] == '\0')
			return; /* it has failed already */
	if (!rl->tracking)
		resp_destroy(&rl->sub);
	rl->state = UP;
	rl->up_since = rl->heard = loop_mono(rl->loop);
	loop_timer_set(rl->timer, PING_EVERY);
	rl->events->up(rl->ctx);
}

static void
on_cmd_open(void *ctx)
{
	struct rlink *rl = ctx;
	char db[16], block[600], allow[600];

	send_login(rl, rl->cmd, on_must);
	if (rl->options.uri.db != 0) {
		snprintf(db, sizeof(db), "%u", rl->options.uri.db);
		resp_command(rl->cmd, on_must, rl, "SELECT", db, NULL);
	}
	if (rl->sentinel != NULL)
		resp_command(rl->cmd, on_role, rl, "ROLE", NULL);
	memset(rl->sha, 0, sizeof(rl->sha));
	load_scripts(rl);
	if (rl->tracking) {
		snprintf(block, sizeof(block), "%sblock:", rl->options.prefix);
		snprintf(allow, sizeof(allow), "%sallow", rl->options.prefix);
		resp_command(rl->cmd, on_tracking, rl, "CLIENT", "TRACKING",
		    "ON", "REDIRECT", rl->client_id, "BCAST", "PREFIX", block,
		    "PREFIX", allow, NULL);
	}
	resp_command(rl->cmd, on_ready, rl, "PING", NULL);
}

static struct resp *
rlink_open(struct rlink *rl, const struct resp_events *events)
{
	struct resp *r =
	    resp_create(rl->loop, (const struct sockaddr *)&rl->target,
		rl->target_len, rl->options.timeout, events, rl);

	if (r == NULL)
		rlink_down(rl, "no descriptor or no memory left");
	return r;
}

static void
rlink_prepare(struct rlink *rl)
{
	static const struct resp_events events = { on_cmd_open, NULL,
		on_closed };

	loop_timer_clear(rl->timer);
	if (rl->client_id[0] == '\0')
		rl->tracking = false;
	rl->state = PREPARING;
	rl->cmd = rlink_open(rl, &events);
}

/* --- Where to --------------------------------------------------------------
 */

static void
rlink_connect(struct rlink *rl)
{
	static const struct resp_events events = { on_sub_open, on_push,
		on_closed };

	loop_timer_clear(rl->timer);
	read_password(rl);
	rl->state = SUBSCRIBING;
	rl->sub = rlink_open(rl, &events);
}

static void
target_host(struct rlink *rl, const struct addr *a, uint16_t port)
{
	char text[ADDR_STRLEN];
	bool v4 = addr_is_v4(a);

	addr_format(a, text);
	rl->target_len = sockaddr_of(a, port, &rl->target);
	snprintf(rl->endpoint, sizeof(rl->endpoint), "redis://%s%s%s:%u/%u",
	    v4 ? "" : "[", text, v4 ? "" : "]", port, rl->options.uri.db);
}

static void
on_master(void *ctx, const struct addr *a, uint16_t port)
{
	struct rlink *rl = ctx;
	struct sockaddr_storage was = rl->target;

	target_host(rl, a, port);
	if (rl->state == LOCATING) {
		rlink_connect(rl);
		return;
	}
	if (memcmp(&was, &rl->target, sizeof(was)) == 0)
		return;
	/* A fail-over, heard of while connected to, or waiting for, the old
	 * one. */
	if (rl->state != WAITING)
		rlink_down(rl, "the master has changed");
	rl->pause = 0;
	rl->state = LOCATING;
	rlink_connect(rl);
}

static void
on_not_found(void *ctx, const char *why)
{
	struct rlink *rl = ctx;

	if (rl->state == LOCATING)
		rlink_down(rl, why);
}

static void
on_timer(void *ctx)
{
	struct rlink *rl = ctx;

	switch (rl->state) {
	case WAITING:
		if (rl->sentinel == NULL) {
			rlink_connect(rl);
			return;
		}
		rl->state = LOCATING;
		rsentinel_locate(rl->sentinel);
		return;
	case LOCATING:
	case PREPARING:
		return;
	case SUBSCRIBING:
		rlink_down(rl, "no reply to SUBSCRIBE");
		return;
	case UP:
		break;
	}
	if (rl->tracking &&
	    loop_mono(rl->loop) - rl->heard >
		PING_EVERY * 2 + rl->options.timeout) {
		rlink_down(rl, "the subscribed connection is silent");
		return;
	}
	resp_command(rl->cmd, NULL, NULL, "PING", NULL);
	if (rl->tracking)
		resp_push_command(rl->sub, "PING", NULL);
	loop_timer_set(rl->timer, PING_EVERY);
}

struct rlink *
rlink_create(struct loop *loop, const struct rlink_options *options,
    const struct rlink_events *events, void *ctx)
{
	static const struct rsentinel_events sentinel = { on_master,
		on_not_found };
	struct rlink *rl = x_calloc(1, sizeof(*rl));
	const struct storeuri *uri;

	rl->loop = loop;
	rl->options = *options;
	rl->options.prefix = x_strdup(options->prefix);
	rl->options.user = x_strdup(options->user);
	rl->options.password_file = x_strdup(options->password_file);
	rl->events = events;
	rl->ctx = ctx;
	uri = &rl->options.uri;
	rl->timer = loop_timer_create(loop, LOOP_WORK, on_timer, rl);
	if (rl->timer == NULL)
		log_fatal("out of memory");
	if (uri->kind == STOREURI_SENTINEL) {
		snprintf(rl->endpoint, sizeof(rl->endpoint),
		    "sentinel://%.150s", uri->name);
		rl->sentinel = rsentinel_create(
		    loop, uri, options->timeout, &sentinel, rl);
	} else if (uri->kind == STOREURI_UNIX) {
		rl->target_len = sockaddr_of_path(uri->path, &rl->target);
		snprintf(rl->endpoint, sizeof(rl->endpoint),
		    "redis+unix://%s?db=%u", uri->path, uri->db);
	} else {
		target_host(rl, &uri->hosts[0].addr, uri->hosts[0].port);
	}
	read_password(rl);
	loop_timer_set(rl->timer, 0);
	return rl;
}

void
rlink_destroy(struct rlink **rlp)
{
	struct rlink *rl = *rlp;

	if (rl == NULL)
		return;
	resp_destroy(&rl->cmd);
	resp_destroy(&rl->sub);
	rsentinel_destroy(&rl->sentinel);
	loop_timer_destroy(&rl->timer);
	free((void *)(uintptr_t)rl->options.prefix);
	free((void *)(uintptr_t)rl->options.user);
	free((void *)(uintptr_t)rl->options.password_file);
	free(rl);
	*rlp = NULL;
}

bool
rlink_is_up(const struct rlink *rl)
{
	return rl->state == UP;
}

bool
rlink_has_tracking(const struct rlink *rl)
{
	return rl->tracking;
}

const char *
rlink_state(const struct rlink *rl)
{
	static const char *const names[] = { "waiting", "locating",
		"connecting", "connecting", "ready" };

	return names[rl->state];
}

const char *
rlink_endpoint(const struct rlink *rl)
{
	return rl->endpoint;
}

struct resp *
rlink_call(struct rlink *rl, enum rscript which, size_t n_args)
{
	resp_begin(rl->cmd, n_args + 3);
	resp_arg(rl->cmd, "EVALSHA", 7);
	resp_arg(rl->cmd, rl->sha[which], SHA_LEN);
	resp_arg(rl->cmd, "0", 1);
	return rl->cmd;
}
