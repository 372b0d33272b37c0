/* log and loglimit: sinks, levels, what peers may put into messages, limits;
 * errbuf, logpos. */
#include "lib/core/log.h"

#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/core/errbuf.h"
#include "lib/core/logpos.h"
#include "t/unit/tap.h"

static char got[4096];
static enum msg_level got_level;
static unsigned got_n;

static void
sink(void *ctx, enum msg_level level, const char *text)
{
	ok(ctx == got, "the sink's own context");
	got_level = level;
	got_n++;
	snprintf(got, sizeof(got), "%s", text);
}

static void
test_messages(void)
{
	char longer[5000];

	log_set_sink(sink, got);
	log_warning("a %d %s", 1, "b");
	is_str(got, "a 1 b", "formatted");
	is_int(got_level, MSG_WARNING, "with its level");
	log_notice("client said: %s", "x\r\n\tmxwardend: forged\x1b[31m\x7f");
	is_str(got, "client said: x???mxwardend: forged?[31m?",
	    "control characters do not get through");
	log_error("%s", "caf\xc3\xa9 \xff\x80");
	is_str(got, "caf\xc3\xa9 ??", "UTF-8 does, other bytes do not");
	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	log_error("%s", longer);
	is_int(strlen(got), 2047, "a long message is cut");
	got_n = 0;
	log_info("below");
	log_debug("below");
	is_int(got_n, 0, "what is below the level is dropped");
	log_set_level(MSG_INFO);
	is_int(log_level(), MSG_INFO, "another level");
	log_info("not below");
	log_debug("below");
	is_int(got_n, 1, "counts from then on");
	log_set_level(MSG_NOTICE);
	is_str(log_level_name(MSG_DEBUG), "debug", "names");
	is_str(log_level_name(MSG_FATAL), "fatal", "of all levels");
}

/* What the default sink writes, and how log_fatal() ends. */
static void
test_stderr(void)
{
	char text[500];
	ssize_t n, used = 0;
	int fds[2], status;
	pid_t pid;

	fflush(stdout);
	if (pipe(fds) != 0 || (pid = fork()) < 0) {
		ok(false, "a pipe and a child");
		return;
	}
	if (pid == 0) {
		dup2(fds[1], 2);
		log_set_sink(NULL, NULL);
		log_set_prefix("test");
		log_notice("n");
		log_info("i");
		log_warning("w");
		log_error("e");
		log_fatal("f %d", 1);
	}
	close(fds[1]);
	while ((n = read(
		    fds[0], text + used, sizeof(text) - 1 - (size_t)used)) > 0)
		used += n;
	text[used] = '\0';
	close(fds[0]);
	waitpid(pid, &status, 0);
	is_str(text,
	    "test: n\ntest: warning: w\ntest: error: e\n"
	    "test: fatal: f 1\n",
	    "to stderr");
	ok(WIFEXITED(status) && WEXITSTATUS(status) == 2,
	    "fatal ends with status 2");
}

static unsigned
passed(struct loglimit *l, double from, double to, double step)
{
	unsigned n = 0;
	unsigned long held;

	for (double t = from; t < to; t += step)
		n += loglimit_pass(l, t, &held);
	return n;
}

static void
test_limit(void)
{
	struct loglimit l = { .held = 0 };
	unsigned long held = 99;

	is_int(passed(&l, 1000, 1000.1, 0.001), LOGLIMIT_BURST, "a burst");
	is_int(passed(&l, 1001, 1009.9, 0.01), 0, "then none");
	ok(loglimit_pass(&l, 1010, &held), "one after the interval");
	ok(held > 900, "it knows how many were held back (%lu)", held);
	ok(!loglimit_pass(&l, 1010, &held), "and no second one");
	is_int(passed(&l, 1010.5, 1109.5, 0.1), 9,
	    "a flood gets one in each interval");
	is_int(passed(&l, 1122, 1122.1, 0.001), 2, "two intervals of rest");
	is_int(passed(&l, 5000, 5000.1, 0.001), LOGLIMIT_BURST,
	    "and a long one gives the burst back");
	l = (struct loglimit){ .held = 0 };
	ok(loglimit_pass(&l, 5000, &held) && held == 0, "the first");
	ok(loglimit_pass(&l, 5000, &held) && held == 0, "nothing held back");
	is_int(passed(&l, 5000, 5000.5, 0.1), 3, "the rest of the burst");
	is_int(passed(&l, 4990, 4991, 0.1), 0,
	    "a clock that goes back a little changes nothing");
	is_int(passed(&l, 1000, 1000.5, 0.1), LOGLIMIT_BURST,
	    "one that goes back far does not silence it");
	l = (struct loglimit){ .held = 0 };
	is_int(passed(&l, 0, 0.1, 0.001), LOGLIMIT_BURST, "time 0");

	l = (struct loglimit){ .held = 0 };
	got_n = 0;
	for (int i = 0; i < 100; i++)
		log_limited(&l, 1000.0, MSG_WARNING, "message %d", i);
	is_int(got_n, LOGLIMIT_BURST, "log_limited()");
	is_str(got, "message 4", "the first ones");
	log_limited(&l, 1010.0, MSG_ERROR, "message %d", 100);
	is_str(got, "message 100 (95 more like this)", "the rest is told");
	is_int(got_level, MSG_ERROR, "with the level");
}

static void
test_errbuf(void)
{
	struct errbuf e = { "old" };
	char longer[3000];

	is_int(errbuf_set(&e, "%s:%d", "f", 3), -1, "errbuf_set() is -1");
	is_str(e.text, "f:3", "and replaces");
	is_int(errbuf_set(NULL, "x"), -1, "without a place");
	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	errbuf_set(&e, "%s", longer);
	is_int(strlen(e.text), sizeof(e.text) - 1, "cut, and terminated");
}

static void
test_logpos(void)
{
	struct logpos p = { .base = 1000, .offset = 34 };

	is_int(logpos_logical(&p), 1034, "a logical offset");
	ok(logpos_hash("", 0) == 0xcbf29ce484222325u, "FNV-1a of nothing");
	ok(logpos_hash("a", 1) == 0xaf63dc4c8601ec8cu, "of \"a\"");
	ok(logpos_hash("foobar", 6) == 0x85944171f73967e8u, "of \"foobar\"");
	ok(logpos_hash("a\0b", 3) != logpos_hash("a", 1), "NUL counts");
}

int
main(void)
{
	test_messages();
	test_stderr();
	log_set_sink(sink, got);
	test_limit();
	log_set_sink(NULL, NULL);
	test_errbuf();
	test_logpos();
	return tap_done();
}
