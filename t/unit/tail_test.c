/* tail: one log through everything that rotation and bad luck do to it. */
#include "lib/io/tail.h"

#include "t/unit/tailkit.h"

static void
test_start(void)
{
	kit_case("where it starts");
	kit_append("mail.log", "one\ntwo\n");
	kit_start(true);
	kit_expect("one\ntwo\n", "from the beginning when asked to");
	ok(kit_ref > 1e9, "with a reference time");
	kit_append("mail.log", "three\n");
	kit_expect("one\ntwo\nthree\n", "and what is appended");
	is_int(kit_end, 14, "ends are offsets");
	kit_stop();
	is_int(kit_pos.offset, 14, "the position is behind the last line");
	is_int(kit_pos.epoch, 42, "with the epoch");

	kit_case("at the end");
	kit_append("mail.log", "one\ntwo\nthr");
	kit_start(false);
	kit_expect("", "nothing of what is there");
	kit_append("mail.log", "ee\nfour\n");
	kit_expect("three\nfour\n", "but a half line is seen whole");
	kit_stop();

	kit_case("appears later");
	kit_start(false);
	kit_turns(3);
	is_str(kit_stats().state, "missing", "it is missing");
	is_int(kit_count_said("No such file"), 1, "said");
	kit_append("mail.log", "one\n");
	kit_expect("one\n", "read from its start");
	is_str(kit_stats().state, "current", "it is current");
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

	kit_case("rename without create");
	kit_append("mail.log", "one\n");
	kit_start(true);
	kit_expect("one\n", "before");
	kit_rename("mail.log", "mail.log.1");
	kit_append("mail.log.1", "two\n");
	kit_expect("one\ntwo\n", "still followed");
	kit_append("mail.log", "three\n");
	kit_expect("one\ntwo\nthree\n", "until there is another");
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
}

static void
test_chain(void)
{
	kit_case("several rotations while away");
	kit_append("mail.log", "one\ntwo\n");
	kit_start(true);
	kit_expect("one\ntwo\n", "before");
	kit_stop();
	kit_append("mail.log", "three\n");
	kit_rename("mail.log", "mail.log.3");
	kit_append("mail.log.2", "four\n");
	kit_append("mail.log.1", "five\n");
	kit_append("mail.log", "six\n");
	kit_start(false);
	kit_expect("one\ntwo\nthree\nfour\nfive\nsix\n", "all in order");
	is_int(kit_stats().lost, 0, "nothing lost");
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
	test_rename();
	test_chain();
	is_int(kit_descriptors(), before, "no descriptor is left open");
	ok(kit_ordered, "ends grow");
	return kit_done();
}
