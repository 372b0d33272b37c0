/* control: what goes on for long: listings, watching, many clients. */
#include "t/unit/control_fake.h"

static size_t
count(const char *text, const char *what)
{
	size_t n = 0;

	for (; (text = strstr(text, what)) != NULL; text++)
		n++;
	return n;
}

static void
test_listing(void)
{
	char text[32];
	struct conn *c, *d;
	size_t piece, pieces = 1, limit = 0;

	for (int i = 0; i < 20000; i++) {
		snprintf(text, sizeof(text), "10.%d.%d.1", i / 250, i % 250);
		add_block(text, i % 4 == 0 ? "defer" : "reject",
		    i % 10 == 9 ? now - 1 : now + 100);
	}
	c = request("list\n");
	ok(c->held && c->len < 100, "a listing begins in the next turn");
	c->stuck = true;
	fire(LOOP_WORK);
	piece = c->len;
	ok(piece > 10000 && piece < 100000, "with one piece");
	fire(LOOP_WORK);
	ok(c->len == piece && !timers[LOOP_WORK].set,
	    "no more of it while the client does not read");
	d = request("list\tlevel=sdefer\n");
	while (timers[LOOP_WORK].set)
		fire(LOOP_WORK);
	ok(c->len == piece, "another client changes nothing in that");
	/* Every fourth; of them none has an index that ends in 9. */
	is_int(count(d->out, "\nblock\t"), 5000, "and gets what it asks for");
	answers(d, "\nok\t", "to the end");
	while (!c->closed && pieces < 10000) {
		size_t before = c->len;

		c->unread = 0;
		server.handler->drained(c->ctx, c);
		if (timers[LOOP_WORK].set)
			fire(LOOP_WORK);
		if (c->len - before > limit)
			limit = c->len - before;
		pieces++;
	}
	ok(pieces > 20 && limit < 100000, "piece by piece");
	is_int(count(c->out, "\nblock\t"), 18000 + 1, "all that is active");
	is_int(count(c->out, "address=s10.7.3.1\t"), 1, "each once");
	answers(c, "\nok\t", "with an end");

	c = request("list\n");
	c->stuck = true;
	fire(LOOP_WORK);
	leave(c);
	fire(LOOP_WORK);
	ok(true, "a client that leaves in the middle");
	c = request("list\n");
	c->failing = true;
	fire(LOOP_WORK);
	ok(c->closed, "out of memory: closed");
	leave(c);
}

static void
test_watch(void)
{
	struct rule rule = { .name = name_intern_str("a-rule") };
	struct offence offence = { .addr = addr("192.0.2.1"),
		.t = 990.5,
		.weight = 4,
		.attempts = 2,
		.rule = &rule,
		.source = "log" };
	struct block b = { .addr = addr("192.0.2.1"),
		.until = 1100,
		.since = 1000,
		.score = 6,
		.level = name_intern_str("defer"),
		.rule = rule.name,
		.by = name_intern_str("mx1") };
	struct conn *all = request("watch\toffences=b1\n");
	struct conn *some = request("watch\toffences=b0\n");
	size_t len;

	ok(said(all, "\nwatching\n") && all->held, "watching");
	control_event_offence(control, &offence);
	control_event_blocked(control, &b, STORE_DECIDED);
	control_event_unblocked(control, &b, STORE_EXPIRED);
	control_event_blocked(control, &b, STORE_LOADED);
	ok(said(all,
	       "\noffence\ttime=t990.5\taddress=s192.0.2.1\t"
	       "rule=sa-rule\tweight=n4\tattempts=n2\tlog=slog\n"),
	    "an offence, for those who want it");
	ok(!said(some, "offence"), "not for others");
	ok(said(some,
	       "\nblocked\ttime=t1000\twhy=sdecided\taddress=s192.0.2.1"
	       "\tlevel=sdefer\tscore=n6\t"),
	    "a block");
	ok(said(some, "\nunblocked\ttime=t1000\twhy=sexpired\t"), "its end");
	ok(!said(some, "loaded"), "what is loaded is no event");

	some->stuck = true;
	for (int i = 0; i < 10000; i++)
		control_event_blocked(control, &b, STORE_RAISED);
	len = some->len;
	ok(some->len < 400000 && count(some->out, "raised") < 5000,
	    "a watcher that does not read loses events");
	is_int(count(all->out, "raised"), 10000, "the other does not");
	control_event_blocked(control, &b, STORE_RAISED);
	ok(some->len == len, "still");
	some->unread = 0;
	server.handler->drained(some->ctx, some);
	ok(strstr(some->out + len, "lost\ttime=t1000\tevents=n") ==
		some->out + len,
	    "and is told when it reads again");
	is_int(strtol(strstr(some->out + len, "events=n") + 8, NULL, 10),
	    (long)(10001 - count(some->out, "raised")), "how many");
	control_event_blocked(control, &b, STORE_MANUAL);
	ok(said(some, "why=smanual"), "then it goes on");
	ok(count(some->out, "\nlost\t") == 1, "told once");

	is_int(server.handler->input(some->ctx, some, "", 0, true), CONN_CLOSE,
	    "a watcher that says no more has gone");
	leave(some);
	leave(all);
	control_event_blocked(control, &b, STORE_DECIDED);
	ok(true, "nobody watches any more");
}

static void
test_crowd(void)
{
	struct conn *c = NULL;
	size_t n = 0;

	while (n < CONNS && (c = client(0)) != NULL)
		n++;
	is_int(n, CONTROL_CLIENTS_MAX, "so many clients, and no more");
	leave(&conns[3]);
	c = client(0);
	ok(c != NULL, "one leaves, another may come");
}

int
main(void)
{
	play_begin();
	test_listing();
	test_watch();
	test_crowd();
	return play_end();
}
