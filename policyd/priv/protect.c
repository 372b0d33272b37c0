/*
 * protect: see protect.h. A sorted array and a longest-prefix map of the same
 * entries: the map finds those that hold an address, the array those that lie
 * within a prefix. Allow lists may be long, and so may batches.
 */
#include "policyd/priv/protect.h"

#include <ifaddrs.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "lib/core/log.h"
#include "lib/core/prefixmap.h"
#include "lib/core/xalloc.h"

struct protect {
	struct prefixmap *map;
	struct addr *sorted;
	size_t n, room;
};

struct protect *
protect_create(void)
{
	return x_calloc(1, sizeof(struct protect));
}

void
protect_destroy(struct protect **pp)
{
	struct protect *p = *pp;

	if (p == NULL)
		return;
	prefixmap_destroy(&p->map);
	free(p->sorted);
	free(p);
	*pp = NULL;
}

static void
protect_add(struct protect *p, const struct addr *a)
{
	if (p->n == p->room) {
		p->room = p->room ? p->room * 2 : 64;
		p->sorted =
		    x_reallocarray(p->sorted, p->room, sizeof(*p->sorted));
	}
	p->sorted[p->n++] = *a;
	if (prefixmap_add(p->map, a) == PREFIXMAP_NONE)
		log_fatal("out of memory");
}

static int
compare(const void *a, const void *b)
{
	return addr_compare(a, b);
}

static void
add_own(struct protect *p)
{
	struct ifaddrs *all, *i;

	if (getifaddrs(&all) != 0)
		return;
	for (i = all; i != NULL; i = i->ifa_next) {
		struct addr a = { .plen = 128 };

		if (i->ifa_addr == NULL)
			continue;
		if (i->ifa_addr->sa_family == AF_INET) {
			struct sockaddr_in sin;

			memcpy(&sin, i->ifa_addr, sizeof(sin));
			a.b[10] = a.b[11] = 0xff;
			memcpy(a.b + 12, &sin.sin_addr, 4);
		} else if (i->ifa_addr->sa_family == AF_INET6) {
			struct sockaddr_in6 sin6;

			memcpy(&sin6, i->ifa_addr, sizeof(sin6));
			memcpy(a.b, &sin6.sin6_addr, 16);
		} else {
			continue;
		}
		protect_add(p, &a);
	}
	freeifaddrs(all);
}

void
protect_load(struct protect *p, const struct conf *conf)
{
	static const char *const always[] = { "127.0.0.0/8", "::1", "0.0.0.0/8",
		"::" };

	prefixmap_destroy(&p->map);
	p->map = prefixmap_create();
	p->n = 0;
	for (size_t i = 0; i < sizeof(always) / sizeof(always[0]); i++) {
		struct addr a;

		if (addr_parse(always[i], strlen(always[i]), &a))
			protect_add(p, &a);
	}
	for (size_t i = 0; i < conf->n_allow; i++)
		protect_add(p, &conf->allow[i]);
	add_own(p);
	qsort(p->sorted, p->n, sizeof(*p->sorted), compare);
}

/* Does any entry lie within this prefix? Its addresses follow each other, so
 * the first entry from its own address on tells. */
static bool
holds_any(const struct protect *p, const struct addr *a)
{
	size_t low = 0, high = p->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (memcmp(p->sorted[mid].b, a->b, sizeof(a->b)) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low < p->n && addr_contains(a, &p->sorted[low]);
}

bool
protect_holds(
    const struct protect *p, const struct conf *conf, const struct addr *a)
{
	struct addr host = *a;

	if (addr_prefix_len(a) < (addr_is_v4(a) ? conf->firewall.widest_ipv4
						: conf->firewall.widest_ipv6))
		return true;
	host.plen = 128;
	if (prefixmap_match(p->map, &host, a->plen, NULL) != PREFIXMAP_NONE)
		return true;
	return !addr_is_host(a) && holds_any(p, a);
}
