/*
 * verbs_change: the verbs that change something in the daemon: block, unblock,
 * forgive, allow, reload, firewall. The daemon decides who may.
 */
#include <string.h>

#include "lib/core/log.h"
#include "lib/core/num.h"
#include "policyd/ctl/client.h"
#include "policyd/ctl/ctl.h"
#include "policyd/ctl/request.h"

#define FIREWALL_WAIT 100 /* seconds; the daemon gives up before that */

static enum ctl_status
change_run(const struct ctl *ctl, struct record_out *req)
{
	return request_run(ctl, req, CLIENT_TIMEOUT, NULL, NULL, true);
}

static enum ctl_status
change_address(const struct ctl *ctl, const char *kind, const char *address)
{
	struct record_out req = { 0 };

	record_begin(&req, kind);
	record_str(&req, "address", address);
	return change_run(ctl, &req);
}

enum ctl_status
verb_block(const struct ctl *ctl)
{
	struct record_out req = { 0 };
	double seconds;

	if (ctl->duration != NULL &&
	    !num_parse_duration(ctl->duration, &seconds)) {
		log_error("block: '%s' is not a duration: write 90s, 10m, 1h, "
			  "7d",
		    ctl->duration);
		return CTL_ERROR;
	}
	record_begin(&req, "block");
	record_str(&req, "address", ctl->argv[0]);
	if (ctl->level != NULL)
		record_str(&req, "level", ctl->level);
	if (ctl->duration != NULL)
		record_duration(&req, "duration", seconds);
	if (ctl->reason != NULL)
		record_str(&req, "reason", ctl->reason);
	return change_run(ctl, &req);
}

enum ctl_status
verb_unblock(const struct ctl *ctl)
{
	struct record_out req = { 0 };

	if (ctl->all == (ctl->argc > 0)) {
		log_error("unblock: give an address, or --all");
		return CTL_ERROR;
	}
	if (!ctl->all)
		return change_address(ctl, "unblock", ctl->argv[0]);
	record_begin(&req, "unblock");
	record_bool(&req, "all", true);
	return change_run(ctl, &req);
}

enum ctl_status
verb_forgive(const struct ctl *ctl)
{
	return change_address(ctl, "forgive", ctl->argv[0]);
}

enum ctl_status
verb_allow(const struct ctl *ctl)
{
	const char *what = ctl->argv[0];
	bool list = strcmp(what, "list") == 0;

	if (ctl->argc != (list ? 1 : 2) ||
	    (!list && strcmp(what, "add") != 0 && strcmp(what, "del") != 0)) {
		log_error("allow: write 'allow add ADDR[/LEN]', "
			  "'allow del ADDR[/LEN]' or 'allow list'");
		return CTL_ERROR;
	}
	if (list)
		return verb_allow_list(ctl);
	return change_address(ctl,
	    strcmp(what, "add") == 0 ? "allow-add" : "allow-del", ctl->argv[1]);
}

enum ctl_status
verb_reload(const struct ctl *ctl)
{
	struct record_out req = { 0 };

	record_begin(&req, "reload");
	return change_run(ctl, &req);
}

enum ctl_status
verb_firewall(const struct ctl *ctl)
{
	bool repair = strcmp(ctl->argv[0], "repair") == 0;
	struct record_out req = { 0 };

	if (!repair && strcmp(ctl->argv[0], "check") != 0) {
		log_error("firewall: write 'firewall check' or "
			  "'firewall repair'");
		return CTL_ERROR;
	}
	record_begin(&req, repair ? "firewall-repair" : "firewall-check");
	return request_run(ctl, &req, FIREWALL_WAIT, NULL, NULL, true);
}
