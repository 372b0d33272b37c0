/*
 * store: where scores and blocks live. The interface between the engine and
 * its memory; embedded (store_embedded.h) or Redis.
 *
 * Asynchronous: a call returns at once, and everything that comes of it comes
 * through the sink, only ever from inside store_poll() or from the event loop,
 * never from inside the call itself (loading a snapshot is the exception). Hits
 * take effect in their order; a call with a ticket may overtake hits. The
 * engine's view of blocked addresses is made of `blocked` and `unblocked` calls
 * alone, so it does not matter whether this host or another one decided.
 *
 * Delivery of hits may be repeated, effect is exactly once: per address the
 * store remembers the highest offset applied for each source epoch and ignores
 * what is not newer.
 */
#ifndef MXW_STORE_H
#define MXW_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/core/addr.h"
#include "lib/core/blocklist.h"
#include "lib/core/names.h"
#include "lib/core/score.h"

struct store;
struct errbuf;
struct history;
struct history_line;

/* What scoring needs to know; owned by the configuration, replaced by
 * store_configure() on reload. */
struct store_params {
	double window;
	struct repeat repeat;
	const struct level *levels;
	size_t n_levels;
	name_id host; /* this host's name, for `by` */
};

struct hit {
	struct addr addr; /* already widened to the scoring prefix */
	double t;	  /* seconds since 1970, log time, <= now */
	double weight;	  /* of the whole hit: rule weight * attempts */
	name_id rule;
	uint64_t epoch;	 /* of the log source; 0 = no source (tests) */
	uint64_t offset; /* logical, of the end of the line */
	bool again; /* the line is read once more, after STORE_FLOW_REPLAY or
		       a restart: what it does on this host is done */
};

/* Everything known about an address's score. */
#define STORE_RULES_MAX 16

struct score_info {
	struct addr addr;
	struct score score;
	unsigned hits;
	unsigned strikes;
	size_t n_rules;
	struct {
		name_id rule;
		unsigned count;
	} rules[STORE_RULES_MAX]; /* in no particular order */
};

/* Why an entry appeared or went. */
enum store_why {
	STORE_DECIDED, /* a hit reached a level, here */
	STORE_RAISED,  /* an active block went to a higher level, here */
	STORE_MANUAL,  /* by the admin command */
	STORE_SHARED,  /* another host, or by hand in Redis */
	STORE_LOADED,  /* at start or resync */
	STORE_EXPIRED,
};

enum store_result {
	STORE_OK,
	STORE_NOT_FOUND,   /* there was nothing to remove */
	STORE_UNAVAILABLE, /* not done, or only done on this host; text says */
};

/*
 * The log is the queue of a store that is not here. Whoever feeds lines asks
 * between two pieces of the log (of at most STORE_FLOW_HITS hits each) how to
 * go on.
 */
#define STORE_FLOW_HITS 4096

enum store_flow {
	STORE_FLOW_GO,
	/* From here on hits only count on this host: remember the places of
	 * all logs, and what is known about the connections in them. Those
	 * are the places to go on from after a restart, too. */
	STORE_FLOW_MARK,
	/* Go back to the remembered places. */
	STORE_FLOW_REPLAY,
};

/* What is said with the question: that it can go back now (if not, it is told
 * again), and that all logs have been read to their ends. */
#define STORE_FLOW_CAN_REPLAY 1u
#define STORE_FLOW_CURRENT 2u

struct snapshot_reader;
struct snapshot_writer;

struct store_sink {
	void (*blocked)(void *ctx, const struct block *, enum store_why);
	/* About so many blocks are about to be loaded. May be NULL. */
	void (*loading)(void *ctx, size_t n);
	void (*unblocked)(void *ctx, const struct addr *, enum store_why);
	/* Shared allow list: an entry appeared (true) or went. */
	void (*allowed)(void *ctx, const struct addr *, bool present);
	/* Answers of fetch and top, before their done. */
	void (*info)(void *ctx, uint64_t ticket, const struct score_info *);
	/* Of fetch, too: a line that another host has told of, or this one
	 * before a restart; in no order, and maybe known here. */
	void (*line)(void *ctx, uint64_t ticket, const struct history_line *);
	/* A call with a ticket is finished; text is "" or what to tell the
	 * user. */
	void (*done)(
	    void *ctx, uint64_t ticket, enum store_result, const char *text);
};

struct store_status {
	const char *name;  /* "embedded", "redis" */
	const char *state; /* one word: "ready", "connecting", ... */
	char detail[256];  /* e.g. endpoint, last error; "" = none */
	bool ready;	   /* decisions reach all hosts */
	size_t addresses;  /* scores held here */
	size_t pending;	   /* hits not yet acknowledged */
	uint64_t applied;  /* hits applied */
	uint64_t repeated; /* hits ignored as already applied */
	uint64_t evicted;  /* scores dropped because the table was full */
	uint64_t resyncs;
	uint64_t errors;
	double lag; /* seconds since the oldest unacknowledged hit, or 0 */
};

/*
 * A call for which there is no memory is answered, too: its ticket waits in
 * struct store. Callers have no more than so many tickets open.
 */
#define STORE_TICKETS 256
#define STORE_NO_MEMORY "out of memory: not done; try again"

struct store_ops {
	void (*destroy)(struct store *);
	void (*configure)(struct store *, const struct store_params *);
	void (*hit)(struct store *, const struct hit *);
	void (*block)(struct store *, uint64_t ticket, const struct block *);
	void (*unblock)(struct store *, uint64_t ticket, const struct addr *);
	void (*unblock_all)(struct store *, uint64_t ticket);
	void (*forgive)(struct store *, uint64_t ticket, const struct addr *);
	void (*allow)(
	    struct store *, uint64_t ticket, const struct addr *, bool present);
	void (*fetch)(struct store *, uint64_t ticket, const struct addr *);
	void (*top)(struct store *, uint64_t ticket, size_t n);
	bool (*poll)(struct store *, double now, double horizon);
	enum store_flow (*flow)(struct store *, unsigned flags);
	void (*save)(const struct store *, struct snapshot_writer *);
	bool (*load)(struct store *, struct snapshot_reader *, uint8_t section);
	void (*status)(const struct store *, struct store_status *);
	/* A block that the store decided has ended, and counts as a strike: see
	 * blocklist_on_end(). NULL: strikes are kept elsewhere. */
	void (*strike)(struct store *, const struct block *);
};

/* Implementations put this first. */
struct store {
	const struct store_ops *ops;
	const struct store_sink *sink;
	void *sink_ctx;
	struct blocklist *view;
	uint64_t refused[STORE_TICKETS]; /* to be answered by the next poll */
	size_t n_refused;
	const struct history *history; /* NULL = not kept */
};

/*
 * Set by the engine before anything else happens; store_configure() follows.
 * `view` is the blocklist that the sink keeps; the store reads in it what is
 * blocked now. Expiry is the view owner's business.
 */
void store_set_sink(struct store *, const struct store_sink *, void *ctx,
    struct blocklist *view);
/* The lines of this host, for the other ones; borrowed. */
void store_set_history(struct store *, const struct history *);
void store_destroy(struct store **);
/* params is borrowed until replaced. */
void store_configure(struct store *, const struct store_params *params);
void store_hit(struct store *, const struct hit *);
void store_block(struct store *, uint64_t ticket, const struct block *);
/* Lifts the block of exactly this address or prefix; its score goes too, or
 * the next offence would block again at once. Strikes stay. */
void store_unblock(struct store *, uint64_t ticket, const struct addr *);
void store_unblock_all(struct store *, uint64_t ticket);
/* Lifts the block and forgets score and strikes. */
void store_forgive(struct store *, uint64_t ticket, const struct addr *);
void store_allow(
    struct store *, uint64_t ticket, const struct addr *, bool present);
/* sink->info for this address (none if unknown), sink->line, then done. */
void store_fetch(struct store *, uint64_t ticket, const struct addr *);
/* sink->info for the n highest scores, highest first, then done. */
void store_top(struct store *, uint64_t ticket, size_t n);
/*
 * Delivers what is due. `horizon` is the time up to which all logs have been
 * read (<= now): scores are forgotten by it, not by the clock. True when there
 * is more to do: call again in the next turn of the loop.
 */
bool store_poll(struct store *, double now, double horizon);
enum store_flow store_flow(struct store *, unsigned flags);
/* Writes its sections of a snapshot (snapshot.h). */
void store_save(const struct store *, struct snapshot_writer *);
/* Takes a section whose tag was just read; false if it is not one of its
 * sections. Blocks and allow entries go to the sink at once. */
bool store_load(struct store *, struct snapshot_reader *, uint8_t section);
void store_status(const struct store *, struct store_status *out);

/* For implementations: answers this call in the next poll with
 * STORE_UNAVAILABLE and STORE_NO_MEMORY. */
void store_refuse(struct store *, uint64_t ticket);

#endif
