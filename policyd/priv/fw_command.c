/*
 * fw_command: any program, once for each entry, by argument templates from the
 * configuration. {address}, {family} (4 or 6) and {ttl} (seconds) are replaced
 * inside arguments; nothing is ever split into words. The program's rules are
 * its own business: there is nothing to check.
 *
 * A program that is told the ttl is trusted to end by itself what it adds.
 * Else entries are deleted when their time is over, and when the daemon ends,
 * in whatever way.
 */
#include <stdio.h>
#include <string.h>

#include "lib/core/log.h"
#include "policyd/priv/fw.h"
#include "policyd/priv/priv.h"
#include "policyd/priv/tool.h"

#define ARGS_MAX 64
#define ARG_LEN 256

static bool
command_expires(const struct conf *conf)
{
	for (const char *const *p = conf->firewall.add; *p != NULL; p++)
		if (strstr(*p, "{ttl}") != NULL)
			return true;
	return false;
}

static bool
expand(const char *tmpl, const char *address, int family, uint32_t ttl,
    char out[ARG_LEN])
{
	size_t n = 0;

	while (*tmpl != '\0') {
		char value[ADDR_STRLEN] = "";
		size_t skip = 1;

		if (strncmp(tmpl, "{address}", 9) == 0) {
			snprintf(value, sizeof(value), "%s", address);
			skip = 9;
		} else if (strncmp(tmpl, "{family}", 8) == 0) {
			snprintf(value, sizeof(value), "%d", family);
			skip = 8;
		} else if (strncmp(tmpl, "{ttl}", 5) == 0) {
			snprintf(value, sizeof(value), "%u", ttl);
			skip = 5;
		} else {
			value[0] = *tmpl;
		}
		if (n + strlen(value) >= ARG_LEN)
			return false;
		memcpy(out + n, value, strlen(value));
		n += strlen(value);
		tmpl += skip;
	}
	out[n] = '\0';
	return true;
}

static bool
run_one(const char *const *tmpl, const struct addr *a, uint32_t ttl, bool quiet)
{
	char text[ARGS_MAX][ARG_LEN], address[ADDR_STRLEN];
	const char *argv[ARGS_MAX + 1];
	size_t n;

	addr_format(a, address);
	for (n = 0; n < ARGS_MAX && tmpl[n] != NULL; n++) {
		if (!expand(tmpl[n], address, addr_is_v4(a) ? 4 : 6, ttl,
			text[n])) {
			log_error("firewall: argument %zu is too long", n);
			return false;
		}
		argv[n] = text[n];
	}
	argv[n] = NULL;
	return tool_run(argv, NULL, quiet);
}

static bool
change_one(const struct conf *conf, const struct fw_entry *e)
{
	if (e->ttl == 0)
		return !e->known ||
		    run_one(conf->firewall.del, &e->addr, 0, false);
	if (e->same || (e->known && !command_expires(conf)))
		return true; /* the latter is there until we delete it */
	/* A new time for it: the program may know only the old one. */
	if (e->known)
		(void)run_one(conf->firewall.del, &e->addr, 0, true);
	return run_one(conf->firewall.add, &e->addr, e->ttl, false);
}

static bool
command_change(const struct conf *conf, struct fw_entry *e, size_t n)
{
	bool good = true;

	for (size_t i = 0; i < n; i++) {
		/* Nothing more is begun for a daemon that has gone. */
		e[i].failed = (e[i].ttl > 0 && priv_is_over()) ||
		    !change_one(conf, &e[i]);
		good &= !e[i].failed;
	}
	return good;
}

static bool
command_check(const struct conf *conf)
{
	(void)conf;
	return true;
}

static bool
command_holds(const struct conf *conf, const struct fw_entry *e, size_t n)
{
	(void)conf;
	(void)e;
	(void)n;
	return true;
}

const struct fw_ops fw_command = {
	.expires = command_expires,
	.check = command_check,
	.holds = command_holds,
	.repair = command_check,
	.change = command_change,
};
