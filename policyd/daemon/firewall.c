/*
 * firewall: see firewall.h.
 *
 * What is to be told is kept as a set of addresses that changed: what is sent
 * is the state of the view at the time of sending, so any number of changes of
 * one address is one message, and a sync needs no copy of anything.
 */
#include "policyd/daemon/firewall.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/core/log.h"
#include "lib/core/prefixmap.h"
#include "lib/core/xalloc.h"
#include "lib/io/loop.h"
#include "lib/io/privclient.h"

#define FLUSH_DELAY 0.02   /* seconds that changes wait for company */
#define FLUSH_PIECE 20	   /* requests sent per turn */
#define SYNC_PIECE 5000	   /* entries of the view looked at per turn */
#define SYNC_ALWAYS 20000  /* up to so many entries, each check syncs */
#define SYNC_EVERY 10	   /* else every so many checks */

enum state { FW_OFF, FW_REPAIRING, FW_SYNCING, FW_READY, FW_DEGRADED };

struct asker {
	uint32_t seq;
	bool repair;
	void (*done)(void *ctx, int result);
	void *ctx;
	struct asker *next;
};

struct firewall {
	struct loop *loop;
	struct engine *engine;
	const struct conf *conf;
	struct privclient *helper;
	enum state state;
	struct loop_timer *flush, *check;
	struct prefixmap *changed; /* since the last flush */
	size_t sync_cursor;	   /* of a sync under way */
	bool sync_begun;
	uint32_t repair_seq, check_seq, sync_seq;
	unsigned checks;
	uint64_t synced; /* entries of the last sync */
	struct asker *askers;
	struct firewall_stats stats;
	struct loglimit limit;
};

static void firewall_reply(void *ctx, const struct privmsg_reply *, int fd);
static void firewall_writable(void *ctx);
static void firewall_gone(void *ctx, const char *why);
static void firewall_flush(void *ctx);
static void firewall_check(void *ctx);

static const struct privclient_events firewall_events = { firewall_reply,
	firewall_writable, firewall_gone };

static bool
is_dropped(const struct firewall *fw, const struct block *b)
{
	int level = level_find(fw->conf->levels, fw->conf->n_levels, b->level);

	return level >= 0 && fw->conf->levels[level].firewall &&
	    (fw->conf->firewall.shared ||
		strcmp(name_text(b->by), fw->conf->host) == 0);
}

/* Seconds that are left, as a message has them; 0 = not to be dropped. */
static uint32_t
ttl_of(const struct firewall *fw, const struct block *b, double now)
{
	double left = ceil(b->until - now);

	if (!is_dropped(fw, b) || !(left > 0))
		return 0;
	return left < PRIVMSG_TTL_MAX ? (uint32_t)left : PRIVMSG_TTL_MAX;
}

static uint32_t
send_op(struct firewall *fw, enum privmsg_op op)
{
	struct privmsg_request req;

	memset(&req, 0, sizeof(req));
	req.op = op;
	return privclient_send(fw->helper, &req);
}

static void
firewall_trouble(struct firewall *fw, const char *what)
{
	fw->stats.errors++;
	fw->state = FW_DEGRADED;
	snprintf(fw->stats.error, sizeof(fw->stats.error), "%s", what);
	log_limited(&fw->limit, loop_now(fw->loop), MSG_ERROR,
	    "firewall: %s; trying again within %.0f s", what,
	    fw->conf->firewall.interval);
}

static void
firewall_repair(struct firewall *fw)
{
	fw->repair_seq = send_op(fw, PRIVMSG_REPAIR);
	fw->state = fw->repair_seq != 0 ? FW_REPAIRING : FW_DEGRADED;
}

static void
firewall_sync_start(struct firewall *fw)
{
	fw->state = FW_SYNCING;
	fw->sync_cursor = 0;
	fw->sync_begun = false;
	fw->synced = 0;
	loop_timer_set(fw->flush, 0);
}

struct firewall *
firewall_create(struct loop *loop, struct engine *engine,
    const struct conf *conf, bool foreground, struct errbuf *err)
{
	struct firewall *fw;

	err->text[0] = '\0';
	if (conf->firewall.backend == CONF_FIREWALL_NONE)
		return NULL;
	if (geteuid() != 0) {
		errbuf_set(err, "option 'backend': a firewall needs a start as "
				"root");
		return NULL;
	}
	fw = x_calloc(1, sizeof(*fw));
	fw->loop = loop;
	fw->engine = engine;
	fw->conf = conf;
	fw->changed = prefixmap_create();
	fw->flush = loop_timer_create(loop, LOOP_WORK, firewall_flush, fw);
	fw->check = loop_timer_create(loop, LOOP_WORK, firewall_check, fw);
	fw->helper = privclient_create(loop, conf->helper, "firewall",
	    conf->file, foreground, &firewall_events, fw, err);
	if (fw->helper == NULL) {
		firewall_destroy(&fw);
		return NULL;
	}
	loop_timer_set(fw->check, conf->firewall.interval);
	if (conf->dry_run)
		log_notice("firewall: dry run, nothing is dropped");
	else
		firewall_repair(fw);
	return fw;
}

void
firewall_destroy(struct firewall **fwp)
{
	struct firewall *fw = *fwp;

	if (fw == NULL)
		return;
	if (fw->helper != NULL && fw->conf->firewall.remove_on_stop &&
	    !fw->conf->dry_run && send_op(fw, PRIVMSG_REMOVE) != 0)
		privclient_settle(fw->helper, 5);
	privclient_destroy(&fw->helper);
	loop_timer_destroy(&fw->flush);
	loop_timer_destroy(&fw->check);
	prefixmap_destroy(&fw->changed);
	while (fw->askers != NULL) {
		struct asker *a = fw->askers;

		fw->askers = a->next;
		free(a);
	}
	free(fw);
	*fwp = NULL;
}

void
firewall_reconfigure(struct firewall *fw, const struct conf *conf)
{
	bool was_dry = fw->conf->dry_run;

	fw->conf = conf;
	if (privclient_is_gone(fw->helper))
		return;
	if (conf->dry_run) {
		if (!was_dry)
			send_op(fw, PRIVMSG_REMOVE);
		fw->state = FW_OFF;
		return;
	}
	/* Allow list and levels may have changed. */
	send_op(fw, PRIVMSG_RELOAD);
	firewall_repair(fw);
}

static void
firewall_note(struct firewall *fw, const struct addr *a)
{
	/* Before a sync there is nothing to change. */
	if (fw->state != FW_READY && fw->state != FW_SYNCING)
		return;
	if (prefixmap_count(fw->changed) >= fw->conf->firewall.max_entries ||
	    prefixmap_add(fw->changed, a) == PREFIXMAP_NONE) {
		firewall_trouble(fw, "too many changes at once");
		return; /* the next sync brings them */
	}
	if (!loop_timer_pending(fw->flush))
		loop_timer_set(fw->flush, FLUSH_DELAY);
}

void
firewall_blocked(struct firewall *fw, const struct block *b, enum store_why why)
{
	char text[ADDR_STRLEN];

	(void)why;
	if (is_dropped(fw, b) && fw->conf->dry_run)
		log_notice("dry run: would drop %s", addr_format(&b->addr,
							 text));
	firewall_note(fw, &b->addr);
}

void
firewall_unblocked(struct firewall *fw, const struct block *b,
    enum store_why why)
{
	/* The kernel has forgotten those that expired. */
	if (why != STORE_EXPIRED && is_dropped(fw, b))
		firewall_note(fw, &b->addr);
}

/* Sends what changed, a piece of it in each turn. */
static void
flush_changes(struct firewall *fw)
{
	double now = loop_now(fw->loop);
	const struct blocklist *view = engine_view(fw->engine);
	uint32_t end = prefixmap_end(fw->changed), id = 0;

	for (int n = 0; n < FLUSH_PIECE && prefixmap_count(fw->changed) > 0;
	     n++) {
		struct privmsg_request req;

		memset(&req, 0, sizeof(req));
		req.op = PRIVMSG_CHANGE;
		for (; id < end && req.count < PRIVMSG_ENTRIES; id++) {
			struct block b;

			if (!prefixmap_used(fw->changed, id))
				continue;
			b.addr = prefixmap_key(fw->changed, id);
			if (!blocklist_get(view, &b.addr, &b))
				b.until = -INFINITY;
			privmsg_entry_set(&req.entries[req.count++], &b.addr,
			    b.until > now ? ttl_of(fw, &b, now) : 0);
		}
		if (privclient_send(fw->helper, &req) == 0)
			return;
		fw->stats.sent += req.count;
		for (uint32_t i = 0; i < req.count; i++) {
			struct addr a;

			if (privmsg_entry_get(&req.entries[i], &a))
				prefixmap_del(fw->changed, &a);
		}
	}
	if (prefixmap_count(fw->changed) > 0)
		loop_timer_set(fw->flush, 0);
}

/* The next entries of the view into one request; false at the view's end. */
static bool
sync_fill(struct firewall *fw, struct privmsg_request *req, size_t *cursor,
    size_t *looked)
{
	double now = loop_now(fw->loop);
	struct block b;

	while (req->count < PRIVMSG_ENTRIES) {
		uint32_t ttl;

		if (*looked >= SYNC_PIECE)
			return true;
		if (!blocklist_next_entry(engine_view(fw->engine), cursor, &b))
			return false;
		(*looked)++;
		ttl = ttl_of(fw, &b, now);
		if (ttl == 0 || fw->synced + req->count >=
			fw->conf->firewall.max_entries)
			continue;
		privmsg_entry_set(&req->entries[req->count++], &b.addr, ttl);
	}
	return true;
}

/* A piece of a sync. False: no room in the socket, to be continued. */
static bool
sync_step(struct firewall *fw)
{
	size_t looked = 0;

	if (!fw->sync_begun) {
		if (send_op(fw, PRIVMSG_SYNC_BEGIN) == 0)
			return false;
		fw->sync_begun = true;
	}
	while (looked < SYNC_PIECE) {
		size_t cursor = fw->sync_cursor;
		struct privmsg_request req;
		bool more;

		memset(&req, 0, sizeof(req));
		req.op = PRIVMSG_SYNC_ENTRIES;
		more = sync_fill(fw, &req, &cursor, &looked);
		if (req.count > 0 && privclient_send(fw->helper, &req) == 0)
			return false;
		fw->sync_cursor = cursor;
		fw->synced += req.count;
		fw->stats.sent += req.count;
		if (more)
			continue;
		fw->sync_seq = send_op(fw, PRIVMSG_SYNC_END);
		if (fw->sync_seq == 0)
			return false;
		fw->state = FW_READY;
		if (fw->synced >= fw->conf->firewall.max_entries)
			log_warning("firewall: full with %llu entries, others "
				    "are not dropped",
			    (unsigned long long)fw->synced);
		return true;
	}
	loop_timer_set(fw->flush, 0);
	return true;
}

static void
firewall_flush(void *ctx)
{
	struct firewall *fw = ctx;

	if (fw->state == FW_SYNCING && !sync_step(fw))
		return;
	if (fw->state == FW_READY)
		flush_changes(fw);
}

static void
firewall_writable(void *ctx)
{
	struct firewall *fw = ctx;

	loop_timer_set(fw->flush, 0);
}

static void
firewall_check(void *ctx)
{
	struct firewall *fw = ctx;

	if (privclient_is_gone(fw->helper))
		return;
	loop_timer_set(fw->check, fw->conf->firewall.interval);
	if (fw->state == FW_OFF)
		return;
	if (fw->state == FW_DEGRADED)
		firewall_repair(fw);
	else if (fw->state == FW_READY)
		fw->check_seq = send_op(fw, PRIVMSG_CHECK);
}

static void
checked(struct firewall *fw, uint32_t result)
{
	if (result == PRIVMSG_MISSING) {
		fw->stats.repairs++;
		log_warning("firewall: rules or sets are missing; making them "
			    "anew");
		firewall_repair(fw);
	} else if (result == PRIVMSG_OK && fw->state == FW_READY &&
	    (fw->synced <= SYNC_ALWAYS || fw->checks++ % SYNC_EVERY == 0)) {
		firewall_sync_start(fw);
	}
}

static void
answer_askers(struct firewall *fw, uint32_t seq, int result)
{
	struct asker **link = &fw->askers;

	while (*link != NULL) {
		struct asker *a = *link;

		if (a->seq != seq) {
			link = &a->next;
			continue;
		}
		*link = a->next;
		if (a->done != NULL)
			a->done(a->ctx, result);
		free(a);
	}
}

static void
firewall_reply(void *ctx, const struct privmsg_reply *r, int fd)
{
	struct firewall *fw = ctx;

	if (fd >= 0) /* nobody asked for one */
		close(fd);
	answer_askers(fw, r->seq, (int)r->result);
	if (r->result == PRIVMSG_REFUSED)
		fw->stats.refused += r->count;
	if (r->seq == fw->repair_seq) {
		if (r->result != PRIVMSG_OK)
			firewall_trouble(fw, "the rules could not be made");
		else if (fw->state == FW_REPAIRING)
			firewall_sync_start(fw);
		return;
	}
	if (r->seq == fw->check_seq) {
		checked(fw, r->result);
		return;
	}
	if (r->result == PRIVMSG_ERROR && r->op != PRIVMSG_REMOVE)
		firewall_trouble(fw, "a change was not taken");
	else if (r->seq == fw->sync_seq)
		fw->stats.error[0] = '\0';
}

static void
firewall_gone(void *ctx, const char *why)
{
	struct firewall *fw = ctx;

	fw->state = FW_OFF;
	fw->stats.errors++;
	snprintf(fw->stats.error, sizeof(fw->stats.error),
	    "the helper is gone: %s", why);
	log_error("firewall: the helper is gone (%s): nothing more is dropped "
		  "or freed until a restart", why);
	while (fw->askers != NULL)
		answer_askers(fw, fw->askers->seq, -1);
}

bool
firewall_ask(struct firewall *fw, bool repair,
    void (*done)(void *ctx, int result), void *ctx)
{
	struct asker *a;
	uint32_t seq;

	if (fw->state == FW_OFF)
		return false;
	seq = send_op(fw, repair ? PRIVMSG_REPAIR : PRIVMSG_CHECK);
	if (seq == 0)
		return false;
	a = calloc(1, sizeof(*a));
	if (a == NULL)
		return false;
	a->seq = seq;
	a->done = done;
	a->ctx = ctx;
	a->next = fw->askers;
	fw->askers = a;
	if (repair) {
		fw->repair_seq = seq;
		fw->state = FW_REPAIRING;
	}
	return true;
}

void
firewall_forget(struct firewall *fw, const void *ctx)
{
	for (struct asker *a = fw->askers; a != NULL; a = a->next)
		if (a->ctx == ctx)
			a->done = NULL;
}

void
firewall_stats(const struct firewall *fw, struct firewall_stats *out)
{
	static const char *const states[] = { "off", "repairing", "syncing",
		"ready", "degraded" };
	static const char *const backends[] = { "none", "iptables", "nftables",
		"command" };

	*out = fw->stats;
	out->backend = backends[fw->conf->firewall.backend];
	out->state = states[fw->state];
	out->entries = fw->synced;
	out->pending = prefixmap_count(fw->changed);
}
