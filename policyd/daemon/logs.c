/*
 * logs: see logs.h.
 */
#include "policyd/daemon/logs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "lib/core/log.h"
#include "lib/core/xalloc.h"
#include "lib/io/loop.h"
#include "lib/io/privclient.h"

/* What the helper has answered is good for so long, in seconds: a tail asks
 * for the same file twice when it may not even look into the directory. */
#define OPENED_FRESH 1.0

/* The helper's last answer for one log. */
struct opened {
	int fd; /* -1: none */
	int error;
	uint64_t dev, ino;
	double until;  /* monotonic */
	uint32_t seq;  /* request under way, 0 = none */
};

struct one {
	struct logs *logs;
	char *path;
	struct source *src;
	struct tail *tail;
	struct opened opened;
	uint32_t number; /* in the configuration */
	bool wanted; /* by the configuration being applied */
};

struct logs {
	struct loop *loop;
	struct engine *engine;
	struct privclient *helper; /* NULL: opens everything itself */
	void (*progress)(void *ctx);
	void *ctx;
	struct one **all;
	size_t count;
	bool marked; /* the store keeps no hits: there are places to go back to */
};

struct logs *
logs_create(struct loop *loop, struct engine *engine,
    void (*progress)(void *ctx), void *ctx)
{
	struct logs *ls = x_calloc(1, sizeof(*ls));

	ls->loop = loop;
	ls->engine = engine;
	ls->progress = progress;
	ls->ctx = ctx;
	return ls;
}

static void
one_sync(struct one *one)
{
	struct logpos pos;

	tail_position(one->tail, &pos);
	pos.time = loop_now(one->logs->loop);
	source_set_position(one->src, &pos);
}

static void
one_destroy(struct one *one)
{
	if (one->tail != NULL)
		one_sync(one);
	/* Should it come back, it goes on where the store needs it. */
	if (one->tail != NULL && source_has_mark(one->src))
		source_rewind(one->src, source_position(one->src));
	tail_destroy(&one->tail);
	if (one->opened.fd >= 0)
		close(one->opened.fd);
	engine_source_remove(one->logs->engine, &one->src);
	free(one->path);
	free(one);
}

void
logs_destroy(struct logs **lsp)
{
	struct logs *ls = *lsp;

	if (ls == NULL)
		return;
	for (size_t i = 0; i < ls->count; i++)
		one_destroy(ls->all[i]);
	free(ls->all);
	privclient_destroy(&ls->helper);
	free(ls);
	*lsp = NULL;
}

/* A line can be younger than this turn of the loop, whose time is `now`; and
 * clocks of other hosts differ. What lies further ahead is taken as now. */
#define LOGS_LEAD 1.0

static void
one_line(void *ctx, const char *line, size_t len, uint64_t end, bool cut,
    double ref)
{
	struct one *one = ctx;

	engine_feed(one->logs->engine, one->src, line, len, end, cut, ref,
	    loop_now(one->logs->loop) + LOGS_LEAD);
}

static void one_progress(void *, bool);
static int one_open(void *, const char *, uint64_t, uint64_t);

static void
one_follow(struct one *one, const struct tail_options *options)
{
	static const struct tail_events events = { one_line, one_progress };
	struct tail_options o = *options;

	o.open = one_open;
	one->tail = tail_create(one->logs->loop, &o, &events, one);
	if (one->tail == NULL)
		log_fatal("%s: cannot be followed", one->path);
}

static void
one_mark(struct one *one)
{
	struct logpos pos;

	tail_position(one->tail, &pos);
	pos.time = loop_now(one->logs->loop);
	source_mark(one->src, &pos);
}

static void
one_replay(struct one *one)
{
	struct logpos reached;

	if (!source_has_mark(one->src))
		return;
	tail_position(one->tail, &reached);
	if (logpos_logical(&reached) ==
	    logpos_logical(source_mark_position(one->src))) {
		source_unmark(one->src);
		return;
	}
	source_rewind(one->src, &reached);
	if (tail_rewind(one->tail, logpos_logical(source_position(one->src))))
		return;
	/* A new tail finds the place as after a restart, wherever rotation
	 * has put it. */
	tail_destroy(&one->tail);
	one_follow(one,
	    &(struct tail_options){ .path = one->path,
		.pos = source_position(one->src) });
}

static void
flow(struct logs *ls, bool can_replay)
{
	enum store_flow flow = engine_flow(ls->engine, can_replay);

	if (flow == STORE_FLOW_GO)
		return;
	ls->marked = flow == STORE_FLOW_MARK;
	if (ls->marked)
		log_notice("the store is behind: hits count on this host, the "
			   "logs are read again when it is back");
	else
		log_notice("reading the logs again for the store");
	for (size_t i = 0; i < ls->count; i++) {
		if (ls->marked)
			one_mark(ls->all[i]);
		else
			one_replay(ls->all[i]);
	}
}

void
logs_flow(struct logs *ls)
{
	flow(ls, true);
}

static void
one_progress(void *ctx, bool current)
{
	struct one *one = ctx;

	source_set_current(one->src, current);
	flow(one->logs, false); /* it would destroy the tail we are in */
	one->logs->progress(one->logs->ctx);
}

/* Called by the tail where open(2) failed; see tail.h. */
static int
one_open(void *ctx, const char *path, uint64_t dev, uint64_t ino)
{
	struct one *one = ctx;
	struct opened *o = &one->opened;
	struct privmsg_request req;

	if (one->logs->helper == NULL ||
	    privclient_is_gone(one->logs->helper)) {
		errno = EACCES;
		return -1;
	}
	if (o->seq == 0 && o->dev == dev && o->ino == ino &&
	    loop_mono(one->logs->loop) < o->until) {
		errno = o->error;
		return o->fd >= 0 ? fcntl(o->fd, F_DUPFD_CLOEXEC, 0) : -1;
	}
	if (o->seq == 0) {
		memset(&req, 0, sizeof(req));
		req.op = PRIVMSG_OPEN_LOG;
		req.log = one->number;
		req.name = logpos_hash(path, strlen(path));
		o->dev = req.dev = ino != 0 ? dev : 0;
		o->ino = req.inode = ino;
		o->seq = privclient_send(one->logs->helper, &req);
	}
	errno = EAGAIN;
	return -1;
}

static void
helper_reply(void *ctx, const struct privmsg_reply *r, int fd)
{
	struct logs *ls = ctx;

	for (size_t i = 0; i < ls->count; i++) {
		struct one *one = ls->all[i];
		struct opened *o = &one->opened;

		if (o->seq == 0 || o->seq != r->seq)
			continue;
		if (o->fd >= 0)
			close(o->fd);
		o->fd = fd;
		o->error = r->error != 0 ? r->error : EACCES;
		o->until = loop_mono(ls->loop) + OPENED_FRESH;
		o->seq = 0;
		tail_look(one->tail);
		return;
	}
	if (fd >= 0)
		close(fd);
}

static void
helper_gone(void *ctx, const char *why)
{
	struct logs *ls = ctx;

	log_error("the helper that opens logs is gone (%s): logs that only "
		  "root may read are not followed over their next rotation",
	    why);
	for (size_t i = 0; i < ls->count; i++)
		ls->all[i]->opened.seq = 0;
}

int
logs_start_helper(struct logs *ls, const struct conf *conf, bool foreground,
    struct errbuf *err)
{
	static const struct privclient_events events = { .reply = helper_reply,
		.gone = helper_gone };

	ls->helper = privclient_create(ls->loop, conf->helper, "logs",
	    conf->file, foreground, &events, ls, err);
	return ls->helper != NULL ? 0 : -1;
}

const char *
logs_helper_state(const struct logs *ls)
{
	if (ls->helper == NULL)
		return "none";
	return privclient_is_gone(ls->helper) ? "gone" : "running";
}

static uint64_t
random_epoch(void)
{
	uint64_t v = 0;

	while (v == 0)
		if (getrandom(&v, sizeof(v), 0) != (ssize_t)sizeof(v))
			log_fatal("no random numbers");
	return v;
}

static void
one_create(struct logs *ls, const struct conf_log *cl, uint32_t number,
    bool beginning)
{
	struct one *one = x_calloc(1, sizeof(*one));
	struct tail_options options = { .path = cl->path,
		.beginning = cl->beginning || beginning };
	const struct logpos *pos;

	one->logs = ls;
	one->path = x_strdup(cl->path);
	one->wanted = true;
	one->opened.fd = -1;
	one->number = number;
	one->src = engine_source_add(ls->engine, cl->path, cl->sets);
	pos = source_position(one->src);
	if (pos->epoch != 0)
		options.pos = pos;
	else
		options.epoch = random_epoch();
	one_follow(one, &options);
	/* The epoch must be known before the first line comes. */
	one_sync(one);
	if (ls->marked)
		one_mark(one);
	ls->all = x_reallocarray(ls->all, ls->count + 1, sizeof(*ls->all));
	ls->all[ls->count++] = one;
}

static struct one *
logs_find(const struct logs *ls, const char *path)
{
	for (size_t i = 0; i < ls->count; i++)
		if (strcmp(ls->all[i]->path, path) == 0)
			return ls->all[i];
	return NULL;
}

void
logs_configure(struct logs *ls, const struct conf *conf, bool beginning)
{
	size_t kept = 0;

	struct privmsg_request req = { .op = PRIVMSG_RELOAD };

	if (ls->helper != NULL && ls->count > 0)
		(void)privclient_send(ls->helper, &req);
	for (size_t i = 0; i < ls->count; i++)
		ls->all[i]->wanted = false;
	for (size_t i = 0; i < conf->n_logs; i++) {
		struct one *one = logs_find(ls, conf->logs[i].path);

		if (one == NULL) {
			one_create(ls, &conf->logs[i], (uint32_t)i, beginning);
			continue;
		}
		one->wanted = true;
		one->number = (uint32_t)i;
	}
	for (size_t i = 0; i < ls->count; i++) {
		if (ls->all[i]->wanted)
			ls->all[kept++] = ls->all[i];
		else
			one_destroy(ls->all[i]);
	}
	ls->count = kept;
}

void
logs_sync(struct logs *ls)
{
	for (size_t i = 0; i < ls->count; i++)
		one_sync(ls->all[i]);
}

void
logs_tick(struct logs *ls)
{
	for (size_t i = 0; i < ls->count; i++) {
		struct tail_stats ts;

		tail_stats(ls->all[i]->tail, &ts);
		if (strcmp(ts.state, "missing") == 0)
			source_set_current(ls->all[i]->src, true);
	}
}

size_t
logs_count(const struct logs *ls)
{
	return ls->count;
}

void
logs_view(const struct logs *ls, size_t n, struct log_view *out)
{
	struct one *one = ls->all[n];

	out->path = one->path;
	out->source = *source_stats(one->src);
	tail_stats(one->tail, &out->tail);
	tail_position(one->tail, &out->pos);
}
