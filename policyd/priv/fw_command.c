/*
 * fw_command: any program, once for each entry, by argument templates from the
 * configuration. {address}, {family} (4 or 6) and {ttl} (seconds) are replaced
 * inside arguments; nothing is ever split into words. The program's rules are
 * its own business: there is nothing to check, and what it was told to add is
 * remembered here, so that a sync and the end of a ttl can delete it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/core/log.h"
#include "lib/core/xalloc.h"
#include "policyd/priv/fw.h"
#include "policyd/priv/tool.h"

#define ARGS_MAX 64
#define ARG_LEN 256

struct added {
	struct addr addr;
	time_t until;
	bool keep; /* in the sync under way */
};

static struct added *added;
static size_t n_added;

static int
command_tools(const struct conf *conf, struct errbuf *err)
{
	if (!tool_exists(conf->firewall.add[0]) ||
	    !tool_exists(conf->firewall.del[0]))
		return errbuf_set(err, "firewall backend \"command\": %s: no "
				       "such program",
		    tool_exists(conf->firewall.add[0]) ? conf->firewall.del[0]
						       : conf->firewall.add[0]);
	return 0;
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
run_one(const char *const *tmpl, const struct addr *a, uint32_t ttl)
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
	return tool_run(argv, NULL, false);
}

static struct added *
added_find(const struct addr *a)
{
	for (size_t i = 0; i < n_added; i++)
		if (addr_equal(&added[i].addr, a))
			return &added[i];
	return NULL;
}

static bool
delete_one(const struct conf *conf, struct added *one)
{
	struct addr a = one->addr;

	*one = added[--n_added];
	return run_one(conf->firewall.del, &a, 0);
}

static bool
change_one(const struct conf *conf, const struct fw_entry *e)
{
	struct added *one = added_find(&e->addr);

	if (e->ttl == 0)
		return one == NULL || delete_one(conf, one);
	if (one == NULL) {
		if (!run_one(conf->firewall.add, &e->addr, e->ttl))
			return false;
		added = x_reallocarray(added, n_added + 1, sizeof(*added));
		one = &added[n_added++];
		one->addr = e->addr;
	}
	one->until = time(NULL) + (time_t)e->ttl;
	one->keep = true;
	return true;
}

/* The program may not know of time. */
static bool
command_check(const struct conf *conf)
{
	time_t now = time(NULL);

	for (size_t i = n_added; i-- > 0;)
		if (added[i].until <= now)
			(void)delete_one(conf, &added[i]);
	return true;
}

static bool
command_change(const struct conf *conf, const struct fw_entry *e, size_t n)
{
	bool good = true;

	for (size_t i = 0; i < n; i++)
		good &= change_one(conf, &e[i]);
	return good;
}

static bool
command_sync(const struct conf *conf, const struct fw_entry *e, size_t n)
{
	bool good;

	for (size_t i = 0; i < n_added; i++)
		added[i].keep = false;
	good = command_change(conf, e, n);
	for (size_t i = n_added; i-- > 0;)
		if (!added[i].keep)
			good &= delete_one(conf, &added[i]);
	return good;
}

static bool
command_repair(const struct conf *conf)
{
	(void)conf;
	return true;
}

static bool
command_remove(const struct conf *conf)
{
	bool good = true;

	while (n_added > 0)
		good &= delete_one(conf, &added[n_added - 1]);
	free(added);
	added = NULL;
	return good;
}

const struct fw_ops fw_command = {
	.name = "command",
	.tools = command_tools,
	.check = command_check,
	.repair = command_repair,
	.change = command_change,
	.sync = command_sync,
	.remove = command_remove,
};
