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
	struct attempts *attempts;
	struct logtime time;
	struct source_stats stats;
	struct logpos pos;
	bool current;
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
	free(src->name);
	free(src);
	*sp = NULL;
}

void
source_set_rules(struct source *src, const struct rules *rules,
    const char *const *sets)
{
	uint64_t bits = 0;

	for (; sets != NULL && *sets != NULL; sets++)
		bits |= rules_set_bit(rules, *sets);
	matcher_destroy(&src->matcher);
	src->matcher = matcher_create(rules, bits);
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
source_time(struct source *src, const struct logline *line, double ref,
    double *t_r)
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
	const struct logpos *p = &src->pos;

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
	snapshot_put_f64(w, src->stats.last);
	attempts_each(src->attempts, save_attempt, w);
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
	if (p->head_len > LOGPOS_HEAD_MAX || !isfinite(p->time) ||
	    !isfinite(src->stats.last))
		memset(p, 0, sizeof(*p));
	load_attempts(src, r);
	if (snapshot_failed(r))
		source_destroy(&src);
	return src;
}
