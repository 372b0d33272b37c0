/* history: the last lines of an address, bounds, what is dropped first, the
 * form for Redis, snapshots. And utf8, which they are shown through. */
#include "lib/core/history.h"

#include <stdlib.h>
#include <unistd.h>

#include "lib/core/errbuf.h"
#include "lib/core/snapshot.h"
#include "lib/core/utf8.h"
#include "t/unit/tap.h"

static struct addr
A(const char *s) {
	struct addr a;

	if (!addr_parse(s, strlen(s), &a))
		ok(false, "test address %s", s);
	return a;
}

static struct addr
nth(unsigned i)
{
	char text[32];

	snprintf(text, sizeof(text), "10.%u.%u.%u", i >> 16 & 255, i >> 8 & 255,
	    i & 255);
	return A(text);
}

static struct history_line
line_of(double t, const char *text)
{
	struct history_line line = { .t = t, .weight = 2 };

	line.rule = name_intern_str("postfix-auth");
	line.host = name_intern_str("mx1");
	line.log = name_intern_str("/var/log/mail.log");
	history_set_text(&line, text, strlen(text));
	return line;
}

static void
add(struct history *h, const struct addr *a, double t, bool held)
{
	struct history_line line = line_of(t, "smtpd[1]: a line");

	history_add(h, a, &line, held);
}

static void
test_text(void)
{
	struct history_line line;
	char text[600];

	history_set_text(&line, "a\x1b[31m\r\n\x7f\0b", 11);
	ok(line.len == 11 && memcmp(line.text, "a?[31m????b", 11) == 0,
	    "no control character gets in");
	memset(text, 'x', sizeof(text));
	history_set_text(&line, text, HISTORY_TEXT);
	ok(line.len == HISTORY_TEXT && line.text[HISTORY_TEXT - 1] == 'x',
	    "all of a line that fits");
	history_set_text(&line, text, sizeof(text));
	ok(line.len == HISTORY_TEXT &&
		memcmp(line.text + HISTORY_TEXT - 4, "x...", 4) == 0,
	    "a long one is cut, which shows");
	memcpy(text + HISTORY_TEXT - 5, "\xe2\x82\xac", 3);
	history_set_text(&line, text, sizeof(text));
	ok(line.len == HISTORY_TEXT - 2 &&
		memcmp(line.text + HISTORY_TEXT - 6, "x...", 4) == 0,
	    "not in the middle of a character");
	memset(text, 0x80, sizeof(text));
	history_set_text(&line, text, sizeof(text));
	ok(line.len == 3, "nor anywhere in what is none");
	history_set_text(&line, text, 0);
	is_int(line.len, 0, "an empty one");
}

static void
test_ring(void)
{
	struct history *h = history_create(8);
	struct history_line got[HISTORY_LINES];
	struct addr a = A("2001:db8:1:2::/64"), b = A("192.0.2.1");
	size_t n;

	is_int(history_get(h, &a, got), 0, "nothing is known");
	for (int i = 1; i <= 3; i++)
		add(h, &a, i, false);
	n = history_get(h, &a, got);
	ok(n == 3 && got[0].t == 1 && got[2].t == 3, "three, oldest first");
	is_str(name_text(got[0].rule), "postfix-auth", "with the rule");
	for (int i = 4; i <= 12; i++)
		add(h, &a, i, false);
	n = history_get(h, &a, got);
	ok(n == HISTORY_LINES && got[0].t == 13 - HISTORY_LINES &&
		got[n - 1].t == 12,
	    "the last ones of many");
	is_int(history_get(h, &b, got), 0, "nothing of another address");
	is_int(history_count(h), 1, "one address");
	history_hold(h, &b, true);
	is_int(history_count(h), 1, "holding adds none");
	history_destroy(&h);
	history_destroy(&h);
	ok(h == NULL, "destroyed");
}

/* Is exactly from..to-1 there? */
static bool
has(const struct history *h, unsigned from, unsigned to, unsigned all)
{
	struct history_line got[HISTORY_LINES];

	for (unsigned i = 0; i < all; i++) {
		struct addr a = nth(i);

		if ((history_get(h, &a, got) > 0) != (i >= from && i < to))
			return false;
	}
	return true;
}

static void
test_bound(void)
{
	struct history *h = history_create(100);
	struct history_line got[HISTORY_LINES];
	struct addr a, first = A("192.0.2.1");

	for (unsigned i = 0; i < 250; i++) {
		a = nth(i);
		add(h, &a, i, false);
	}
	ok(history_count(h) == 100 && has(h, 150, 250, 250),
	    "as many as there is room for: the last ones");
	a = nth(150);
	add(h, &a, 300, false);
	a = nth(250);
	add(h, &a, 301, false);
	a = nth(150);
	ok(history_get(h, &a, got) == 2, "who offends again stays");
	a = nth(151);
	is_int(history_get(h, &a, got), 0, "another one goes");

	add(h, &first, 400, true);
	for (unsigned i = 300; i < 600; i++) {
		a = nth(i);
		add(h, &a, i, false);
	}
	is_int(history_get(h, &first, got), 1, "a blocked one stays");
	for (unsigned i = 600; i < 700; i++) {
		a = nth(i);
		add(h, &a, i, false);
		history_hold(h, &a, true);
	}
	is_int(history_count(h), 100, "never more");
	is_int(history_get(h, &first, got), 0,
	    "but blocked ones do not take all the room");
	a = nth(624);
	is_int(history_get(h, &a, got), 0, "the oldest of them go");
	a = nth(625);
	is_int(history_get(h, &a, got), 1, "... three quarters stay");
	a = nth(599);
	is_int(history_get(h, &a, got), 1, "one that is not blocked too");
	a = nth(625);
	history_hold(h, &a, false);
	history_hold(h, &a, false);
	for (unsigned i = 700; i < 726; i++) {
		struct addr other = nth(i);

		add(h, &other, i, false);
	}
	is_int(history_get(h, &a, got), 0, "one whose block has ended goes");
	history_destroy(&h);
}

static void
test_value(void)
{
	static const char *const bad[] = { "", "t=1", "t=1 weight=2",
		"t=1 weight=2 rule=a log=b", "t=x weight=2 rule=a log=b text",
		"t=1 weight=inf rule=a log=b text",
		"t=1 weight=2 log=b rule=a text",
		"t=nan weight=2 rule=a log=b text" };
	struct history_line line = line_of(1.7e9 + 0.25, "smtpd[1]: x = y"),
			    got;
	char buf[HISTORY_VALUE_MAX], longer[3000];
	size_t n = history_format(&line, buf);

	ok(n ==
		    strlen("t=1700000000.25 weight=2 rule=postfix-auth "
			   "log=/var/log/mail.log smtpd[1]: x = y") &&
		memcmp(buf,
		    "t=1700000000.25 weight=2 rule=postfix-auth "
		    "log=/var/log/mail.log smtpd[1]: x = y",
		    n) == 0,
	    "as text");
	ok(history_parse(buf, n, &got) && got.t == line.t &&
		got.weight == line.weight && got.rule == line.rule &&
		got.log == line.log && got.len == line.len &&
		memcmp(got.text, line.text, line.len) == 0,
	    "and back");
	for (size_t i = 0; i < n; i++)
		if (history_parse(buf, i, &got) && got.len >= line.len)
			ok(false, "a part of it, %zu bytes", i);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ok(!history_parse(bad[i], strlen(bad[i]), &got), "not '%s'",
		    bad[i]);
	memset(longer, 'r', sizeof(longer));
	memcpy(longer, "t=1 weight=2 rule=", 18);
	ok(!history_parse(longer, sizeof(longer), &got), "a word without end");
	memcpy(longer, "t=1 weight=2 rule=a log=b ", 26);
	ok(history_parse(longer, sizeof(longer), &got) &&
		got.len == HISTORY_TEXT,
	    "a text without end is cut");
	line.rule = line.log = 0;
	line.len = 0;
	n = history_format(&line, buf);
	ok(history_parse(buf, n, &got) && got.rule == 0 && got.len == 0,
	    "empty names and text");
	/* The longest of everything. */
	memset(longer, 'n', NAMES_LEN);
	line.rule = line.log = name_intern(longer, NAMES_LEN);
	line.t = line.weight = -1.2345678901234567e-300;
	history_set_text(&line, longer, NAMES_LEN);
	n = history_format(&line, buf);
	ok(n < HISTORY_VALUE_MAX && history_parse(buf, n, &got) &&
		got.t == line.t && got.log == line.log,
	    "the longest fits: %zu", n);
}

static bool
held(void *ctx, const struct addr *a)
{
	return addr_equal(ctx, a);
}

static void
test_snapshot(void)
{
	char dir[] = "/tmp/history_test.XXXXXX", path[64];
	struct addr a = A("192.0.2.1"), b = A("2001:db8::/64"), other;
	struct history *h = history_create(50), *again = history_create(50);
	struct history_line got[HISTORY_LINES];
	struct snapshot_writer *w;
	struct snapshot_reader *r;
	struct errbuf err = { "" };

	if (mkdtemp(dir) == NULL) {
		ok(false, "a directory");
		return;
	}
	snprintf(path, sizeof(path), "%s/state", dir);
	add(h, &a, 1, false);
	add(h, &a, 2, false);
	add(h, &b, 3, false);
	w = snapshot_writer_create(path, &err);
	ok(w != NULL, "a snapshot");
	snapshot_put_u8(w, SNAPSHOT_HISTORY);
	history_save(h, w);
	is_int(snapshot_writer_commit(&w, &err), 0, "is written");
	is_int(snapshot_reader_open(path, &r, &err), SNAPSHOT_OK, "and read");
	is_int(snapshot_next_section(r), SNAPSHOT_HISTORY, "its section");
	history_load(again, r, held, &a);
	is_int(snapshot_next_section(r), SNAPSHOT_END, "to its end");
	snapshot_reader_destroy(&r);
	ok(history_get(again, &a, got) == 2 && got[0].t == 1 && got[1].t == 2 &&
		got[1].len == 16 &&
		memcmp(got[1].text, "smtpd[1]: a line", 16) == 0,
	    "two lines of one");
	is_str(name_text(got[1].host), "mx1", "with their host");
	is_int(history_get(again, &b, got), 1, "one of the other");
	for (unsigned i = 0; i < 49; i++) {
		other = nth(i);
		add(again, &other, i, false);
	}
	is_int(history_get(again, &b, got), 0, "which goes first");
	is_int(history_get(again, &a, got), 2, "because the one is blocked");
	history_destroy(&h);
	history_destroy(&again);
	unlink(path);
	rmdir(dir);
}

static void
test_utf8(void)
{
	static const struct {
		const char *s;
		const char *clean;
	} cases[] = { { "plain \xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80",
			  "plain \xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80" },
		{ "\x1b[2J\x07\x7f\r\n", "?[2J????" },
		{ "\x9b"
		  "2J \xff\xc0\x80",
		    "?2J ???" },
		{ "\xc2\x9b"
		  "2J\xc2\x85",
		    "??2J??" },
		{ "\xed\xa0\x80 \xf4\x90\x80\x80 \xe0\x80\x80",
		    "??? ???? ???" },
		{ "a\xe2\x80\xae"
		  "b\xe2\x81\xa6\xe2\x80\xa8\xe2\x80\x8f",
		    "a???b?????????" },
		{ "a\xd8\x9c\xd8\x9b", "a??\xd8\x9b" },
		{ "cut \xe2\x82", "cut ??" }, { "", "" } };
	char buf[64];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		utf8_clean(cases[i].s, strlen(cases[i].s), buf, sizeof(buf));
		is_str(buf, cases[i].clean, "fit for a terminal, %zu", i);
		utf8_clean(buf, strlen(buf), buf, sizeof(buf));
		is_str(buf, cases[i].clean, "... in place");
	}
	is_int(utf8_clean("ab\xc3\xa9"
			  "c",
		   5, buf, 4),
	    2, "no half a character at the end");
	is_str(buf, "ab", "of a short buffer");
	is_int(utf8_clean("abc", 3, buf, 1), 0, "none in a very short one");
}

int
main(void)
{
	test_text();
	test_ring();
	test_bound();
	test_value();
	test_snapshot();
	test_utf8();
	names_destroy();
	return tap_done();
}
