/*
 * fw_ipset: iptables and ip6tables with one ipset of type hash:net per family.
 *
 * Sets are "<name>4" and "<name>6", with a timeout for each entry, so that the
 * kernel forgets even when nobody is left to tell it. One rule per family and
 * protocol refers to them, at the head of the configured chain. A sync fills a
 * new set and swaps it in: at no time is anybody let in who should not be.
 */
#include <stdio.h>
#include <string.h>

#include "policyd/priv/fw.h"
#include "policyd/priv/tool.h"

#define TIMEOUT_MAX 2147483u /* of ipset, seconds */

static const char *const restore[] = { "ipset", "-exist", "restore", NULL };

static int
ipset_tools(const struct conf *conf, struct errbuf *err)
{
	static const char *const tools[] = { "ipset", "iptables", "ip6tables" };

	(void)conf;
	for (size_t i = 0; i < 3; i++)
		if (!tool_exists(tools[i]))
			return errbuf_set(err, "firewall backend \"iptables\": "
					       "%s is not installed", tools[i]);
	return 0;
}

static void
print_create(struct tool_text *t, const struct conf *conf, const char *suffix)
{
	for (int v6 = 0; v6 < 2; v6++)
		tool_printf(t, "create %s%d%s hash:net family %s timeout 0 "
			       "maxelem %llu\n", conf->firewall.name,
		    v6 ? 6 : 4, suffix, v6 ? "inet6" : "inet",
		    (unsigned long long)conf->firewall.max_entries);
}

static void
print_entry(struct tool_text *t, const struct conf *conf, const char *suffix,
    const struct fw_entry *e)
{
	char addr[ADDR_STRLEN];
	int family = addr_is_v4(&e->addr) ? 4 : 6;

	addr_format(&e->addr, addr);
	if (e->ttl == 0)
		tool_printf(t, "del %s%d%s %s\n", conf->firewall.name, family,
		    suffix, addr);
	else
		tool_printf(t, "add %s%d%s %s timeout %u\n",
		    conf->firewall.name, family, suffix, addr,
		    e->ttl < TIMEOUT_MAX ? e->ttl : TIMEOUT_MAX);
}

struct iprule {
	char set[64], ports[128];
	const char *argv[32];
};

/* The arguments of "iptables -C|-I|-D CHAIN ..." for one family and protocol. */
static void
rule_fill(struct iprule *r, const struct conf *conf, int family,
    const char *protocol, const char *verb)
{
	const char **a = r->argv;

	snprintf(r->set, sizeof(r->set), "%s%d", conf->firewall.name, family);
	r->ports[0] = '\0';
	for (const char *const *p = conf->firewall.ports; *p != NULL; p++) {
		size_t n = strlen(r->ports);

		snprintf(r->ports + n, sizeof(r->ports) - n, "%s%s",
		    n > 0 ? "," : "", *p);
	}
	*a++ = family == 4 ? "iptables" : "ip6tables";
	*a++ = "-w";
	*a++ = "10";
	*a++ = verb;
	*a++ = conf->firewall.chain;
	if (strcmp(verb, "-I") == 0)
		*a++ = "1";
	*a++ = "-p";
	*a++ = protocol;
	*a++ = "-m";
	*a++ = "multiport";
	*a++ = "--dports";
	*a++ = r->ports;
	*a++ = "-m";
	*a++ = "set";
	*a++ = "--match-set";
	*a++ = r->set;
	*a++ = "src";
	*a++ = "-j";
	if (conf->firewall.reset && strcmp(protocol, "tcp") == 0) {
		*a++ = "REJECT";
		*a++ = "--reject-with";
		*a++ = "tcp-reset";
	} else {
		*a++ = "DROP";
	}
	*a = NULL;
}

static bool
rule_run(const struct conf *conf, int family, const char *protocol,
    const char *verb, bool quiet)
{
	struct iprule r;

	rule_fill(&r, conf, family, protocol, verb);
	return tool_run(r.argv, NULL, quiet);
}

static bool
set_there(const struct conf *conf, int family)
{
	char name[64];
	const char *const argv[] = { "ipset", "list", "-n", name, NULL };

	snprintf(name, sizeof(name), "%s%d", conf->firewall.name, family);
	return tool_run(argv, NULL, true);
}

static bool
ipset_check(const struct conf *conf)
{
	for (int family = 4; family <= 6; family += 2) {
		if (!set_there(conf, family))
			return false;
		for (const char *const *p = conf->firewall.protocols;
		     *p != NULL; p++)
			if (!rule_run(conf, family, *p, "-C", true))
				return false;
	}
	return true;
}

static bool
ipset_repair(const struct conf *conf)
{
	struct tool_text t = { NULL, 0, 0 };
	bool good;

	print_create(&t, conf, "");
	good = tool_run(restore, &t, false);
	tool_free(&t);
	for (int family = 4; good && family <= 6; family += 2)
		for (const char *const *p = conf->firewall.protocols;
		     good && *p != NULL; p++)
			good = rule_run(conf, family, *p, "-C", true) ||
			    rule_run(conf, family, *p, "-I", false);
	return good;
}

static bool
ipset_change(const struct conf *conf, const struct fw_entry *e, size_t n)
{
	struct tool_text t = { NULL, 0, 0 };
	bool good;

	for (size_t i = 0; i < n; i++)
		print_entry(&t, conf, "", &e[i]);
	good = tool_run(restore, &t, false);
	tool_free(&t);
	return good;
}

static bool
ipset_sync(const struct conf *conf, const struct fw_entry *e, size_t n)
{
	struct tool_text t = { NULL, 0, 0 };
	const char *name = conf->firewall.name;
	bool good;

	print_create(&t, conf, "");
	print_create(&t, conf, "n");
	for (int family = 4; family <= 6; family += 2)
		tool_printf(&t, "flush %s%dn\n", name, family);
	for (size_t i = 0; i < n; i++)
		print_entry(&t, conf, "n", &e[i]);
	for (int family = 4; family <= 6; family += 2)
		tool_printf(&t, "swap %s%dn %s%d\ndestroy %s%dn\n", name,
		    family, name, family, name, family);
	good = tool_run(restore, &t, false);
	tool_free(&t);
	return good;
}

static bool
ipset_remove(const struct conf *conf)
{
	bool good = true;

	for (int family = 4; family <= 6; family += 2) {
		char name[64];
		const char *const destroy[] = { "ipset", "destroy", name,
			NULL };

		for (const char *const *p = conf->firewall.protocols;
		     *p != NULL; p++)
			while (rule_run(conf, family, *p, "-D", true))
				;
		snprintf(name, sizeof(name), "%s%d", conf->firewall.name,
		    family);
		if (set_there(conf, family))
			good &= tool_run(destroy, NULL, false);
	}
	return good;
}

const struct fw_ops fw_ipset = {
	.name = "iptables",
	.tools = ipset_tools,
	.check = ipset_check,
	.repair = ipset_repair,
	.change = ipset_change,
	.sync = ipset_sync,
	.remove = ipset_remove,
};
