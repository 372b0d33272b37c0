/*
 * fw_ipset: iptables and ip6tables with one ipset of type hash:net per family.
 *
 * Sets are "<name>4" and "<name>6", with a timeout for each entry, so that the
 * kernel forgets even when nobody is left to tell it. One rule per family and
 * protocol refers to them, at the head of the configured chain; rules of ours
 * are known by the name of the set. A sync fills a new set and swaps it in: at
 * no time is anybody let in who should not be.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "policyd/priv/fw.h"
#include "policyd/priv/tool.h"

#define TIMEOUT_MAX 2147483u /* of ipset, seconds */
#define RULE_WORDS 64

static const char *const restore[] = { "ipset", "-exist", "restore", NULL };

static bool
ipset_expires(const struct conf *conf)
{
	(void)conf;
	return true;
}

/* Is there IPv6 in this kernel? If not, ip6tables fails. */
static bool
has_family(int family)
{
	return family == 4 || access("/proc/self/net/if_inet6", F_OK) == 0;
}

static void
print_create(struct tool_text *t, const struct conf *conf, const char *suffix)
{
	for (int family = 4; family <= 6; family += 2)
		if (has_family(family))
			tool_printf(t,
			    "create %s%d%s hash:net family %s "
			    "timeout 0 maxelem %llu\n",
			    conf->firewall.name, family, suffix,
			    family == 6 ? "inet6" : "inet",
			    (unsigned long long)conf->firewall.max_entries);
}

static void
print_entry(struct tool_text *t, const struct conf *conf, const char *suffix,
    const struct fw_entry *e)
{
	char addr[ADDR_STRLEN];
	int family = addr_is_v4(&e->addr) ? 4 : 6;

	if (!has_family(family))
		return;
	addr_format(&e->addr, addr);
	if (e->ttl == 0)
		tool_printf(t, "del %s%d%s %s\n", conf->firewall.name, family,
		    suffix, addr);
	else
		tool_printf(t, "add %s%d%s %s timeout %u\n",
		    conf->firewall.name, family, suffix, addr,
		    e->ttl < TIMEOUT_MAX ? e->ttl : TIMEOUT_MAX);
}

static bool
restore_run(struct tool_text *t, bool quiet)
{
	bool good = t->len == 0 || tool_run(restore, t, quiet);

	tool_free(t);
	return good;
}

static const char *
program(int family)
{
	return family == 4 ? "iptables" : "ip6tables";
}

struct iprule {
	char set[64], ports[128];
	const char *argv[32];
};

/* The arguments of "iptables -C|-I CHAIN ..." for one family and protocol. */
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
	*a++ = program(family);
	*a++ = "-w";
	*a++ = "10";
	*a++ = verb;
	*a++ = conf->firewall.chain;
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

/* All rules of a family, as iptables -S lists them: "-A CHAIN ..." lines. */
static bool
rules_read(int family, struct tool_text *t)
{
	const char *const argv[] = { program(family), "-w", "10", "-S", NULL };

	return tool_output(argv, t) && t->buf != NULL;
}

/* The next line that names our set, whatever else it says, cut at its end;
 * *next_r is where to go on. */
static char *
rules_next(const struct conf *conf, int family, char **next_r)
{
	char what[80];

	snprintf(what, sizeof(what), " --match-set %s%d src ",
	    conf->firewall.name, family);
	while (**next_r != '\0') {
		char *line = *next_r;
		size_t len = strcspn(line, "\n");

		*next_r += len + (line[len] == '\n');
		line[len] = '\0';
		if (strncmp(line, "-A ", 3) == 0 && strstr(line, what) != NULL)
			return line;
	}
	return NULL;
}

/* Deletes a rule that was listed so. Quoted words (somebody's comment) are not
 * in ours. */
static bool
rule_delete(int family, char *line)
{
	const char *argv[RULE_WORDS + 5] = { program(family), "-w", "10" };
	size_t n = 3;
	char *save = NULL;

	if (strchr(line, '"') != NULL)
		return false;
	for (char *w = strtok_r(line, " ", &save); w != NULL;
	     w = strtok_r(NULL, " ", &save)) {
		if (n >= RULE_WORDS + 3)
			return false;
		argv[n++] = w;
	}
	argv[3] = "-D";
	argv[n] = NULL;
	return tool_run(argv, NULL, true);
}

static size_t
rules_wanted(const struct conf *conf)
{
	size_t n = 0;

	while (conf->firewall.protocols[n] != NULL)
		n++;
	return n;
}

/* Exactly our rules? */
static bool
rules_there(const struct conf *conf, int family)
{
	struct tool_text t = { NULL, 0, 0 };
	size_t n = 0;
	char *next;

	if (!rules_read(family, &t)) {
		tool_free(&t);
		return false;
	}
	for (next = t.buf; rules_next(conf, family, &next) != NULL;)
		n++;
	tool_free(&t);
	if (n != rules_wanted(conf))
		return false;
	for (const char *const *p = conf->firewall.protocols; *p != NULL; p++)
		if (!rule_run(conf, family, *p, "-C", true))
			return false;
	return true;
}

/* New rules at the head first, then the old ones are deleted: of equal ones
 * -D takes the first, so one is left. */
static bool
rules_make(const struct conf *conf, int family)
{
	struct tool_text t = { NULL, 0, 0 };
	bool good = rules_read(family, &t);
	char *next, *line;

	for (const char *const *p = conf->firewall.protocols;
	     good && *p != NULL; p++)
		good = rule_run(conf, family, *p, "-I", false);
	for (next = t.buf;
	     good && (line = rules_next(conf, family, &next)) != NULL;)
		(void)rule_delete(family, line);
	tool_free(&t);
	return good;
}

static bool
set_there(const struct conf *conf, int family, const char *suffix)
{
	char name[64];
	const char *const argv[] = { "ipset", "list", "-n", name, NULL };

	snprintf(
	    name, sizeof(name), "%s%d%s", conf->firewall.name, family, suffix);
	return tool_run(argv, NULL, true);
}

static bool
set_destroy(const struct conf *conf, int family, const char *suffix)
{
	char name[64];
	const char *const argv[] = { "ipset", "destroy", name, NULL };

	snprintf(
	    name, sizeof(name), "%s%d%s", conf->firewall.name, family, suffix);
	return tool_run(argv, NULL, true);
}

static bool
ipset_check(const struct conf *conf)
{
	for (int family = 4; family <= 6; family += 2)
		if (has_family(family) &&
		    (!set_there(conf, family, "") ||
			!rules_there(conf, family)))
			return false;
	return true;
}

static bool
ipset_holds(const struct conf *conf, const struct fw_entry *e, size_t n)
{
	struct tool_text t = { NULL, 0, 0 };

	for (size_t i = 0; i < n; i++) {
		char addr[ADDR_STRLEN];
		int family = addr_is_v4(&e[i].addr) ? 4 : 6;

		if (has_family(family))
			tool_printf(&t, "test %s%d %s\n", conf->firewall.name,
			    family, addr_format(&e[i].addr, addr));
	}
	return restore_run(&t, true);
}

static bool
ipset_repair(const struct conf *conf)
{
	struct tool_text t = { NULL, 0, 0 };
	bool good = true;

	/* It fails where a set has another size; the sync swaps that. */
	print_create(&t, conf, "");
	(void)restore_run(&t, true);
	for (int family = 4; family <= 6; family += 2)
		if (has_family(family) && !rules_there(conf, family))
			good &= rules_make(conf, family);
	return good;
}

static bool
ipset_change(const struct conf *conf, struct fw_entry *e, size_t n)
{
	struct tool_text t = { NULL, 0, 0 };

	for (size_t i = 0; i < n; i++)
		print_entry(&t, conf, "", &e[i]);
	return restore_run(&t, false);
}

static bool
ipset_sync(const struct conf *conf, const struct fw_entry *e, size_t n)
{
	struct tool_text t = { NULL, 0, 0 };

	/* Left by one that was interrupted. */
	for (int family = 4; family <= 6; family += 2)
		(void)set_destroy(conf, family, "n");
	print_create(&t, conf, "n");
	for (size_t i = 0; i < n; i++)
		print_entry(&t, conf, "n", &e[i]);
	for (int family = 4; family <= 6; family += 2)
		if (has_family(family))
			tool_printf(&t, "swap %s%dn %s%d\ndestroy %s%dn\n",
			    conf->firewall.name, family, conf->firewall.name,
			    family, conf->firewall.name, family);
	return restore_run(&t, false);
}

static bool
ipset_remove(const struct conf *conf)
{
	bool good = true;

	for (int family = 4; family <= 6; family += 2) {
		struct tool_text t = { NULL, 0, 0 };
		char *next, *line;

		if (!has_family(family))
			continue;
		if (rules_read(family, &t))
			for (next = t.buf;
			     (line = rules_next(conf, family, &next)) != NULL;)
				good &= rule_delete(family, line);
		tool_free(&t);
		(void)set_destroy(conf, family, "n");
		if (set_there(conf, family, ""))
			good &= set_destroy(conf, family, "");
	}
	return good;
}

const struct fw_ops fw_ipset = {
	.expires = ipset_expires,
	.check = ipset_check,
	.holds = ipset_holds,
	.repair = ipset_repair,
	.change = ipset_change,
	.sync = ipset_sync,
	.remove = ipset_remove,
};
