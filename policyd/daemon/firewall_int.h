/*
 * firewall_int: what the files of the firewall share. Nobody else includes it.
 */
#ifndef MXW_FIREWALL_INT_H
#define MXW_FIREWALL_INT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/core/log.h"
#include "lib/core/prefixmap.h"
#include "lib/core/privmsg.h"
#include "policyd/daemon/firewall.h"

struct loop_timer;
struct privclient;

enum firewall_state {
	FW_OFF,
	FW_WAITING,
	FW_REPAIRING,
	FW_SYNCING,
	FW_READY,
	FW_DEGRADED,
};

struct firewall_asker {
	uint32_t seq; /* of the check; 0: waits for a sync to end */
	bool repair;
	bool missing;
	void (*done)(void *ctx, int result); /* NULL: forgotten */
	void *ctx;
	struct firewall_asker *next;
};

struct firewall {
	struct loop *loop;
	struct engine *engine;
	struct store *store;
	const struct conf *conf;
	struct privclient *helper;
	enum firewall_state state;
	struct loop_timer *flush, *check;
	double wait_end; /* monotonic; of FW_WAITING */
	double retry;	 /* seconds until the next try; 0 = no trouble */
	bool reload;	 /* to be sent before anything else */
	/* changes */
	struct prefixmap *changed;
	uint32_t change_cursor;
	/* a sync */
	bool resync; /* one is wanted at the next check */
	bool sync_begun;
	size_t sync_cursor;
	uint32_t repair_seq, check_seq, sync_seq; /* 0: not sent */
	unsigned checks;			  /* since the last sync */
	bool full;				  /* and was so said */
	struct firewall_asker *askers;
	struct firewall_stats stats;
	struct loglimit limit;
};

/* firewall.c */
uint32_t firewall_send(struct firewall *, enum privmsg_op);

/* firewall_view.c: the view as messages. */
bool firewall_drops(
    const struct firewall *, const struct block *, size_t *visits);
/* A piece of what changed; false: no room in the socket. */
bool firewall_send_changes(struct firewall *);
/* A piece of a sync; false: no room in the socket. When all is sent, sync_seq
 * is set. */
bool firewall_send_view(struct firewall *);

#endif
