/*
 * firewall: see firewall.h. This file is the conversation with the helper;
 * what it is told of the view is firewall_view.c.
 */
#include "policyd/daemon/firewall.h"

#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/core/xalloc.h"
#include "lib/io/loop.h"
#include "lib/io/privclient.h"
#include "policyd/daemon/firewall_int.h"
#include "policyd/daemon/identity.h"

#define FLUSH_DELAY 0.01 /* seconds that changes wait for company */
#define STORE_LOOK 0.25	 /* seconds between looks at the store */
#define STORE_WAIT 30.0	 /* seconds that the first sync waits for it */
#define RETRY_FIRST 1.0	 /* seconds; doubled up to the interval */
#define SYNC_EVERY 10	 /* checks that are followed by a sync */
#define STOP_WAIT 10.0	 /* seconds for the last changes */
#define ASKERS_MAX 64

static void firewall_reply(void *ctx, const struct privmsg_reply *, int fd);
static void firewall_writable(void *ctx);
static void firewall_gone(void *ctx, const char *why);
static void firewall_flush(void *ctx);
static void firewall_check(void *ctx);

static const struct privclient_events firewall_events = { firewall_reply,
	firewall_writable, firewall_gone };

uint32_t
firewall_send(struct firewall *fw, enum privmsg_op op)
{
	struct privmsg_request req;

	memset(&req, 0, sizeof(req));
	req.op = op;
	return privclient_send(fw->helper, &req);
}

/* Those who wait for a sync (seq 0), or for this check. */
static void
answer_askers(struct firewall *fw, uint32_t seq, int result)
{
	struct firewall_asker **link = &fw->askers;

	while (*link != NULL) {
		struct firewall_asker *a = *link;

		if (a->seq != seq) {
			link = &a->next;
			continue;
		}
		*link = a->next;
		if (a->done != NULL)
			a->done(a->ctx,
			    result == PRIVMSG_OK && a->missing ? PRIVMSG_MISSING
							       : result);
		free(a);
	}
}

static void
firewall_trouble(struct firewall *fw, const char *what)
{
	fw->stats.errors++;
	fw->state = FW_DEGRADED;
	fw->retry = fw->retry > 0 ? fw->retry * 2 : RETRY_FIRST;
	if (fw->retry > fw->conf->firewall.interval)
		fw->retry = fw->conf->firewall.interval;
	loop_timer_set(fw->check, fw->retry);
	snprintf(fw->stats.error, sizeof(fw->stats.error), "%s", what);
	log_limited(&fw->limit, loop_now(fw->loop), MSG_ERROR,
	    "firewall: %s; trying again in %.0f s", what, fw->retry);
	answer_askers(fw, 0, PRIVMSG_ERROR);
}

static void
firewall_repair(struct firewall *fw)
{
	fw->state = FW_REPAIRING;
	fw->repair_seq = fw->sync_seq = fw->check_seq = 0;
	loop_timer_set(fw->flush, 0);
}

static void
firewall_sync(struct firewall *fw)
{
	fw->state = FW_SYNCING;
	fw->sync_cursor = 0;
	fw->sync_begun = false;
	fw->sync_seq = 0;
	fw->resync = false;
	fw->checks = 0;
	loop_timer_set(fw->flush, 0);
}

struct firewall *
firewall_create(struct loop *loop, struct engine *engine, struct store *store,
    const struct conf *conf, bool foreground, struct errbuf *err)
{
	struct firewall *fw;

	err->text[0] = '\0';
	if (conf->firewall.backend == CONF_FIREWALL_NONE)
		return NULL;
	if (!identity_may_pass(CAP_NET_ADMIN)) {
		errbuf_set(err,
		    "option 'backend': a firewall needs a start as "
		    "root, or with the ambient capability CAP_NET_ADMIN");
		return NULL;
	}
	fw = x_calloc(1, sizeof(*fw));
	fw->loop = loop;
	fw->engine = engine;
	fw->store = store;
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
	if (conf->dry_run) {
		log_notice("firewall: dry run, nothing is dropped");
		(void)firewall_send(fw, PRIVMSG_REMOVE);
		return fw;
	}
	fw->state = FW_WAITING;
	fw->wait_end = loop_mono(loop) + STORE_WAIT;
	loop_timer_set(fw->check, 0);
	return fw;
}

/* What the view has lost or gained since the last turn shall not be left to
 * chance; then entries and rules go, if that is wanted. */
static void
last_words(struct firewall *fw)
{
	while (fw->state == FW_READY && !privclient_is_gone(fw->helper) &&
	    prefixmap_count(fw->changed) > 0 && firewall_send_changes(fw))
		privclient_settle(fw->helper, 1);
	if (!fw->conf->firewall.remove_on_stop || fw->conf->dry_run)
		return;
	if (firewall_send(fw, PRIVMSG_REMOVE) == 0) {
		privclient_settle(fw->helper, STOP_WAIT);
		(void)firewall_send(fw, PRIVMSG_REMOVE);
	}
	privclient_settle(fw->helper, STOP_WAIT);
}

void
firewall_destroy(struct firewall **fwp)
{
	struct firewall *fw = *fwp;

	if (fw == NULL)
		return;
	if (fw->helper != NULL)
		last_words(fw);
	privclient_destroy(&fw->helper);
	loop_timer_destroy(&fw->flush);
	loop_timer_destroy(&fw->check);
	prefixmap_destroy(&fw->changed);
	while (fw->askers != NULL) {
		struct firewall_asker *a = fw->askers;

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
	/* The allow list may have changed, and what levels mean. */
	fw->reload = true;
	if (!conf->dry_run) {
		firewall_repair(fw);
		return;
	}
	fw->state = FW_OFF;
	loop_timer_set(fw->flush, 0);
	if (!was_dry) {
		log_notice("firewall: dry run, nothing is dropped");
		(void)firewall_send(fw, PRIVMSG_REMOVE);
		answer_askers(fw, 0, PRIVMSG_OFF);
	}
}

static void
firewall_note(struct firewall *fw, const struct addr *a)
{
	/* In other states a sync is to come, which begins at the beginning. */
	if (fw->state != FW_READY && fw->state != FW_SYNCING)
		return;
	if (prefixmap_count(fw->changed) < fw->conf->firewall.max_entries &&
	    prefixmap_add(fw->changed, a) != PREFIXMAP_NONE) {
		if (!loop_timer_pending(fw->flush))
			loop_timer_set(fw->flush, FLUSH_DELAY);
		return;
	}
	prefixmap_clear(fw->changed);
	fw->change_cursor = 0;
	firewall_sync(fw);
}

void
firewall_blocked(struct firewall *fw, const struct block *b, enum store_why why)
{
	char text[ADDR_STRLEN];
	size_t visits = 0;

	if (fw->conf->dry_run && why != STORE_LOADED &&
	    firewall_drops(fw, b, &visits))
		log_notice("dry run: would drop %s for %.0f s",
		    addr_format(&b->addr, text), b->until - loop_now(fw->loop));
	/* Also one that is not dropped: it may replace one that was. */
	firewall_note(fw, &b->addr);
}

void
firewall_unblocked(
    struct firewall *fw, const struct block *b, enum store_why why)
{
	/* The kernel has forgotten those that expired. */
	if (why != STORE_EXPIRED)
		firewall_note(fw, &b->addr);
}

void
firewall_allowed(struct firewall *fw)
{
	fw->resync = true;
	if (fw->state == FW_READY)
		loop_timer_set(fw->check, FLUSH_DELAY);
}

static void
firewall_flush(void *ctx)
{
	struct firewall *fw = ctx;

	if (privclient_is_gone(fw->helper))
		return;
	if (fw->reload && firewall_send(fw, PRIVMSG_RELOAD) == 0)
		return;
	fw->reload = false;
	if (fw->state == FW_REPAIRING && fw->repair_seq == 0)
		fw->repair_seq = firewall_send(fw, PRIVMSG_REPAIR);
	else if (fw->state == FW_SYNCING && fw->sync_seq == 0)
		(void)firewall_send_view(fw);
	else if (fw->state == FW_READY)
		(void)firewall_send_changes(fw);
}

static void
firewall_writable(void *ctx)
{
	struct firewall *fw = ctx;

	loop_timer_set(fw->flush, 0);
}

/* At start: is it known what is blocked? */
static void
firewall_wait(struct firewall *fw)
{
	struct store_status st;

	store_status(fw->store, &st);
	if (st.ready || loop_mono(fw->loop) >= fw->wait_end)
		firewall_repair(fw);
	else
		loop_timer_set(fw->check, STORE_LOOK);
}

static void
firewall_check(void *ctx)
{
	struct firewall *fw = ctx;

	if (privclient_is_gone(fw->helper))
		return;
	loop_timer_set(fw->check, fw->conf->firewall.interval);
	switch (fw->state) {
	case FW_WAITING:
		firewall_wait(fw);
		break;
	case FW_DEGRADED:
		firewall_repair(fw);
		break;
	case FW_READY:
		if (fw->resync)
			firewall_sync(fw);
		else
			fw->check_seq = firewall_send(fw, PRIVMSG_CHECK);
		break;
	case FW_OFF:
	case FW_REPAIRING:
	case FW_SYNCING:
		break;
	}
}

static void
missing(struct firewall *fw)
{
	fw->stats.repairs++;
	log_warning("firewall: rules, sets or entries are missing; making them "
		    "anew");
	firewall_repair(fw);
}

static void
checked(struct firewall *fw, uint32_t result)
{
	fw->check_seq = 0;
	if (fw->state != FW_READY)
		return;
	if (result == PRIVMSG_MISSING)
		missing(fw);
	else if (result != PRIVMSG_OK)
		firewall_trouble(fw, "the rules could not be checked");
	else if (++fw->checks >= SYNC_EVERY || fw->full)
		firewall_sync(fw);
}

static void
synced(struct firewall *fw, const struct privmsg_reply *r)
{
	if (fw->state != FW_SYNCING)
		return;
	if (r->result != PRIVMSG_OK) {
		firewall_trouble(fw, "the entries were not taken");
		return;
	}
	if (fw->stats.error[0] != '\0')
		log_notice(
		    "firewall: all is well again, %u entries", r->entries);
	fw->stats.error[0] = '\0';
	fw->retry = 0;
	fw->state = FW_READY;
	loop_timer_set(
	    fw->check, fw->resync ? FLUSH_DELAY : fw->conf->firewall.interval);
	/* What changed while it was collected. */
	loop_timer_set(fw->flush, 0);
	answer_askers(fw, 0, PRIVMSG_OK);
}

/* The check that came before a repair by hand. */
static void
asked(struct firewall *fw, const struct privmsg_reply *r)
{
	bool repair = false;

	for (struct firewall_asker *a = fw->askers; a != NULL; a = a->next)
		if (a->seq == r->seq && a->repair) {
			a->missing = r->result != PRIVMSG_OK;
			a->seq = 0;
			repair = true;
		}
	if (!repair) {
		answer_askers(fw, r->seq, (int)r->result);
		return;
	}
	if (fw->state == FW_OFF) {
		answer_askers(fw, 0, PRIVMSG_OFF);
		return;
	}
	if (fw->state == FW_REPAIRING || fw->state == FW_SYNCING)
		return; /* the end of which answers */
	if (r->result == PRIVMSG_MISSING)
		missing(fw);
	else
		firewall_repair(fw);
}

static void
count_refused(struct firewall *fw, const struct privmsg_reply *r)
{
	fw->stats.refused += r->refused;
	fw->stats.full += r->full;
	if (r->full > 0 && !fw->full)
		log_warning("firewall: full with %llu entries "
			    "(option 'max_entries'); others are not dropped",
		    (unsigned long long)fw->conf->firewall.max_entries);
	if (r->full > 0)
		fw->full = true;
	else if (r->entries < fw->conf->firewall.max_entries)
		fw->full = false;
}

static void
firewall_reply(void *ctx, const struct privmsg_reply *r, int fd)
{
	struct firewall *fw = ctx;

	if (fd >= 0) /* nobody asked for one */
		close(fd);
	fw->stats.entries = r->entries;
	if (r->op == PRIVMSG_CHANGE || r->op == PRIVMSG_SYNC_ENTRIES)
		count_refused(fw, r);
	asked(fw, r);
	if (r->seq == fw->repair_seq && fw->state == FW_REPAIRING) {
		if (r->result == PRIVMSG_OK)
			firewall_sync(fw);
		else
			firewall_trouble(fw, "the rules could not be made");
	} else if (r->seq == fw->check_seq) {
		checked(fw, r->result);
	} else if (r->seq == fw->sync_seq) {
		synced(fw, r);
	} else if (r->op == PRIVMSG_RELOAD && r->result != PRIVMSG_OK) {
		fw->stats.errors++;
		log_error("firewall: the helper keeps its old configuration");
	} else if (r->op == PRIVMSG_CHANGE && r->result == PRIVMSG_ERROR &&
	    fw->state == FW_READY) {
		firewall_trouble(fw, "a change was not taken");
	}
}

static void
firewall_gone(void *ctx, const char *why)
{
	struct firewall *fw = ctx;

	fw->state = FW_OFF;
	fw->stats.errors++;
	fw->stats.entries = 0;
	snprintf(fw->stats.error, sizeof(fw->stats.error),
	    "the helper is gone: %s", why);
	log_error("firewall: the helper is gone (%s): nothing more is dropped "
		  "or freed until a restart",
	    why);
	while (fw->askers != NULL)
		answer_askers(fw, fw->askers->seq, -1);
}

bool
firewall_ask(struct firewall *fw, bool repair,
    void (*done)(void *ctx, int result), void *ctx, struct errbuf *err)
{
	struct firewall_asker *a;
	unsigned n = 0;

	for (a = fw->askers; a != NULL; a = a->next)
		n++;
	if (fw->state == FW_OFF) {
		errbuf_set(err, "%s",
		    fw->conf->dry_run ? "it is a dry run" : fw->stats.error);
		return false;
	}
	a = n < ASKERS_MAX ? calloc(1, sizeof(*a)) : NULL;
	if (a == NULL || (a->seq = firewall_send(fw, PRIVMSG_CHECK)) == 0) {
		errbuf_set(err, "the helper is busy; try again");
		free(a);
		return false;
	}
	a->repair = repair;
	a->done = done;
	a->ctx = ctx;
	a->next = fw->askers;
	fw->askers = a;
	return true;
}

void
firewall_forget(struct firewall *fw, const void *ctx)
{
	for (struct firewall_asker *a = fw->askers; a != NULL; a = a->next)
		if (a->ctx == ctx)
			a->done = NULL;
}

void
firewall_stats(const struct firewall *fw, struct firewall_stats *out)
{
	static const char *const states[] = { "off", "waiting", "repairing",
		"syncing", "ready", "degraded" };
	static const char *const backends[] = { "none", "iptables", "nftables",
		"command" };

	*out = fw->stats;
	out->backend = backends[fw->conf->firewall.backend];
	out->state = states[fw->state];
	out->pending = prefixmap_count(fw->changed);
}
