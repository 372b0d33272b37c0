/*
 * firewall: the helper's second role: entries of the daemon into the packet
 * filter.
 *
 * Changes that wait are taken together, the last word for each address: one
 * run of the tools for all of them. A sync is collected whole and replaces
 * what is there. What the filter has been told is remembered, for the limit on
 * entries, to know new entries from old ones, and for random samples when the
 * filter is checked: somebody may have emptied a set that is still there.
 *
 * The daemon is not trusted: see protect.h for what is never dropped.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "lib/core/log.h"
#include "lib/core/xalloc.h"
#include "policyd/priv/fw.h"
#include "policyd/priv/priv.h"
#include "policyd/priv/protect.h"
#include "policyd/priv/ttlmap.h"

#define PROTECT_FRESH 1.0 /* seconds that our own addresses are known for */
/* The kernel may hold an entry a little longer than we think. */
#define GRACE 2.0
#define SAME 5.0	/* seconds by which times may differ */
#define RETRY 30.0	/* after which a failed deletion is tried again */
#define SAMPLE_LEFT 3.0 /* a sampled entry must live for so long */

struct firewall {
	struct conf *start; /* what only a restart changes */
	struct conf **conf; /* the allow list */
	const struct fw_ops *ops;
	struct protect *protect;
	double protect_until;
	struct ttlmap *batch; /* address -> ttl */
	struct ttlmap *told;  /* address -> when it is forgotten */
	bool syncing;
	struct loglimit limit;
	struct privmsg_reply reply; /* to the request at hand */
};

static const struct fw_ops *
backend(const struct conf *conf)
{
	switch (conf->firewall.backend) {
	case CONF_FIREWALL_IPTABLES:
		return &fw_ipset;
	case CONF_FIREWALL_NFTABLES:
		return &fw_nft;
	case CONF_FIREWALL_COMMAND:
		return &fw_command;
	case CONF_FIREWALL_NONE:
		break;
	}
	return NULL;
}

static double
monotonic(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* How many entries the filter may be told of in addition. */
static bool
has_room(struct firewall *fw)
{
	size_t max = (size_t)fw->start->firewall.max_entries;
	size_t n = ttlmap_count(fw->batch);

	if (!fw->syncing)
		n += ttlmap_count(fw->told);
	return n < max;
}

/* Adds the entries of a request to those that wait. */
static void
take_entries(struct firewall *fw, const struct privmsg_request *req)
{
	char text[ADDR_STRLEN];

	if (monotonic() >= fw->protect_until) {
		protect_load(fw->protect, *fw->conf);
		fw->protect_until = monotonic() + PROTECT_FRESH;
	}
	for (uint32_t i = 0; i < req->count; i++) {
		uint32_t ttl = req->entries[i].ttl;
		struct addr a;

		if (!privmsg_entry_get(&req->entries[i], &a))
			continue; /* was checked */
		if (ttl > 0 && protect_holds(fw->protect, fw->start, &a)) {
			log_limited(&fw->limit, monotonic(), MSG_WARNING,
			    "%s is not dropped: it is protected",
			    addr_format(&a, text));
			fw->reply.refused++;
		} else if (ttl > 0 && !ttlmap_has(fw->batch, &a) &&
		    (fw->syncing || !ttlmap_has(fw->told, &a)) &&
		    !has_room(fw)) {
			fw->reply.full++;
		} else {
			ttlmap_set(fw->batch, &a, ttl);
		}
	}
}

/* The batch as an array; the caller frees it. NULL when it is empty. */
static struct fw_entry *
batch_entries(const struct firewall *fw, size_t *n_r)
{
	size_t n = ttlmap_count(fw->batch);
	struct fw_entry *e = n > 0 ? x_calloc(n, sizeof(*e)) : NULL;
	double ttl, until, now = monotonic();
	uint32_t cursor = 0;

	for (size_t i = 0;
	     i < n && ttlmap_next(fw->batch, &cursor, &e[i].addr, &ttl); i++) {
		e[i].ttl = (uint32_t)ttl;
		e[i].known = ttlmap_get(fw->told, &e[i].addr, &until);
		e[i].same = e[i].known && fabs(until - now - ttl) < SAME;
	}
	*n_r = n;
	return e;
}

static void
remember(struct firewall *fw, const struct fw_entry *e, size_t n)
{
	double now = monotonic();

	for (size_t i = 0; i < n; i++) {
		if (e[i].failed && e[i].ttl == 0 && e[i].known)
			ttlmap_set(fw->told, &e[i].addr, now + RETRY);
		else if (e[i].failed)
			continue;
		else if (e[i].ttl > 0)
			ttlmap_set(fw->told, &e[i].addr, now + e[i].ttl);
		else
			ttlmap_del(fw->told, &e[i].addr);
	}
}

static bool
apply_changes(struct firewall *fw)
{
	size_t n;
	struct fw_entry *e = batch_entries(fw, &n);
	bool good = n == 0 || fw->ops->change(fw->start, e, n);

	for (size_t i = 0; !good && fw->ops->sync != NULL && i < n; i++)
		e[i].failed = true; /* all or nothing */
	remember(fw, e, n);
	free(e);
	ttlmap_clear(fw->batch);
	return good;
}

/* What the batch does not name is to be deleted. */
static void
delete_others(struct firewall *fw)
{
	uint32_t cursor = 0;
	struct addr a;
	double until;

	while (ttlmap_next(fw->told, &cursor, &a, &until))
		if (!ttlmap_has(fw->batch, &a))
			ttlmap_set(fw->batch, &a, 0);
}

static bool
apply_sync(struct firewall *fw)
{
	struct fw_entry *e;
	size_t n;
	bool good;

	fw->syncing = false;
	if (fw->ops->sync == NULL) {
		delete_others(fw);
		return apply_changes(fw);
	}
	e = batch_entries(fw, &n);
	good = fw->ops->sync(fw->start, e, n);
	if (good) {
		ttlmap_clear(fw->told);
		remember(fw, e, n);
	}
	free(e);
	ttlmap_clear(fw->batch);
	return good;
}

/* Entries whose time is over: deleted by us where the filter does not know of
 * time, else only forgotten. */
static void
expire(struct firewall *fw)
{
	double now = monotonic(), until;
	uint32_t cursor = 0;
	struct addr a;

	if (fw->ops->expires(fw->start)) {
		ttlmap_expire(fw->told, now - GRACE);
		return;
	}
	if (ttlmap_count(fw->batch) > 0)
		return; /* a sync under way: that deletes them */
	while (ttlmap_next(fw->told, &cursor, &a, &until))
		if (until <= now)
			ttlmap_set(fw->batch, &a, 0);
	(void)apply_changes(fw);
}

/* Some entries that must be there, beginning anywhere. */
static bool
sample_holds(const struct firewall *fw)
{
	struct fw_entry sample[FW_SAMPLE];
	size_t n = 0, seen, count = ttlmap_count(fw->told);
	double until, now = monotonic();
	uint32_t cursor = 0, skip = 0;

	if (count > FW_SAMPLE && getrandom(&skip, sizeof(skip), 0) > 0)
		skip %= (uint32_t)count;
	for (seen = 0; n < FW_SAMPLE && seen < 2 * count; seen++) {
		memset(&sample[n], 0, sizeof(sample[n]));
		if (!ttlmap_next(fw->told, &cursor, &sample[n].addr, &until)) {
			cursor = 0;
			continue;
		}
		if (seen >= skip && seen < skip + count &&
		    until > now + SAMPLE_LEFT)
			n++;
	}
	return n == 0 || fw->ops->holds(fw->start, sample, n);
}

static bool
remove_all(struct firewall *fw)
{
	bool good;

	ttlmap_clear(fw->batch);
	if (fw->ops->remove == NULL) {
		delete_others(fw);
		return apply_changes(fw);
	}
	good = fw->ops->remove(fw->start);
	ttlmap_clear(fw->told);
	return good;
}

/* A request that is not about entries alone. */
static enum privmsg_result
run_request(struct firewall *fw, const struct privmsg_request *req)
{
	const struct conf *conf = fw->start;
	bool good = true;

	switch (req->op) {
	case PRIVMSG_SYNC_BEGIN:
		fw->syncing = true;
		break;
	case PRIVMSG_SYNC_END:
		good = apply_sync(fw);
		break;
	case PRIVMSG_CHECK:
		return fw->ops->check(conf) && sample_holds(fw)
		    ? PRIVMSG_OK
		    : PRIVMSG_MISSING;
	case PRIVMSG_REPAIR:
		good = fw->ops->repair(conf);
		break;
	case PRIVMSG_REMOVE:
		good = remove_all(fw);
		break;
	default:
		return PRIVMSG_OFF;
	}
	return good ? PRIVMSG_OK : PRIVMSG_ERROR;
}

/* Does it fit to what came before? */
static bool
in_order(const struct firewall *fw, enum privmsg_op op)
{
	bool inside = op == PRIVMSG_SYNC_ENTRIES || op == PRIVMSG_SYNC_END;

	return fw->syncing ? op != PRIVMSG_CHANGE : !inside;
}

static bool
handle(struct firewall *fw, const struct privmsg_request *req)
{
	bool good = true;

	if (!in_order(fw, req->op)) {
		log_error(
		    "the daemon sent op %u out of order: ending", req->op);
		return false;
	}
	memset(&fw->reply, 0, sizeof(fw->reply));
	if (req->op == PRIVMSG_CHANGE || req->op == PRIVMSG_SYNC_ENTRIES) {
		take_entries(fw, req);
		if (req->op == PRIVMSG_CHANGE &&
		    (!priv_waiting(PRIV_COMPANY) || !has_room(fw)))
			good = apply_changes(fw);
		fw->reply.result = !good		     ? PRIVMSG_ERROR
		    : fw->reply.refused + fw->reply.full > 0 ? PRIVMSG_REFUSED
							     : PRIVMSG_OK;
	} else {
		if (fw->syncing && req->op != PRIVMSG_SYNC_END) {
			fw->syncing = false; /* given up */
			ttlmap_clear(fw->batch);
		}
		if (!fw->syncing)
			good = apply_changes(fw);
		fw->reply.result = good ? run_request(fw, req) : PRIVMSG_ERROR;
	}
	fw->reply.entries = (uint32_t)ttlmap_count(fw->told);
	priv_reply(req, &fw->reply, -1);
	return true;
}

/* Milliseconds until there is something to expire; -1: nothing. */
static int
until_expiry(const struct firewall *fw)
{
	double least, left;

	if (fw->ops == NULL || ttlmap_count(fw->told) == 0)
		return -1;
	if (fw->ops->expires(fw->start))
		return 1000;
	least = ttlmap_least(fw->told);
	left = ceil((least - monotonic()) * 1000);
	return left < 10 ? 10 : left > 60000 ? 60000 : (int)left;
}

static void
serve(struct firewall *fw)
{
	double next = 0;
	struct privmsg_request req;

	for (;;) {
		/* Requests that follow each other closely shall not keep
		 * entries alive. */
		if (fw->ops != NULL && monotonic() >= next) {
			expire(fw);
			next = monotonic() + 1;
		}
		if (!priv_waiting(until_expiry(fw))) {
			next = 0;
			continue;
		}
		if (!priv_receive(&req))
			return;
		if (priv_reload(&req, fw->conf, fw->start)) {
			fw->protect_until = 0;
			continue;
		}
		if (fw->ops == NULL) {
			memset(&fw->reply, 0, sizeof(fw->reply));
			fw->reply.result = PRIVMSG_OFF;
			priv_reply(&req, &fw->reply, -1);
		} else if (!handle(fw, &req)) {
			return;
		}
	}
}

void
priv_firewall(struct conf **conf)
{
	struct firewall fw = {
		.conf = conf, .start = *conf, .ops = backend(*conf)
	};

	fw.protect = protect_create();
	fw.batch = ttlmap_create();
	fw.told = ttlmap_create();
	serve(&fw);
	/* Nobody would ever delete these. */
	if (fw.ops != NULL && !fw.ops->expires(fw.start))
		(void)remove_all(&fw);
	ttlmap_destroy(&fw.batch);
	ttlmap_destroy(&fw.told);
	protect_destroy(&fw.protect);
	if (*conf != fw.start)
		conf_destroy(&fw.start);
}
