/*
 * tail: see tail.h.
 *
 *   MISSING  nothing is open; `pos` says where to go on. Left by tail_find().
 *   READING  there may be more in `file`.
 *   CURRENT  its end was reached, and the path names it, or names nothing yet
 *            that has content.
 *   ENDING   the path names another file with content. The writer has changed
 *            over, so the next end of `file` is final: tail_advance().
 *
 * Whoever wants something looked at sets `look` (what does the path name?) and
 * calls tail_step(), which reads one chunk, or at the end of the file decides.
 * Which file comes next is never remembered: at each end the directory is read
 * again (logchain), so rotations that happen meanwhile change nothing. The
 * successor is opened before the directory is read and compared with it
 * afterwards; a rotation between the two makes it part of the chain.
 */
#include "lib/io/tail.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/core/linesplit.h"
#include "lib/core/log.h"
#include "lib/core/xalloc.h"
#include "lib/io/logchain.h"
#include "lib/io/logfile.h"
#include "lib/io/logpath.h"
#include "lib/io/loop.h"
#include "lib/io/tailseen.h"
#include "lib/io/tailwatch.h"

/* Finished files that tail_rewind() can still go back to. */
#define TAIL_HISTORY 16

enum tail_state { TAIL_MISSING, TAIL_READING, TAIL_CURRENT, TAIL_ENDING };

struct tail {
	struct loop *loop;
	struct tail_events events;
	void *ctx;
	char *path;
	struct logpath where; /* to find it */
	struct tailwatch *watch;
	struct loop_timer *more; /* go on next turn */
	struct loop_timer *poll; /* look anyway */
	struct linesplit *lines; /* counts logical offsets */
	enum tail_state state;
	bool paused;
	bool look;
	bool fresh;	/* no position, not even that nothing was there; in
			   `pos`: ino and time 0 */
	bool beginning; /* where a fresh tail starts */
	int said;	/* reason last told, an errno; 0 = none */
	uint64_t base;	/* logical offset of the first byte of `file` */
	struct logfile file;
	struct logpos pos;
	struct logpos history[TAIL_HISTORY]; /* newest first; `offset` is the
						length of the file */
	size_t nhistory;
	struct tailseen seen; /* what comes after `file` */
	struct tail_stats stats;
	char buf[LOGFILE_OVERLAP + TAIL_CHUNK];
};

static void tail_step(void *arg);

/* One more step, next turn. What is asked for already is not put off. */
static void
tail_again(struct tail *t)
{
	if (!t->paused && !loop_timer_pending(t->more))
		loop_timer_set(t->more, 0);
}

static void
tail_progress(struct tail *t)
{
	if (t->events.progress != NULL)
		t->events.progress(t->ctx, t->state == TAIL_CURRENT);
}

/* Says once per reason why the log cannot be read. */
static void
tail_failed(struct tail *t, int why)
{
	if (why == EAGAIN) /* the opener is asked; tail_look() will follow */
		return;
	t->stats.errors++;
	if (t->said == why)
		return;
	t->said = why;
	log_warning("%s: %s; waiting", t->path,
	    why == EISDIR	? "is a directory"
		: why == EINVAL ? "is not a regular file"
				: strerror(why));
}

static void
tail_line(void *ctx, const char *line, size_t len, uint64_t end, bool cut)
{
	struct tail *t = ctx;

	t->events.line(t->ctx, line, len, end, cut, t->file.mtime);
}

/* Goes on at `offset` of `f`, which is taken over. False when the file has
 * become shorter meanwhile; then it is closed and nothing else changes. */
static bool
tail_begin(struct tail *t, struct logfile *f, uint64_t base, uint64_t offset)
{
	if (!logfile_seek(f, offset)) {
		logfile_close(f);
		return false;
	}
	logfile_close(&t->file);
	t->file = *f;
	t->base = base;
	linesplit_reset(t->lines, base + offset);
	t->state = TAIL_READING;
	t->look = true;
	tailwatch_files(t->watch, t->file.fd, false);
	return true;
}

/* The first look without a position. */
static bool
tail_start(struct tail *t)
{
	struct logfile f;

	if (logpath_open(&t->where, &f)) {
		t->fresh = !tail_begin(
		    t, &f, 0, t->beginning ? 0 : logfile_last_line(&f));
		return !t->fresh;
	}
	if (errno == ENOENT || errno == ENOTDIR || errno == EISDIR ||
	    errno == EINVAL) {
		/* What appears later is new, and read from its start. */
		t->fresh = false;
		t->pos.time = loop_now(t->loop);
	}
	tail_failed(t, errno);
	return false;
}

/* Nothing is open: finds the file of the position, or what follows it. */
static bool
tail_find(struct tail *t)
{
	struct logpos pos = t->pos;
	struct logfile f;

	if (t->fresh)
		return tail_start(t);
	if (logpath_resume(&t->where, &pos, &f, &t->stats.lost))
		return tail_begin(t, &f, pos.base, pos.offset);
	if (errno != 0)
		tail_failed(t, errno);
	return false;
}

/* The file is finished: its last line as well, newline or not. */
static void
tail_finish(struct tail *t)
{
	struct logpos *h = t->history;

	linesplit_finish(t->lines, tail_line, t);
	memmove(h + 1, h, (TAIL_HISTORY - 1) * sizeof(*h));
	logfile_identity(&t->file, h);
	h->base = t->base;
	h->offset = t->file.at;
	if (t->nhistory < TAIL_HISTORY)
		t->nhistory++;
}

/* Which file does the path name now? */
static void
tail_note(struct tail *t)
{
	struct stat st;

	if (t->state != TAIL_MISSING && stat(t->path, &st) == 0 &&
	    S_ISREG(st.st_mode))
		tailseen_note(&t->seen, &t->file, &st);
}

/* Before `next` is begun: was anything between it and `file`? */
static void
tail_count_gone(struct tail *t, const struct logchain *chain, size_t from,
    const struct logfile *next)
{
	size_t gone = tailseen_pass(&t->seen, chain, from,
	    logchain_index(chain, next->dev, next->ino), next);

	if (gone == 0)
		return;
	t->stats.lost += gone;
	log_warning(
	    "%s: rotated files were deleted before they were read (%zu); "
	    "their lines are lost",
	    t->path, gone);
}

/* From the end of `file` to the next one. False: not now. */
static bool
tail_advance(struct tail *t)
{
	struct logchain *chain;
	struct logfile cur, next;
	size_t i;
	bool found = false;

	tail_note(t);
	if (!logpath_open(&t->where, &cur) && errno != ENOENT) {
		tail_failed(t, errno);
		return false;
	}
	chain = logchain_scan(t->path, t->file.ino);
	if (chain == NULL) {
		logfile_close(&cur);
		return false;
	}
	i = logchain_behind(chain, t->file.dev, t->file.ino, t->file.mtime);
	if (cur.fd != -1 && cur.ino == t->file.ino && cur.dev == t->file.dev)
		logfile_close(&cur); /* renamed back */
	else if ((cur.fd != -1 && cur.size > 0) || logchain_content(chain, i))
		found = logpath_next(
		    &t->where, chain, i, &cur, &next, &t->stats.lost);
	logfile_close(&cur);
	if (found)
		tail_count_gone(t, chain, i, &next);
	logchain_destroy(&chain);
	if (!found)
		return false;
	tail_finish(t);
	t->stats.rotations++;
	return tail_begin(t, &next, t->base + t->file.at, 0);
}

/* Has anything been written to a later file? */
static bool
tail_succeeded(struct tail *t)
{
	struct logchain *chain;
	struct stat st;
	bool good = logpath_stat(&t->where, &st), content;

	if (good && logfile_same(&t->file, &st)) {
		tailwatch_files(t->watch, t->file.fd, false);
		if (t->said != 0)
			log_notice("%s: can be read now", t->path);
		t->said = 0;
		return false;
	}
	if (!good && errno != ENOENT) {
		tail_failed(t, errno);
		return false;
	}
	/* Watched before its size is read, so that no write is missed. */
	tailwatch_files(t->watch, t->file.fd, true);
	if (logpath_stat(&t->where, &st) && st.st_size > 0)
		return true;
	chain = logchain_scan(t->path, t->file.ino);
	if (chain == NULL)
		return false;
	content = logchain_content(chain,
	    logchain_behind(chain, t->file.dev, t->file.ino, t->file.mtime));
	logchain_destroy(&chain);
	return content;
}

/* Nothing more to read for now. */
static void
tail_at_end(struct tail *t)
{
	enum tail_state was = t->state;

	if (was == TAIL_ENDING && tail_advance(t)) {
		tail_progress(t);
		tail_again(t);
		return;
	}
	if (was != TAIL_ENDING && t->look) {
		t->look = false;
		if (tail_succeeded(t)) {
			t->state = TAIL_ENDING;
			tail_again(t);
			return;
		}
	}
	t->state = TAIL_CURRENT;
	if (was != TAIL_CURRENT)
		tail_progress(t);
}

static void
tail_feed(struct tail *t, size_t len)
{
	t->stats.bytes += len;
	linesplit_feed(t->lines, t->buf + LOGFILE_OVERLAP, len, tail_line, t);
	if (t->state != TAIL_ENDING)
		t->state = t->file.at >= t->file.size && !t->look
		    ? TAIL_CURRENT
		    : TAIL_READING;
	tail_progress(t);
	if (t->state != TAIL_CURRENT)
		tail_again(t);
}

/*
 * The file is not what it was (copytruncate). The rest of its old content may
 * be in a copy, which is then read like any rotated file.
 */
static void
tail_rewritten(struct tail *t)
{
	struct logchain *chain = logchain_scan(t->path, 0);
	struct logpos pos;
	struct logfile copy = { .fd = -1 };
	int found = -1;

	logfile_identity(&t->file, &pos);
	pos.offset = t->file.at;
	if (chain != NULL)
		found = logpath_search(&t->where, chain, &pos, &copy);
	if (found == -1) { /* the next look will find it rewritten again */
		logchain_destroy(&chain);
		return;
	}
	t->stats.truncations++;
	if (found == 1 && logfile_take_over(&t->file, &copy)) {
		log_notice(
		    "%s: truncated; reading its copy to the end", t->path);
	} else {
		log_notice("%s: truncated; reading it from its start", t->path);
		tail_finish(t);
		t->base += t->file.at;
		logfile_restart(&t->file);
		linesplit_reset(t->lines, t->base);
	}
	logfile_close(&copy);
	logchain_destroy(&chain);
	t->state = TAIL_READING;
	t->look = true;
	tailwatch_files(t->watch, t->file.fd, false);
	tail_progress(t);
	tail_again(t);
}

/* A network file that the server has dropped, or a broken disk: opens it
 * again at the next look. */
static void
tail_read_failed(struct tail *t)
{
	int why = errno;

	tail_position(t, &t->pos);
	logfile_close(&t->file);
	tailwatch_files(t->watch, -1, false);
	t->state = TAIL_MISSING;
	tail_failed(t, why);
	tail_progress(t);
}

/* A compressed file that cannot be read to its end: what is left is lost. */
static void
tail_damaged(struct tail *t)
{
	t->stats.lost++;
	log_warning("%s: a compressed file is damaged; the rest of its lines "
		    "is lost",
	    t->path);
	tail_again(t);
}

/* One turn: at most one chunk. */
static void
tail_step(void *arg)
{
	struct tail *t = arg;
	ssize_t n;

	if (t->paused || (t->state == TAIL_MISSING && !tail_find(t)))
		return;
	n = logfile_read(&t->file, t->buf, TAIL_CHUNK);
	if (n > 0)
		tail_feed(t, (size_t)n);
	else if (n == 0)
		tail_at_end(t);
	else if (n == LOGFILE_REWRITTEN)
		tail_rewritten(t);
	else if (n == LOGFILE_AGAIN)
		tail_again(t);
	else if (n == LOGFILE_DAMAGED)
		tail_damaged(t);
	else
		tail_read_failed(t);
}

static void
tail_on_watch(void *ctx, bool names)
{
	struct tail *t = ctx;

	if (names) {
		tailwatch_refresh(t->watch); /* a link may point elsewhere */
		tail_note(t);
		t->look = true;
	}
	tail_again(t);
}

void
tail_look(struct tail *t)
{
	tail_note(t);
	t->look = true;
	tail_again(t);
}

static void
tail_on_poll(void *ctx)
{
	struct tail *t = ctx;

	tailwatch_refresh(t->watch);
	tail_look(t);
	loop_timer_set(t->poll, tailwatch_interval(t->watch));
}

struct tail *
tail_create(struct loop *loop, const struct tail_options *options,
    const struct tail_events *events, void *ctx)
{
	struct tail *t = x_calloc(1, sizeof(*t));

	t->loop = loop;
	t->events = *events;
	t->ctx = ctx;
	t->path = x_strdup(options->path);
	t->where = (struct logpath){ t->path, options->open, ctx };
	t->beginning = options->beginning;
	t->file.fd = -1;
	t->fresh = options->pos == NULL ||
	    (options->pos->ino == 0 && !(options->pos->time > 0));
	if (options->pos != NULL)
		t->pos = *options->pos;
	else
		t->pos.epoch = options->epoch;
	t->lines = linesplit_create(logpos_logical(&t->pos));
	t->watch = tailwatch_create(loop, t->path, tail_on_watch, t);
	t->more = loop_timer_create(loop, LOOP_WORK, tail_step, t);
	t->poll = loop_timer_create(loop, LOOP_WORK, tail_on_poll, t);
	if (t->watch == NULL || t->more == NULL || t->poll == NULL) {
		tail_destroy(&t);
		return NULL;
	}
	loop_timer_set(t->more, 0);
	loop_timer_set(t->poll, tailwatch_interval(t->watch));
	return t;
}

void
tail_destroy(struct tail **tp)
{
	struct tail *t = *tp;

	if (t == NULL)
		return;
	loop_timer_destroy(&t->more);
	loop_timer_destroy(&t->poll);
	tailwatch_destroy(&t->watch);
	linesplit_destroy(&t->lines);
	logfile_close(&t->file);
	free(t->path);
	free(t);
	*tp = NULL;
}

void
tail_position(const struct tail *t, struct logpos *out)
{
	*out = t->pos;
	if (t->state == TAIL_MISSING)
		return;
	out->base = t->base;
	out->offset = linesplit_offset(t->lines) - t->base;
	logfile_identity(&t->file, out);
}

void
tail_stats(const struct tail *t, struct tail_stats *out)
{
	struct stat st;

	*out = t->stats;
	out->state = t->state == TAIL_MISSING ? "missing"
	    : t->state == TAIL_CURRENT	      ? "current"
					      : "reading";
	if (t->state != TAIL_MISSING && t->file.gz == NULL &&
	    fstat(t->file.fd, &st) == 0 && (uint64_t)st.st_size > t->file.at)
		out->behind = (uint64_t)st.st_size - t->file.at;
}

void
tail_pause(struct tail *t, bool paused)
{
	t->paused = paused;
	if (paused)
		loop_timer_clear(t->more);
	else
		tail_again(t);
}

bool
tail_rewind(struct tail *t, uint64_t logical)
{
	struct logchain *chain;
	struct logfile f;
	size_t i = 0;
	bool found;

	if (t->state == TAIL_MISSING || logical > linesplit_offset(t->lines))
		return false;
	if (logical >= t->base) {
		if (!logfile_seek(&t->file, logical - t->base))
			return false;
		linesplit_reset(t->lines, logical);
		t->state = TAIL_READING;
		t->look = true;
		tail_again(t);
		return true;
	}
	while (i < t->nhistory && t->history[i].base > logical)
		i++;
	if (i == t->nhistory)
		return false;
	chain = logchain_scan(t->path, t->history[i].ino);
	if (chain == NULL)
		return false;
	found = logpath_search(&t->where, chain, &t->history[i], &f) == 1;
	logchain_destroy(&chain);
	if (!found)
		return false;
	if (!tail_begin(
		t, &f, t->history[i].base, logical - t->history[i].base))
		return false;
	/* The later ones will be finished again. */
	memmove(t->history, t->history + i + 1,
	    (t->nhistory - i - 1) * sizeof(t->history[0]));
	t->nhistory -= i + 1;
	tail_again(t);
	return true;
}
