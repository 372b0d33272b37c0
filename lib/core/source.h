/*
 * source: one log as the engine sees it: its rule sets, what is known about
 * the connections in it, its counters, and how far it has been read.
 */
#ifndef MXW_SOURCE_H
#define MXW_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/core/logpos.h"
#include "lib/core/rules.h"

struct attempts;
struct snapshot_reader;
struct snapshot_writer;
struct source;

struct source_stats {
	uint64_t lines;
	uint64_t unparsed; /* no header */
	uint64_t matched;  /* lines of offences */
	uint64_t scored;   /* attempts scored */
	uint64_t own;	   /* our own refusals */
	uint64_t faults;
	uint64_t markers; /* ends of connections, joins of queue ids */
	uint64_t badtime;
	uint64_t cut;	  /* longer than what is matched */
	uint64_t limits;  /* match limits hit */
	uint64_t allowed; /* attempts by allow-listed clients, not scored */
	double last;	  /* time of the newest offence, 0 = none */
};

/* The name is copied. */
struct source *source_create(const char *name);
void source_destroy(struct source **);
/* Builds the matcher for these sets (NULL-terminated) of these rules, which
 * must outlive it. */
void source_set_rules(
    struct source *, const struct rules *, const char *const *sets);

const char *source_name(const struct source *);
struct matcher *source_matcher(struct source *);
struct attempts *source_attempts(struct source *);
struct source_stats *source_stats(struct source *);
/* The time of a line; what `ref` is says logtime.h. */
bool source_time(
    struct source *, const struct logline *, double ref, double *t_r);

/* A line matched a rule of this set (a bit of rules_set_bit()). */
void source_note_set(struct source *, uint64_t set);
/* The nth of its sets that matched nothing since source_forget_sets(), or
 * NULL. */
const char *source_silent_set(const struct source *, size_t n);
void source_forget_sets(struct source *);

/* Is it read to its end? While it is not, its times are the past. */
bool source_is_current(const struct source *);
void source_set_current(struct source *, bool current);

/* Where reading goes on after a restart. ino 0: no position is known. The
 * epoch is part of it; it is set once, by whoever opens the log first. */
const struct logpos *source_position(const struct source *);
void source_set_position(struct source *, const struct logpos *);

/*
 * A place to come back to (see store_flow): a position, with the connections
 * as they are there. While there is one, it is what a snapshot holds; lines
 * up to the farthest place ever reached are read again after coming back, in
 * this process or the next, and since the connections are those of then, they
 * give the same hits.
 */
void source_mark(struct source *, const struct logpos *);
bool source_has_mark(const struct source *);
/* Back at the mark, which is dropped. `pos` is how far it has been read. */
void source_rewind(struct source *, const struct logpos *pos);
/* Drops the mark and goes on from here: what is behind it is lost. */
void source_unmark(struct source *);
const struct logpos *source_mark_position(const struct source *);
/* Has the line that ends here been read before? */
bool source_is_again(const struct source *, uint64_t end);

/* One source of a snapshot: position and connections. */
void source_save(const struct source *, struct snapshot_writer *);
/* A source with no rules yet; NULL at the end of the section. */
struct source *source_load(struct snapshot_reader *);

#endif
