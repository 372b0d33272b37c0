/*
 * engine: from lines to blocks to verdicts, by itself. What is saved over a
 * restart is in engine_snapshot_test.
 */
#include "lib/core/engine.h"

#include "lib/core/log.h"
#include "t/unit/enginekit.h"

static void
test_scoring(void)
{
	struct kit *k = kit_open();
	struct source_stats *st;
	struct verdict v;

	kit_source(k);
	is_str(kit_ask(k, 0, "192.0.2.1", NULL, &v), "DUNNO", "nobody yet");
	is_int(v.why, VERDICT_PASS, "why");
	kit_feed(k, 1, 10, "fail from a[192.0.2.1]");
	kit_feed(k, 2, 10, "fail from a[192.0.2.1]");
	kit_expect(k,
	    "offence 192.0.2.1 t=1 fail weight=2 attempts=1 /log\n"
	    "offence 192.0.2.1 t=2 fail weight=2 attempts=1 /log\n",
	    "two failures");
	kit_feed(k, 3, 10, "fail from a[192.0.2.1]");
	kit_expect(k,
	    "offence 192.0.2.1 t=3 fail weight=2 attempts=1 /log\n"
	    "decided 192.0.2.1 defer since=3 until=603 score=6 fail "
	    "mx1 strikes=0\n",
	    "a third one blocks");
	is_str(kit_ask(k, 4, "192.0.2.1", NULL, &v),
	    "DEFER 4.7.1 Too many errors from 192.0.2.1 [mxw]", "deferred");
	ok(v.why == VERDICT_BLOCKED && !v.dunno && !v.dry && v.block.score == 6,
	    "why");
	is_str(kit_ask(k, 4, "192.0.2.2", NULL, &v), "DUNNO", "nobody else");
	is_str(kit_ask(k, 602.9, "192.0.2.1", NULL, &v),
	    "DEFER 4.7.1 Too many errors from 192.0.2.1 [mxw]", "to the end");
	is_str(kit_ask(k, 603, "192.0.2.1", NULL, &v), "DUNNO",
	    "and no longer, also before any clean-up");
	kit_feed(k, 5, 10, "fail from a[192.0.2.1]");
	kit_feed(k, 6, 10, "fail from a[192.0.2.1]");
	kit_expect(k,
	    "offence 192.0.2.1 t=5 fail weight=2 attempts=1 /log\n"
	    "offence 192.0.2.1 t=6 fail weight=2 attempts=1 /log\n"
	    "raised 192.0.2.1 reject since=3 until=3606 score=10 "
	    "fail mx1 strikes=0\n",
	    "raised");
	is_str(kit_ask(k, 7, "192.0.2.1", NULL, &v),
	    "REJECT 5.7.1 Abuse from 192.0.2.1 (fail) until "
	    "2026-12-14T11:00:06Z [mxw]",
	    "rejected");
	engine_tick(k->engine, BASE + 3606);
	kit_expect(k, "expired 192.0.2.1 reject\n", "expired");
	is_int(kit_feed(k, 8, 1, "something else"), FEED_NO_MATCH, "no match");
	is_int(
	    engine_feed(k->engine, k->src, "xxx", 3, 99999, false, BASE, BASE),
	    FEED_NO_HEADER, "no header");
	st = source_stats(k->src);
	ok(st->lines == 7 && st->unparsed == 1 && st->matched == 5 &&
		st->scored == 5 && st->last == BASE + 6,
	    "counters");
	kit_close(&k);
}

static void
test_attempts(void)
{
	struct kit *k = kit_open();

	kit_source(k);
	kit_feed(k, 1, 10, "fail from a[192.0.2.1]");
	kit_feed(k, 2, 10, "lost from a[192.0.2.1]");
	kit_feed(k, 3, 10, "disconnect from a[192.0.2.1] auth=0/1");
	kit_expect(k, "offence 192.0.2.1 t=1 fail weight=2 attempts=1 /log\n",
	    "three lines, one attempt");
	kit_feed(k, 4, 10, "lost from a[192.0.2.1]");
	kit_feed(k, 5, 10, "disconnect from a[192.0.2.1] auth=1/4");
	kit_expect(k,
	    "offence 192.0.2.1 t=4 lost weight=2 attempts=1 /log\n"
	    "offence 192.0.2.1 t=5 total weight=4 attempts=2 /log\n"
	    "decided 192.0.2.1 defer since=5 until=605 score=8 total "
	    "mx1 strikes=0\n",
	    "the next connection of that pid; three in all");
	kit_feed(k, 6, 10, "disconnect from a[192.0.2.1] auth=3/3");
	kit_expect(k, "", "no failure");
	kit_feed(k, 7, 11, "lost from a[192.0.2.2]");
	kit_feed(k, 8, 11, "disconnect from a[192.0.2.2] quit=1");
	kit_feed(k, 9, 11, "lost from a[192.0.2.2]");
	kit_expect(k,
	    "offence 192.0.2.2 t=7 lost weight=2 attempts=1 /log\n"
	    "offence 192.0.2.2 t=9 lost weight=2 attempts=1 /log\n",
	    "an end without evidence of its own");
	kit_feed(k, 10, 12, "fault from a[192.0.2.3]");
	kit_feed(k, 11, 12, "lost from a[192.0.2.3]");
	kit_feed(k, 12, 12, "disconnect from a[192.0.2.3] auth=0/2");
	kit_expect(k, "offence 192.0.2.3 t=12 total weight=2 attempts=1 /log\n",
	    "a fault of ours is evidence, the second failure counts");
	is_int(source_stats(k->src)->faults, 1, "counted as a fault");
	kit_feed(k, 13, 13,
	    "message repeated 3 times: [ fail from "
	    "a[192.0.2.4]]");
	kit_feed(k, 14, 13, "disconnect from a[192.0.2.4] auth=0/4");
	kit_expect(k,
	    "offence 192.0.2.4 t=13 fail weight=6 attempts=3 /log\n"
	    "decided 192.0.2.4 defer since=13 until=613 score=6 fail "
	    "mx1 strikes=0\n"
	    "offence 192.0.2.4 t=14 total weight=2 attempts=1 "
	    "/log\n",
	    "lines that syslog put together");
	kit_close(&k);
}

static void
test_own(void)
{
	static const char refusal[] =
	    "NOQUEUE: reject: RCPT from a[192.0.2.1]"
	    ": 554 5.7.1 <a[192.0.2.1]>: Client host rejected: Abuse [mxw]; "
	    "from=<a@b> to=<c@d> proto=ESMTP helo=<x>";
	struct kit *k = kit_open();

	kit_source(k);
	kit_feed(k, 1, 10, "fail from a[192.0.2.1]");
	kit_forget(k);
	for (int i = 0; i < 50; i++)
		kit_feed(k, 2, 10, refusal);
	kit_feed(k, 3, 10, "lost from a[192.0.2.1]");
	kit_feed(k, 4, 10, "disconnect from a[192.0.2.1] auth=0/50");
	kit_expect(k, "", "our own refusals and what follows from them");
	is_int(source_stats(k->src)->own, 50, "are counted");
	kit_feed(k, 5, 10, "lost from a[192.0.2.1]");
	kit_expect(k, "offence 192.0.2.1 t=5 lost weight=2 attempts=1 /log\n",
	    "the next connection counts");
	kit_feed(k, 6, 10,
	    "NOQUEUE: reject: RCPT from a[192.0.2.1]: 554 5.7.1 "
	    "<c@d>: Relay access denied; from=<x [mxw]> "
	    "to=<c@d> proto=ESMTP helo=<[mxw];>");
	kit_expect(k,
	    "offence 192.0.2.1 t=6 relay weight=1.5 attempts=1 "
	    "/log\n"
	    "decided 192.0.2.1 defer since=6 until=606 score=5.5 relay mx1 "
	    "strikes=0\n",
	    "the tag elsewhere protects nobody");
	kit_close(&k);
}

static void
test_allow(void)
{
	struct kit *k = kit_open();
	struct addr net = kit_addr("203.0.113.0/24"), out;
	size_t cursor = 0;
	struct verdict v;

	kit_source(k);
	for (int i = 0; i < 5; i++) {
		kit_feed(k, i, 10, "fail from a[198.51.100.9]");
		kit_feed(k, i, 10, "fail from a[2001:db8:a:1::9]");
	}
	kit_expect(k, "", "configured: never scored");
	is_int(source_stats(k->src)->allowed, 10, "but counted");
	engine_allow(k->engine, 1, &net, true);
	ok(k->woken > 0, "the engine asks to be called");
	engine_tick(k->engine, BASE + 6);
	kit_expect(k, "done 1 ok\n", "shared");
	ok(engine_allow_next(k->engine, &cursor, &out) &&
		addr_equal(&out, &net) &&
		!engine_allow_next(k->engine, &cursor, &out),
	    "listed");
	for (int i = 0; i < 5; i++)
		kit_feed(k, 10, 10, "fail from a[203.0.113.200]");
	kit_expect(k, "", "never scored either");
	engine_allow(k->engine, 2, &net, false);
	engine_tick(k->engine, BASE + 11);
	kit_forget(k);
	for (int i = 0; i < 5; i++)
		kit_feed(k, 11, 11, "fail from a[203.0.113.200]");
	ok(k->len > 0, "until it is taken back");
	kit_forget(k);
	is_str(kit_ask(k, 12, "203.0.113.200", NULL, &v),
	    "REJECT 5.7.1 Abuse from 203.0.113.200 (fail) until "
	    "2026-12-14T11:00:11Z [mxw]",
	    "then it is blocked");
	engine_allow(k->engine, 3, &net, true);
	engine_tick(k->engine, BASE + 13);
	is_str(kit_ask(k, 13, "203.0.113.200", NULL, &v), "DUNNO",
	    "an allowed client is let through, blocked or not");
	is_int(v.why, VERDICT_ALLOWED, "why");
	is_str(kit_ask(k, 13, "203.0.114.200", NULL, &v), "DUNNO", "others");
	is_int(v.why, VERDICT_PASS, "for another reason");
	kit_close(&k);
}

static void
test_scope(void)
{
	struct kit *k = kit_open();
	struct verdict v;
	struct addr a;
	char text[ADDR_STRLEN];

	kit_source(k);
	a = kit_addr("2001:db8:1:2:3:4:5:6");
	a = engine_scope(k->engine, &a);
	is_str(addr_format(&a, text), "2001:db8:1:2::/64", "an IPv6 client");
	a = kit_addr("192.0.2.1");
	a = engine_scope(k->engine, &a);
	is_str(addr_format(&a, text), "192.0.2.1", "an IPv4 client");
	kit_feed(k, 1, 10, "fail from a[2001:db8:1:2::1]");
	kit_feed(k, 1, 11, "fail from a[2001:db8:1:2::2]");
	kit_feed(k, 1, 12, "fail from a[2001:db8:1:2:ffff::3]");
	kit_feed(k, 1, 13, "fail from a[2001:db8:1:3::3]");
	kit_expect(k,
	    "offence 2001:db8:1:2::1 t=1 fail weight=2 attempts=1 /log\n"
	    "offence 2001:db8:1:2::2 t=1 fail weight=2 attempts=1 /log\n"
	    "offence 2001:db8:1:2:ffff::3 t=1 fail weight=2 attempts=1 /log\n"
	    "decided 2001:db8:1:2::/64 defer since=1 until=601 score=6 fail "
	    "mx1 strikes=0\n"
	    "offence 2001:db8:1:3::3 t=1 fail weight=2 attempts=1 /log\n",
	    "clients of one /64 share a score");
	is_str(kit_ask(k, 2, "2001:db8:1:2:abcd::", NULL, &v),
	    "DEFER 4.7.1 Too many errors from 2001:db8:1:2:abcd:: [mxw]",
	    "and a block");
	is_str(kit_ask(k, 2, "2001:db8:1:3::3", NULL, &v), "DUNNO",
	    "the next /64 does not");
	for (int i = 0; i < 3; i++)
		kit_feed(k, 3, 14,
		    i ? "fail from a[::ffff:192.0.2.9]"
		      : "fail from a[192.0.2.9]");
	is_str(kit_ask(k, 4, "::ffff:192.0.2.9", NULL, &v),
	    "DEFER 4.7.1 Too many errors from 192.0.2.9 [mxw]",
	    "a mapped address is the IPv4 address");
	is_str(kit_ask(k, 4, "192.0.2.9", NULL, &v),
	    "DEFER 4.7.1 Too many errors from 192.0.2.9 [mxw]", "either way");
	k->conf.ipv4_prefix = 24;
	engine_reconfigure(k->engine, &k->conf);
	kit_forget(k);
	for (int i = 0; i < 3; i++)
		kit_feed(k, 5, 20,
		    i ? "fail from a[192.0.2.77]" : "fail from a[192.0.2.78]");
	ok(strstr(k->log, "decided 192.0.2.0/24 defer") != NULL,
	    "IPv4 prefixes, if so configured");
	is_str(kit_ask(k, 6, "192.0.2.200", NULL, &v),
	    "DEFER 4.7.1 Too many errors from 192.0.2.200 [mxw]", "the same");
	kit_close(&k);
}

static void
test_query(void)
{
	static const char *const odd[] = { "unknown", "", "192.0.2", "[::1]",
		"192.0.2.1 ", "fe80::1%eth0", "mail.example.org",
		"IPv6:2001:db8::1", "192.0.2.1/32" };
	struct kit *k = kit_open();
	struct engine_stats st;
	struct verdict v;
	struct block b = { .until = BASE + 100, .since = BASE };

	kit_source(k);
	is_str(kit_ask(k, 1, NULL, NULL, &v), "DUNNO", "no address at all");
	is_int(v.why, VERDICT_NO_ADDRESS, "why");
	for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
		is_str(kit_ask(k, 1, odd[i], NULL, &v), "DUNNO",
		    "'%s' is no address", odd[i]);
		is_int(v.why, VERDICT_NO_ADDRESS, "why");
	}
	b.addr = kit_addr("192.0.2.1");
	b.level = name_intern_str("firewall");
	b.rule = name_intern_str("by hand <&>");
	engine_block(k->engine, 1, &b);
	engine_tick(k->engine, BASE + 1);
	is_str(kit_ask(k, 2, "192.0.2.1", NULL, &v), "521 5.7.1 firewall [mxw]",
	    "blocked by hand");
	is_str(kit_ask(k, 2, "192.0.2.1", "bob", &v), "DUNNO",
	    "a user who has logged in");
	is_int(v.why, VERDICT_AUTHENTICATED, "why");
	is_str(kit_ask(k, 2, "192.0.2.1", "", &v), "521 5.7.1 firewall [mxw]",
	    "an empty user name");
	k->conf.allow_authenticated = false;
	engine_reconfigure(k->engine, &k->conf);
	is_str(kit_ask(k, 2, "192.0.2.1", "bob", &v),
	    "521 5.7.1 firewall [mxw]", "if so configured, users as well");
	k->conf.dry_run = true;
	engine_reconfigure(k->engine, &k->conf);
	is_str(kit_ask(k, 2, "192.0.2.1", NULL, &v), "DUNNO", "dry_run");
	ok(v.dry && v.why == VERDICT_BLOCKED && v.dunno,
	    "tells what would have been");
	is_str(kit_ask(k, 2, "192.0.2.2", NULL, &v), "DUNNO", "and for others");
	ok(!v.dry, "that nothing would have been");
	k->conf.dry_run = false;
	k->conf.n_levels = 2;
	engine_reconfigure(k->engine, &k->conf);
	log_set_level(MSG_FATAL);
	is_str(kit_ask(k, 2, "192.0.2.1", NULL, &v), "DUNNO",
	    "a level that is not configured lets through");
	is_int(v.why, VERDICT_PASS, "why");
	log_set_level(MSG_NOTICE);
	k->conf.n_levels = 3;
	engine_reconfigure(k->engine, &k->conf);
	is_str(kit_ask(k, 2, "192.0.2.1", NULL, &v), "521 5.7.1 firewall [mxw]",
	    "until it is");
	/* A wider block, and a longer one inside. */
	b.addr = kit_addr("192.0.2.0/24");
	b.level = name_intern_str("defer");
	b.until = BASE + 1000;
	engine_block(k->engine, 2, &b);
	engine_tick(k->engine, BASE + 3);
	is_str(kit_ask(k, 4, "192.0.2.200", NULL, &v),
	    "DEFER 4.7.1 Too many errors from 192.0.2.200 [mxw]",
	    "a blocked network");
	is_str(kit_ask(k, 4, "192.0.2.1", NULL, &v), "521 5.7.1 firewall [mxw]",
	    "a narrower entry of a higher level decides");
	is_str(kit_ask(k, 101, "192.0.2.1", NULL, &v),
	    "DEFER 4.7.1 Too many errors from 192.0.2.1 [mxw]",
	    "once it is over the wider one does");
	b.addr = kit_addr("192.0.2.200");
	b.until = BASE + 2000;
	engine_block(k->engine, 3, &b);
	b.addr = kit_addr("192.0.2.128/25");
	b.level = name_intern_str("firewall");
	b.until = BASE + 100;
	engine_block(k->engine, 4, &b);
	engine_tick(k->engine, BASE + 3);
	is_str(kit_ask(k, 4, "192.0.2.200", NULL, &v),
	    "521 5.7.1 firewall [mxw]", "a wider entry of a higher level, too");
	is_str(kit_ask(k, 101, "192.0.2.200", NULL, &v),
	    "DEFER 4.7.1 Too many errors from 192.0.2.200 [mxw]",
	    "once it is over the narrower one does");
	engine_stats(k->engine, &st);
	is_int(st.queries, 23, "queries");
	is_int(st.by_why[VERDICT_NO_ADDRESS], 10, "without an address");
	is_int(st.by_why[VERDICT_AUTHENTICATED], 1, "of users");
	is_int(st.dry, 1, "in dry_run");
	is_int(st.by_why[VERDICT_BLOCKED], 10, "blocked");
	kit_close(&k);
}

static void
test_times(void)
{
	struct kit *k = kit_open();
	struct source_stats *st;
	static const char bad[] = "2026-12-32T10:00:00Z mx1 smtpd[1]: fail "
				  "from a[192.0.2.1]";
	char *tight;

	kit_source(k);
	kit_feed_at(k, 5000, 100, 10, "fail from a[192.0.2.1]");
	kit_expect(k, "offence 192.0.2.1 t=100 fail weight=2 attempts=1 /log\n",
	    "a time in the future is now");
	kit_feed_at(k, 50, 100, 10, "fail from a[192.0.2.1]");
	kit_expect(k, "offence 192.0.2.1 t=50 fail weight=2 attempts=1 /log\n",
	    "one in the past is its own");
	engine_feed(k->engine, k->src, bad, sizeof(bad) - 1, k->offset += 100,
	    false, BASE + 200, BASE + 200);
	kit_expect(k,
	    "offence 192.0.2.1 t=100 fail weight=2 attempts=1 /log\n"
	    "decided 192.0.2.1 defer since=100 until=700 score=6 "
	    "fail mx1 strikes=0\n",
	    "one that cannot be is that of the last offence");
	st = source_stats(k->src);
	is_int(st->badtime, 1, "and counted");
	kit_close(&k);
	k = kit_open();
	kit_source(k);
	engine_feed(k->engine, k->src, bad, sizeof(bad) - 1, k->offset += 100,
	    false, BASE + 200, BASE + 200);
	kit_expect(k,
	    "offence 192.0.2.1 t=200 fail weight=2 attempts=1 "
	    "/log\n",
	    "or now, if there was none");
	/* Cut lines are matched as far as they go. */
	st = source_stats(k->src);
	engine_feed(k->engine, k->src,
	    "Dec 14 10:00:00 mx1 smtpd[1]: fail "
	    "from a[192.0.2.2]",
	    52, k->offset += 100, true, BASE + 1, BASE + 1);
	kit_expect(k, "offence 192.0.2.2 t=0 fail weight=2 attempts=1 /log\n",
	    "a cut line");
	engine_feed(k->engine, k->src, "no header", 9, k->offset += 100, true,
	    BASE + 1, BASE + 1);
	is_int(st->cut, 2, "and one without header are counted");
	/* A limit is hit: the message about it holds no byte of what lies
	 * behind the line. */
	tight = malloc(100);
	if (tight != NULL) {
		memset(tight, 'a', 100);
		memcpy(tight, "Dec 14 10:00:00 mx1 smtpd[1]: bomb ", 35);
		log_set_level(MSG_FATAL);
		is_int(engine_feed(k->engine, k->src, tight, 100,
			   k->offset += 101, false, BASE + 1, BASE + 1),
		    FEED_LIMIT, "a match limit");
		log_set_level(MSG_NOTICE);
		is_int(st->limits, 1, "counted");
	}
	free(tight);
	kit_expect(k, "", "and nothing else");
	kit_close(&k);
}

static void
test_horizon(void)
{
	struct kit *k = kit_open();
	struct source *second;
	struct verdict v;

	kit_source(k);
	second = engine_source_add(k->engine, "/second", kit_sets);
	for (int i = 0; i < 3; i++)
		kit_feed(k, 0, 10, "fail from a[192.0.2.1]");
	kit_forget(k);
	engine_tick(k->engine, BASE + 5000);
	kit_expect(k, "", "nothing expires while a log is behind");
	is_str(kit_ask(k, 5000, "192.0.2.1", NULL, &v), "DUNNO",
	    "though it blocks no longer");
	/* Its old lines find the block as it was. */
	kit_feed_at(k, 1, 5000, 10, "fail from a[192.0.2.1]");
	kit_feed_at(k, 2, 5000, 10, "fail from a[192.0.2.1]");
	kit_expect(k,
	    "offence 192.0.2.1 t=1 fail weight=2 attempts=1 /log\n"
	    "offence 192.0.2.1 t=2 fail weight=2 attempts=1 /log\n"
	    "raised 192.0.2.1 reject since=0 until=3602 score=10 "
	    "fail mx1 strikes=0\n",
	    "and raise it");
	is_int(engine_flow(k->engine, true), STORE_FLOW_GO, "flow");
	source_set_current(second, true);
	engine_tick(k->engine, BASE + 5001);
	kit_expect(k, "expired 192.0.2.1 reject\n", "once all are current");
	engine_source_remove(k->engine, &second);
	ok(second == NULL, "a source that is removed");
	kit_close(&k);
}

static void
test_queue(void)
{
	struct kit *k = kit_open();

	kit_source(k);
	kit_feed(k, 1, 10, "ABCDE1: no such user");
	kit_feed(k, 1, 10, "ABCDE2: no such user");
	kit_feed(k, 2, 11, "ABCDE1: no such user");
	kit_expect(k, "", "offences of a queue id wait");
	kit_feed(k, 3, 12, "ABCDE1: from a[192.0.2.1]");
	kit_expect(k,
	    "offence 192.0.2.1 t=3 unknown weight=2 attempts=2 "
	    "/log\n",
	    "for its client");
	kit_feed(k, 4, 12, "ABCDE1: from a[192.0.2.1]");
	kit_feed(k, 5, 12, "ABCDE3: from a[192.0.2.1]");
	kit_expect(k, "", "once; and other ids have none");
	kit_feed(k, 6, 12, "ABCDE2: from a[198.51.100.1]");
	kit_expect(k, "", "an allowed client's are not scored");
	kit_feed(k, 7, 12, "ABCDE2: from a[192.0.2.1]");
	kit_expect(k, "", "nor kept");
	kit_close(&k);
}

static void
test_weights(void)
{
	struct kit *k = kit_open();
	struct addr a = kit_addr("192.0.2.1");

	kit_source(k);
	kit_feed(k, 1, 10, "zero from a[192.0.2.1]");
	kit_expect(k, "", "a rule without weight scores nothing");
	is_int(source_stats(k->src)->matched, 1, "but matches");
	kit_feed(k, 2, 10, "fail from a[192.0.2.1]");
	kit_feed(k, 3, 10, "fail from a[192.0.2.1]");
	kit_feed(k, 4, 10, "login from a[192.0.2.1]");
	kit_feed(k, 5, 10, "fail from a[192.0.2.1]");
	kit_forget(k);
	engine_fetch(k->engine, 3, &a);
	engine_tick(k->engine, BASE + 6);
	kit_expect(k,
	    "info 3 192.0.2.1 score=3 first=2 last=5 hits=4 "
	    "strikes=0\ndone 3 ok\n",
	    "a login forgives");
	kit_close(&k);
}

static void
test_reconfigure(void)
{
	static const char *const t_sets[] = { "t", NULL };
	struct conf_log logs[2] = {
		{ .path = "/log", .sets = t_sets },
		{ .path = "/other", .sets = kit_sets },
	};
	struct kit *k = kit_open();
	struct kit *second = kit_open();
	struct verdict v;

	kit_source(k);
	kit_feed(k, 1, 10, "fail from a[192.0.2.1]");
	kit_feed(k, 2, 10, "fail from a[192.0.2.1]");
	kit_feed(k, 2, 10, "special from a[192.0.2.1]");
	kit_forget(k);
	/* Another value, with rules of its own: the old one goes. */
	second->conf.logs = logs;
	second->conf.n_logs = 2;
	second->conf.host = "mx2";
	second->levels[0].duration = 60;
	second->conf.n_allow = 0;
	engine_reconfigure(k->engine, &second->conf);
	rules_destroy(&k->rules);
	memset(&k->conf, 0xee, sizeof(k->conf));
	memset(k->levels, 0xee, sizeof(k->levels));
	kit_feed(k, 3, 10, "fail from a[192.0.2.1]");
	kit_expect(k, "", "the log has other rules now");
	kit_feed(k, 4, 10, "special from a[192.0.2.1]");
	kit_expect(k,
	    "offence 192.0.2.1 t=4 other-set weight=7 attempts=1 "
	    "/log\n"
	    "decided 192.0.2.1 reject since=4 until=3604 score=11 "
	    "other-set mx2 strikes=0\n",
	    "scores stay, levels and host are the new ones");
	kit_feed(k, 5, 10, "special from a[198.51.100.1]");
	ok(k->len > 0, "the allow list is the new one");
	kit_forget(k);
	/* The log is taken out of the configuration. */
	second->conf.n_logs = 0;
	engine_reconfigure(k->engine, &second->conf);
	kit_feed(k, 6, 10, "special from a[192.0.2.1]");
	kit_expect(k, "", "no rules for a log that is not configured");
	is_str(kit_ask(k, 6, "192.0.2.1", NULL, &v),
	    "REJECT 5.7.1 Abuse from 192.0.2.1 (other-set) until "
	    "2026-12-14T11:00:04Z [mxw]",
	    "blocks stay");
	kit_close(&k);
	kit_close(&second);
}

static void
on_tried(void *ctx, const struct rule *r, const char *why)
{
	(void)r;
	(void)why;
	++*(unsigned *)ctx;
}

static void
test_explain(void)
{
	static const struct {
		const char *msg, *verdict;
	} cases[] = {
		{ "fail from a[192.0.2.1]", "offence" },
		{ "fail from a[198.51.100.1]", "allow list" },
		{ "fault from a[192.0.2.1]", "server fault" },
		{ "disconnect from a[192.0.2.1]", "end of connection" },
		{ "ABCDE1: from a[192.0.2.1]", "queue id joined" },
		{ "ABCDE1: no such user", "offence" },
		{ "nothing", "no match" },
		{ "bomb aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
		    "limit" },
		{ "NOQUEUE: reject: CONNECT from a[192.0.2.1]: 554 5.7.1 "
		  "<a[192.0.2.1]>: Client host rejected: x [mxw]; proto=SMTP",
		    "own refusal" },
	};
	struct kit *k = kit_open();
	struct source_stats before, after;
	struct explanation x;
	unsigned tried = 0;
	char line[300];

	kit_source(k);
	kit_feed(k, 0, 10, "lost from a[192.0.2.1]");
	kit_forget(k);
	before = *source_stats(k->src);
	for (int round = 0; round < 3; round++)
		for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
			snprintf(line, sizeof(line),
			    "2026-12-14T10:00:01Z mx1 smtpd[10]: %s",
			    cases[i].msg);
			engine_explain(k->engine, k->src, line, strlen(line),
			    BASE + 5, on_tried, &tried, &x);
			if (round > 0)
				continue;
			is_str(x.verdict, cases[i].verdict, "%s", cases[i].msg);
			ok(x.header && x.has_time && x.t == BASE + 1,
			    "its header");
		}
	engine_explain(k->engine, k->src, "xyz", 3, BASE, NULL, NULL, &x);
	is_str(x.verdict, "no header", "no header");
	ok(tried > 100, "each rule is told of");
	after = *source_stats(k->src);
	ok(memcmp(&before, &after, sizeof(before)) == 0, "counters stay");
	engine_tick(k->engine, BASE + 6);
	kit_feed(k, 7, 10, "lost from a[192.0.2.1]");
	kit_expect(k, "", "no effect: the connection is as it was");
	kit_close(&k);
}

static void
test_admin(void)
{
	struct kit *k = kit_open();
	struct addr host = kit_addr("2001:db8:1:2::9");
	struct addr v4 = kit_addr("192.0.2.1");
	struct engine_level level;
	struct block b = { .since = BASE,
		.until = BASE + 9999,
		.level = name_intern_str("reject"),
		.rule = name_intern_str("by-hand"),
		.by = name_intern_str("mx1") };

	kit_source(k);
	for (int i = 0; i < 3; i++)
		kit_feed(k, 1, 10, "fail from a[2001:db8:1:2::9]");
	b.addr = host;
	engine_block(k->engine, 1, &b);
	engine_tick(k->engine, BASE + 2);
	is_int(blocklist_count(engine_view(k->engine)), 2,
	    "the /64 by its offences, the host by hand");
	kit_forget(k);
	engine_unblock(k->engine, 2, &host);
	engine_tick(k->engine, BASE + 2);
	kit_expect(k, "unblocked 2001:db8:1:2::9 reject\ndone 2 ok\n",
	    "first the entry of just this address");
	engine_fetch(k->engine, 3, &host);
	engine_unblock(k->engine, 4, &host);
	engine_tick(k->engine, BASE + 2);
	kit_expect(k,
	    "info 3 2001:db8:1:2::/64 score=6 first=1 last=1 hits=3 "
	    "strikes=1\ndone 3 ok\n"
	    "unblocked 2001:db8:1:2::/64 defer\ndone 4 ok\n",
	    "then what it is scored under");
	engine_forgive(k->engine, 5, &host);
	engine_forgive(k->engine, 6, &host);
	engine_top(k->engine, 7, 3);
	engine_unblock_all(k->engine, 8);
	engine_tick(k->engine, BASE + 2);
	kit_expect(k,
	    "done 5 ok\ndone 6 not found\ndone 8 not found\n"
	    "done 7 ok\n",
	    "forgiven; nothing is left");
	b.addr = v4;
	b.level = name_intern_str("defer");
	engine_block(k->engine, 9, &b);
	b.level = name_intern_str("reject");
	engine_block(k->engine, 10, &b);
	engine_tick(k->engine, BASE + 2);
	for (size_t i = 0; engine_level_nth(k->engine, i, &level); i++)
		is_int(level.blocked, level.name == name_intern_str("reject"),
		    "entries at level %s", name_text(level.name));
	/* Levels of any number of names: the table has a bound. */
	for (unsigned i = 0; i < 100; i++) {
		char name[16];

		snprintf(name, sizeof(name), "level%u", i);
		b.addr.b[14] = (uint8_t)i;
		b.level = name_intern_str(name);
		engine_block(k->engine, 11, &b);
	}
	engine_unblock_all(k->engine, 12);
	engine_tick(k->engine, BASE + 3);
	for (size_t i = 0; engine_level_nth(k->engine, i, &level); i++)
		if (level.blocked != 0)
			ok(false, "%s: %llu", name_text(level.name),
			    (unsigned long long)level.blocked);
	is_int(blocklist_count(engine_view(k->engine)), 0, "all are lifted");
	kit_close(&k);
}

/* The same stretch of log again changes nothing. */
static void
test_again(void)
{
	struct kit *k = kit_open();
	struct store_status st;
	struct addr a = kit_addr("192.0.2.1");

	kit_source(k);
	for (int round = 0; round < 3; round++) {
		k->offset = 1000;
		for (int i = 0; i < 4; i++)
			kit_feed(k, i, 10, "fail from a[192.0.2.1]");
	}
	store_status(k->store, &st);
	ok(st.applied == 4 && st.repeated == 8, "four hits, eight repeats");
	kit_forget(k);
	engine_fetch(k->engine, 1, &a);
	engine_tick(k->engine, BASE + 5);
	kit_expect(k,
	    "info 1 192.0.2.1 score=8 first=0 last=3 hits=4 "
	    "strikes=1\ndone 1 ok\n",
	    "one effect");
	kit_close(&k);
}

int
main(void)
{
	test_scoring();
	test_attempts();
	test_own();
	test_allow();
	test_scope();
	test_query();
	test_times();
	test_horizon();
	test_queue();
	test_weights();
	test_reconfigure();
	test_explain();
	test_admin();
	test_again();
	names_destroy();
	return tap_done();
}
