/*
 * fw_nft: one nftables table of ours, every change one transaction.
 *
 * A set for each family and prefix length that occurs, matched with the
 * length's mask: hash sets, into which 100,000 entries go in a fraction of a
 * second, and in which prefixes may overlap (interval sets refuse that). The
 * lengths under which clients are scored always have theirs; others appear
 * with the first prefix set by hand.
 *
 * A sync makes the whole table anew within one transaction, so it does not
 * matter what was there, and nobody slips through. How the table then looks is
 * remembered: a check compares.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/core/xalloc.h"
#include "policyd/priv/fw.h"
#include "policyd/priv/tool.h"

#define TIMEOUT_MAX 31536000u /* seconds; nft takes no ten years */

static const char *const apply[] = { "nft", "-f", "-", NULL };

/* For each family, a bit of which lengths there are sets. */
static bool lengths[2][129];
static char *expected; /* the listing without elements; NULL: no table */

static bool
nft_expires(const struct conf *conf)
{
	(void)conf;
	return true;
}

/* A list of statements, elements of one set joined to one of them. */
struct script {
	struct tool_text text;
	const char *name; /* of the table */
	int family;	  /* of the list that is open; -1: none */
	unsigned len;
	unsigned n; /* elements in it */
};

static void
script_begin(struct script *s, const struct conf *conf)
{
	memset(s, 0, sizeof(*s));
	s->name = conf->firewall.name;
	s->family = -1;
}

static void
script_close_list(struct script *s)
{
	if (s->family >= 0)
		tool_printf(&s->text, " }\n");
	s->family = -1;
}

/* Without its length, which the set implies. */
static char *
element(const struct addr *a, char buf[ADDR_STRLEN])
{
	addr_format(a, buf);
	buf[strcspn(buf, "/")] = '\0';
	return buf;
}

static void
script_add(struct script *s, const struct addr *a, uint32_t ttl)
{
	int family = addr_is_v4(a) ? 0 : 1;
	unsigned len = addr_prefix_len(a);
	char addr[ADDR_STRLEN];

	if (s->family != family || s->len != len || s->n >= 10000) {
		script_close_list(s);
		tool_printf(&s->text, "add element inet %s v%d_%u {", s->name,
		    family ? 6 : 4, len);
		s->family = family;
		s->len = len;
		s->n = 0;
	}
	/* Lines of a readable length. */
	tool_printf(&s->text, "%s%s%s timeout %us", s->n > 0 ? "," : "",
	    s->n % 64 == 63 ? "\n" : " ", element(a, addr),
	    ttl < TIMEOUT_MAX ? ttl : TIMEOUT_MAX);
	s->n++;
}

/* What cannot fail: only what is there can be deleted. */
static void
script_delete(struct script *s, const struct addr *a)
{
	char addr[ADDR_STRLEN];
	int v = addr_is_v4(a) ? 4 : 6;
	unsigned len = addr_prefix_len(a);

	script_close_list(s);
	element(a, addr);
	tool_printf(&s->text,
	    "add element inet %s v%d_%u { %s timeout 1h }\n"
	    "delete element inet %s v%d_%u { %s }\n",
	    s->name, v, len, addr, s->name, v, len, addr);
}

static bool
script_run(struct script *s)
{
	bool good;

	script_close_list(s);
	good = s->text.len == 0 || tool_run(apply, &s->text, false);
	tool_free(&s->text);
	return good;
}

/* The netmask of a length as text. */
static char *
mask_text(bool v6, unsigned len, char buf[ADDR_STRLEN])
{
	uint8_t bytes[16];

	memset(bytes, 0, sizeof(bytes));
	for (unsigned i = 0; i < len; i++)
		bytes[i / 8] |= (uint8_t)(0x80 >> (i % 8));
	inet_ntop(v6 ? AF_INET6 : AF_INET, bytes, buf, ADDR_STRLEN);
	return buf;
}

static void
print_sets(struct tool_text *t, const struct conf *conf)
{
	for (int v6 = 0; v6 < 2; v6++)
		for (unsigned len = 0; len <= 128; len++)
			if (lengths[v6][len])
				tool_printf(t,
				    "\tset v%d_%u { type %s; flags "
				    "timeout; size %llu; }\n",
				    v6 ? 6 : 4, len,
				    v6 ? "ipv6_addr" : "ipv4_addr",
				    (unsigned long long)
					conf->firewall.max_entries);
}

static void
print_chains(struct tool_text *t, const struct conf *conf)
{
	const char *const *p, *const *pr = conf->firewall.protocols;
	char mask[ADDR_STRLEN];

	tool_printf(t,
	    "\tchain refuse {\n%s\t\tdrop\n\t}\n"
	    "\tchain offenders {\n",
	    conf->firewall.reset
		? "\t\tmeta l4proto tcp reject with tcp reset\n"
		: "");
	for (int v6 = 0; v6 < 2; v6++)
		for (unsigned len = 0; len <= 128; len++) {
			bool host = len == (v6 ? 128 : 32);

			if (lengths[v6][len])
				tool_printf(t,
				    "\t\t%s saddr %s%s @v%d_%u goto "
				    "refuse\n",
				    v6 ? "ip6" : "ip", host ? "" : "& ",
				    host ? "" : mask_text(v6, len, mask),
				    v6 ? 6 : 4, len);
		}
	tool_printf(t,
	    "\t}\n\tchain input {\n\t\ttype filter hook input "
	    "priority filter - 10; policy accept;\n");
	for (; *pr != NULL; pr++) {
		tool_printf(t, "\t\t%s dport { ", *pr);
		for (p = conf->firewall.ports; *p != NULL; p++)
			tool_printf(t, "%s%s",
			    p == conf->firewall.ports ? "" : ", ", *p);
		tool_printf(t, " } jump offenders\n");
	}
	tool_printf(t, "\t}\n");
}

static void
print_table(struct script *s, const struct conf *conf)
{
	tool_printf(&s->text, "table inet %s {\n", s->name);
	print_sets(&s->text, conf);
	print_chains(&s->text, conf);
	tool_printf(&s->text, "}\n");
}

static bool *
length_of(const struct addr *a)
{
	return &lengths[addr_is_v4(a) ? 0 : 1][addr_prefix_len(a)];
}

/* Sets for the lengths of what is to be added; true if there is a new one. */
static bool
lengths_add(const struct fw_entry *e, size_t n)
{
	bool new = false;

	for (size_t i = 0; i < n; i++) {
		bool *there = length_of(&e[i].addr);

		new |= !*there &&e[i].ttl > 0;
		*there |= e[i].ttl > 0;
	}
	return new;
}

static void
lengths_begin(const struct conf *conf)
{
	memset(lengths, 0, sizeof(lengths));
	lengths[0][32] = lengths[1][128] = true;
	lengths[0][conf->ipv4_prefix] = true;
	lengths[1][conf->ipv6_prefix] = true;
}

/* How the table looks, without elements and comments; the caller frees it. */
static char *
listing(const struct conf *conf)
{
	const char *const argv[] = { "nft", "-t", "list", "table", "inet",
		conf->firewall.name, NULL };
	struct tool_text t = { NULL, 0, 0 };
	char *to;

	if (!tool_output(argv, &t)) {
		tool_free(&t);
		return NULL;
	}
	to = t.buf;
	for (const char *from = t.buf; *from != '\0';) {
		if (*from == '#')
			from += strcspn(from, "\n");
		else
			*to++ = *from++;
	}
	*to = '\0';
	return t.buf;
}

static void
expect(const struct conf *conf)
{
	free(expected);
	expected = listing(conf);
}

static bool
nft_check(const struct conf *conf)
{
	char *now = listing(conf);
	bool same =
	    now != NULL && expected != NULL && strcmp(now, expected) == 0;

	free(now);
	return same;
}

static bool
nft_holds(const struct conf *conf, const struct fw_entry *e, size_t n)
{
	struct tool_text t = { NULL, 0, 0 };
	bool good;

	for (size_t i = 0; i < n; i++) {
		char addr[ADDR_STRLEN];

		tool_printf(&t, "get element inet %s v%d_%u { %s }\n",
		    conf->firewall.name, addr_is_v4(&e[i].addr) ? 4 : 6,
		    addr_prefix_len(&e[i].addr), element(&e[i].addr, addr));
	}
	good = tool_run(apply, &t, true);
	tool_free(&t);
	return good;
}

/* The sync does it all. */
static bool
nft_repair(const struct conf *conf)
{
	(void)conf;
	return true;
}

static bool
nft_change(const struct conf *conf, struct fw_entry *e, size_t n)
{
	struct script s;
	bool new = lengths_add(e, n), good;

	script_begin(&s, conf);
	if (new) {
		tool_printf(&s.text,
		    "flush chain inet %s input\n"
		    "flush chain inet %s offenders\n"
		    "flush chain inet %s refuse\n",
		    s.name, s.name, s.name);
		print_table(&s, conf);
	}
	/* A new ttl needs the old element away. */
	for (size_t i = 0; i < n; i++)
		if ((e[i].known || e[i].ttl == 0) && *length_of(&e[i].addr))
			script_delete(&s, &e[i].addr);
	for (size_t i = 0; i < n; i++)
		if (e[i].ttl > 0)
			script_add(&s, &e[i].addr, e[i].ttl);
	good = script_run(&s);
	if (good && new)
		expect(conf);
	return good;
}

static bool
nft_sync(const struct conf *conf, const struct fw_entry *e, size_t n)
{
	struct script s;

	lengths_begin(conf);
	(void)lengths_add(e, n);
	script_begin(&s, conf);
	tool_printf(&s.text, "add table inet %s\ndelete table inet %s\n",
	    s.name, s.name);
	print_table(&s, conf);
	for (size_t i = 0; i < n; i++)
		script_add(&s, &e[i].addr, e[i].ttl);
	if (!script_run(&s))
		return false;
	expect(conf);
	return true;
}

static bool
nft_remove(const struct conf *conf)
{
	struct script s;

	free(expected);
	expected = NULL;
	script_begin(&s, conf);
	tool_printf(&s.text, "add table inet %s\ndelete table inet %s\n",
	    s.name, s.name);
	return script_run(&s);
}

const struct fw_ops fw_nft = {
	.expires = nft_expires,
	.check = nft_check,
	.holds = nft_holds,
	.repair = nft_repair,
	.change = nft_change,
	.sync = nft_sync,
	.remove = nft_remove,
};
