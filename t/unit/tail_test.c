/* tail: one log, live, through everything that is done to it while it is
 * followed. */
#include "lib/io/tail.h"
#include "lib/io/tailwatch.h"

#include "t/unit/tailkit.h"

static void
test_start(void)
{
	kit_case("where it starts");
	kit_append("mail.log", "one\ntwo\n");
	kit_start(true);
	kit_expect("one\ntwo\n", "from the beginning when asked to");
	kit_append("mail.log", "three\n");
	kit_expect("one\ntwo\nthree\n", "and what is appended");
	is_int(kit_end, 14, "ends are offsets");
	is_int(kit_stats().bytes, 14, "bytes are counted");
	kit_age("mail.log", 5000);
	kit_append("mail.log", "four\n");
	kit_expect("one\ntwo\nthree\nfour\n", "again");
	ok(fabs(kit_ref - (double)time(NULL)) < 100, "reference: written now");
	kit_stop();
	is_int(kit_pos.offset, 19, "the position is behind the last line");
	is_int(kit_pos.epoch, 42, "with the epoch");

	kit_case("an old file");
	kit_append("mail.log", "one\n");
	kit_age("mail.log", 5000);
	kit_start(true);
	kit_expect("one\n", "is read");
	ok(fabs(kit_ref - (double)time(NULL) + 5000) < 100,
	    "reference: when it was written");
	kit_stop();
	kit_case("a file without a time");
	kit_append("mail.log", "one\n");
	kit_age("mail.log", time(NULL));
	kit_start(true);
	kit_expect("one\n", "is read");
	ok(kit_ref > 0, "the reference is never 0");
	kit_stop();

	kit_case("at the end");
	kit_append("mail.log", "one\ntwo\nthr");
	kit_start(false);
	kit_expect("", "nothing of what is there");
	kit_append("mail.log", "ee\nfour\n");
	kit_expect("three\nfour\n", "but a half line is seen whole");
	is_int(kit_end, 19, "offsets count what was not read");
	kit_stop();
	kit_case("at the end of a file without newline");
	kit_append("mail.log", "on");
	kit_start(false);
	kit_expect("", "nothing");
	kit_append("mail.log", "e\n");
	kit_expect("one\n", "whole");
	kit_stop();
	kit_case("at the end of an empty file");
	kit_append("mail.log", "");
	kit_start(false);
	kit_expect("", "nothing");
	kit_append("mail.log", "one\n");
	kit_expect("one\n", "the first line");
	kit_stop();

	kit_case("appears later");
	kit_start(false);
	kit_turns(3);
	is_str(kit_stats().state, "missing", "it is missing");
	is_int(kit_count_said("No such file"), 1, "said");
	ok(kit_stats().errors > 0, "counted");
	kit_append("mail.log", "one\n");
	kit_expect("one\n", "read from its start");
	is_str(kit_stats().state, "current", "it is current");
	is_int(kit_stats().lost, 0, "nothing was lost");
	kit_stop();
	kit_case("appears while nobody looks");
	kit_start(false);
	kit_turns(3);
	kit_stop();
	is_int(kit_pos.ino, 0, "no file yet");
	kit_append("mail.log", "one\n");
	kit_start(false);
	kit_expect("one\n", "read from its start");
	kit_stop();
	kit_case("stopped before the first look");
	kit_append("mail.log", "one\n");
	kit_start(false);
	kit_stop();
	is_int(kit_pos.epoch, 42, "the epoch is known");
	kit_start(false);
	kit_expect("", "still starts at the end");
	kit_stop();
}

static void
test_lines(void)
{
	static char big[1024 * 1024 + 2];

	kit_case("lines");
	kit_append("mail.log", "");
	kit_start(true);
	kit_expect("", "empty");
	for (const char *p = "byte by byte\n"; *p != '\0'; p++) {
		kit_write("mail.log", O_APPEND, p, 1);
		kit_turns(2);
		if (*p != '\n')
			ok(kit_lines == 0, "waits for the newline");
	}
	kit_expect("byte by byte\n", "whole");
	kit_write("mail.log", O_APPEND, "a\0b\n\n", 5);
	kit_until(kit_lines == 3);
	ok(memcmp(kit_text + 13, "a\0b\n\n", 5) == 0, "NUL and empty lines");
	kit_stop();

	kit_case("a very long line");
	memset(big, 'x', sizeof(big) - 1);
	big[sizeof(big) - 2] = '\n';
	kit_append("mail.log", big);
	kit_append("mail.log", "next\n");
	kit_start(true);
	kit_until(kit_lines == 2);
	is_int(kit_cut, 1, "is cut");
	is_int(kit_end, sizeof(big) - 1 + 5, "and counted whole");
	is_str(kit_text + kit_len - 5, "next\n", "the next one is whole");
	kit_stop();
}

/* The next line comes to `name`: is it handed on at once? The timer alone
 * would seldom be so quick. */
static int
prompt(const char *name)
{
	size_t lines = kit_lines;
	double begun;

	kit_turns(8);
	begun = kit_clock();
	kit_append(name, "line\n");
	kit_until(kit_lines > lines);
	return kit_clock() - begun < TAILWATCH_SLOW / 10;
}

static void
test_prompt(void)
{
	enum { ROUNDS = 12, MOST = 8 };
	int quick = 0;
	char name[64];

	kit_case("the first line of an empty successor");
	kit_append("mail.log", "");
	kit_start(true);
	kit_expect("", "current");
	for (int i = 0; i < ROUNDS; i++) {
		kit_rename("mail.log", "mail.log.1");
		kit_append("mail.log", "");
		quick += prompt("mail.log");
	}
	is_int(kit_lines, ROUNDS, "all lines");
	ok(quick >= MOST, "%d of %d at once", quick, ROUNDS);

	quick = 0;
	for (int i = 0; i < ROUNDS; i++) {
		snprintf(name, sizeof(name), "target-%d", i);
		ok(symlink(name, kit_path("link")) == 0, "(link to nothing)");
		kit_rename("link", "mail.log");
		quick += prompt(name);
	}
	is_int(kit_lines, 2 * ROUNDS, "all lines of new targets");
	ok(quick >= MOST, "%d of %d at once", quick, ROUNDS);
	kit_stop();
}

/* Events of the file system are what wakes it: no timer could be as quick. */
static void
test_latency(void)
{
	double best = 1;

	kit_case("latency");
	kit_append("mail.log", "");
	kit_start(true);
	kit_expect("", "current");
	for (size_t i = 1; i <= 20; i++) {
		double begun = kit_clock();

		kit_append("mail.log", "line\n");
		kit_until(kit_lines == i);
		best = fmin(best, kit_clock() - begun);
	}
	ok(best < 0.02, "a line is handed on within %.3f ms", best * 1000);
	kit_stop();
}

static void
test_rename(void)
{
	int fd;

	kit_case("rename and create");
	kit_append("mail.log", "one\n");
	kit_start(true);
	kit_expect("one\n", "before");
	kit_rename("mail.log", "mail.log.1");
	kit_append("mail.log", "");
	kit_turns(4);
	kit_append("mail.log.1", "two\n");
	kit_expect("one\ntwo\n", "the writer has not changed over yet");
	kit_append("mail.log.1", "three");
	kit_append("mail.log", "four\n");
	kit_expect("one\ntwo\nthree\nfour\n", "then it has");
	is_int(kit_end, 18, "offsets go on");
	is_int(kit_stats().rotations, 1, "counted");
	kit_stop();
	is_int(kit_pos.base, 13, "base");
	is_int(kit_pos.offset, 5, "offset");

	kit_case("a half line across the change");
	kit_append("mail.log", "one\nha");
	kit_start(true);
	kit_expect("one\n", "before");
	kit_rename("mail.log", "mail.log.1");
	kit_turns(4);
	kit_append("mail.log.1", "lf\n");
	kit_expect("one\nhalf\n", "is completed in the old file");
	kit_append("mail.log.1", "never finished");
	kit_append("mail.log", "two\n");
	kit_expect("one\nhalf\nnever finished\ntwo\n", "or ends with its file");
	is_int(kit_end, 4 + 5 + 14 + 4, "and is counted");
	kit_stop();

	kit_case("rename without create");
	kit_append("mail.log", "one\n");
	kit_start(true);
	kit_expect("one\n", "before");
	kit_rename("mail.log", "mail.log.1");
	kit_turns(4);
	kit_append("mail.log.1", "two\n");
	kit_expect("one\ntwo\n", "still followed");
	is_str(kit_stats().state, "current", "and current");
	kit_append("mail.log", "three\n");
	kit_expect("one\ntwo\nthree\n", "until there is another");
	kit_stop();

	kit_case("to another directory");
	mkdir(kit_path("old"), 0755);
	kit_append("mail.log", "one\n");
	kit_start(true);
	kit_expect("one\n", "before");
	kit_rename("mail.log", "old/kept");
	kit_turns(4);
	kit_append("old/kept", "two\n");
	kit_append("mail.log", "three\n");
	kit_expect("one\ntwo\nthree\n", "both are read");
	kit_stop();

	kit_case("and back");
	kit_append("mail.log", "one\n");
	kit_start(true);
	kit_expect("one\n", "before");
	kit_rename("mail.log", "mail.log.1");
	kit_append("mail.log.1", "two\n");
	kit_turns(4);
	kit_rename("mail.log.1", "mail.log");
	kit_append("mail.log", "three\n");
	kit_expect("one\ntwo\nthree\n", "no rotation");
	is_int(kit_stats().rotations, 0, "counted as none");
	kit_stop();

	kit_case("delete and create");
	kit_append("mail.log", "one\n");
	kit_start(true);
	kit_expect("one\n", "before");
	fd = open(kit_path("mail.log"), O_WRONLY | O_APPEND | O_CLOEXEC);
	unlink(kit_path("mail.log"));
	kit_turns(3);
	ok(write(fd, "two\n", 4) == 4, "written without a name");
	kit_expect("one\ntwo\n", "is read");
	kit_append("mail.log", "three\n");
	kit_expect("one\ntwo\nthree\n", "then the new one");
	close(fd);
	kit_stop();
	is_int(kit_pos.base, 8, "base");

	kit_case("another file moved over it");
	kit_append("mail.log", "one\n");
	kit_append("mail.log.1", "old\n");
	kit_age("mail.log.1", 5000);
	kit_start(true);
	kit_expect("one\n", "before");
	kit_append("new", "two\n");
	kit_rename("new", "mail.log");
	kit_expect("one\ntwo\n", "is read; what was rotated before is not");
	kit_stop();
}

static void
test_truncate(void)
{
	char line[128];

	kit_case("truncated");
	kit_append("mail.log", "one\ntwo\n");
	kit_start(true);
	kit_expect("one\ntwo\n", "before");
	kit_truncate("mail.log", "");
	kit_turns(4);
	kit_append("mail.log", "three\n");
	kit_expect("one\ntwo\nthree\n", "read from its start");
	is_int(kit_end, 14, "offsets go on");
	is_int(kit_stats().truncations, 1, "counted");
	kit_truncate("mail.log", "a longer line than before\n");
	kit_expect("one\ntwo\nthree\na longer line than before\n",
	    "also when it is longer again before anybody looks");
	kit_truncate("mail.log", "a longer line than THAT ONE\n");
	kit_expect("one\ntwo\nthree\na longer line than before\n"
		   "a longer line than THAT ONE\n",
	    "and begins in the same way");
	is_int(kit_stats().truncations, 3, "counted");
	is_int(kit_stats().rotations, 0, "no rotation");
	kit_append("mail.log", "half");
	kit_turns(4);
	kit_truncate("mail.log", "x\n");
	kit_until(strstr(kit_text, "\nhalf\nx\n") != NULL);
	ok(strstr(kit_text, "\nhalf\nx\n") != NULL, "a half line ends there");
	kit_stop();

	kit_case("rewritten, and the same again where it was read to");
	for (int i = 0; i < 40; i++)
		kit_append("mail.log", i == 0 ? "old!\n" : "same line\n");
	kit_start(true);
	kit_until(kit_lines == 40);
	kit_forget();
	kit_write("new", 0, "new!\n", 5);
	for (int i = 0; i < 45; i++)
		kit_append("new", "same line\n");
	kit_copy("new", "mail.log");
	kit_until(kit_lines == 46);
	is_int(kit_lines, 46, "is read from its start");
	ok(strncmp(kit_text, "new!\n", 5) == 0, "its first line, too");
	is_int(kit_stats().truncations, 1, "counted");
	kit_stop();

	kit_case("copied and truncated, while it was behind");
	for (int i = 0; i < 20; i++) {
		snprintf(line, sizeof(line), "line %d of the old file\n", i);
		kit_append("mail.log", line);
		kit_append("mail.log.1", line);
	}
	kit_start(true);
	kit_until(kit_lines == 20);
	tail_pause(kit_tail, true);
	kit_append("mail.log", "21\n22\nha");
	kit_append("mail.log.1", "21\n22\nha");
	kit_truncate("mail.log", "23\n");
	tail_pause(kit_tail, false);
	kit_until(kit_lines == 24);
	is_str(strstr(kit_text, "21"), "21\n22\nha\n23\n",
	    "the copy is read to its end, then the file");
	is_int(kit_stats().truncations, 1, "counted");
	kit_stop();

	kit_case("truncated; an older file begins the same way");
	kit_append("mail.log.1", "same\nsame\nsame\n");
	kit_age("mail.log.1", 100);
	kit_append("mail.log", "same\n");
	kit_start(true);
	kit_expect("same\n", "before");
	kit_truncate("mail.log", "");
	kit_turns(3);
	kit_append("mail.log", "new\n");
	kit_expect("same\nnew\n", "is not taken for a copy");
	kit_stop();

	kit_case("an edited rotated file");
	kit_append("mail.log", "0123456789\nABCDEFGHIJ\n");
	kit_start(true);
	kit_until(kit_lines == 2);
	kit_rename("mail.log", "mail.log.1");
	kit_turns(4);
	kit_write("mail.log.1", O_APPEND, "x\n", 2);
	ok(truncate(kit_path("mail.log.1"), 11) == 0, "(shorter)");
	kit_append("mail.log", "next\n");
	kit_until(
	    kit_lines > 2 && memcmp(kit_text + kit_len - 5, "next\n", 5) == 0);
	is_str(kit_text + kit_len - 5, "next\n", "does not keep it busy");
	kit_stop();
}

static void
test_link(void)
{
	kit_case("symbolic link to another file");
	kit_append("a", "one\n");
	ok(symlink("a", kit_path("mail.log")) == 0, "(link)");
	kit_start(true);
	kit_expect("one\n", "its target is followed");
	kit_append("a", "two\n");
	kit_expect("one\ntwo\n", "further");
	kit_append("b", "three\n");
	ok(symlink("b", kit_path("link")) == 0, "(link)");
	kit_rename("link", "mail.log");
	kit_expect("one\ntwo\nthree\n", "points elsewhere");
	unlink(kit_path("mail.log"));
	ok(symlink("sub/c", kit_path("mail.log")) == 0, "(link)");
	kit_turns(4);
	kit_append("b", "four\n");
	kit_expect("one\ntwo\nthree\nfour\n", "points to nothing");
	mkdir(kit_path("sub"), 0755);
	kit_append("sub/c", "five\n");
	kit_expect("one\ntwo\nthree\nfour\nfive\n", "which comes");
	kit_stop();

	kit_case("target of a link rotated");
	mkdir(kit_path("d"), 0755);
	kit_append("d/real.log", "one\n");
	ok(symlink("d/real.log", kit_path("mail.log")) == 0, "(link)");
	kit_start(true);
	kit_expect("one\n", "before");
	tail_pause(kit_tail, true);
	kit_append("d/real.log", "two\n");
	kit_rename("d/real.log", "d/real.log.2");
	kit_append("d/real.log.1", "three\n");
	kit_append("d/real.log", "four\n");
	tail_pause(kit_tail, false);
	kit_expect("one\ntwo\nthree\nfour\n", "in order, twice");
	is_int(kit_stats().rotations, 2, "counted");
	kit_stop();
}

/* What is not a log, in its place. */
static void
test_obstacles(void)
{
	uint64_t errors;

	kit_case("what is no log");
	mkdir(kit_path("mail.log"), 0755);
	kit_start(false);
	kit_until(kit_stats().errors >= 2);
	is_int(kit_count_said("is a directory"), 1, "a directory is said once");
	rmdir(kit_path("mail.log"));
	mkfifo(kit_path("mail.log"), 0644);
	errors = kit_stats().errors;
	kit_until(kit_stats().errors >= errors + 2);
	is_int(kit_count_said("is not a regular file"), 1, "a FIFO as well");
	unlink(kit_path("mail.log"));
	kit_append("mail.log", "one\n");
	kit_expect("one\n", "what replaces it is read");
	kit_append("mail.log", "two\n");
	kit_rename("mail.log", "mail.log.1");
	mkdir(kit_path("mail.log"), 0755);
	kit_expect("one\ntwo\n", "a directory comes in its place");
	kit_until(kit_count_said("is a directory") == 2);
	kit_append("mail.log.1", "three\n");
	kit_expect("one\ntwo\nthree\n", "the old file is followed");
	rmdir(kit_path("mail.log"));
	kit_append("mail.log", "four\n");
	kit_expect("one\ntwo\nthree\nfour\n", "until there is a log");
	is_int(kit_count_said("is a directory"), 2, "said once for each time");
	kit_until(kit_count_said("can be read now") > 0);
	ok(kit_count_said("can be read now") > 0, "and that it is over");
	kit_stop();
}

int
main(void)
{
	int before;

	kit_begin();
	before = kit_descriptors();
	test_start();
	test_lines();
	test_latency();
	test_prompt();
	test_rename();
	test_truncate();
	test_link();
	test_obstacles();
	is_int(kit_descriptors(), before, "no descriptor is left open");
	return kit_done();
}
