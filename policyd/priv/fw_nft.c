/*
 * fw_nft: one nftables table of ours, every change one transaction.
 *
 * Hosts, and IPv4 and IPv6 prefixes of the lengths under which clients are
 * scored, are in hash sets (the latter matched with a mask): 100,000 of them go
 * in within a fraction of a second. Prefixes of other lengths, set by hand and
 * few, are in interval sets, which are slower and refuse overlaps: they go in
 * one by one, so that one that is refused does not take the others with it.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "lib/core/log.h"
#include "policyd/priv/fw.h"
#include "policyd/priv/tool.h"

static const char *const apply[] = { "nft", "-f", "-", NULL };

static const char *const sets[] = { "host4", "host6", "prefix4", "prefix6",
	"net4", "net6" };
#define N_SETS 6
#define SET_NET4 4 /* from here on: interval sets */

static int
nft_tools(const struct conf *conf, struct errbuf *err)
{
	(void)conf;
	if (!tool_exists("nft"))
		return errbuf_set(err, "firewall backend \"nftables\": nft is "
				       "not installed");
	return 0;
}

/* The set that an address or prefix belongs into. */
static int
set_of(const struct conf *conf, const struct addr *a)
{
	bool v4 = addr_is_v4(a);
	unsigned len = addr_prefix_len(a);

	if (addr_is_host(a))
		return v4 ? 0 : 1;
	if (len == (v4 ? conf->ipv4_prefix : conf->ipv6_prefix))
		return v4 ? 2 : 3;
	return v4 ? 4 : 5;
}

/* An address of a set: without its length, where the set implies it. */
static const char *
element(int set, const struct addr *a, char buf[ADDR_STRLEN])
{
	addr_format(a, buf);
	if (set < SET_NET4)
		buf[strcspn(buf, "/")] = '\0';
	return buf;
}

/* The netmask of a scoring prefix as text. */
static void
mask_text(bool v4, unsigned len, char buf[ADDR_STRLEN])
{
	uint8_t bytes[16];

	memset(bytes, 0, sizeof(bytes));
	for (unsigned i = 0; i < len; i++)
		bytes[i / 8] |= (uint8_t)(0x80 >> (i % 8));
	inet_ntop(v4 ? AF_INET : AF_INET6, bytes, buf, ADDR_STRLEN);
}

static void
print_sets(struct tool_text *t, const struct conf *conf)
{
	for (int s = 0; s < N_SETS; s++)
		tool_printf(t, "\tset %s { type %s; flags %s; size %llu; }\n",
		    sets[s], s % 2 ? "ipv6_addr" : "ipv4_addr",
		    s < SET_NET4 ? "timeout" : "interval,timeout",
		    (unsigned long long)conf->firewall.max_entries);
}

static void
print_chains(struct tool_text *t, const struct conf *conf)
{
	const char *verdict = conf->firewall.reset ? "reject with tcp reset"
						   : "drop";
	char mask[ADDR_STRLEN];

	tool_printf(t, "\tchain offenders {\n");
	for (int v6 = 0; v6 < 2; v6++) {
		const char *ip = v6 ? "ip6" : "ip";
		unsigned len = v6 ? conf->ipv6_prefix : conf->ipv4_prefix;

		mask_text(!v6, len, mask);
		tool_printf(t, "\t\t%s saddr @%s %s\n", ip, sets[v6], verdict);
		tool_printf(t, "\t\t%s saddr & %s @%s %s\n", ip, mask,
		    sets[2 + v6], verdict);
		tool_printf(t, "\t\t%s saddr @%s %s\n", ip, sets[4 + v6],
		    verdict);
	}
	tool_printf(t, "\t}\n\tchain input {\n\t\ttype filter hook input "
		       "priority filter - 10; policy accept;\n");
	for (const char *const *pr = conf->firewall.protocols; *pr != NULL;
	     pr++) {
		tool_printf(t, "\t\t%s dport { ", *pr);
		for (const char *const *p = conf->firewall.ports; *p != NULL;
		     p++)
			tool_printf(t, "%s%s", p == conf->firewall.ports ? ""
									 : ", ",
			    *p);
		tool_printf(t, " } jump offenders\n");
	}
	tool_printf(t, "\t}\n");
}

static bool
nft_apply(struct tool_text *t, bool quiet)
{
	bool good = t->len == 0 || tool_run(apply, t, quiet);

	tool_free(t);
	return good;
}

/* Sets are kept if they are there; chains are filled anew, so that there is
 * one rule for each set whatever was there before. */
static void
print_table(struct tool_text *t, const struct conf *conf)
{
	const char *name = conf->firewall.name;

	tool_printf(t, "add table inet %s\nadd chain inet %s offenders\n"
		       "add chain inet %s input { type filter hook input "
		       "priority filter - 10; policy accept; }\n"
		       "flush chain inet %s input\n"
		       "flush chain inet %s offenders\ntable inet %s {\n",
	    name, name, name, name, name, name);
	print_sets(t, conf);
	print_chains(t, conf);
	tool_printf(t, "}\n");
}

static bool
nft_repair(const struct conf *conf)
{
	struct tool_text t = { NULL, 0, 0 };

	print_table(&t, conf);
	if (nft_apply(&t, true))
		return true;
	/* Sets of another form, from another configuration. */
	tool_printf(&t, "add table inet %s\ndelete table inet %s\n",
	    conf->firewall.name, conf->firewall.name);
	print_table(&t, conf);
	return nft_apply(&t, false);
}

static unsigned
count_of(const char *text, const char *what)
{
	unsigned n = 0;

	while ((text = strstr(text, what)) != NULL) {
		n++;
		text += strlen(what);
	}
	return n;
}

static bool
nft_check(const struct conf *conf)
{
	const char *const argv[] = { "nft", "-t", "list", "table", "inet",
		conf->firewall.name, NULL };
	char text[8192], what[32];
	unsigned protocols = 0;

	if (!tool_output(argv, text, sizeof(text)))
		return false;
	for (int s = 0; s < N_SETS; s++) {
		snprintf(what, sizeof(what), "set %s {", sets[s]);
		if (count_of(text, what) != 1)
			return false;
		snprintf(what, sizeof(what), "@%s ", sets[s]);
		if (count_of(text, what) != 1)
			return false;
	}
	while (conf->firewall.protocols[protocols] != NULL)
		protocols++;
	return count_of(text, "jump offenders") == protocols &&
	    count_of(text, "hook input") == 1;
}

/* A new ttl needs the old element away, which must be there to be deleted;
 * all in one transaction, so nobody slips through. */
static void
print_entry(struct tool_text *t, const struct conf *conf,
    const struct fw_entry *e)
{
	const char *name = conf->firewall.name;
	int s = set_of(conf, &e->addr);
	char addr[ADDR_STRLEN];

	element(s, &e->addr, addr);
	tool_printf(t, "add element inet %s %s { %s timeout 1h }\n"
		       "delete element inet %s %s { %s }\n",
	    name, sets[s], addr, name, sets[s], addr);
	if (e->ttl > 0)
		tool_printf(t, "add element inet %s %s { %s timeout %us }\n",
		    name, sets[s], addr, e->ttl);
}

/* Entries of interval sets, each by itself. */
static void
change_nets(const struct conf *conf, const struct fw_entry *e, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct tool_text t = { NULL, 0, 0 };
		char addr[ADDR_STRLEN];

		if (set_of(conf, &e[i].addr) < SET_NET4)
			continue;
		print_entry(&t, conf, &e[i]);
		if (!nft_apply(&t, true))
			log_warning("%s: not %s: it overlaps another prefix",
			    addr_format(&e[i].addr, addr),
			    e[i].ttl > 0 ? "added" : "deleted");
	}
}

static bool
nft_change(const struct conf *conf, const struct fw_entry *e, size_t n)
{
	struct tool_text t = { NULL, 0, 0 };

	for (size_t i = 0; i < n; i++)
		if (set_of(conf, &e[i].addr) < SET_NET4)
			print_entry(&t, conf, &e[i]);
	if (!nft_apply(&t, false))
		return false;
	change_nets(conf, e, n);
	return true;
}

static bool
nft_sync(const struct conf *conf, const struct fw_entry *e, size_t n)
{
	const char *name = conf->firewall.name;
	struct tool_text t = { NULL, 0, 0 };
	int open = -1;

	for (int s = 0; s < N_SETS; s++)
		tool_printf(&t, "flush set inet %s %s\n", name, sets[s]);
	for (size_t i = 0; i < n; i++) {
		int s = set_of(conf, &e[i].addr);
		char addr[ADDR_STRLEN];

		if (s >= SET_NET4)
			continue;
		if (s != open) {
			tool_printf(&t, "%sadd element inet %s %s {",
			    open >= 0 ? " }\n" : "", name, sets[s]);
			open = s;
		} else {
			tool_printf(&t, ",");
		}
		/* Lines of a readable length. */
		tool_printf(&t, "%s%s timeout %us", i % 64 == 0 ? "\n" : " ",
		    element(s, &e[i].addr, addr), e[i].ttl);
	}
	if (open >= 0)
		tool_printf(&t, " }\n");
	if (!nft_apply(&t, false))
		return false;
	change_nets(conf, e, n);
	return true;
}

static bool
nft_remove(const struct conf *conf)
{
	struct tool_text t = { NULL, 0, 0 };

	tool_printf(&t, "add table inet %s\ndelete table inet %s\n",
	    conf->firewall.name, conf->firewall.name);
	return nft_apply(&t, false);
}

const struct fw_ops fw_nft = {
	.name = "nftables",
	.tools = nft_tools,
	.check = nft_check,
	.repair = nft_repair,
	.change = nft_change,
	.sync = nft_sync,
	.remove = nft_remove,
};
