/*
 * tail, of files that it may not read itself: no permission, and an opener
 * that answers at once or later. Run as root it gives up root's permissions.
 */
#include "lib/io/tail.h"

#include "t/unit/tailkit.h"

#define NOBODY 65534

/* What the opener does. */
static int open_errno; /* not 0: fails */
static int open_mode;
static bool open_late;	       /* answers after the next turn */
static const char *open_stale; /* an answer from before the rotation */
static int calls, calls_path;

/* What was asked for: the answer to it is had by asking again. */
struct asked {
	uint64_t ino;
	bool ready;
};
static struct asked asked[16];
static size_t nasked;

/* For a moment it is permitted. */
static int
open_any(const char *path)
{
	struct stat st;
	int fd, saved;

	if (stat(path, &st) != 0)
		return -1;
	chmod(path, 0600);
	fd = open(path, open_mode | O_CLOEXEC);
	saved = errno;
	chmod(path, st.st_mode & 0777);
	errno = saved;
	return fd;
}

static int
open_inode(uint64_t ino)
{
	DIR *dir = opendir(kit_dir);
	struct dirent *de;
	int fd = -1;

	while (dir != NULL && fd == -1 && (de = readdir(dir)) != NULL)
		if (de->d_ino == ino)
			fd = open_any(kit_path(de->d_name));
	closedir(dir);
	if (fd == -1)
		errno = ENOENT;
	return fd;
}

static int
opener(void *ctx, const char *path, uint64_t dev, uint64_t ino)
{
	size_t i = 0;

	(void)ctx;
	(void)dev;
	calls++;
	calls_path += ino == 0;
	if (strcmp(path, kit_path("mail.log")) != 0)
		log_fatal("asked for %s", path);
	while (i < nasked && asked[i].ino != ino)
		i++;
	if (open_late && (i == nasked || !asked[i].ready)) {
		if (i == nasked && nasked < 16)
			asked[nasked++].ino = ino;
		errno = EAGAIN;
		return -1;
	}
	if (open_errno != 0) {
		errno = open_errno;
		return -1;
	}
	if (ino != 0)
		return open_inode(ino);
	return open_any(open_stale != NULL ? kit_path(open_stale) : path);
}

static void
start(bool beginning)
{
	struct tail_options options = {
		.path = "mail.log", .beginning = beginning, .open = opener
	};

	calls = calls_path = 0;
	nasked = 0;
	memset(asked, 0, sizeof(asked));
	kit_start_options(&options);
}

/* Lets answers come until all of `text` has. */
static bool
answered(const char *text)
{
	double end = kit_clock() + KIT_DEADLINE;

	while (kit_len < strlen(text) && kit_clock() < end) {
		bool any = false;

		kit_turns(3);
		for (size_t i = 0; i < nasked; i++) {
			any = any || !asked[i].ready;
			asked[i].ready = true;
		}
		if (any)
			tail_look(kit_tail);
		else if (kit_len < strlen(text))
			kit_turn();
	}
	return kit_len == strlen(text) && memcmp(kit_text, text, kit_len) == 0;
}

static void
put(const char *name, const char *text)
{
	struct stat st;
	bool old = stat(kit_path(name), &st) == 0;

	if (old)
		chmod(kit_path(name), 0600);
	kit_append(name, text);
	chmod(kit_path(name), 0);
}

static void
test_denied(void)
{
	kit_case("no permission, and nobody who has it");
	kit_append("mail.log", "one\n");
	chmod(kit_path("mail.log"), 0);
	kit_start(false);
	kit_until(kit_stats().errors >= 2);
	is_int(kit_count_said("Permission denied"), 1, "said once");
	chmod(kit_path("mail.log"), 0644);
	kit_until(strcmp(kit_stats().state, "current") == 0);
	kit_append("mail.log", "two\n");
	kit_expect("two\n", "it was there: from its end");
	kit_rename("mail.log", "mail.log.1");
	put("mail.log", "four\n");
	kit_until(kit_count_said("Permission denied") == 2);
	is_int(kit_count_said("Permission denied"), 2, "a new file, the same");
	kit_append("mail.log.1", "three\n");
	kit_expect("two\nthree\n", "the old one is followed");
	chmod(kit_path("mail.log"), 0644);
	kit_expect("two\nthree\nfour\n", "until the new one can be opened");
	kit_stop();

	kit_case("a rotated file that may not be read");
	kit_append("mail.log", "one\n");
	kit_start(true);
	kit_expect("one\n", "before");
	kit_stop();
	kit_rename("mail.log", "mail.log.2");
	put("mail.log.1", "two\n");
	kit_append("mail.log", "three\n");
	kit_start(true);
	kit_expect("one\nthree\n", "is left out");
	is_int(kit_stats().lost, 1, "counted");
	is_int(kit_count_said("mail.log.1 cannot be read"), 1, "said");
	kit_stop();
}

static void
test_opener(void)
{
	kit_case("an opener");
	put("mail.log", "one\n");
	open_mode = O_RDONLY;
	start(true);
	kit_expect("one\n", "is asked");
	put("mail.log", "two\n");
	kit_expect("one\ntwo\n", "once only");
	is_int(calls, 1, "for one file");
	kit_rename("mail.log", "mail.log.1");
	put("mail.log.1", "three\n");
	put("mail.log", "four\n");
	kit_expect("one\ntwo\nthree\nfour\n", "and for the next");
	is_int(kit_stats().lost, 0, "nothing lost");
	kit_stop();

	kit_case("an answer that is out of date");
	put("mail.log", "one\n");
	start(true);
	kit_expect("one\n", "before");
	kit_rename("mail.log", "mail.log.1");
	put("mail.log", "two\n");
	kit_expect("one\ntwo\n", "a rotation");
	kit_rename("mail.log.1", "kept");
	kit_rename("mail.log", "mail.log.1");
	open_stale = "kept";
	calls = 0;
	put("mail.log", "three\n");
	kit_until(calls > 1);
	kit_turns(5);
	is_int(kit_lines, 2, "does not bring back what was read");
	open_stale = NULL;
	kit_expect("one\ntwo\nthree\n", "until it is right");
	kit_stop();

	kit_case("its errors");
	open_errno = EIO;
	put("mail.log", "one\n");
	start(true);
	kit_until(kit_stats().errors >= 2);
	is_int(kit_count_said("Input/output error"), 1, "are said once");
	open_errno = 0;
	kit_expect("one\n", "and it is asked again");
	kit_stop();

	kit_case("errors of read");
	open_mode = O_WRONLY;
	put("mail.log", "one\n");
	start(true);
	kit_until(kit_stats().errors >= 2);
	is_int(kit_count_said("Bad file descriptor"), 1, "said once");
	is_str(kit_stats().state, "missing", "it is opened again");
	open_mode = O_RDONLY;
	kit_expect("one\n", "until it can be read");
	is_int(kit_stats().lost, 0, "nothing is lost");
	kit_stop();

	kit_case("a directory that may not even be searched");
	mkdir(kit_path("d"), 0755);
	kit_append("d/real", "one\n");
	ok(symlink("d/real", kit_path("mail.log")) == 0, "(link)");
	chmod(kit_path("d"), 0);
	kit_start(true);
	kit_until(kit_stats().errors >= 2);
	is_int(kit_count_said("Permission denied; waiting"), 1, "said once");
	chmod(kit_path("d"), 0755);
	kit_expect("one\n", "until it may");
	kit_stop();
}

/* Answers come later, one file may need several. */
static void
test_late(void)
{
	open_late = true;
	kit_case("an opener that answers later");
	put("mail.log", "one\n");
	start(true);
	kit_turns(5);
	is_str(kit_stats().state, "missing", "waits");
	is_int(kit_stats().errors, 0, "which is no error");
	ok(answered("one\n"), "the answer");
	nasked = 0;
	put("mail.log", "two\n");
	kit_rename("mail.log", "mail.log.1");
	put("mail.log", "three\n");
	ok(answered("one\ntwo\nthree\n"), "a rotation");
	is_int(kit_stats().rotations, 1, "counted");
	kit_stop();

	kit_case("starts at the end, later");
	put("mail.log", "one\n");
	start(false);
	kit_turns(5);
	put("mail.log", "two\n");
	tail_look(kit_tail);
	asked[0].ready = true;
	kit_until(strcmp(kit_stats().state, "current") == 0);
	put("mail.log", "three\n");
	ok(answered("three\n"), "the end is where it is when it is opened");
	kit_stop();

	kit_case("several rotated files");
	put("mail.log", "one\n");
	start(true);
	ok(answered("one\n"), "before");
	kit_stop();
	put("mail.log", "two\n");
	kit_rename("mail.log", "mail.log.3");
	put("mail.log.2", "three\n");
	put("mail.log.1", "four\n");
	put("mail.log", "five\n");
	start(true);
	ok(answered("one\ntwo\nthree\nfour\nfive\n"), "each is asked for");
	is_int(kit_stats().lost, 0, "nothing lost");
	is_int(nasked, 4, "once");
	kit_stop();

	kit_case("the copy of a truncated file");
	put("mail.log", "one\n");
	start(true);
	ok(answered("one\n"), "before");
	tail_pause(kit_tail, true);
	put("mail.log", "two\n");
	put("mail.log.1", "one\ntwo\n");
	chmod(kit_path("mail.log"), 0600);
	kit_truncate("mail.log", "3\n");
	chmod(kit_path("mail.log"), 0);
	tail_pause(kit_tail, false);
	ok(answered("one\ntwo\n3\n"), "is asked for");
	is_int(kit_stats().truncations, 1, "counted once");
	kit_stop();

	kit_case("one that the opener refuses");
	put("mail.log", "one\n");
	start(true);
	ok(answered("one\n"), "before");
	kit_stop();
	chmod(kit_path("mail.log"), 0644);
	kit_rename("mail.log", "mail.log.2");
	put("mail.log.1", "two\n");
	kit_append("mail.log", "three\n");
	open_errno = ENOENT;
	start(true);
	ok(answered("one\nthree\n"), "is left out");
	is_int(kit_stats().lost, 1, "counted");
	kit_stop();
	open_errno = 0;

	kit_case("many that may be a copy");
	put("mail.log", "one\n");
	start(true);
	ok(answered("one\n"), "before");
	kit_stop();
	unlink(kit_path("mail.log"));
	for (int i = 1; i <= 12; i++) {
		char name[64];

		snprintf(name, sizeof(name), "mail.log.%d", i);
		put(name, "other\n");
	}
	put("mail.log", "new\n");
	start(true);
	ok(answered("one\nother\nother\nother\nother\nother\nother\nother\n"
		    "other\nother\nother\nother\nother\nnew\n"),
	    "none is; all are read");
	is_int(kit_stats().lost, 1, "the file is gone");
	kit_stop();
	open_late = false;
}

int
main(void)
{
	int before;

	kit_begin();
	if (geteuid() == 0 &&
	    (chown(kit_dir, NOBODY, NOBODY) != 0 || setegid(NOBODY) != 0 ||
		seteuid(NOBODY) != 0))
		log_fatal("cannot be nobody: %s", strerror(errno));
	before = kit_descriptors();
	test_denied();
	test_opener();
	test_late();
	is_int(kit_descriptors(), before, "no descriptor is left open");
	if (seteuid(getuid()) != 0)
		log_fatal("cannot be root again: %s", strerror(errno));
	return kit_done();
}
