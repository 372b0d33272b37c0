/*
 * firewall: the helper's second role: entries of the daemon into the packet
 * filter.
 *
 * Changes that wait are taken together: one run of the tools for all of them.
 * Never dropped, whatever the daemon says: loopback, this host's own
 * addresses, addresses on the configured allow list (nor a prefix that holds
 * one of these), and prefixes wider than configured.
 */
#include <errno.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "lib/core/log.h"
#include "lib/core/xalloc.h"
#include "policyd/priv/fw.h"
#include "policyd/priv/priv.h"

#define BATCH_MAX 100000 /* entries applied together */

struct firewall {
	struct conf **conf;
	const struct fw_ops *ops;
	struct addr *own; /* this host's addresses */
	size_t n_own;
	struct fw_entry *entries; /* that wait */
	size_t n, room;
	bool syncing;
};

const struct fw_ops *
fw_backend(const struct conf *conf)
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

/* Addresses come and go; they are read again before each change. */
static void
read_own(struct firewall *fw)
{
	struct ifaddrs *all, *i;

	fw->n_own = 0;
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
		fw->own = x_reallocarray(fw->own, fw->n_own + 1,
		    sizeof(*fw->own));
		fw->own[fw->n_own++] = a;
	}
	freeifaddrs(all);
}

static bool
overlaps(const struct addr *a, const struct addr *b)
{
	return addr_contains(a, b) || addr_contains(b, a);
}

static bool
is_protected(const struct firewall *fw, const struct addr *a)
{
	const struct conf *conf = *fw->conf;
	struct addr loop4, loop6;

	(void)addr_parse("127.0.0.0/8", 11, &loop4);
	(void)addr_parse("::1", 3, &loop6);
	if (overlaps(a, &loop4) || overlaps(a, &loop6))
		return true;
	if (addr_prefix_len(a) < (addr_is_v4(a) ? conf->firewall.widest_ipv4
						: conf->firewall.widest_ipv6))
		return true;
	for (size_t i = 0; i < conf->n_allow; i++)
		if (overlaps(a, &conf->allow[i]))
			return true;
	for (size_t i = 0; i < fw->n_own; i++)
		if (addr_contains(a, &fw->own[i]))
			return true;
	return false;
}

/* Adds the entries of a request to those that wait; returns how many were
 * refused. */
static unsigned
take_entries(struct firewall *fw, const struct privmsg_request *req)
{
	unsigned refused = 0;

	for (uint32_t i = 0; i < req->count; i++) {
		struct fw_entry e = { .ttl = req->entries[i].ttl };
		char text[ADDR_STRLEN];

		if (!privmsg_entry_get(&req->entries[i], &e.addr))
			continue;
		if (e.ttl > 0 && is_protected(fw, &e.addr)) {
			log_warning("%s is not dropped: it is protected",
			    addr_format(&e.addr, text));
			refused++;
			continue;
		}
		if (fw->n >= (*fw->conf)->firewall.max_entries) {
			refused++;
			continue;
		}
		if (fw->n == fw->room) {
			fw->room = fw->room ? fw->room * 2 : 1024;
			fw->entries = x_reallocarray(fw->entries, fw->room,
			    sizeof(*fw->entries));
		}
		fw->entries[fw->n++] = e;
	}
	return refused;
}

static bool
flush_changes(struct firewall *fw)
{
	bool good = fw->n == 0 || fw->ops->change(*fw->conf, fw->entries, fw->n);

	fw->n = 0;
	return good;
}

/* A request that is not about entries alone. */
static enum privmsg_result
run_request(struct firewall *fw, const struct privmsg_request *req)
{
	const struct conf *conf = *fw->conf;
	bool good = true;

	switch (req->op) {
	case PRIVMSG_SYNC_BEGIN:
		good = flush_changes(fw);
		fw->syncing = true;
		break;
	case PRIVMSG_SYNC_END:
		good = fw->syncing && fw->ops->sync(conf, fw->entries, fw->n);
		fw->n = 0;
		fw->syncing = false;
		break;
	case PRIVMSG_CHECK:
		return fw->ops->check(conf) ? PRIVMSG_OK : PRIVMSG_MISSING;
	case PRIVMSG_REPAIR:
		good = fw->ops->repair(conf);
		break;
	case PRIVMSG_REMOVE:
		good = fw->ops->remove(conf);
		break;
	default:
		return PRIVMSG_OFF;
	}
	return good ? PRIVMSG_OK : PRIVMSG_ERROR;
}

static void
handle(struct firewall *fw, const struct privmsg_request *req)
{
	unsigned refused = 0;
	bool good = true;

	if (req->op == PRIVMSG_CHANGE || req->op == PRIVMSG_SYNC_ENTRIES) {
		refused = take_entries(fw, req);
		if (req->op == PRIVMSG_CHANGE && !fw->syncing &&
		    (fw->n >= BATCH_MAX || !priv_waiting()))
			good = flush_changes(fw);
		priv_reply(req, !good	   ? PRIVMSG_ERROR
			: refused > 0	   ? PRIVMSG_REFUSED
					   : PRIVMSG_OK,
		    0, refused, -1);
		return;
	}
	if (!fw->syncing && !flush_changes(fw))
		good = false;
	priv_reply(req, good ? run_request(fw, req) : PRIVMSG_ERROR, 0, 0, -1);
}

void
priv_firewall(struct conf **conf)
{
	struct firewall fw = { .conf = conf, .ops = fw_backend(*conf) };
	struct privmsg_request req;

	while (priv_receive(&req)) {
		if (priv_reload(&req, conf))
			continue;
		if (fw.ops == NULL) {
			priv_reply(&req, PRIVMSG_OFF, 0, 0, -1);
			continue;
		}
		read_own(&fw);
		handle(&fw, &req);
	}
	free(fw.entries);
	free(fw.own);
}
