/* control: requests, permissions, answers that come later or never. */
#include "lib/core/privmsg.h"
#include "t/unit/control_fake.h"

static void
test_requests(void)
{
	static const char text[] = "list\tlevel=snone\n";
	struct conn *c = client(4711);

	ok(said(c, "mxwarden 1 "), "a greeting with the protocol's version");
	for (size_t i = 1; i < sizeof(text) - 1; i++)
		if (server.handler->input(c->ctx, c, text, i, false) != 0)
			break;
	ok(!c->closed && !c->held, "a part of a request waits for the rest");
	is_int(input(c, text), sizeof(text) - 1, "the whole is taken");
	fire(LOOP_WORK);
	answers(c, "\nok\t", "and answered");

	c = request("frobnicate\n");
	answers(c, "\nerror\ttext=sthis daemon has no command 'frobnicate'",
	    "an unknown command");
	c = request("block\taddress\n");
	answers(c, "\nerror\ttext=sthe request has a bad form", "a bad form");
	c = request("\n");
	answers(c, "\nerror\t", "an empty line");
	c = request("show\n");
	answers(c, "\nerror\ttext=swrong number of arguments", "too few");
	c = request("status\ta=s\n");
	answers(c, "\nerror\ttext=swrong number of arguments", "too many");
	c = request("show\tname=s192.0.2.1\n");
	answers(c, "\nerror\ttext=san address is missing", "another argument");
	c = request("show\taddress=sexample.com\n");
	answers(c, "\nerror\ttext=s'example.com' is not an IP address",
	    "a name is no address");
	c = request("status\n");
	ok(said(c, "\ndaemon\tversion=sx\n") &&
		said(c, "\ncontrol\tclients=n1"),
	    "status: what main adds, and our own");
	is_int(input(c, "reload\n"), 7, "more is taken");
	is_int(reloads, 0, "and does nothing");
	answers(c, "\nok\t", "status ends");
	c = client(0);
	ok(server.handler->input(c->ctx, c, "status", 6, true) == CONN_CLOSE,
	    "half a request and then the end: closed");
	leave(c);
	c = request("help\n");
	ok(said(c, "name=sblock\twrites=b1") &&
		said(c, "name=slist\twrites=b0"),
	    "the table of commands");
	answers(c, "\nok\t", "help ends");
}

static void
test_permissions(void)
{
	static const char *const writes[] = { "reload\n",
		"block\taddress=s192.0.2.1\n", "unblock\taddress=s192.0.2.1\n",
		"unblock\tall=b1\n", "forgive\taddress=s192.0.2.1\n",
		"allow-add\taddress=s192.0.2.1\n",
		"allow-del\taddress=s192.0.2.1\n" };
	static const char *const reads[] = { "status\n", "list\n", "top\n",
		"show\taddress=s192.0.2.1\n", "watch\n", "allow-list\n",
		"help\n" };
	const uid_t other = geteuid() + 4711;
	struct conn *c;

	for (size_t i = 0; i < sizeof(writes) / sizeof(writes[0]); i++) {
		last.ticket = 0;
		reloads = 0;
		c = client(other);
		input(c, writes[i]);
		ok(last.ticket == 0 && reloads == 0, "nothing is done");
		answers(c, "\nerror\ttext=spermission denied",
		    "another user may not: %.3s", writes[i]);
		c = client(other);
		c->in_group = true;
		input(c, writes[i]);
		ok(!said(c, "permission denied") && last.ticket + reloads > 0,
		    "a member of the group may");
		leave(c);
		c = client(geteuid());
		input(c, writes[i]);
		ok(!said(c, "permission denied"), "the daemon's user may");
		leave(c);
	}
	for (size_t i = 0; i < sizeof(reads) / sizeof(reads[0]); i++) {
		c = client(other);
		input(c, reads[i]);
		ok(!said(c, "permission denied"), "whoever connects may: %.3s",
		    reads[i]);
		leave(c);
	}
	fire(LOOP_WORK);
}

static int
count(const struct conn *c, const char *text)
{
	int n = 0;

	for (const char *p = c->out; (p = strstr(p, text)) != NULL; p++)
		n++;
	return n;
}

/* Lines of this host and of the store: in order, each once, the last ten. */
static void
test_lines(void)
{
	struct history_line line = { .t = 900.5, .weight = 2 };
	struct addr a = addr("198.51.100.1");
	struct conn *c;

	line.rule = name_intern_str("r");
	line.host = name_intern_str("mx1");
	line.log = name_intern_str("/log");
	history_set_text(&line, "smtpd[1]: \x1b[2J", 14);
	history = history_create(4);
	history_add(history, &a, &line, false);
	c = request("show\taddress=s198.51.100.1\n");
	control_event_line(control, last.ticket, &line);
	line.host = name_intern_str("mx2");
	line.t = 800;
	control_event_line(control, last.ticket, &line);
	line.t = 1000;
	for (int i = 0; i < 3; i++)
		control_event_line(control, last.ticket, &line);
	control_event_line(control, last.ticket + 1, &line);
	control_event_done(control, last.ticket, STORE_OK, "");
	ok(said(c,
	       "\nline\ttime=t800\thost=smx2\tlog=s/log\trule=sr\t"
	       "weight=n2\ttext=ssmtpd[1]: ?[2J\n"
	       "line\ttime=t900.5\thost=smx1\tlog=s/log\trule=sr\tweight=n2\t"
	       "text=ssmtpd[1]: ?[2J\nline\ttime=t1000\thost=smx2\t"),
	    "lines in order");
	is_int(count(c, "\nline\t"), 3, "each once");
	answers(c, "\nno\t", "and the end");

	c = request("show\taddress=s198.51.100.1\n");
	for (int i = 0; i < 100; i++) {
		line.t = 1000 - i;
		control_event_line(control, last.ticket, &line);
	}
	control_event_done(control, last.ticket, STORE_OK, "");
	is_int(count(c, "\nline\t"), 10, "the last ones of many");
	ok(said(c, "\nline\ttime=t991\t") && said(c, "\nline\ttime=t1000\t"),
	    "ten");
	answers(c, "\nno\t", "and the end");
	history_destroy(&history);
}

static void
test_pending(void)
{
	struct score_info info = { .addr = addr("198.51.100.1"),
		.score = { 7.25, 900, 950 },
		.hits = 3,
		.strikes = 2,
		.n_rules = 1,
		.rules = { { name_intern_str("r"), 3 } } };
	struct conn *c = request("show\taddress=s198.51.100.1\n"), *d;
	uint64_t ticket = last.ticket;

	is_str(last.call, "fetch", "show asks the store");
	ok(c->held && !c->closed && ticket != 0, "and waits");
	ok(timers[LOOP_ANSWERS].set && timers[LOOP_ANSWERS].seconds == 0,
	    "not longer than to the next turn");
	ticks = 0;
	fire(LOOP_ANSWERS);
	is_int(ticks, 1, "the engine delivers then");
	ok(timers[LOOP_ANSWERS].set, "the deadline is watched");
	control_event_done(control, 0, STORE_OK, "");
	control_event_done(control, ticket + 1, STORE_OK, "");
	control_event_info(control, ticket + 1, &info);
	ok(!c->closed, "other tickets are not its business");
	/* A half-closed client still gets its answer. */
	server.handler->input(c->ctx, c, "", 0, true);
	control_event_info(control, ticket, &info);
	control_event_done(control, ticket, STORE_OK, "");
	ok(said(c, "\tscore=n7.25\t") && said(c, "\trules=o\trules.r=n3\t") &&
		said(c, "\tstrikes=n2\t") && said(c, "\tblocked=b0\t"),
	    "what is known");
	control_event_done(control, ticket, STORE_OK, "");
	answers(c, "\nno\t", "not blocked is a no");

	c = request("show\taddress=s192.0.2.9\n");
	control_event_done(control, last.ticket, STORE_NOT_FOUND, "");
	ok(said(c, "\tscore=z\t") && said(c, "\tblocked=b1\t") &&
		said(c, "\tlevel=sreject\t") &&
		said(c, "\tblock=s192.0.2.0/24\n"),
	    "a prefix blocks it, no score is known");
	answers(c, "\nok\t", "blocked is a yes");

	c = request("show\taddress=s192.0.2.9\n");
	control_event_done(control, last.ticket, STORE_UNAVAILABLE, "away");
	ok(said(c, "\tblocked=b1\t"), "the store is away: what is known here");
	answers(c, "\nerror\ttext=saway\n", "and why there is no more");

	c = request("show\taddress=s192.0.2.1\n");
	ticket = last.ticket;
	leave(c);
	control_event_info(control, ticket, &info);
	control_event_done(control, ticket, STORE_OK, "");
	ok(true, "an answer for a client that has gone");

	c = request("top\tn=n2\n");
	d = request("top\n");
	ok(last.n == 20, "twenty by default");
	ticket = last.ticket;
	mono += CONTROL_TIMEOUT - 0.1;
	fire(LOOP_ANSWERS);
	ok(!c->closed && timers[LOOP_ANSWERS].set, "patience");
	control_event_info(control, ticket, &info);
	control_event_info(control, ticket, &info);
	control_event_done(control, ticket, STORE_OK, "");
	ok(said(d,
	       "\nscore\taddress=s198.51.100.1\tscore=n7.25\tfirst=t900\t"
	       "last=t950\thits=n3\tstrikes=n2\trules=o\trules.r=n3\n"
	       "score\t"),
	    "two scores");
	answers(d, "\nok\t", "top ends");
	mono += 0.2;
	fire(LOOP_ANSWERS);
	answers(c, "\nerror\ttext=sthe store did not answer", "the time is up");
	ok(!timers[LOOP_ANSWERS].set, "nobody waits any more");

	c = request("top\tn=n0\n");
	answers(c, "\nerror\ttext=sthe number must be", "no less than one");
	c = request("top\tn=n1e9\n");
	answers(c, "\nerror\ttext=sthe number must be", "nor a thousand");
}

static void
done(enum store_result result, const char *text)
{
	control_event_done(control, last.ticket, result, text);
}

static void
test_changes(void)
{
	struct conn *c = request("block\taddress=s198.51.100.7\n");

	is_str(last.call, "block", "block");
	ok(last.block.since == now && last.block.until == now + 3600 &&
		last.block.score == 0,
	    "for the level's duration");
	is_str(name_text(last.block.level), "reject",
	    "at the highest level without firewall");
	is_str(name_text(last.block.rule), "manual", "by hand");
	is_str(name_text(last.block.by), "mx1", "here");
	done(STORE_OK, "");
	answers(c, "\nok\ttext=s198.51.100.7 is blocked at level reject for 1h",
	    "it says so");
	c = request("block\taddress=s2001:db8::5\tlevel=sfirewall\tduration=d90"
		    "\treason=stoo much\n");
	ok(last.block.until == now + 90 && last.addr.plen == 64 &&
		strcmp(name_text(last.block.level), "firewall") == 0 &&
		strcmp(name_text(last.block.rule), "too_much") == 0,
	    "an IPv6 address stands for its /64");
	done(STORE_UNAVAILABLE, "only on this host");
	answers(c, "\nerror\ttext=sonly on this host", "the store may object");
	c = request("block\taddress=s2001:db8::5/128\n");
	ok(last.addr.plen == 128, "with a length it is exact");
	leave(c);
	c = request("block\taddress=s10.0.0.0/7\n");
	answers(c, "too wide", "not half of the Internet");
	c = request("block\taddress=s2000::/15\n");
	answers(c, "too wide", "nor of the other one");
	c = request("block\taddress=s127.0.0.1\n");
	answers(c, "allow list", "nobody from the allow list");
	c = request("block\taddress=s192.0.2.1\tlevel=snone\n");
	answers(c, "\nerror\ttext=sno level 'none'", "an unknown level");
	c = request("block\taddress=s192.0.2.1\tduration=d0\n");
	answers(c, "\nerror\ttext=sthe duration", "for no time");
	c = request("block\taddress=s192.0.2.1\tduration=d1e300\n");
	answers(c, "\nerror\ttext=sthe duration", "for ever");
	is_int(last.ticket, 0, "the engine has heard nothing of these");

	c = request("unblock\taddress=s192.0.2.9\n");
	is_str(last.call, "unblock", "unblock");
	done(STORE_NOT_FOUND, "");
	answers(c,
	    "\nno\ttext=s192.0.2.9 itself is not blocked, but "
	    "192.0.2.0/24 is",
	    "what blocks it is named");
	c = request("unblock\taddress=s192.0.2.0/24\n");
	done(STORE_OK, "");
	answers(c, "\nok\ttext=s192.0.2.0/24 is unblocked", "unblocked");
	c = request("unblock\taddress=s203.0.113.1\n");
	done(STORE_NOT_FOUND, "");
	answers(c, "\nno\ttext=s203.0.113.1 is not blocked", "it was not");
	c = request("unblock\tall=b1\n");
	is_str(last.call, "unblock_all", "unblock all");
	done(STORE_NOT_FOUND, "");
	answers(c, "\nno\ttext=snothing is blocked", "nothing was");
	c = request("forgive\taddress=s2001:db8::5\n");
	is_str(last.call, "forgive", "forgive");
	done(STORE_NOT_FOUND, "");
	answers(c, "\nno\ttext=snothing is known about 2001:db8::/64",
	    "an unknown one");
	c = request("allow-add\taddress=s2001:db8::5\n");
	ok(last.present && last.addr.plen == 128,
	    "the allow list takes addresses as they are");
	done(STORE_OK, "");
	answers(
	    c, "\nok\ttext=s2001:db8::5 is on the shared allow list", "add");
	c = request("allow-del\taddress=s192.0.2.1\n");
	ok(!last.present, "del");
	done(STORE_NOT_FOUND, "");
	answers(c, "\nno\ttext=s192.0.2.1 is not on the shared", "not there");
	c = request("allow-del\taddress=s10.9.0.0/16\n");
	done(STORE_NOT_FOUND, "");
	answers(c, "test.conf", "where a configured entry is to be changed");
	c = request("allow-list\n");
	fire(LOOP_WORK);
	ok(said(c,
	       "\nallow\taddress=s10.9.0.0/16\tsource=sconfiguration\n"
	       "allow\taddress=s192.0.2.200\tsource=sshared\n"),
	    "both allow lists");
	answers(c, "\nok\t", "end of the list");

	reloads = 0;
	reload_error = "mxwarden.conf:3: oops";
	c = request("reload\n");
	answers(c, "\nerror\ttext=snot reloaded: mxwarden.conf:3: oops",
	    "a reload that fails");
	reload_error = NULL;
	c = request("reload\n");
	answers(c, "\nok\t", "and one that does not");
	is_int(reloads, 2, "two reloads");
}

static void
test_firewall(void)
{
	struct conn *c = request("firewall-check\n");

	answers(
	    c, "\nerror\ttext=sthe firewall is off: none here", "no firewall");
	fake_firewall.possible = true;
	c = request("firewall-check\n");
	ok(!c->closed && !fake_firewall.repair, "check: waits for the answer");
	fake_firewall.done(fake_firewall.client, PRIVMSG_OK);
	answers(c, "\nok\ttext=sall rules and sets are there", "all there");
	c = request("firewall-repair\n");
	ok(fake_firewall.repair, "repair");
	fake_firewall.done(fake_firewall.client, PRIVMSG_MISSING);
	answers(c, "\nno\ttext=ssomething was missing, and has been made anew",
	    "repaired");
	c = request("firewall-check\n");
	fake_firewall.done(fake_firewall.client, -1);
	answers(c, "\nerror\ttext=sthe helper is gone", "no helper");
	is_int(fake_firewall.forgotten, 0, "who was answered is not forgotten");
	c = request("firewall-check\n");
	mono += CONTROL_TIMEOUT + 1;
	fire(LOOP_ANSWERS);
	ok(!c->closed, "it takes longer than the store may");
	mono += CONTROL_FIREWALL;
	fire(LOOP_ANSWERS);
	answers(c, "\nerror\ttext=sthe firewall did not answer within 90 s",
	    "but not for ever");
	is_int(fake_firewall.forgotten, 1, "and the answer is not wanted then");
	c = request("firewall-check\n");
	leave(c);
	is_int(fake_firewall.forgotten, 2, "nor when the client has left");
}

int
main(void)
{
	play_begin();
	test_requests();
	test_permissions();
	test_pending();
	test_lines();
	test_changes();
	test_firewall();
	return play_end();
}
