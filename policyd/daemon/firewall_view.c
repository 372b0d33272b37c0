/*
 * firewall_view: what the helper is told of the view.
 *
 * Changes are kept as a set of addresses. What is sent is the state of the view
 * at the time of sending, so any number of changes of one address is one
 * message, and a sync needs no copy of anything.
 */
#include <math.h>
#include <string.h>

#include "lib/io/loop.h"
#include "lib/io/privclient.h"
#include "policyd/daemon/firewall_int.h"

#define CHANGE_PIECE 1000 /* changes sent per turn */
#define SYNC_PIECE 2000	  /* entries of the view looked at per turn */
#define VISITS 16	  /* looks at the allow list that cost as much as one */

/* Does the shared allow list hold any address of this block? (The configured
 * one is the helper's business, too.) */
static bool
is_allowed(const struct firewall *fw, const struct addr *a, size_t *visits)
{
	size_t cursor = 0;
	struct addr allowed;

	if (engine_is_allowed(fw->engine, a))
		return true;
	if (addr_is_host(a))
		return false;
	while (engine_allow_next(fw->engine, &cursor, &allowed)) {
		++*visits;
		if (addr_contains(a, &allowed))
			return true;
	}
	return false;
}

bool
firewall_drops(const struct firewall *fw, const struct block *b, size_t *visits)
{
	int level = level_find(fw->conf->levels, fw->conf->n_levels, b->level);

	return level >= 0 && fw->conf->levels[level].firewall &&
	    (fw->conf->firewall.shared ||
		strcmp(name_text(b->by), fw->conf->host) == 0) &&
	    !is_allowed(fw, &b->addr, visits);
}

/* Seconds that are left, as a message has them; 0 = not to be dropped. */
static uint32_t
ttl_of(const struct firewall *fw, const struct block *b, size_t *visits)
{
	double left = ceil(b->until - loop_now(fw->loop));

	if (!(left > 0) || !firewall_drops(fw, b, visits))
		return 0;
	return left < PRIVMSG_TTL_MAX ? (uint32_t)left : PRIVMSG_TTL_MAX;
}

/* The next changed addresses, as far as they fit into a request. */
static void
changes_fill(struct firewall *fw, struct privmsg_request *req, size_t *visits)
{
	uint32_t end = prefixmap_end(fw->changed);

	for (; fw->change_cursor < end && req->count < PRIVMSG_ENTRIES;
	     fw->change_cursor++) {
		struct block b = { .until = -INFINITY };
		struct addr a;

		if (!prefixmap_used(fw->changed, fw->change_cursor))
			continue;
		a = prefixmap_key(fw->changed, fw->change_cursor);
		(void)blocklist_get(engine_view(fw->engine), &a, &b);
		privmsg_entry_set(
		    &req->entries[req->count++], &a, ttl_of(fw, &b, visits));
	}
}

bool
firewall_send_changes(struct firewall *fw)
{
	size_t visits = 0;

	for (unsigned n = 0; prefixmap_count(fw->changed) > 0 &&
	     n + visits / VISITS < CHANGE_PIECE;) {
		uint32_t start = fw->change_cursor;
		struct privmsg_request req;

		memset(&req, 0, sizeof(req));
		req.op = PRIVMSG_CHANGE;
		changes_fill(fw, &req, &visits);
		if (req.count == 0) { /* those that came meanwhile */
			fw->change_cursor = 0;
			continue;
		}
		if (privclient_send(fw->helper, &req) == 0) {
			fw->change_cursor = start;
			return false;
		}
		fw->stats.sent += req.count;
		n += req.count;
		for (uint32_t i = 0; i < req.count; i++) {
			struct addr a;

			if (privmsg_entry_get(&req.entries[i], &a))
				prefixmap_del(fw->changed, &a);
		}
	}
	if (prefixmap_count(fw->changed) > 0)
		loop_timer_set(fw->flush, 0);
	return true;
}

/* The next entries of the view into one request; false at the view's end. */
static bool
view_fill(struct firewall *fw, struct privmsg_request *req, size_t *cursor,
    size_t *looked)
{
	size_t visits = 0;
	struct block b;

	while (req->count < PRIVMSG_ENTRIES) {
		uint32_t ttl;

		if (*looked + visits / VISITS >= SYNC_PIECE)
			break;
		if (!blocklist_next_entry(engine_view(fw->engine), cursor, &b))
			return false;
		++*looked;
		ttl = ttl_of(fw, &b, &visits);
		if (ttl > 0)
			privmsg_entry_set(
			    &req->entries[req->count++], &b.addr, ttl);
	}
	*looked += visits / VISITS;
	return true;
}

bool
firewall_send_view(struct firewall *fw)
{
	size_t looked = 0;

	if (!fw->sync_begun && firewall_send(fw, PRIVMSG_SYNC_BEGIN) == 0)
		return false;
	fw->sync_begun = true;
	while (looked < SYNC_PIECE) {
		size_t cursor = fw->sync_cursor;
		struct privmsg_request req;
		bool more;

		memset(&req, 0, sizeof(req));
		req.op = PRIVMSG_SYNC_ENTRIES;
		more = view_fill(fw, &req, &cursor, &looked);
		if (req.count > 0 && privclient_send(fw->helper, &req) == 0)
			return false;
		fw->sync_cursor = cursor;
		fw->stats.sent += req.count;
		if (more)
			continue;
		fw->sync_seq = firewall_send(fw, PRIVMSG_SYNC_END);
		return fw->sync_seq != 0;
	}
	loop_timer_set(fw->flush, 0);
	return true;
}
