/*
 * preflight: see preflight.h. In the core because helper, daemon and admin
 * command all ask; it looks at files, and starts nothing.
 */
#include "lib/core/preflight.h"

#include <stddef.h>
#include <unistd.h>

#include "lib/core/program.h"

static int
missing(const char *backend, const char *program, struct errbuf *err)
{
	return errbuf_set(err,
	    "option 'backend': \"%s\" needs the program %s, "
	    "which is not installed",
	    backend, program);
}

int
preflight_tools(const struct conf *conf, struct errbuf *err)
{
	static const char *const iptables[] = { "iptables", "ip6tables",
		"ipset", NULL };
	static const char *const nftables[] = { "nft", NULL };
	const char *const commands[] = { conf->firewall.add[0],
		conf->firewall.del[0], NULL };
	static const char *const names[] = { "none", "iptables", "nftables",
		"command" };
	const char *const *p = NULL;

	switch (conf->firewall.backend) {
	case CONF_FIREWALL_NONE:
		return 0;
	case CONF_FIREWALL_IPTABLES:
		p = iptables;
		break;
	case CONF_FIREWALL_NFTABLES:
		p = nftables;
		break;
	case CONF_FIREWALL_COMMAND:
		p = commands;
		break;
	}
	for (; p != NULL && *p != NULL; p++)
		if (!program_exists(*p))
			return missing(names[conf->firewall.backend], *p, err);
	return 0;
}

int
preflight_check(const struct conf *conf, struct errbuf *err)
{
	struct conf *trusted;

	if (conf->firewall.backend == CONF_FIREWALL_NONE)
		return 0;
	if (preflight_tools(conf, err) != 0)
		return -1;
	if (!program_exists(conf->helper))
		return errbuf_set(
		    err, "option 'helper': %s: no such program", conf->helper);
	if (geteuid() != 0)
		return 0; /* it may be root's business to start it */
	trusted = conf_read_trusted(conf->file, err);
	if (trusted == NULL)
		return -1;
	conf_destroy(&trusted);
	return 0;
}
