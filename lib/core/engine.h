/*
 * engine: the program's logic. Log lines in, verdicts out; used alike by the
 * daemon, replay, the tests and the fuzzers.
 *
 *     engine_feed: line -> header -> rule -> attempt -> hit -> store
 *     store sink:  blocked / unblocked -> the view
 *     engine_query: request -> view -> verdict (memory only)
 *
 * No sockets, no event loop, no clock: `now` is an argument, in seconds since
 * 1970. Log lines and policy requests are hostile; nothing here fails on them.
 */
#ifndef MXW_ENGINE_H
#define MXW_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/core/addr.h"
#include "lib/core/blocklist.h"
#include "lib/core/conf.h"
#include "lib/core/policy.h"
#include "lib/core/rules.h"
#include "lib/core/source.h"
#include "lib/core/store.h"

struct engine;
struct history;
struct history_line;
struct snapshot_reader;
struct snapshot_writer;

/* What the outside may want to know; any of them may be NULL. */
struct offence {
	struct addr addr; /* the client's own address */
	double t;
	double weight;
	unsigned attempts;
	const struct rule *rule;
	const char *source; /* name of the log */
	const char *text;   /* the line without time and host: hostile */
	size_t text_len;
};

struct engine_events {
	void (*offence)(void *ctx, const struct offence *);
	void (*blocked)(void *ctx, const struct block *, enum store_why);
	/* `b` is the entry that went. */
	void (*unblocked)(void *ctx, const struct block *b, enum store_why);
	/* Answers to the calls with tickets; see store.h. */
	void (*info)(void *ctx, uint64_t ticket, const struct score_info *);
	void (*line)(void *ctx, uint64_t ticket, const struct history_line *);
	void (*done)(
	    void *ctx, uint64_t ticket, enum store_result, const char *text);
	/* Something waits to be delivered: call engine_tick() soon, from the
	 * loop, not from here. */
	void (*wake)(void *ctx);
	/* The shared allow list has changed. */
	void (*allowed)(void *ctx);
};

/*
 * `conf` is borrowed and must outlive the engine or the next reconfigure.
 * `store` is borrowed; the engine becomes its sink.
 */
struct engine *engine_create(const struct conf *conf, struct store *store,
    const struct engine_events *events, void *ctx);
void engine_destroy(struct engine **);
/* Swaps the configuration; scores, blocks, attempts and sources stay. */
void engine_reconfigure(struct engine *, const struct conf *conf);

/* Keeps the last lines of so many addresses, for `show` and for the other
 * hosts; at the start, before anything is fed. */
void engine_keep_history(struct engine *, size_t addresses);
/* NULL unless they are kept. */
const struct history *engine_history(const struct engine *);

/*
 * Log sources (source.h). `sets` is a NULL-terminated list of rule set names,
 * borrowed until the next reconfigure. The source belongs to the engine; if a
 * snapshot knew one of this name, its position and connections are taken over.
 */
struct source *engine_source_add(
    struct engine *, const char *name, const char *const *sets);
/* Forgets its rules, but not its position: it is saved on. */
void engine_source_remove(struct engine *, struct source **);

/*
 * One line, without its newline. `end` is the logical offset behind it. `ref`
 * is the reference for years (see logtime.h), `now` clamps the future.
 * `cut` says that bytes were dropped from the end of a long line.
 */
enum feed_result {
	FEED_NO_HEADER,
	FEED_NO_MATCH,
	FEED_LIMIT,
	FEED_KNOWN, /* an offence, or known not to be one */
};
enum feed_result engine_feed(struct engine *, struct source *, const char *text,
    size_t len, uint64_t end, bool cut, double ref, double now);

/* The outcome of a line without any effect, for `explain`. */
struct explanation {
	bool header;
	struct logline line;
	bool has_time;
	double t;
	enum rules_result result;
	struct rule_match match;
	bool allowed;
	const char *verdict; /* static: "offence", "own refusal", "server
				fault", "end of connection", "queue id joined",
				"no match",
				"limit", "no header", "allow list" */
};
void engine_explain(struct engine *, struct source *, const char *line,
    size_t len, double now, rules_tried *tried, void *ctx,
    struct explanation *out);

/* Verdicts. */
struct verdict {
	bool dunno;	    /* action is DUNNO */
	bool dry;	    /* would have been an action but for dry_run */
	const char *action; /* NUL-terminated; valid until the next query */
	size_t action_len;
	enum {
		VERDICT_PASS,
		VERDICT_NO_ADDRESS,
		VERDICT_ALLOWED,
		VERDICT_AUTHENTICATED,
		VERDICT_BLOCKED,
	} why;
	struct addr addr;   /* of the client, when parsed */
	struct block block; /* when VERDICT_BLOCKED */
};
void engine_query(struct engine *, const struct policy_request *, double now,
    struct verdict *out);
/* A query about this client is to come (hints() may be told, see policy.h): has
 * the processor fetch meanwhile what the answer needs of a large view. */
void engine_expect(struct engine *, const char *address, size_t len);
void engine_expect_later(const struct engine *);

/* How to go on with the logs; see store.h. */
enum store_flow engine_flow(struct engine *, bool can_replay);

/* Expiry and deliveries; call it at least once a second. True when there is
 * more to do: call again in the next turn of the loop. */
bool engine_tick(struct engine *, double now);

/* Admin. The results come through events->done (and info), from the next
 * engine_tick() or later. */
void engine_block(struct engine *, uint64_t ticket, const struct block *);
void engine_unblock(struct engine *, uint64_t ticket, const struct addr *);
void engine_unblock_all(struct engine *, uint64_t ticket);
void engine_forgive(struct engine *, uint64_t ticket, const struct addr *);
void engine_allow(
    struct engine *, uint64_t ticket, const struct addr *, bool present);
void engine_fetch(struct engine *, uint64_t ticket, const struct addr *);
void engine_top(struct engine *, uint64_t ticket, size_t n);

const struct blocklist *engine_view(const struct engine *);
/* The address or prefix under which a client is scored. */
struct addr engine_scope(const struct engine *, const struct addr *client);
/* The block that decides for this address, or for all of this prefix; the allow
 * list is not asked. See blocklist_match(). */
bool engine_match(
    const struct engine *, const struct addr *, double now, struct block *out);
/* Is it on the configured or the shared allow list? */
bool engine_is_allowed(const struct engine *, const struct addr *);
/* Walks the shared allow list; *cursor starts at 0. */
bool engine_allow_next(const struct engine *, size_t *cursor, struct addr *out);

/* What is known per level. */
struct engine_level {
	name_id name;
	uint64_t blocked; /* entries of the view */
	uint64_t decided; /* blocks and raises decided here */
};
/* The nth level seen so far; false behind the last. */
bool engine_level_nth(
    const struct engine *, size_t n, struct engine_level *out);

struct engine_stats {
	uint64_t queries;
	uint64_t by_why[5]; /* indexed by verdict.why */
	uint64_t dry;
	uint64_t blocks; /* decided here */
	uint64_t raised;
	uint64_t expired;
	uint64_t view_full; /* entries that did not fit into memory */
};
void engine_stats(const struct engine *, struct engine_stats *out);

/* The section of a snapshot that holds the sources, those included that are
 * not in the configuration now. */
void engine_save_sources(const struct engine *, struct snapshot_writer *);
/* Before any engine_source_add(); the section's tag has been read. */
void engine_load_sources(struct engine *, struct snapshot_reader *);
/* The section of the history, which comes last: another version may not know
 * it. */
void engine_save_history(const struct engine *, struct snapshot_writer *);
void engine_load_history(struct engine *, struct snapshot_reader *);

#endif
