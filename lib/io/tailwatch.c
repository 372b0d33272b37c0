/*
 * tailwatch: see tailwatch.h.
 */
#include "lib/io/tailwatch.h"

#include <errno.h>
#include <event2/event.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "lib/core/log.h"
#include "lib/core/logplace.h"
#include "lib/io/loop.h"

#define TAILWATCH_DIR                                                      \
	(IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_ATTRIB | \
	    IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR)
#define TAILWATCH_FILE (IN_MODIFY | IN_ATTRIB)
/* Events read in one go, at most. */
#define TAILWATCH_READS 4

struct tailwatch {
	const char *path;
	tailwatch_fn *fn;
	void *ctx;
	int fd; /* -1: inotify is not to be had */
	struct event *ev;
	struct logplace places[LOGPLACE_MAX];
	size_t nplaces;
	int dirs[LOGPLACE_MAX]; /* watch descriptors, -1 = none */
	int file;
	int next;
	bool path_too;	 /* a write may be the path's first */
	bool dir_writes; /* files cannot be watched: their directory tells */
	bool blind_dir;	 /* something is not watched, or cannot tell */
	bool blind_file;
	bool said;
};

static void tailwatch_ready(evutil_socket_t fd, short what, void *arg);

static void
tailwatch_failed(struct tailwatch *w, const char *what)
{
	if (!w->said)
		log_warning("%s: cannot watch %s: %s; looking every %.0f ms",
		    w->path, what, strerror(errno), TAILWATCH_FAST * 1000);
	w->said = true;
}

/* File systems whose other users' writes inotify does not report. */
static bool
tailwatch_remote(const struct statfs *fs)
{
	static const uint32_t types[] = {
		0x6969,				    /* NFS */
		0x517B, 0xFF534D42, 0xFE534D42,	    /* SMB, CIFS, SMB2 */
		0x65735546,			    /* FUSE */
		0x01021997,			    /* 9p */
		0x5346414F, 0x6B414653,		    /* AFS */
		0x00C36400, 0x73757245, 0x0BD00BD0, /* Ceph, Coda, Lustre */
		0x01161970, 0x7461636F, 0x47504653, /* GFS2, OCFS2, GPFS */
		0x19830326, 0x786F4256,		    /* BeeGFS, vboxsf */
	};

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if ((uint32_t)fs->f_type == types[i])
			return true;
	return false;
}

struct tailwatch *
tailwatch_create(
    struct loop *loop, const char *path, tailwatch_fn *fn, void *ctx)
{
	struct tailwatch *w = calloc(1, sizeof(*w));

	if (w == NULL)
		return NULL;
	w->path = path;
	w->fn = fn;
	w->ctx = ctx;
	w->file = w->next = -1;
	for (size_t i = 0; i < LOGPLACE_MAX; i++)
		w->dirs[i] = -1;
	w->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (w->fd == -1) {
		tailwatch_failed(w, "files");
		return w;
	}
	w->ev = event_new(
	    loop_base(loop), w->fd, EV_READ | EV_PERSIST, tailwatch_ready, w);
	if (w->ev == NULL || event_priority_set(w->ev, LOOP_ANSWERS) != 0 ||
	    event_add(w->ev, NULL) != 0)
		tailwatch_destroy(&w);
	else
		tailwatch_refresh(w);
	return w;
}

void
tailwatch_destroy(struct tailwatch **wp)
{
	struct tailwatch *w = *wp;

	if (w == NULL)
		return;
	if (w->ev != NULL)
		event_free(w->ev);
	if (w->fd != -1)
		close(w->fd);
	free(w);
	*wp = NULL;
}

static void
tailwatch_drop(struct tailwatch *w, int wd)
{
	if (wd != -1)
		inotify_rm_watch(w->fd, wd);
}

/* Watches places[i]; the same directory keeps its watch descriptor. */
static bool
tailwatch_dir(struct tailwatch *w, size_t i)
{
	uint32_t mask = TAILWATCH_DIR | (w->dir_writes ? IN_MODIFY : 0);
	const char *dir = w->places[i].dir;
	int old = w->dirs[i], wd = inotify_add_watch(w->fd, dir, mask);
	struct statfs fs;

	w->dirs[i] = wd;
	if (wd != old && old != -1 && old != w->dirs[i == 0])
		tailwatch_drop(w, old);
	if (wd == -1) {
		if (errno != ENOENT && errno != ENOTDIR)
			tailwatch_failed(w, dir);
		return false;
	}
	return statfs(dir, &fs) == 0 && !tailwatch_remote(&fs);
}

void
tailwatch_refresh(struct tailwatch *w)
{
	size_t had = w->nplaces;

	if (w->fd == -1)
		return;
	w->nplaces = logplace_find(w->path, w->places);
	w->blind_dir = w->nplaces == 0;
	for (size_t i = 0; i < w->nplaces; i++)
		if (!tailwatch_dir(w, i))
			w->blind_dir = true;
	for (size_t i = w->nplaces; i < had; i++) {
		if (w->dirs[i] != w->dirs[0])
			tailwatch_drop(w, w->dirs[i]);
		w->dirs[i] = -1;
	}
}

/* A watch on one file; -1 where its directory has to tell. */
static int
tailwatch_file(struct tailwatch *w, const char *path)
{
	int wd = inotify_add_watch(w->fd, path, TAILWATCH_FILE);

	if (wd != -1 || errno == ENOENT)
		return wd;
	if (errno != EACCES) {
		tailwatch_failed(w, "the file");
		w->blind_file = true;
	} else if (!w->dir_writes) {
		w->dir_writes = true;
		tailwatch_refresh(w);
	}
	return -1;
}

void
tailwatch_files(struct tailwatch *w, int fd, bool path)
{
	int file = w->file, next = w->next;
	struct statfs fs;
	char name[64];

	if (w->fd == -1)
		return;
	w->file = w->next = -1;
	w->blind_file = false;
	w->path_too = path;
	if (fd != -1) {
		/* By descriptor: it may have been renamed or unlinked. */
		snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
		w->file = tailwatch_file(w, name);
		if (w->file == -1 && errno == ENOENT)
			w->blind_file = true; /* no /proc */
		if (fstatfs(fd, &fs) == 0 && tailwatch_remote(&fs))
			w->blind_file = true;
	}
	if (path)
		w->next = tailwatch_file(w, w->path);
	if (file != w->file && file != w->next)
		tailwatch_drop(w, file);
	if (next != w->file && next != w->next && next != file)
		tailwatch_drop(w, next);
}

double
tailwatch_interval(const struct tailwatch *w)
{
	return w->fd == -1 || w->blind_dir || w->blind_file ? TAILWATCH_FAST
							    : TAILWATCH_SLOW;
}

/* Does the event concern the log? mail.log.1 does as well: it may still be
 * written to. */
static bool
tailwatch_named(const struct tailwatch *w, const struct inotify_event *e)
{
	for (size_t i = 0; i < w->nplaces; i++)
		if (e->wd == w->dirs[i] &&
		    (e->len == 0 ||
			strncmp(e->name, w->places[i].name,
			    strlen(w->places[i].name)) == 0))
			return true;
	return false;
}

static void
tailwatch_event(
    struct tailwatch *w, const struct inotify_event *e, bool *look, bool *names)
{
	if ((e->mask & IN_Q_OVERFLOW) != 0) {
		*look = *names = true;
		return;
	}
	if (e->wd == w->file || e->wd == w->next || tailwatch_named(w, e)) {
		*look = true;
		if (e->mask != IN_MODIFY || (e->wd != w->file && w->path_too))
			*names = true;
	}
	if ((e->mask & IN_IGNORED) == 0)
		return;
	/* The kernel has dropped the watch, and may use its number again. */
	if (e->wd == w->file)
		w->file = -1;
	if (e->wd == w->next)
		w->next = -1;
	for (size_t i = 0; i < LOGPLACE_MAX; i++)
		if (e->wd == w->dirs[i]) {
			w->dirs[i] = -1;
			w->blind_dir = true; /* until the next refresh */
		}
}

static void
tailwatch_ready(evutil_socket_t fd, short what, void *arg)
{
	struct tailwatch *w = arg;
	bool look = false, names = false;
	_Alignas(struct inotify_event) char buf[4096];
	ssize_t n = 1;

	(void)what;
	for (int i = 0; n > 0 && i < TAILWATCH_READS; i++) {
		n = read(fd, buf, sizeof(buf));
		for (ssize_t at = 0; at < n;) {
			const struct inotify_event *e =
			    (const void *)(buf + at);

			tailwatch_event(w, e, &look, &names);
			at += (ssize_t)(sizeof(*e) + e->len);
		}
	}
	if (look)
		w->fn(w->ctx, names);
}
