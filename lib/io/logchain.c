/*
 * logchain: see logchain.h.
 */
#include "lib/io/logchain.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/core/logname.h"
#include "lib/core/logplace.h"
#include "lib/io/logfile.h"

#define LOGCHAIN_PASSES 8

struct logchain {
	struct logchain_file *files;
	size_t n;
	size_t room;
};

static bool
logchain_add(struct logchain *c, const struct logchain_file *file)
{
	if (c->n == c->room) {
		size_t room = c->room > 0 ? c->room * 2 : 16;
		void *p = reallocarray(c->files, room, sizeof(*c->files));

		if (p == NULL)
			return false;
		c->files = p;
		c->room = room;
	}
	c->files[c->n++] = *file;
	return true;
}

static bool
logchain_entry(struct logchain *c, int dirfd, const struct logplace *place,
    const struct dirent *de, uint64_t ino)
{
	const char *name = de->d_name;
	size_t len = strlen(name), ending = logname_packed(name, len);
	struct logname what = { LOGNAME_OTHER, 0, 0 };
	struct logchain_file file = { .packed = ending > 0,
		.gzip = ending > 0 && strcmp(name + len - ending, ".gz") == 0 };
	struct stat st;

	if (strcmp(name, place->name) == 0)
		return true;
	if (!logname_parse(name, len - ending, place->name, &what)) {
		if (ino == 0 || de->d_ino != ino)
			return true;
		what = (struct logname){ LOGNAME_OTHER, 0, len };
	}
	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) != 0 ||
	    !S_ISREG(st.st_mode))
		return true;
	if (logchain_index(c, st.st_dev, st.st_ino) < c->n)
		return true; /* another link to it */
	if (asprintf(&file.path, "%s/%s", place->dir, name) < 0)
		return false;
	file.dev = st.st_dev;
	file.ino = st.st_ino;
	file.size = (uint64_t)st.st_size;
	file.mtime = logfile_mtime(&st);
	file.kind = what.kind;
	file.key = file.path + strlen(place->dir) + 1 + what.key;
	file.key_len = what.key_len;
	if (logchain_add(c, &file))
		return true;
	free(file.path);
	return false;
}

static bool
logchain_dir(struct logchain *c, const struct logplace *place, uint64_t ino)
{
	int fd = open(place->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd != -1 ? fdopendir(fd) : NULL;
	struct dirent *de;
	bool good = true;

	if (dir == NULL) {
		if (fd != -1)
			close(fd);
		return true;
	}
	while (good && (de = readdir(dir)) != NULL)
		good = logchain_entry(c, fd, place, de, ino);
	closedir(dir);
	return good;
}

static int
logchain_by_number(const void *va, const void *vb)
{
	const struct logchain_file *a = va, *b = vb;

	return logname_compare(b->key, b->key_len, a->key, a->key_len);
}

static int
logchain_by_date(const void *va, const void *vb)
{
	const struct logchain_file *a = va, *b = vb;

	return logname_compare(a->key, a->key_len, b->key, b->key_len);
}

static int
logchain_by_mtime(const void *va, const void *vb)
{
	const struct logchain_file *a = va, *b = vb;

	if (a->mtime != b->mtime)
		return a->mtime < b->mtime ? -1 : 1;
	return strcmp(a->path, b->path);
}

/* Drops mail.log.1.gz where mail.log.1 is there too: it is being written. */
static void
logchain_unpack(struct logchain *c)
{
	size_t kept = 0;

	for (size_t i = 0; i < c->n; i++) {
		struct logchain_file *f = &c->files[i];
		size_t len = strlen(f->path);
		size_t plain = len - logname_packed(f->path, len);

		for (size_t j = 0; f->packed && !f->twice && j < c->n; j++)
			f->twice = i != j &&
			    strlen(c->files[j].path) == plain &&
			    memcmp(c->files[j].path, f->path, plain) == 0;
	}
	for (size_t i = 0; i < c->n; i++) {
		if (c->files[i].twice)
			free(c->files[i].path);
		else
			c->files[kept++] = c->files[i];
	}
	c->n = kept;
}

static void
logchain_sort(struct logchain *c)
{
	enum logname_kind kind = c->n > 0 ? c->files[0].kind : LOGNAME_OTHER;

	for (size_t i = 1; i < c->n; i++)
		if (c->files[i].kind != kind)
			kind = LOGNAME_OTHER;
	if (c->n > 1)
		qsort(c->files, c->n, sizeof(*c->files),
		    kind == LOGNAME_NUMBERED	? logchain_by_number
			: kind == LOGNAME_DATED ? logchain_by_date
						: logchain_by_mtime);
}

static struct logchain *
logchain_pass(const char *path, uint64_t ino)
{
	struct logplace places[LOGPLACE_MAX];
	size_t nplaces = logplace_find(path, places);
	struct logchain *c = calloc(1, sizeof(*c));

	for (size_t i = 0; c != NULL && i < nplaces; i++)
		if (!logchain_dir(c, &places[i], ino))
			logchain_destroy(&c);
	if (c == NULL)
		return NULL;
	logchain_unpack(c);
	logchain_sort(c);
	return c;
}

static bool
logchain_equal(const struct logchain *a, const struct logchain *b)
{
	if (a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++)
		if (a->files[i].ino != b->files[i].ino ||
		    a->files[i].dev != b->files[i].dev ||
		    strcmp(a->files[i].path, b->files[i].path) != 0)
			return false;
	return true;
}

struct logchain *
logchain_scan(const char *path, uint64_t ino)
{
	struct logchain *last = logchain_pass(path, ino);

	for (int i = 0; last != NULL && i < LOGCHAIN_PASSES; i++) {
		struct logchain *again = logchain_pass(path, ino);
		bool equal = again != NULL && logchain_equal(last, again);

		logchain_destroy(&last);
		last = again;
		if (equal)
			return last;
	}
	logchain_destroy(&last);
	return NULL;
}

void
logchain_destroy(struct logchain **cp)
{
	struct logchain *c = *cp;

	if (c == NULL)
		return;
	for (size_t i = 0; i < c->n; i++)
		free(c->files[i].path);
	free(c->files);
	free(c);
	*cp = NULL;
}

size_t
logchain_count(const struct logchain *c)
{
	return c->n;
}

const struct logchain_file *
logchain_get(const struct logchain *c, size_t i)
{
	return &c->files[i];
}

size_t
logchain_index(const struct logchain *c, uint64_t dev, uint64_t ino)
{
	size_t i = 0;

	while (i < c->n && (c->files[i].ino != ino || c->files[i].dev != dev))
		i++;
	return i;
}

size_t
logchain_after(const struct logchain *c, double mtime)
{
	size_t i = 0;

	while (i < c->n && !(c->files[i].mtime > mtime))
		i++;
	return i;
}

size_t
logchain_behind(
    const struct logchain *c, uint64_t dev, uint64_t ino, double mtime)
{
	size_t i = logchain_index(c, dev, ino);

	return i < c->n ? i + 1 : logchain_after(c, mtime);
}

bool
logchain_content(const struct logchain *c, size_t i)
{
	while (i < c->n && c->files[i].size == 0)
		i++;
	return i < c->n;
}
