/*
 * logs: opens configured logs for the daemon, which may not read them itself.
 *
 * The daemon names a log by its number, and a rotated file of it by device and
 * inode. Such a file must be where rotation puts it: in the log's directory
 * (that of the link, or of the file it points to), under a name that rotation
 * makes of the log's (lib/core/logname.h), compressed or not. It must be a
 * regular file with one name. So nothing else can be had, whatever number is
 * sent.
 *
 * The log itself may be a symbolic link if that is root's: in a directory that
 * others can write, they could make one to any file. Rotated files are looked
 * for beside its target on the same condition.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/core/logname.h"
#include "lib/core/logplace.h"
#include "lib/core/logpos.h"
#include "lib/core/xalloc.h"
#include "policyd/priv/priv.h"

/* -1 and errno unless it is a regular file. */
static int
open_regular(int dir, const char *name, int flags)
{
	int fd = openat(
	    dir, name, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC | flags);
	struct stat st;

	if (fd < 0)
		return -1;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
		return fd;
	close(fd);
	errno = S_ISDIR(st.st_mode) ? EISDIR : EINVAL;
	return -1;
}

static bool
is_rotation(const char *name, const char *base)
{
	size_t len = strlen(name);
	struct logname parsed;

	return logname_parse(
	    name, len - logname_packed(name, len), base, &parsed);
}

/* The file with this inode, if rotation may have put it there. */
static int
open_beside(const struct logplace *place, uint64_t dev, uint64_t ino)
{
	DIR *dir = opendir(place->dir);
	const struct dirent *d;
	int fd = -1;

	while (dir != NULL && fd < 0 && (d = readdir(dir)) != NULL) {
		struct stat st;

		if (!is_rotation(d->d_name, place->name))
			continue;
		if (fstatat(dirfd(dir), d->d_name, &st, AT_SYMLINK_NOFOLLOW) !=
			0 ||
		    st.st_ino != ino || st.st_dev != dev)
			continue;
		fd = open_regular(dirfd(dir), d->d_name, O_NOFOLLOW);
		if (fd >= 0 &&
		    (fstat(fd, &st) != 0 || st.st_ino != ino ||
			st.st_dev != dev || st.st_nlink > 1)) {
			close(fd);
			fd = -1;
		}
	}
	if (dir != NULL)
		closedir(dir);
	return fd;
}

static int
open_rotated(const char *path, uint64_t dev, uint64_t ino)
{
	struct logplace places[LOGPLACE_MAX];
	size_t n = logplace_find(path, places);
	struct stat st;
	int fd = -1;

	if (n > 1 && (lstat(path, &st) != 0 || st.st_uid != 0))
		n = 1;
	for (size_t i = 0; i < n && fd < 0; i++)
		fd = open_beside(&places[i], dev, ino);
	if (fd < 0)
		errno = ENOENT;
	return fd;
}

static int
open_current(const char *path)
{
	int fd = open_regular(AT_FDCWD, path, O_NOFOLLOW);
	struct stat st;

	if (fd >= 0 || errno != ELOOP)
		return fd;
	if (lstat(path, &st) != 0)
		return -1;
	if (st.st_uid != 0) {
		errno = EPERM;
		return -1;
	}
	return open_regular(AT_FDCWD, path, 0);
}

/* The file of a configured log that the daemon means: the log itself, or one
 * that its pattern matches now. NULL if there is none; the caller frees it. */
static char *
find_path(const struct conf_log *log, uint64_t name)
{
	char *path = NULL;
	glob_t found;

	if (!conf_log_is_pattern(log))
		return logpos_hash(log->path, strlen(log->path)) == name
		    ? x_strdup(log->path)
		    : NULL;
	if (glob(log->path, 0, NULL, &found) != 0)
		return NULL;
	for (size_t i = 0; i < found.gl_pathc && path == NULL; i++) {
		const char *one = found.gl_pathv[i];

		if (conf_log_covers(log, one) &&
		    logpos_hash(one, strlen(one)) == name)
			path = x_strdup(one);
	}
	globfree(&found);
	return path;
}

static int
open_log(const struct conf *conf, const struct privmsg_request *req)
{
	char *path = req->log < conf->n_logs
	    ? find_path(&conf->logs[req->log], req->name)
	    : NULL;
	int fd, error;

	if (path == NULL || strlen(path) >= PATH_MAX) {
		free(path);
		errno = ESTALE;
		return -1;
	}
	fd = req->inode == 0 ? open_current(path)
			     : open_rotated(path, req->dev, req->inode);
	error = errno;
	free(path);
	errno = error;
	return fd;
}

void
priv_logs(struct conf **conf)
{
	struct privmsg_request req;

	while (priv_receive(&req)) {
		struct privmsg_reply reply = { .result = PRIVMSG_OFF };
		int fd = -1;

		if (priv_reload(&req, conf, NULL))
			continue;
		if (req.op == PRIVMSG_OPEN_LOG) {
			fd = open_log(*conf, &req);
			reply.result = fd >= 0 ? PRIVMSG_OK : PRIVMSG_ERROR;
			reply.error = fd >= 0 ? 0 : errno;
		}
		priv_reply(&req, &reply, fd);
		if (fd >= 0)
			close(fd);
	}
}
