/*
 * tailkit: a tail on real files in a temporary directory, through a real loop,
 * for its tests. One tail at a time; what it hands on is collected.
 */
#ifndef MXW_TAILKIT_H
#define MXW_TAILKIT_H

#include <dirent.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "lib/core/log.h"
#include "lib/core/xalloc.h"
#include "lib/io/loop.h"
#include "lib/io/tail.h"

#include "t/unit/tap.h"

#define KIT_DEADLINE 10.0

static char kit_dir[] = "/tmp/mxwarden-tail-XXXXXX";
static struct loop *kit_loop;
static struct loop_timer *kit_wake; /* no turn waits for ever */
static struct tail *kit_tail;
static struct logpos kit_pos; /* where the last tail was stopped */
static bool kit_have_pos;
/* What was handed on: the lines, each with a newline. */
static char *kit_text;
static size_t kit_len, kit_room;
static size_t kit_lines, kit_cut;
static uint64_t kit_end;	/* of the last line */
static bool kit_ordered = true; /* ends grew */
static bool kit_current;	/* as last told by progress */
static double kit_ref;
static char kit_said[16384]; /* messages, one a line */

static double __attribute__((unused)) kit_clock(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void __attribute__((unused)) kit_line(
    void *ctx, const char *line, size_t len, uint64_t end, bool cut, double ref)
{
	(void)ctx;
	if (kit_len + len + 2 > kit_room) {
		kit_room = (kit_len + len + 2) * 2;
		kit_text = x_reallocarray(kit_text, kit_room, 1);
	}
	memcpy(kit_text + kit_len, line, len);
	kit_len += len;
	kit_text[kit_len++] = '\n';
	kit_text[kit_len] = '\0';
	kit_lines++;
	kit_cut += cut;
	if (end <= kit_end)
		kit_ordered = false;
	kit_end = end;
	kit_ref = ref;
}

static void __attribute__((unused)) kit_progress(void *ctx, bool current)
{
	(void)ctx;
	kit_current = current;
}

static void
kit_message(void *ctx, enum msg_level level, const char *text)
{
	size_t len = strlen(kit_said);

	(void)ctx;
	snprintf(kit_said + len, sizeof(kit_said) - len, "%s: %s\n",
	    log_level_name(level), text);
}

/* How often `text` was said. */
static int __attribute__((unused)) kit_count_said(const char *text)
{
	int n = 0;

	for (const char *p = kit_said; (p = strstr(p, text)) != NULL; p++)
		n++;
	return n;
}

static const char *
kit_path(const char *name)
{
	static char bufs[4][512];
	static unsigned next;
	char *buf = bufs[next++ % 4];

	snprintf(buf, sizeof(bufs[0]), "%s/%s", kit_dir, name);
	return buf;
}

static void
kit_write(const char *name, int flags, const void *buf, size_t len)
{
	int fd =
	    open(kit_path(name), O_WRONLY | O_CREAT | O_CLOEXEC | flags, 0644);

	if (fd == -1 || write(fd, buf, len) != (ssize_t)len)
		log_fatal("%s: %s", kit_path(name), strerror(errno));
	close(fd);
}

static void __attribute__((unused))
kit_append(const char *name, const char *text)
{
	kit_write(name, O_APPEND, text, strlen(text));
}

static void __attribute__((unused))
kit_truncate(const char *name, const char *text)
{
	kit_write(name, O_TRUNC, text, strlen(text));
}

/* Over the content of another file, as `cat` and `>` do; in one write(2), so
 * that nobody sees it half done. */
static void __attribute__((unused)) kit_copy(const char *from, const char *to)
{
	char buf[65536];
	int in = open(kit_path(from), O_RDONLY | O_CLOEXEC);
	int out = open(kit_path(to), O_WRONLY | O_CLOEXEC);
	ssize_t n = in != -1 ? read(in, buf, sizeof(buf)) : -1;

	if (n < 0 || out == -1 || write(out, buf, (size_t)n) != n ||
	    ftruncate(out, n) != 0)
		log_fatal("copy %s %s: %s", from, to, strerror(errno));
	close(in);
	close(out);
}

static void __attribute__((unused)) kit_rename(const char *from, const char *to)
{
	if (rename(kit_path(from), kit_path(to)) != 0)
		log_fatal("rename %s %s: %s", from, to, strerror(errno));
}

/* Sets the modification time to `seconds` ago. */
static void __attribute__((unused)) kit_age(const char *name, long seconds)
{
	struct timespec ts[2];

	clock_gettime(CLOCK_REALTIME, &ts[0]);
	ts[0].tv_sec -= seconds;
	ts[1] = ts[0];
	if (utimensat(AT_FDCWD, kit_path(name), ts, 0) != 0)
		log_fatal("utimensat: %s", strerror(errno));
}

static void
kit_empty(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *de;
	char name[1024];

	while (dir != NULL && (de = readdir(dir)) != NULL) {
		if (de->d_name[0] == '.')
			continue;
		snprintf(name, sizeof(name), "%s/%s", path, de->d_name);
		if (unlink(name) != 0) {
			kit_empty(name);
			rmdir(name);
		}
	}
	if (dir != NULL)
		closedir(dir);
}

static void
kit_remove(void)
{
	kit_empty(kit_dir);
	rmdir(kit_dir);
}

static void
kit_woken(void *ctx)
{
	(void)ctx;
}

static void
kit_begin(void)
{
	if (mkdtemp(kit_dir) == NULL)
		log_fatal("mkdtemp: %s", strerror(errno));
	atexit(kit_remove);
	log_set_sink(kit_message, NULL);
	kit_loop = loop_create();
	if (kit_loop == NULL)
		log_fatal("no loop");
	kit_wake = loop_timer_create(kit_loop, LOOP_ANSWERS, kit_woken, NULL);
}

static void __attribute__((unused)) kit_forget(void)
{
	kit_len = kit_lines = kit_cut = 0;
	kit_end = 0;
	kit_current = false;
	kit_said[0] = '\0';
	if (kit_text != NULL)
		kit_text[0] = '\0';
}

/* Goes on from kit_pos when there is one. */
static void __attribute__((unused))
kit_start_options(struct tail_options *options)
{
	static const struct tail_events events = { kit_line, kit_progress };
	char path[512];

	snprintf(path, sizeof(path), "%s", kit_path(options->path));
	options->path = path;
	options->epoch = 42;
	options->pos = kit_have_pos ? &kit_pos : NULL;
	kit_current = false;
	kit_tail = tail_create(kit_loop, options, &events, NULL);
	if (kit_tail == NULL)
		log_fatal("no tail");
}

static void __attribute__((unused)) kit_start(bool beginning)
{
	struct tail_options options = { .path = "mail.log",
		.beginning = beginning };

	kit_start_options(&options);
}

static void __attribute__((unused)) kit_stop(void)
{
	tail_position(kit_tail, &kit_pos);
	kit_have_pos = true;
	tail_destroy(&kit_tail);
}

/* One turn; returns after a second at the latest. */
static void __attribute__((unused)) kit_turn(void)
{
	loop_timer_set(kit_wake, 1);
	event_base_loop(loop_base(kit_loop), EVLOOP_ONCE);
}

/* So many turns, without waiting in any. */
static void __attribute__((unused)) kit_turns(int n)
{
	while (n-- > 0)
		event_base_loop(
		    loop_base(kit_loop), EVLOOP_ONCE | EVLOOP_NONBLOCK);
}

/* Runs until all of `text` has come and the tail is current. */
static bool __attribute__((unused))
kit_expect_(const char *text, const char *file, int line, const char *what)
{
	double end = kit_clock() + KIT_DEADLINE;
	size_t len = strlen(text);
	bool good;

	while ((kit_len < len || !kit_current) && kit_clock() < end)
		kit_turn();
	for (int i = 0; i < 3; i++)
		event_base_loop(
		    loop_base(kit_loop), EVLOOP_ONCE | EVLOOP_NONBLOCK);
	good = kit_len == len && (len == 0 || memcmp(kit_text, text, len) == 0);
	tap_ok(good, file, line, "%s", what);
	if (!good)
		printf("#   got %zu bytes: %.300s\n#   want %zu: %.300s\n",
		    kit_len, kit_text != NULL ? kit_text : "", len, text);
	return good;
}
#define kit_expect(text, what) kit_expect_((text), __FILE__, __LINE__, (what))

/* Runs until `cond` is true. */
#define kit_until(cond)                                   \
	do {                                              \
		double end_ = kit_clock() + KIT_DEADLINE; \
		while (!(cond) && kit_clock() < end_)     \
			kit_turn();                       \
	} while (0)

static struct tail_stats __attribute__((unused)) kit_stats(void)
{
	struct tail_stats stats;

	tail_stats(kit_tail, &stats);
	return stats;
}

static int __attribute__((unused)) kit_descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int n = 0;

	while (dir != NULL && readdir(dir) != NULL)
		n++;
	if (dir != NULL)
		closedir(dir);
	return n;
}

/* Begins a case in an empty directory. */
static void __attribute__((unused)) kit_case(const char *name)
{
	printf("# %s\n", name);
	ok(kit_ordered, "ends grew so far");
	kit_empty(kit_dir);
	kit_have_pos = false;
	kit_ordered = true;
	kit_forget();
}

static int
kit_done(void)
{
	loop_timer_destroy(&kit_wake);
	loop_destroy(&kit_loop);
	free(kit_text);
	return tap_done();
}

#endif
