/*
 * logs: see logs.h.
 */
#include "policyd/daemon/logs.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "lib/core/log.h"
#include "lib/core/xalloc.h"
#include "lib/io/journal.h"
#include "lib/io/loop.h"
#include "lib/io/privclient.h"

/* What the helper has answered is good for so long, in seconds. A tail begins
 * anew when an answer has come, so it asks for the same files again: the log,
 * and rotated ones until it has what it needs. So all these answers are kept,
 * else each would push out another for ever. */
#define OPENED_FRESH 1.0
#define OPENED_MAX 64

#define LOGS_RESCAN 5.0 /* seconds between looks at patterns */
#define LOGS_DAY 86400.0
#define LOGS_SILENT 1000 /* lines that tell nothing before it is said */

/* An answer of the helper, for one file of a log. */
struct opened {
	int fd; /* -1: none */
	int error;
	uint64_t dev, ino;
	double until; /* monotonic */
	uint32_t seq; /* request under way, 0 = none */
};

struct one {
	struct logs *logs;
	char *path;
	struct source *src;
	struct tail *tail; /* one of the two */
	struct journal *journal;
	struct opened opened[OPENED_MAX];
	uint32_t number; /* in the configuration */
	bool wanted;	 /* by the configuration being applied */
	bool said_unparsed;
	double since;	/* monotonic: of the check of its rule sets */
	uint64_t lines; /* then */
};

struct logs {
	struct loop *loop;
	struct engine *engine;
	struct privclient *helper; /* NULL: opens everything itself */
	const struct conf *conf;
	double scanned; /* monotonic */
	void (*progress)(void *ctx);
	void *ctx;
	struct one **all;
	size_t count;
	bool marked; /* the store keeps no hits: there are places to go back to
		      */
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
one_position(const struct one *one, struct logpos *out)
{
	if (one->journal != NULL)
		journal_position(one->journal, out);
	else
		tail_position(one->tail, out);
}

static void
one_stats(const struct one *one, struct tail_stats *out)
{
	if (one->journal != NULL)
		journal_stats(one->journal, out);
	else
		tail_stats(one->tail, out);
}

static void
one_sync(struct one *one)
{
	struct logpos pos;

	one_position(one, &pos);
	source_set_position(one->src, &pos);
}

static void
one_destroy(struct one *one)
{
	one_sync(one);
	/* Should it come back, it goes on where the store needs it. */
	if (source_has_mark(one->src))
		source_rewind(one->src, source_position(one->src));
	tail_destroy(&one->tail);
	journal_destroy(&one->journal);
	for (size_t i = 0; i < OPENED_MAX; i++)
		if (one->opened[i].fd >= 0)
			close(one->opened[i].fd);
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

int
logs_check(const struct conf *conf, struct errbuf *err)
{
	const char *directory;

	for (size_t i = 0; i < conf->n_logs; i++)
		if (conf_log_is_journal(&conf->logs[i], &directory) &&
		    !journal_supported())
			return errbuf_set(err,
			    "%s: log \"%s\": this build does "
			    "not know the journal (libsystemd "
			    "was missing)",
			    conf->file, conf->logs[i].path);
	return 0;
}

/* A line can be younger than this turn of the loop, whose time is `now`; and
 * clocks of other hosts differ. What lies further ahead is taken as now. */
#define LOGS_LEAD 1.0

static void
one_line(
    void *ctx, const char *line, size_t len, uint64_t end, bool cut, double ref)
{
	struct one *one = ctx;

	engine_feed(one->logs->engine, one->src, line, len, end, cut, ref,
	    loop_now(one->logs->loop) + LOGS_LEAD);
}

/* The answer for this file, had or awaited; else a free place for it, and NULL
 * when all wait. Answers too old to be used are let go of: a descriptor keeps
 * a deleted log on the disk. */
static struct opened *
one_opened(struct one *one, uint64_t dev, uint64_t ino)
{
	double now = loop_mono(one->logs->loop);
	struct opened *found = NULL, *free_place = NULL;

	for (size_t i = 0; i < OPENED_MAX; i++) {
		struct opened *o = &one->opened[i];

		if (o->seq != 0 || now < o->until) {
			if (o->dev == dev && o->ino == ino)
				found = o;
			continue;
		}
		if (o->fd >= 0)
			close(o->fd);
		*o = (struct opened){ .fd = -1 };
		free_place = o;
	}
	return found != NULL ? found : free_place;
}

static void one_progress(void *, bool);
static int one_open(void *, const char *, uint64_t, uint64_t);

static void
one_follow(struct one *one, const struct tail_options *options)
{
	static const struct tail_events events = { one_line, one_progress };
	const struct conf_log *cl = &one->logs->conf->logs[one->number];
	struct tail_options o = *options;
	struct journal_options jo = { .matches = cl->matches,
		.identifiers = cl->identifiers,
		.beginning = o.beginning,
		.pos = o.pos,
		.epoch = o.epoch };
	struct errbuf err;

	if (conf_log_is_journal(cl, &jo.directory)) {
		one->journal =
		    journal_create(one->logs->loop, &jo, &events, one, &err);
		if (one->journal == NULL)
			log_fatal("%s", err.text);
		return;
	}
	o.open = one_open;
	one->tail = tail_create(one->logs->loop, &o, &events, one);
	if (one->tail == NULL)
		log_fatal("%s: cannot be followed", one->path);
}

static void
one_mark(struct one *one)
{
	struct logpos pos;

	one_position(one, &pos);
	source_mark(one->src, &pos);
}

static void
one_replay(struct one *one)
{
	struct logpos reached;

	if (!source_has_mark(one->src))
		return;
	one_position(one, &reached);
	if (logpos_logical(&reached) ==
	    logpos_logical(source_mark_position(one->src))) {
		source_unmark(one->src);
		return;
	}
	source_rewind(one->src, &reached);
	if (one->tail != NULL &&
	    tail_rewind(one->tail, logpos_logical(source_position(one->src))))
		return;
	/* A new one finds the place as after a restart, wherever rotation has
	 * put it. */
	tail_destroy(&one->tail);
	journal_destroy(&one->journal);
	one_follow(one,
	    &(struct tail_options){ .path = one->path,
		.pos = source_position(one->src),
		.open = one_open });
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
	struct opened *o = one_opened(one, dev, ino);
	struct privmsg_request req;

	if (one->logs->helper == NULL ||
	    privclient_is_gone(one->logs->helper)) {
		errno = EACCES;
		return -1;
	}
	if (o != NULL && o->seq == 0 && o->until > 0) {
		errno = o->error;
		return o->fd >= 0 ? fcntl(o->fd, F_DUPFD_CLOEXEC, 0) : -1;
	}
	if (o != NULL && o->seq == 0) {
		memset(&req, 0, sizeof(req));
		req.op = PRIVMSG_OPEN_LOG;
		req.log = one->number;
		req.name = logpos_hash(path, strlen(path));
		o->dev = req.dev = dev;
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

	for (size_t i = 0; i < ls->count * OPENED_MAX; i++) {
		struct one *one = ls->all[i / OPENED_MAX];
		struct opened *o = &one->opened[i % OPENED_MAX];

		if (o->seq == 0 || o->seq != r->seq)
			continue;
		o->fd = fd;
		o->error = r->error != 0 ? r->error : EACCES;
		o->until = loop_mono(ls->loop) + OPENED_FRESH;
		o->seq = 0;
		if (one->tail != NULL)
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
	for (size_t i = 0; i < ls->count * OPENED_MAX; i++)
		ls->all[i / OPENED_MAX]->opened[i % OPENED_MAX].seq = 0;
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
one_create(struct logs *ls, const struct conf_log *cl, const char *path,
    uint32_t number, bool beginning)
{
	struct one *one = x_calloc(1, sizeof(*one));
	struct tail_options options = { .path = path,
		.beginning = cl->beginning || beginning };
	const struct logpos *pos;

	one->logs = ls;
	one->path = x_strdup(path);
	one->wanted = true;
	for (size_t i = 0; i < OPENED_MAX; i++)
		one->opened[i].fd = -1;
	one->number = number;
	one->since = loop_mono(ls->loop);
	one->src = engine_source_add(ls->engine, path, cl->sets);
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

/* Follows this file as the nth log of the configuration. */
static void
logs_want(struct logs *ls, const char *path, uint32_t number, bool beginning)
{
	struct one *one = logs_find(ls, path);

	if (one == NULL) {
		one_create(
		    ls, &ls->conf->logs[number], path, number, beginning);
		return;
	}
	one->wanted = true;
	one->number = number;
}

static void
logs_expand(struct logs *ls, uint32_t number, bool beginning)
{
	const struct conf_log *cl = &ls->conf->logs[number];
	glob_t found;

	if (glob(cl->path, 0, NULL, &found) != 0)
		return;
	for (size_t i = 0; i < found.gl_pathc; i++)
		if (conf_log_covers(cl, found.gl_pathv[i]))
			logs_want(ls, found.gl_pathv[i], number, beginning);
	globfree(&found);
}

/* Files that a pattern matches now and did not before: new ones, read from
 * their beginning. */
static void
logs_rescan(struct logs *ls)
{
	double now = loop_mono(ls->loop);

	if (ls->conf == NULL || now - ls->scanned < LOGS_RESCAN)
		return;
	ls->scanned = now;
	for (size_t i = 0; i < ls->conf->n_logs; i++)
		if (conf_log_is_pattern(&ls->conf->logs[i]))
			logs_expand(ls, (uint32_t)i, true);
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
	ls->conf = conf;
	ls->scanned = loop_mono(ls->loop);
	for (size_t i = 0; i < conf->n_logs; i++) {
		if (conf_log_is_pattern(&conf->logs[i]))
			logs_expand(ls, (uint32_t)i, beginning);
		else
			logs_want(
			    ls, conf->logs[i].path, (uint32_t)i, beginning);
	}
	/* A file that a pattern found once is awaited while it is away. */
	for (size_t i = 0; i < ls->count; i++)
		for (size_t j = 0; j < conf->n_logs; j++)
			ls->all[i]->wanted |=
			    conf_log_covers(&conf->logs[j], ls->all[i]->path);
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

/*
 * Silence is the worst failure: a log that is no mail log, a rule set that is
 * for another server. Said once for each.
 */
static void
one_check(struct one *one)
{
	const struct source_stats *st = source_stats(one->src);
	double now = loop_mono(one->logs->loop);
	const char *set;

	if (st->lines >= LOGS_SILENT && st->unparsed == st->lines &&
	    !one->said_unparsed) {
		one->said_unparsed = true;
		log_warning("%s: none of %llu lines begins with time, host and "
			    "program: is it a mail log?",
		    one->path, (unsigned long long)st->lines);
	}
	if (now - one->since < LOGS_DAY)
		return;
	one->since = now;
	for (size_t i = 0; st->lines - one->lines >= LOGS_SILENT &&
	     (set = source_silent_set(one->src, i)) != NULL;
	     i++)
		log_warning("%s: rule set '%s' has matched none of %llu lines "
			    "in a day",
		    one->path, set,
		    (unsigned long long)(st->lines - one->lines));
	one->lines = st->lines;
	source_forget_sets(one->src);
}

void
logs_tick(struct logs *ls)
{
	logs_rescan(ls);
	for (size_t i = 0; i < ls->count; i++) {
		struct tail_stats ts;

		one_check(ls->all[i]);
		/* Here, because a log may be silent for long. */
		(void)one_opened(ls->all[i], 0, 0);
		one_stats(ls->all[i], &ts);
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
	one_stats(one, &out->tail);
	one_position(one, &out->pos);
}
