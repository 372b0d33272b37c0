/*
 * source: see source.h.
 */
#include "lib/core/source.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/core/attempt.h"
#include "lib/core/logtime.h"
#include "lib/core/snapshot.h"
#include "lib/core/xalloc.h"

struct source {
	char *name;
	struct matcher *matcher;
	const struct rules *rules;
	uint64_t sets, heard; /* its sets, and those that matched */
	struct attempts *attempts;
	struct logtime time;
	struct source_stats stats;
	struct logpos pos;
	bool current;
	uint64_t again; /* lines up to here were read before */
	struct {
		struct attempts *attempts; /* NULL = no mark */
		struct logpos pos;
		double last;
	} mark;
};

struct source *
source_create(const char *name)
{
	struct source *src = x_calloc(1, sizeof(*src));

	src->name = x_strdup(name);
	src->attempts = attempts_create();
	return src;
}

void
source_destroy(struct source **sp)
{
	struct source *src = *sp;

	if (src == NULL)
		return;
	matcher_destroy(&src->matcher);
	attempts_destroy(&src->attempts);
	attempts_destroy(&src->mark.attempts);
	free(src->name);
	free(src);
	*sp = NULL;
}

void
source_set_rules(
    struct source *src, const struct rules *rules, const char *const *sets)
{
	uint64_t bits = 0;

	for (; sets != NULL && *sets != NULL; sets++)
		bits |= rules_set_bit(rules, *sets);
	matcher_destroy(&src->matcher);
	src->matcher = matcher_create(rules, bits);
	src->rules = rules;
	src->sets = bits;
	src->heard = 0;
}

void
source_note_set(struct source *src, uint64_t set)
{
	src->heard |= set;
}

const char *
source_silent_set(const struct source *src, size_t n)
{
	uint64_t silent = src->sets & ~src->heard;

	for (size_t i = 0; i < RULES_SETS_MAX; i++)
		if ((silent >> i & 1) != 0 && n-- == 0)
			return rules_set_name(src->rules, i);
	return NULL;
}

void
source_forget_sets(struct source *src)
{
	src->heard = 0;
}

const char *
source_name(const struct source *src)
{
	return src->name;
}

struct matcher *
source_matcher(struct source *src)
{
	return src->matcher;
}

struct attempts *
source_attempts(struct source *src)
{
	return src->attempts;
}

struct source_stats *
source_stats(struct source *src)
{
	return &src->stats;
}

bool
source_time(
    struct source *src, const struct logline *line, double ref, double *t_r)
{
	return logtime_parse(&src->time, line->time, line->time_len, ref, t_r);
}

bool
source_is_current(const struct source *src)
{
	return src->current;
}

void
source_set_current(struct source *src, bool current)
{
	src->current = current;
}

const struct logpos *
source_position(const struct source *src)
{
	return &src->pos;
}

void
source_set_position(struct source *src, const struct logpos *pos)
{
	src->pos = *pos;
}

static void
copy_attempt(void *ctx, const struct attempt_key *k, unsigned count, double t)
{
	attempts_restore(ctx, k, count, t);
}

static void
reached(struct source *src, const struct logpos *pos)
{
	if (logpos_logical(pos) > src->again)
		src->again = logpos_logical(pos);
}

void
source_mark(struct source *src, const struct logpos *pos)
{
	attempts_destroy(&src->mark.attempts);
	src->mark.attempts = attempts_create();
	attempts_each(src->attempts, copy_attempt, src->mark.attempts);
	src->mark.pos = *pos;
	src->mark.last = src->stats.last;
}

bool
source_has_mark(const struct source *src)
{
	return src->mark.attempts != NULL;
}

const struct logpos *
source_mark_position(const struct source *src)
{
	return &src->mark.pos;
}

void
source_rewind(struct source *src, const struct logpos *pos)
{
	reached(src, pos);
	attempts_destroy(&src->attempts);
	src->attempts = src->mark.attempts;
	src->mark.attempts = NULL;
	src->pos = src->mark.pos;
	src->stats.last = src->mark.last;
	src->current = false;
}

void
source_unmark(struct source *src)
{
	attempts_destroy(&src->mark.attempts);
}

bool
source_is_again(const struct source *src, uint64_t end)
{
	return end <= src->again;
}

static void
save_attempt(void *ctx, const struct attempt_key *k, unsigned count, double t)
{
	struct snapshot_writer *w = ctx;

	snapshot_put_u8(w, 1);
	snapshot_put_u64(w, k->pid);
	snapshot_put_name(w, k->program);
	snapshot_put_name(w, k->evidence);
	snapshot_put_addr(w, &k->addr);
	snapshot_put_u32(w, count);
	snapshot_put_f64(w, t);
}

void
source_save(const struct source *src, struct snapshot_writer *w)
{
	bool marked = source_has_mark(src);
	const struct logpos *p = marked ? &src->mark.pos : &src->pos;
	uint64_t again = logpos_logical(&src->pos);

	snapshot_put_u8(w, 1);
	snapshot_put_str(w, src->name, strlen(src->name));
	snapshot_put_u64(w, p->epoch);
	snapshot_put_u64(w, p->base);
	snapshot_put_u64(w, p->offset);
	snapshot_put_u64(w, p->dev);
	snapshot_put_u64(w, p->ino);
	snapshot_put_u64(w, p->head_hash);
	snapshot_put_u32(w, p->head_len);
	snapshot_put_f64(w, p->time);
	snapshot_put_f64(w, marked ? src->mark.last : src->stats.last);
	snapshot_put_u64(w, again > src->again ? again : src->again);
	attempts_each(
	    marked ? src->mark.attempts : src->attempts, save_attempt, w);
	snapshot_put_u8(w, 0);
}

static void
load_attempts(struct source *src, struct snapshot_reader *r)
{
	while (!snapshot_failed(r) && snapshot_get_u8(r) == 1) {
		struct attempt_key k;
		unsigned count;
		double t;

		memset(&k, 0, sizeof(k));
		k.pid = snapshot_get_u64(r);
		k.program = snapshot_get_name(r);
		k.evidence = snapshot_get_name(r);
		if (!snapshot_get_addr(r, &k.addr))
			return;
		count = snapshot_get_u32(r);
		t = snapshot_get_f64(r);
		if (!snapshot_failed(r) && isfinite(t))
			attempts_restore(src->attempts, &k, count, t);
	}
}

struct source *
source_load(struct snapshot_reader *r)
{
	struct source *src;
	struct logpos *p;
	const char *name;
	char *copy;
	size_t len;

	if (snapshot_failed(r) || snapshot_get_u8(r) != 1)
		return NULL;
	name = snapshot_get_str(r, &len);
	if (len == 0 || len > 4096)
		return NULL;
	copy = x_strndup(name, len);
	src = source_create(copy);
	free(copy);
	p = &src->pos;
	p->epoch = snapshot_get_u64(r);
	p->base = snapshot_get_u64(r);
	p->offset = snapshot_get_u64(r);
	p->dev = snapshot_get_u64(r);
	p->ino = snapshot_get_u64(r);
	p->head_hash = snapshot_get_u64(r);
	p->head_len = snapshot_get_u32(r);
	p->time = snapshot_get_f64(r);
	src->stats.last = snapshot_get_f64(r);
	src->again = snapshot_get_u64(r);
	if (p->head_len > LOGPOS_HEAD_MAX || !isfinite(p->time) ||
	    !isfinite(src->stats.last))
		memset(p, 0, sizeof(*p));
	load_attempts(src, r);
	if (snapshot_failed(r))
		source_destroy(&src);
	return src;
}
