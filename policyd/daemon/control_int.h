/*
 * control_int: what the files of the control server share. Nobody else
 * includes it.
 *
 *   request --handler--> pending --done--> closing
 *      |    \--> listing --end of table--> closing
 *      |     \-> watching (until the client goes away)
 *      \---------- answered at once -----> closing
 *
 * A client is freed by conn's `closed` alone. In `closing` nothing more is
 * written. The store knows clients by ticket only, never by pointer.
 */
#ifndef MXW_CONTROL_INT_H
#define MXW_CONTROL_INT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/core/names.h"
#include "lib/core/record.h"
#include "policyd/daemon/control.h"

#define CONTROL_CHUNK 16384 /* bytes of a listing per piece: under 1 ms */
#define CONTROL_VISITS 4096 /* table entries looked at per piece */
#define CONTROL_TOP_MAX 1000
#define CONTROL_TOP_DEFAULT 20

struct conn;
struct history_line;
struct loop_timer;

enum control_state {
	CONTROL_REQUEST,
	CONTROL_PENDING,
	CONTROL_LISTING,
	CONTROL_WATCHING,
	CONTROL_CLOSING,
};

struct control {
	struct loop *loop;
	struct engine *engine;
	const struct conf *conf;
	const struct control_hooks *hooks;
	void *ctx;
	struct conn_server *server;
	struct loop_timer *tick; /* deliveries and deadlines */
	struct loop_timer *work; /* pieces of listings */
	gid_t gid;		 /* the socket's group */
	struct control_client *clients;
	size_t n_clients;
	size_t n_watching, n_offences; /* watchers; those who want offences */
	uint64_t ticket;	       /* the last one given out */
	uint64_t lost;		       /* events that watchers missed */
	struct record_out out;
	char line[RECORD_MAX]; /* the request being taken apart */
	bool chunking;	       /* control_put_end() fills the chunk */
	size_t chunk_len;
	char chunk[CONTROL_CHUNK + RECORD_MAX];
};

struct control_client {
	struct control *server;
	struct conn *conn;
	struct control_client *next;
	enum control_state state;
	const struct control_verb *verb;
	/* pending */
	uint64_t ticket;
	double deadline;  /* monotonic */
	bool firewall;	  /* waits for it, not for the store */
	struct addr addr; /* what was asked for */
	struct addr scope;
	struct score_info info;
	bool has_info;
	struct history_line *lines; /* of the store, for `show` */
	size_t n_lines;
	bool all;	/* unblock */
	char text[256]; /* what `ok` will say */
	/* listing */
	size_t cursor, extra_cursor;
	char level[NAMES_LEN + 1]; /* "" = all */
	/* watching */
	bool offences;
	uint64_t lost;
};

/* One command. Arguments are counted as fields of the request. */
struct control_verb {
	const char *name;
	size_t min_args, max_args;
	bool writes;
	void (*run)(struct control_client *, const struct record *);
	/* One answer of the store; NULL: the last one is kept in c->info. */
	void (*info)(struct control_client *, const struct score_info *);
	/* The store has answered; NULL where `run` answers itself. */
	void (*finish)(
	    struct control_client *, enum store_result, const char *text);
	/* Puts the next records of a listing, until control_full(); false at
	 * its end. */
	bool (*more)(struct control_client *);
	const char *help;
};

/* control_verbs.c */
const struct control_verb *control_verb_find(const char *name);
void control_put_block(struct record_out *, const struct block *);
void control_put_rules(struct record_out *, const struct score_info *);
/* The argument `address` into c->addr and c->scope; answers if it is none. */
bool control_get_addr(struct control_client *, const struct record *);
/* The active block of exactly this address or prefix. */
bool control_get_block(
    const struct control *, const struct addr *, struct block *out);
/* The active block that a client of this address meets. */
bool control_match_block(
    const struct control *, const struct addr *, struct block *out);
/* The last record, where the store's answer is all there is to say. */
void control_finish(
    struct control_client *, enum store_result, const char *text);

/* control_show.c */
void control_show(struct control_client *, const struct record *);
void control_show_line(struct control_client *, const struct history_line *);
void control_show_finish(
    struct control_client *, enum store_result, const char *);

/* control_change.c */
void control_block(struct control_client *, const struct record *);
void control_unblock(struct control_client *, const struct record *);
void control_unblock_finish(
    struct control_client *, enum store_result, const char *);
void control_forgive(struct control_client *, const struct record *);
void control_forgive_finish(
    struct control_client *, enum store_result, const char *);
void control_allow_add(struct control_client *, const struct record *);
void control_allow_del(struct control_client *, const struct record *);
void control_allow_finish(
    struct control_client *, enum store_result, const char *);

/* control_firewall.c */
void control_firewall_check(struct control_client *, const struct record *);
void control_firewall_repair(struct control_client *, const struct record *);

/* control_events.c */
void control_start_watching(struct control_client *, bool offences);
/* Says how many events were lost, once there is room again. */
void control_report_lost(struct control_client *);

/* control.c */
double control_now(const struct control *);
void control_set_state(struct control_client *, enum control_state);
void control_write(struct control_client *, const char *buf, size_t len);
/* The last record: `ok`, `no` or `error` with this text. */
void control_answer(struct control_client *, const char *kind, const char *fmt,
    ...) __attribute__((format(printf, 3, 4)));
/* Ends a record begun with control_put() that is the last one. */
void control_put_last(struct control_client *);
/* Is the piece of a listing large enough after `visits` entries? */
bool control_full(const struct control_client *, size_t visits);
/* Waits for the store; returns the ticket for the engine's call. */
uint64_t control_pend(struct control_client *);
/* verb->more() from now on. */
void control_start_listing(struct control_client *);

#endif
