/*
 * privmsg: see privmsg.h.
 */
#include "lib/core/privmsg.h"

#include <string.h>

void
privmsg_entry_set(struct privmsg_entry *e, const struct addr *a, uint32_t ttl)
{
	memset(e, 0, sizeof(*e));
	memcpy(e->addr, a->b, 16);
	e->plen = a->plen;
	e->ttl = ttl;
}

bool
privmsg_entry_get(const struct privmsg_entry *e, struct addr *out)
{
	struct addr a;

	if (e->plen > 128)
		return false;
	memcpy(a.b, e->addr, 16);
	a.plen = 128;
	*out = addr_mask(&a, e->plen);
	return memcmp(out->b, e->addr, 16) == 0;
}

static bool
all_zero(const void *p, size_t len)
{
	const unsigned char *b = p;

	for (size_t i = 0; i < len; i++)
		if (b[i] != 0)
			return false;
	return true;
}

static bool
entries_valid(const struct privmsg_request *r)
{
	static const struct privmsg_entry none;
	struct addr a;

	if (r->count > PRIVMSG_ENTRIES)
		return false;
	for (uint32_t i = 0; i < PRIVMSG_ENTRIES; i++) {
		const struct privmsg_entry *e = &r->entries[i];

		if (i >= r->count) {
			if (memcmp(e, &none, sizeof(none)) != 0)
				return false;
			continue;
		}
		if (!privmsg_entry_get(e, &a) || e->ttl > PRIVMSG_TTL_MAX ||
		    !all_zero(e->reserved, sizeof(e->reserved)) ||
		    (r->op == PRIVMSG_SYNC_ENTRIES && e->ttl == 0))
			return false;
	}
	return true;
}

bool
privmsg_request_valid(const struct privmsg_request *r, size_t len)
{
	if (len != sizeof(*r) || r->magic != PRIVMSG_MAGIC ||
	    r->op < PRIVMSG_OPEN_LOG || r->op > PRIVMSG_RELOAD ||
	    r->reserved != 0)
		return false;
	if (r->op == PRIVMSG_OPEN_LOG) {
		if (r->log >= PRIVMSG_LOGS_MAX ||
		    (r->inode == 0 && r->dev != 0))
			return false;
	} else if (r->log != 0 || r->dev != 0 || r->inode != 0 ||
	    r->name != 0) {
		return false;
	}
	if (r->op != PRIVMSG_CHANGE && r->op != PRIVMSG_SYNC_ENTRIES &&
	    r->count != 0)
		return false;
	return entries_valid(r);
}

bool
privmsg_reply_valid(const struct privmsg_reply *r, size_t len)
{
	return len == sizeof(*r) && r->magic == PRIVMSG_MAGIC &&
	    r->op >= PRIVMSG_OPEN_LOG && r->op <= PRIVMSG_RELOAD &&
	    r->result <= PRIVMSG_OFF;
}

bool
privmsg_hello_valid(const struct privmsg_hello *h, size_t len)
{
	return len == sizeof(*h) && h->magic == PRIVMSG_MAGIC &&
	    h->ready <= 1 && memchr(h->why, '\0', sizeof(h->why)) != NULL;
}
