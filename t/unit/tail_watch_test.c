/*
 * tail where inotify does not tell: limits, missing permission, network file
 * systems, lost events, directories that come and go. What the kernel would
 * refuse is refused by the functions below, which stand before those of libc.
 */
#include <sys/inotify.h>
#include <sys/syscall.h>
#include <sys/vfs.h>

#include "lib/io/tail.h"
#include "lib/io/tailwatch.h"

#include "t/unit/tailkit.h"

static int init_errno, file_errno, dir_errno;
static long fs_type = 0xef53; /* of every file */

int
inotify_init1(int flags)
{
	if (init_errno != 0) {
		errno = init_errno;
		return -1;
	}
	return (int)syscall(SYS_inotify_init1, flags);
}

int
inotify_add_watch(int fd, const char *path, uint32_t mask)
{
	int why = (mask & IN_ONLYDIR) != 0 ? dir_errno : file_errno;

	if (why != 0) {
		errno = why;
		return -1;
	}
	return (int)syscall(SYS_inotify_add_watch, fd, path, mask);
}

int
fstatfs(int fd, struct statfs *fs)
{
	(void)fd;
	memset(fs, 0, sizeof(*fs));
	fs->f_type = (__typeof__(fs->f_type))fs_type;
	return 0;
}

/* Which of the two is called, the size of off_t decides. */
int
fstatfs64(int fd, struct statfs64 *fs)
{
	(void)fd;
	memset(fs, 0, sizeof(*fs));
	fs->f_type = (__typeof__(fs->f_type))fs_type;
	return 0;
}

/* Lines and a rotation come through; returns how long the best of some lines
 * took. */
static double
follow(void)
{
	double best = 10;

	kit_append("mail.log", "");
	kit_start(true);
	kit_expect("", "current");
	for (size_t i = 1; i <= 4; i++) {
		double begun = kit_clock();

		kit_append("mail.log", "x\n");
		kit_until(kit_lines == i);
		best = fmin(best, kit_clock() - begun);
	}
	kit_append("mail.log", "one\n");
	kit_rename("mail.log", "mail.log.1");
	kit_append("mail.log", "");
	kit_turns(5);
	kit_append("mail.log.1", "two\n");
	kit_expect("x\nx\nx\nx\none\ntwo\n", "lines");
	kit_append("mail.log", "three\n");
	kit_expect("x\nx\nx\nx\none\ntwo\nthree\n", "and a rotation");
	return best;
}

static void
test_limits(void)
{
	kit_case("no inotify instance");
	init_errno = EMFILE;
	ok(follow() < 5, "by looking");
	is_int(kit_count_said("cannot watch"), 1, "said once");
	init_errno = 0;
	kit_stop();

	kit_case("no inotify watch");
	file_errno = dir_errno = ENOSPC;
	ok(follow() < 5, "by looking");
	is_int(kit_count_said("cannot watch"), 1, "said once");
	file_errno = dir_errno = 0;
	kit_stop();

	kit_case("no watch on the file");
	file_errno = ENOMEM;
	ok(follow() < 5, "by looking");
	is_int(kit_count_said("cannot watch"), 1, "said once");
	file_errno = 0;
	kit_stop();

	kit_case("the directory may not be read");
	dir_errno = EACCES;
	ok(follow() < 5, "by looking");
	is_int(kit_count_said("cannot watch"), 1, "said once");
	dir_errno = 0;
	kit_stop();

	kit_case("the file may not be read: its directory tells");
	file_errno = EACCES;
	ok(follow() < 0.02, "without waiting");
	is_int(kit_count_said("cannot watch"), 0, "nothing to say");
	file_errno = 0;
	kit_stop();
}

static void
nothing(void *ctx, bool names)
{
	(void)ctx;
	(void)names;
}

static void
test_interval(void)
{
	static const long remote[] = { 0x6969, 0x517B, 0xFF534D42, 0xFE534D42,
		0x65735546, 0x01021997, 0x5346414F, 0x00C36400 };
	struct tailwatch *w;
	char path[512];
	int fd;

	kit_case("how often it looks");
	kit_append("mail.log", "");
	snprintf(path, sizeof(path), "%s", kit_path("mail.log"));
	fd = open(path, O_RDONLY | O_CLOEXEC);
	w = tailwatch_create(kit_loop, path, nothing, NULL);
	tailwatch_files(w, fd, false);
	is_num(tailwatch_interval(w), TAILWATCH_SLOW, "local: slowly");
	for (size_t i = 0; i < sizeof(remote) / sizeof(remote[0]); i++) {
		fs_type = remote[i];
		tailwatch_files(w, fd, false);
		is_num(tailwatch_interval(w), TAILWATCH_FAST,
		    "file system %lx: fast", remote[i]);
	}
	fs_type = 0xef53;
	tailwatch_files(w, fd, false);
	is_num(tailwatch_interval(w), TAILWATCH_SLOW, "local again");
	tailwatch_destroy(&w);
	close(fd);

	kit_case("a network file system");
	fs_type = 0x6969;
	follow();
	is_int(kit_count_said("cannot watch"), 0, "is no fault");
	fs_type = 0xef53;
	kit_stop();
}

static int looks;

static void
look(void *ctx, bool names)
{
	(void)ctx;
	looks += names;
}

/* As many events as the queue holds, about a file that is no log. */
static void
flood(void)
{
	FILE *f = fopen("/proc/sys/fs/inotify/max_queued_events", "re");
	char name[64];
	long max = 0;

	if (f == NULL || fscanf(f, "%ld", &max) != 1)
		max = 16384;
	if (f != NULL)
		fclose(f);
	for (long i = 0; i <= max; i++) {
		/* No two events in a row are alike, else they become one. */
		snprintf(name, sizeof(name), "other-%ld", i % 2);
		if (i % 4 < 2)
			close(open(kit_path(name), O_CREAT | O_CLOEXEC, 0644));
		else
			unlink(kit_path(name));
	}
}

static void
test_overflow(void)
{
	struct tailwatch *w;
	char path[512];

	kit_case("more events than the queue holds");
	snprintf(path, sizeof(path), "%s", kit_path("mail.log"));
	w = tailwatch_create(kit_loop, path, look, NULL);
	kit_append("other", "");
	kit_turns(5);
	is_int(looks, 0, "another file is nothing to look at");
	flood();
	kit_until(looks > 0);
	is_int(looks, 1, "lost events are");
	tailwatch_destroy(&w);

	kit_append("mail.log", "one\n");
	kit_start(true);
	kit_expect("one\n", "before");
	flood();
	kit_append("mail.log", "two\n");
	kit_rename("mail.log", "mail.log.1");
	kit_append("mail.log", "three\n");
	kit_expect("one\ntwo\nthree\n", "nothing is missed");
	kit_append("mail.log", "four\n");
	kit_expect("one\ntwo\nthree\nfour\n", "afterwards neither");
	kit_stop();
}

static void
test_directories(void)
{
	struct tail_options options = { .path = "d/mail.log" };
	double begun;

	kit_case("a directory that is not there yet");
	kit_start_options(&options);
	kit_turns(3);
	is_str(kit_stats().state, "missing", "waits");
	is_int(kit_count_said("cannot watch"), 0, "which is no fault");
	mkdir(kit_path("d"), 0755);
	kit_append("d/mail.log", "one\n");
	kit_expect("one\n", "is found");
	kit_until(kit_clock() < 0 || kit_stats().errors > 0);
	kit_rename("d", "e");
	kit_append("e/mail.log", "two\n");
	kit_expect("one\ntwo\n", "moved away: still followed");
	mkdir(kit_path("d"), 0755);
	kit_append("d/mail.log", "three\n");
	kit_expect("one\ntwo\nthree\n", "a new one in its place");
	/* By now the new directory is watched. */
	begun = kit_clock();
	kit_rename("d/mail.log", "d/mail.log.1");
	kit_append("d/mail.log", "four\n");
	kit_expect("one\ntwo\nthree\nfour\n", "rotates like any other");
	ok(kit_clock() - begun < 5, "in %.3f s", kit_clock() - begun);
	kit_stop();
}

int
main(void)
{
	int before;

	kit_begin();
	before = kit_descriptors();
	test_limits();
	test_interval();
	test_overflow();
	test_directories();
	is_int(kit_descriptors(), before, "no descriptor is left open");
	return kit_done();
}
