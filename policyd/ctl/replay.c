/*
 * replay: what these logs would have caused, with this configuration.
 *
 * The engine runs on the time of the lines: blocks begin and end when they
 * would have. Logs are read in the order in which they are given, oldest
 * first; each is a source of its own, finished when the next one begins.
 *
 * The loop over lines is the whole cost, so it does nothing but feed: the time
 * span is read off the last line of each block, deliveries and expiry are done
 * per block (what an offence decides, the engine delivers at once).
 */
#include "policyd/ctl/replay.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lib/core/log.h"
#include "lib/core/logline.h"
#include "lib/core/num.h"
#include "lib/core/xalloc.h"
#include "policyd/ctl/input.h"

#define REPLAY_TOP 20
#define REPLAY_TICKS 64 /* deliveries per block, at most */
#define REPLAY_LOOK 32	/* lines looked at for a block's last time */

static double
replay_mono(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void
replay_offence(void *ctx, const struct offence *o)
{
	struct replay *r = ctx;
	struct addr scope = engine_scope(r->off.engine, &o->addr);

	r->offence = o->t;
	tally_offence(
	    r->tally, &scope, o->rule->name, o->weight, o->attempts, o->t);
}

static void
replay_blocked(void *ctx, const struct block *b, enum store_why why)
{
	struct replay *r = ctx;

	tally_block(r->tally, b, why == STORE_RAISED);
	if (why == STORE_RAISED)
		r->raised++;
	else
		r->decided++;
	if (r->ctl->decisions)
		replay_decision(r, b);
}

static const struct engine_events replay_events = {
	.offence = replay_offence,
	.blocked = replay_blocked,
};

/* Takes a line's time into the span; false if it has none. */
static bool
replay_see_time(struct replay *r, const char *line, size_t len)
{
	struct logline l;
	double t;

	if (!logline_parse(line, len, &l) ||
	    !source_time(r->source, &l, r->ref, &t))
		return false;
	if (!r->has_span || t < r->first)
		r->first = t;
	if (!r->has_span || t > r->last)
		r->last = t;
	r->has_span = true;
	return true;
}

/* The last whole line of a block that has a time. */
static void
replay_see_last(struct replay *r, const char *buf, size_t len)
{
	const char *end = memrchr(buf, '\n', len);

	for (int i = 0; i < REPLAY_LOOK && end != NULL; i++) {
		const char *nl = memrchr(buf, '\n', (size_t)(end - buf));
		const char *line = nl != NULL ? nl + 1 : buf;

		if (replay_see_time(r, line, (size_t)(end - line)))
			return;
		end = nl;
	}
}

static void
replay_unmatched(struct replay *r, const char *line, size_t len)
{
	struct logline l;

	if (logline_parse(line, len, &l))
		shapes_add(r->shapes, &l);
}

static void
replay_line(void *ctx, const char *line, size_t len, uint64_t end, bool cut)
{
	struct replay *r = ctx;

	if (!r->begun)
		r->begun = replay_see_time(r, line, len);
	if (engine_feed(r->off.engine, r->source, line, len, end, cut, r->ref,
		r->now) == FEED_NO_MATCH &&
	    r->shapes != NULL)
		replay_unmatched(r, line, len);
}

static void
replay_block(void *ctx, const char *buf, size_t len, uint64_t taken)
{
	struct replay *r = ctx;
	uint64_t lines = r->sum.lines + source_stats(r->source)->lines;

	for (int i = 0; i < REPLAY_TICKS; i++)
		if (!engine_tick(r->off.engine, r->now))
			break;
	progress_show(r->progress, r->before + taken, lines, replay_mono());
	replay_see_last(r, buf, len);
}

static void
replay_add(struct source_stats *sum, const struct source_stats *st)
{
	sum->lines += st->lines;
	sum->unparsed += st->unparsed;
	sum->matched += st->matched;
	sum->scored += st->scored;
	sum->own += st->own;
	sum->faults += st->faults;
	sum->markers += st->markers;
	sum->badtime += st->badtime;
	sum->cut += st->cut;
	sum->limits += st->limits;
	sum->allowed += st->allowed;
}

static int
replay_run_input(struct replay *r, const char *path)
{
	static const struct input_events events = { .line = replay_line,
		.block = replay_block };
	struct errbuf err = { "" };
	struct input *in = input_open(path, &err);
	int rc = -1;

	if (in != NULL) {
		r->ref = input_ref(in);
		rc = input_run(in, &events, r, &err);
		input_close(&in);
	}
	if (rc < 0) {
		progress_clear(r->progress);
		log_error("%s", err.text);
	}
	return rc;
}

/* One log. -1 after an error message. */
static int
replay_log(struct replay *r, const char *path, size_t number)
{
	const char **sets = offline_sets(&r->off, r->ctl, path);
	char *name;
	int rc;

	if (sets == NULL)
		return -1;
	r->begun = false;
	name = x_asprintf("%s#%zu", path, number);
	r->source = engine_source_add(r->off.engine, name, sets);
	rc = replay_run_input(r, path);
	replay_add(&r->sum, source_stats(r->source));
	source_set_current(r->source, true);
	r->before += input_size(path);
	free(name);
	free(sets);
	return rc;
}

static int
replay_get_top(struct replay *r)
{
	uint64_t n = REPLAY_TOP;

	if (r->ctl->count != NULL &&
	    !num_parse_u64(r->ctl->count, strlen(r->ctl->count), &n)) {
		log_error("replay: '%s' is not a number", r->ctl->count);
		return -1;
	}
	r->top = (size_t)n;
	if (r->ctl->unmatched == NULL)
		return 0;
	if (!num_parse_u64(r->ctl->unmatched, strlen(r->ctl->unmatched), &n)) {
		log_error("replay: '%s' is not a number", r->ctl->unmatched);
		return -1;
	}
	r->top_shapes = (size_t)n;
	r->shapes = shapes_create();
	return 0;
}

static void
replay_begin(struct replay *r)
{
	uint64_t total = 0;
	bool known = true;

	for (int i = 0; i < r->ctl->argc; i++) {
		uint64_t size = input_size(r->ctl->argv[i]);

		total += size;
		known = known && size > 0;
	}
	r->now = ctl_now();
	r->began = replay_mono();
	/* Decisions on the same terminal would tear the bar to pieces. */
	if (!r->ctl->decisions || !r->terminal)
		r->progress = progress_create(known ? total : 0, r->began);
}

enum ctl_status
verb_replay(const struct ctl *ctl)
{
	struct replay r = { .ctl = ctl, .terminal = isatty(STDOUT_FILENO) };
	enum ctl_status status = CTL_OK;

	if (replay_get_top(&r) < 0 ||
	    offline_create(&r.off, ctl, &replay_events, &r) < 0) {
		shapes_destroy(&r.shapes);
		return CTL_ERROR;
	}
	r.tally = tally_create(r.off.conf->max_addresses, r.off.conf->window);
	replay_begin(&r);
	for (int i = 0; i < ctl->argc; i++)
		if (replay_log(&r, ctl->argv[i], (size_t)i) < 0)
			status = CTL_ERROR;
	r.elapsed = replay_mono() - r.began;
	progress_destroy(&r.progress);
	if (!ctl->decisions && r.sum.lines + (status == CTL_OK) > 0)
		replay_report(&r);
	tally_destroy(&r.tally);
	shapes_destroy(&r.shapes);
	offline_destroy(&r.off);
	return status;
}
