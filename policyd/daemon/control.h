/*
 * control: the daemon's side of the admin command.
 *
 * A server on a unix socket that speaks lib/core/record.h: one request per
 * connection, answered by records and a last `ok`, `no` or `error`.
 *
 * Who may connect is the socket's mode. Whoever can may look; what changes
 * something (block, unblock, forgive, allow, reload) is for uid 0, the daemon's
 * own uid, and members of the socket's group, by what the kernel says about the
 * peer. Such requests are logged.
 *
 * Nothing here makes the daemon wait: answers that the store gives come through
 * control_event_done(), or not at all after CONTROL_TIMEOUT; long listings are
 * written in pieces as the client takes them, straight from the tables; a
 * watcher that does not keep up loses events and is told how many.
 */
#ifndef MXW_CONTROL_H
#define MXW_CONTROL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/core/conf.h"
#include "lib/core/engine.h"
#include "lib/core/errbuf.h"
#include "lib/core/record.h"

struct conn_server_stats;
struct control;
struct control_client;
struct loop;

#define CONTROL_TIMEOUT 5.0   /* seconds for the store to answer */
#define CONTROL_FIREWALL 90.0 /* seconds for the firewall's tools */
#define CONTROL_CLIENTS_MAX 64

struct control_hooks {
	/* Adds the records of `status` with control_put() and
	 * control_put_end(): one `daemon`, one `log` for each log, one `store`,
	 * one `policy`. */
	void (*status)(void *ctx, struct control_client *);
	/* Reads the configuration again. -1 and the reason if the old one was
	 * kept. It calls control_reconfigure() itself. */
	int (*reload)(void *ctx, struct errbuf *);
	/* As firewall_ask() and firewall_forget(), where the client is the
	 * context. */
	bool (*firewall)(void *ctx, bool repair,
	    void (*done)(void *client, int result), void *client,
	    struct errbuf *);
	void (*firewall_forget)(void *ctx, void *client);
};

/* All arguments are borrowed; `conf` until the next control_reconfigure(). */
struct control *control_create(struct loop *, struct engine *,
    const struct conf *conf, const struct control_hooks *, void *ctx);
/* Closes everything at once. */
void control_destroy(struct control **);
/* Opens the socket; owner and mode as for conn_server_listen(). */
int control_listen(struct control *, const char *path, unsigned mode, uid_t uid,
    gid_t gid, struct errbuf *);
void control_reconfigure(struct control *, const struct conf *conf);
void control_stats(const struct control *, struct conn_server_stats *);

/* Begins a record of an answer; fields are added to the result. */
struct record_out *control_put(struct control_client *, const char *kind);
void control_put_end(struct control_client *);

/* The engine's events, handed in by main (signatures as in engine_events). */
void control_event_offence(struct control *, const struct offence *);
void control_event_blocked(
    struct control *, const struct block *, enum store_why);
void control_event_unblocked(
    struct control *, const struct block *, enum store_why);
/* Tickets that are not ours, or whose client has gone, are ignored. */
void control_event_info(
    struct control *, uint64_t ticket, const struct score_info *);
void control_event_line(
    struct control *, uint64_t ticket, const struct history_line *);
void control_event_done(
    struct control *, uint64_t ticket, enum store_result, const char *text);

#endif
