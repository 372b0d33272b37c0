/* tail: where it goes on after a restart, and how it catches up. */
#include <sys/resource.h>
#include <zlib.h>

#include "lib/io/tail.h"

#include "t/unit/tailkit.h"

/* Reads "one\ntwo\n" from mail.log and stops. */
static void
prepare(const char *name)
{
	kit_case(name);
	kit_append("mail.log", "one\ntwo\n");
	kit_start(true);
	kit_expect("one\ntwo\n", "before");
	kit_stop();
	kit_age("mail.log", 50);
	kit_pos.time -= 50; /* all was long ago */
	kit_forget();
	kit_ordered = true;
}

static void
test_chain(void)
{
	prepare("several rotations while away");
	kit_append("mail.log", "three\n");
	kit_rename("mail.log", "mail.log.3");
	kit_append("mail.log.2", "four\n");
	kit_append("mail.log.1", "five\n");
	kit_append("mail.log", "six\n");
	kit_append("mail.log.4.gz", "older");
	kit_start(false);
	kit_expect("three\nfour\nfive\nsix\n", "all in order");
	is_int(kit_stats().lost, 0, "nothing lost");
	is_int(kit_stats().rotations, 3, "three rotations");
	is_int(kit_end, 14 + 5 + 5 + 4, "offsets go on");
	kit_stop();

	prepare("dated");
	kit_append("mail.log", "three");
	kit_rename("mail.log", "mail.log-20261118");
	kit_append("mail.log-20261120", "five\n");
	kit_append("mail.log-20261119", "four\n");
	kit_append("mail.log-20261117", "older\n");
	kit_append("mail.log", "six\n");
	kit_start(false);
	kit_expect("three\nfour\nfive\nsix\n", "all in order");
	is_int(kit_stats().lost, 0, "nothing lost");
	kit_stop();

	prepare("rotated, and no new file yet");
	kit_append("mail.log", "three\n");
	kit_rename("mail.log", "mail.log.2");
	kit_append("mail.log.1", "four\n");
	kit_start(false);
	kit_expect("three\nfour\n", "as far as there is something");
	kit_append("mail.log.1", "five\n");
	kit_expect("three\nfour\nfive\n", "which may still grow");
	kit_append("mail.log", "six\n");
	kit_expect("three\nfour\nfive\nsix\n", "then the new one");
	kit_stop();

	prepare("rotated, and the new file is empty");
	kit_append("mail.log", "three\n");
	kit_rename("mail.log", "mail.log.2");
	kit_append("mail.log.1", "");
	kit_append("mail.log", "");
	kit_start(false);
	kit_append("mail.log.2", "four\n");
	kit_expect("three\nfour\n", "the old one is followed");
	kit_append("mail.log", "five\n");
	kit_expect("three\nfour\nfive\n", "the empty one between is no end");
	kit_stop();

	prepare("another name for the saved file");
	kit_append("mail.log", "three\n");
	kit_rename("mail.log", "kept-by-hand");
	kit_append("mail.log", "four\n");
	kit_start(false);
	kit_expect("three\nfour\n", "found by its inode");
	kit_stop();

	kit_case("a link that pointed elsewhere");
	kit_append("mail-20261118.log", "one\n");
	ok(symlink("mail-20261118.log", kit_path("current")) == 0, "(link)");
	struct tail_options options = { .path = "current", .beginning = true };
	kit_start_options(&options);
	kit_expect("one\n", "before");
	kit_stop();
	kit_append("mail-20261118.log", "two\n");
	kit_append("mail-20261119.log", "three\n");
	kit_append("mail-20261120.log", "four\n");
	unlink(kit_path("current"));
	ok(symlink("mail-20261120.log", kit_path("current")) == 0, "(link)");
	options.path = "current";
	kit_start_options(&options);
	kit_expect("one\ntwo\nthree\nfour\n", "all its targets");
	kit_stop();
}

static void
test_lost(void)
{
	struct stat st;

	prepare("compressed in between");
	kit_append("mail.log", "three\n");
	kit_rename("mail.log", "mail.log.3");
	kit_append("mail.log.2.xz", "packed");
	kit_append("mail.log.1", "five\n");
	kit_append("mail.log", "six\n");
	kit_start(false);
	kit_expect("three\nfive\nsix\n", "the others are read");
	is_int(kit_stats().lost, 1, "counted");
	is_int(kit_count_said("mail.log.2.xz cannot be read"), 1, "said");
	kit_stop();

	prepare("the saved file is compressed");
	unlink(kit_path("mail.log"));
	kit_append("mail.log.2.xz", "packed");
	kit_append("mail.log.3", "older\n");
	kit_age("mail.log.3", 1000);
	kit_append("mail.log.1", "five\n");
	kit_append("mail.log", "six\n");
	kit_start(false);
	kit_expect("five\nsix\n", "goes on with what came after it");
	is_int(kit_stats().lost, 1, "counted");
	is_int(kit_count_said("mail.log.2.xz; lines may be lost"), 1, "said");
	is_int(kit_end, 8 + 9, "offsets go on");
	kit_stop();

	prepare("the saved file is gone");
	kit_append("mail.log.1", "old\n");
	kit_age("mail.log.1", 1000);
	kit_append("new", "three\n");
	kit_rename("new", "mail.log");
	kit_start(false);
	kit_expect("three\n", "the current one is read from its start");
	is_int(kit_stats().lost, 1, "counted");
	is_int(kit_count_said("lines may be lost"), 1, "said");
	kit_stop();

	prepare("the saved file is gone, and there is no log");
	kit_append("mail.log.1", "old\n");
	kit_age("mail.log.1", 1000);
	unlink(kit_path("mail.log"));
	kit_start(false);
	kit_turns(4);
	is_int(kit_stats().lost, 0, "waits");
	kit_stop();
	is_int(kit_pos.offset, 8, "and forgets nothing");
	kit_start(false);
	kit_append("mail.log", "three\n");
	kit_expect("three\n", "the next one is read from its start");
	kit_stop();

	prepare("the inode is used again");
	unlink(kit_path("mail.log"));
	kit_append("mail.log", "another file, and longer\n");
	stat(kit_path("mail.log"), &st);
	kit_pos.ino = st.st_ino;
	kit_start(false);
	kit_expect("another file, and longer\n", "told by the first bytes");
	is_int(kit_stats().lost, 1, "counted");
	kit_stop();

	prepare("truncated while away");
	kit_truncate("mail.log", "6\n");
	kit_start(false);
	kit_expect("6\n", "read from its start");
	kit_stop();

	prepare("copied and truncated while away");
	kit_append("mail.log.1", "one\ntwo\nthree\n");
	kit_truncate("mail.log", "four is longer than the old\n");
	kit_start(false);
	kit_expect(
	    "three\nfour is longer than the old\n", "the copy, then the file");
	is_int(kit_stats().lost, 0, "nothing lost");
	kit_stop();

	prepare("another device number");
	kit_append("mail.log", "three\n");
	kit_pos.dev++;
	kit_start(false);
	kit_expect("three\n", "is the same file all the same");
	is_int(kit_stats().lost, 0, "nothing lost");
	kit_stop();

	kit_case("restored from a copy");
	for (int i = 0; i < 100; i++)
		kit_append("mail.log", "some line\n");
	kit_start(true);
	kit_until(kit_lines == 100);
	kit_stop();
	for (int i = 0; i < 100; i++)
		kit_append("copy", "some line\n");
	kit_append("copy", "new\n");
	kit_rename("copy", "mail.log");
	kit_forget();
	kit_start(false);
	kit_expect("new\n", "goes on in the copy");
	is_int(kit_stats().lost, 0, "nothing lost");
	kit_stop();

	kit_case("unreadable for now");
	kit_append("mail.log", "one\n");
	kit_start(true);
	kit_expect("one\n", "before");
	kit_stop();
	kit_append("mail.log", "two\n");
	kit_rename("mail.log", "mail.log.away");
	mkdir(kit_path("mail.log"), 0755);
	kit_append("mail.log.1", "newer\n");
	kit_pos.ino ^= 1; /* so that it cannot be found */
	kit_start(false);
	kit_turns(3);
	is_int(kit_stats().lost, 0, "nothing is given up for lost");
	is_int(kit_lines, 1, "nor skipped");
	kit_stop();
}

/* As gzip(1) makes it; `cut` bytes are missing at its end. */
static void
pack(const char *name, const char *text, size_t len, size_t cut)
{
	gzFile gz = gzopen(kit_path(name), "ab");
	struct stat st;

	if (gz == NULL || gzwrite(gz, text, (unsigned)len) != (int)len ||
	    gzclose(gz) != Z_OK)
		log_fatal("%s: gzwrite", name);
	if (cut > 0 &&
	    (stat(kit_path(name), &st) != 0 ||
		truncate(kit_path(name), st.st_size - (off_t)cut)))
		log_fatal("%s: %s", name, strerror(errno));
}

static void
pack_text(const char *name, const char *text)
{
	pack(name, text, strlen(text), 0);
}

static void
test_packed(void)
{
	enum { LINES = 60000 };
	char *big = x_calloc(LINES, 16);
	size_t len = 0, half = 0;

	prepare("compressed while away");
	unlink(kit_path("mail.log"));
	pack_text("mail.log.3.gz", "one\ntwo\nthree\n");
	pack_text("mail.log.2.gz", "four\n");
	pack_text("mail.log.2.gz", "five\n"); /* a second member */
	kit_append("mail.log.1", "six\n");
	kit_append("mail.log", "seven\n");
	kit_start(false);
	kit_expect("three\nfour\nfive\nsix\nseven\n",
	    "goes on in the middle, and in order");
	is_int(kit_stats().lost, 0, "nothing lost");
	is_int(kit_end, 14 + 10 + 4 + 6, "offsets are those of the content");
	ok(tail_rewind(kit_tail, 8), "back into a compressed one");
	kit_forget();
	kit_ordered = true;
	kit_expect("three\nfour\nfive\nsix\nseven\n", "the same again");
	kit_stop();

	prepare("compressed, and nothing behind it yet");
	unlink(kit_path("mail.log"));
	pack_text("mail.log.1.gz", "one\ntwo\nthree\nend without newline");
	kit_append("mail.log", "");
	kit_start(false);
	kit_until(kit_lines == 1 && kit_current);
	kit_stop();
	kit_start(false);
	kit_append("mail.log", "four\n");
	kit_expect("three\nend without newline\nfour\n",
	    "stopped and started at its end");
	is_int(kit_stats().lost, 0, "nothing lost");
	kit_stop();

	prepare("damaged");
	unlink(kit_path("mail.log"));
	pack("mail.log.3.gz", "one\ntwo\nthree\n", 14, 6);
	kit_append("mail.log.2.gz", "this is none");
	pack("mail.log.1.gz", "", 0, 0);
	kit_append("mail.log", "four\n");
	kit_start(false);
	kit_expect("three\nfour\n", "what there is, and what comes after it");
	is_int(kit_stats().lost, 2, "counted");
	is_int(kit_count_said("is damaged"), 1, "the one is said");
	is_int(kit_count_said("mail.log.2.gz cannot be read"), 1, "the other");
	kit_turns(20);
	is_int(kit_stats().lost, 2, "once");
	kit_stop();

	kit_case("a large one, from the middle");
	for (int i = 0; i < LINES; i++) {
		len += (size_t)snprintf(big + len, 16, "line %d\n", i);
		if (i == LINES / 2)
			half = len;
	}
	kit_write("mail.log", 0, big, half);
	kit_start(true);
	kit_until(kit_lines == LINES / 2 + 1 && kit_current);
	kit_stop();
	kit_forget();
	kit_ordered = true;
	unlink(kit_path("mail.log"));
	pack("mail.log.1.gz", big, len, 0);
	kit_append("mail.log", "new\n");
	kit_start(false);
	for (uint64_t was = 0, n = 0; n < 100000 && kit_lines < LINES / 2;
	     n++) {
		kit_turns(1);
		if (kit_stats().bytes - was > TAIL_CHUNK)
			ok(false, "too much in one turn");
		was = kit_stats().bytes;
	}
	kit_until(kit_lines == LINES / 2);
	ok(kit_len == len - half + 4 &&
		memcmp(kit_text, big + half, len - half) == 0 &&
		strcmp(kit_text + len - half, "new\n") == 0,
	    "all the rest, and the new one");
	is_int(kit_stats().lost, 0, "nothing lost");
	kit_stop();

	kit_case("copied, compressed and truncated, while it was behind");
	for (int i = 0; i < 20; i++)
		kit_append("mail.log", "a line of the old file\n");
	kit_start(true);
	kit_until(kit_lines == 20);
	tail_pause(kit_tail, true);
	memset(big, 0, len);
	for (int i = 0; i < 20; i++)
		strcat(big, "a line of the old file\n");
	strcat(big, "21\n22\n");
	pack_text("mail.log.1.gz", big);
	kit_truncate("mail.log", "23\n");
	tail_pause(kit_tail, false);
	kit_until(kit_lines == 23);
	is_str(strstr(kit_text, "21"), "21\n22\n23\n",
	    "the copy is read to its end, then the file");
	kit_stop();
	free(big);
}

/* Two rotations while it is paused in the first file; `second` is what becomes
 * of the second one, which had this content. */
static void
behind(const char *name, const char *content, void (*second)(void))
{
	kit_case(name);
	kit_append("mail.log", "one\n");
	kit_start(true);
	kit_expect("one\n", "before");
	tail_pause(kit_tail, true);
	kit_append("mail.log", "two\n");
	kit_age("mail.log", 50);
	kit_rename("mail.log", "mail.log.1");
	kit_append("mail.log", content);
	tail_look(kit_tail);
	kit_turns(3);
	unlink(kit_path("mail.log.1"));
	kit_rename("mail.log", "mail.log.1");
	kit_append("mail.log", "last\n");
	tail_look(kit_tail);
	kit_turns(3);
	second();
	tail_pause(kit_tail, false);
	kit_until(kit_len >= 5 &&
	    strcmp(kit_text + kit_len - 5, "last\n") == 0 && kit_current);
}

static void
becomes_nothing(void)
{
	unlink(kit_path("mail.log.1"));
}

static void
stays(void)
{
}

static void
becomes_xz(void)
{
	kit_rename("mail.log.1", "x");
	kit_append("mail.log.1.xz", "packed");
	unlink(kit_path("x"));
}

static void
becomes_gz(void)
{
	kit_rename("mail.log.1", "x");
	pack_text("mail.log.1.gz", "three\n");
	unlink(kit_path("x"));
}

static void
test_deleted(void)
{
	behind("deleted before it was read", "three\n", becomes_nothing);
	is_str(kit_text, "one\ntwo\nlast\n", "the others are read");
	is_int(kit_stats().lost, 1, "counted");
	is_int(kit_count_said("deleted before they were read (1)"), 1, "said");
	kit_append("mail.log", "more\n");
	kit_rename("mail.log", "mail.log.1");
	kit_append("mail.log", "new\n");
	kit_expect("one\ntwo\nlast\nmore\nnew\n", "and then all is well");
	is_int(kit_stats().lost, 1, "nothing more is lost");
	kit_stop();
	behind("deleted, and it was empty", "", becomes_nothing);
	is_int(kit_stats().lost, 0, "nothing is lost");
	kit_stop();
	behind("still there", "three\n", stays);
	is_str(kit_text, "one\ntwo\nthree\nlast\n", "all is read");
	is_int(kit_stats().lost, 0, "nothing is lost");
	kit_stop();
	behind("compressed by another program", "three\n", becomes_xz);
	is_str(kit_text, "one\ntwo\nlast\n", "the others are read");
	is_int(kit_stats().lost, 1, "counted once");
	is_int(kit_count_said("mail.log.1.xz cannot be read"), 1, "said");
	kit_stop();
	behind("compressed by gzip", "three\n", becomes_gz);
	is_str(kit_text, "one\ntwo\nthree\nlast\n", "all is read");
	is_int(kit_stats().lost, 0, "nothing is lost");
	kit_stop();
}

/* How often an answer could have been given meanwhile. */
static struct loop_timer *answer;
static int answers;

static void
on_answer(void *ctx)
{
	(void)ctx;
	answers++;
	loop_timer_set(answer, 0);
}

static void
test_catch_up(void)
{
	enum { LINES = 60000 };
	uint64_t before = 0, most = 0;
	double deadline = kit_clock() + KIT_DEADLINE;
	char *big = x_calloc(LINES, 16);
	size_t len = 0;
	int rotated = 0;

	kit_case("catching up");
	for (int i = 0; i < LINES; i++)
		len += (size_t)snprintf(big + len, 16, "line %d\n", i);
	kit_write("mail.log", 0, big, len);
	answer = loop_timer_create(kit_loop, LOOP_ANSWERS, on_answer, NULL);
	loop_timer_set(answer, 0);
	answers = 0;
	kit_start(true);
	while (kit_lines < LINES + 2 && kit_clock() < deadline) {
		kit_turns(1);
		if (kit_stats().bytes - before > most)
			most = kit_stats().bytes - before;
		before = kit_stats().bytes;
		if (kit_lines > 10000 && rotated == 0) {
			kit_rename("mail.log", "mail.log.1");
			kit_append("mail.log", "file 2\n");
			rotated++;
		} else if (kit_lines > 20000 && rotated == 1) {
			kit_rename("mail.log.1", "mail.log.2");
			kit_rename("mail.log", "mail.log.1");
			kit_append("mail.log", "file 3\n");
			rotated++;
		}
	}
	is_int(rotated, 2, "in the middle of it, two rotations");
	ok(kit_lines == LINES + 2 && memcmp(kit_text, big, len) == 0 &&
		strcmp(kit_text + len, "file 2\nfile 3\n") == 0,
	    "all is read in order");
	ok(most <= TAIL_CHUNK, "at most %d bytes in one turn: %lu", TAIL_CHUNK,
	    (unsigned long)most);
	ok(answers >= (int)(len / TAIL_CHUNK), "%d answers in between",
	    answers);
	is_int(kit_stats().behind, 0, "nothing is left");
	loop_timer_destroy(&answer);
	kit_stop();
	free(big);
}

static void
test_pause(void)
{
	kit_case("pause");
	kit_append("mail.log", "one\n");
	kit_start(true);
	tail_pause(kit_tail, true);
	kit_turns(5);
	is_int(kit_lines, 0, "nothing is read");
	tail_pause(kit_tail, false);
	kit_expect("one\n", "until it goes on");
	tail_pause(kit_tail, true);
	kit_append("mail.log", "two\n");
	kit_turns(5);
	is_int(kit_lines, 1, "nothing is read");
	is_int(kit_stats().behind, 4, "but seen");
	kit_rename("mail.log", "mail.log.2");
	kit_append("mail.log.1", "three\n");
	kit_append("mail.log", "four\n");
	kit_turns(5);
	tail_pause(kit_tail, false);
	kit_expect("one\ntwo\nthree\nfour\n", "rotations as well");
	tail_pause(kit_tail, true);
	kit_stop();
}

static void
test_rewind(void)
{
	kit_case("rewind");
	kit_append("mail.log", "one\ntwo\nthree\n");
	kit_start(true);
	ok(!tail_rewind(kit_tail, 0), "not before there is a file");
	kit_expect("one\ntwo\nthree\n", "read");
	ok(tail_rewind(kit_tail, 4), "in the file");
	ok(!tail_rewind(kit_tail, 5), "not beyond what was handed on");
	is_int(kit_lines, 3, "nothing happens inside the call");
	kit_forget();
	kit_expect("two\nthree\n", "read again");
	is_int(kit_end, 14, "with the same offsets");
	kit_append("mail.log", "four");
	kit_turns(4);
	ok(tail_rewind(kit_tail, 8), "with a half line pending");
	kit_forget();
	kit_rename("mail.log", "mail.log.1");
	kit_append("mail.log", "five\n");
	kit_expect("three\nfour\nfive\n", "again, and over a rotation");
	is_int(kit_end, 23, "offsets");

	kit_rename("mail.log.1", "mail.log.3");
	kit_rename("mail.log", "mail.log.2");
	kit_append("mail.log.1", "six\n");
	kit_append("mail.log", "seven\n");
	kit_until(kit_end == 33);
	ok(tail_rewind(kit_tail, 4), "to a rotated file");
	kit_forget();
	kit_expect("two\nthree\nfour\nfive\nsix\nseven\n", "all from there");
	is_int(kit_end, 33, "with the same offsets");
	ok(tail_rewind(kit_tail, 18), "again, to another");
	kit_forget();
	kit_expect("five\nsix\nseven\n", "all from there");
	ok(tail_rewind(kit_tail, 33), "to where it is");
	kit_forget();
	kit_expect("", "nothing");
	unlink(kit_path("mail.log.3"));
	ok(!tail_rewind(kit_tail, 4), "not to a file that is gone");
	kit_append("mail.log", "eight\n");
	kit_expect("eight\n", "which changes nothing");
	is_int(kit_end, 39, "offset");

	kit_truncate("mail.log", "");
	kit_turns(4);
	kit_append("mail.log", "nine\n");
	kit_expect("eight\nnine\n", "truncated");
	ok(!tail_rewind(kit_tail, 36), "not to what was truncated");
	ok(tail_rewind(kit_tail, 39), "but to what came after");
	kit_forget();
	kit_expect("nine\n", "read again");
	kit_stop();
	kit_start(false);
	kit_until(kit_current);
	ok(!tail_rewind(kit_tail, 20), "not before a restart's files");
	kit_stop();
}

static void
test_no_descriptors(void)
{
	struct rlimit old, few;
	int fds[64], n = 0;

	kit_case("out of descriptors");
	kit_append("mail.log", "one\n");
	kit_start(true);
	kit_expect("one\n", "before");
	getrlimit(RLIMIT_NOFILE, &old);
	few = old;
	few.rlim_cur = 40;
	setrlimit(RLIMIT_NOFILE, &few);
	while (n < 64 && (fds[n] = dup(0)) != -1)
		n++;
	ok(n > 0 && n < 64, "none is left");
	kit_rename("mail.log", "mail.log.1");
	setrlimit(RLIMIT_NOFILE, &old);
	kit_append("mail.log.1", "two\n");
	kit_append("mail.log", "three\n");
	few.rlim_cur = 0;
	setrlimit(RLIMIT_NOFILE, &few);
	kit_until(kit_stats().errors > 0);
	ok(kit_count_said("Too many open files") == 1, "said");
	setrlimit(RLIMIT_NOFILE, &old);
	while (n > 0)
		close(fds[--n]);
	kit_expect("one\ntwo\nthree\n", "nothing is lost");
	is_int(kit_stats().lost, 0, "nor counted as lost");
	kit_stop();
}

/* All that a running tail holds is closed on exec. */
static void
test_cloexec(void)
{
	int before = kit_descriptors(), open_now = 0, kept = 0;

	kit_case("close on exec");
	kit_append("mail.log", "one\n");
	kit_start(true);
	kit_expect("one\n", "it runs");
	for (int fd = 3; fd < 256; fd++) {
		int flags = fcntl(fd, F_GETFD);

		open_now += flags != -1;
		kept += flags != -1 && (flags & FD_CLOEXEC) == 0;
	}
	ok(open_now > 0, "%d descriptors", open_now);
	ok(kit_descriptors() > before, "more than before");
	is_int(kept, 0, "all closed on exec");
	kit_stop();
}

int
main(void)
{
	int before;

	kit_begin();
	/* Inherited ones are not ours. */
	for (int fd = 3; fd < 256; fd++) {
		int flags = fcntl(fd, F_GETFD);

		if (flags != -1)
			fcntl(fd, F_SETFD, flags | FD_CLOEXEC);
	}
	before = kit_descriptors();
	test_chain();
	test_lost();
	test_packed();
	test_deleted();
	test_catch_up();
	test_pause();
	test_rewind();
	test_no_descriptors();
	test_cloexec();
	is_int(kit_descriptors(), before, "no descriptor is left open");
	return kit_done();
}
