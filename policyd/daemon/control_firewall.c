/*
 * control_firewall: `firewall check` and `firewall repair`. The helper's tools
 * take their time, so the client waits, as others do for the store.
 */
#include "lib/core/privmsg.h"
#include "lib/io/loop.h"
#include "policyd/daemon/control_int.h"

static void
control_firewall_done(void *ctx, int result)
{
	struct control_client *c = ctx;
	bool repair = c->all;

	c->firewall = false;
	if (c->state != CONTROL_PENDING)
		return;
	switch (result) {
	case PRIVMSG_OK:
		control_answer(c, "ok", "all rules and sets are there");
		break;
	case PRIVMSG_MISSING:
		control_answer(c, "no",
		    repair ? "something was missing, and has been made anew"
			   : "something is missing");
		break;
	case PRIVMSG_OFF:
		control_answer(c, "error", "the firewall is off");
		break;
	default:
		control_answer(c, "error",
		    result < 0
			? "the helper is gone"
			: "the firewall's tools failed; the log says why");
		break;
	}
}

static void
control_firewall(struct control_client *c, bool repair)
{
	struct control *s = c->server;
	struct errbuf err = { "" };

	if (!s->hooks->firewall(
		s->ctx, repair, control_firewall_done, c, &err)) {
		control_answer(c, "error", "the firewall is off: %s", err.text);
		return;
	}
	(void)control_pend(c);
	c->all = repair;
	c->firewall = true;
	c->deadline = loop_mono(s->loop) + CONTROL_FIREWALL;
}

void
control_firewall_check(struct control_client *c, const struct record *req)
{
	(void)req;
	control_firewall(c, false);
}

void
control_firewall_repair(struct control_client *c, const struct record *req)
{
	(void)req;
	control_firewall(c, true);
}
