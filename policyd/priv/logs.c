/*
 * logs: opens configured logs for the daemon, which may not read them itself.
 *
 * The daemon names a log by its number, and a rotated file of it by device and
 * inode: that file must lie in the log's own directory, its name must begin
 * with the log's, and it must be a regular file. So nothing else can be had,
 * whatever number is sent.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/core/logpos.h"
#include "lib/core/xalloc.h"
#include "policyd/priv/priv.h"

/* -1 and errno unless it is a regular file. */
static int
open_regular(int dir, const char *name, int flags)
{
	int fd = openat(dir, name,
	    O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC | flags);
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
is_file(int fd, uint64_t dev, uint64_t inode)
{
	struct stat st;

	return fstat(fd, &st) == 0 && st.st_ino == inode && st.st_dev == dev;
}

/* The rotated file of `path` with this inode. */
static int
open_rotated(const char *path, uint64_t dev, uint64_t inode)
{
	char *copy = x_strdup(path);
	const char *base = strrchr(path, '/') + 1;
	DIR *dir = opendir(dirname(copy));
	const struct dirent *d;
	int fd = -1;

	free(copy);
	if (dir == NULL)
		return -1;
	while (fd < 0 && (d = readdir(dir)) != NULL) {
		if (d->d_ino != inode ||
		    strncmp(d->d_name, base, strlen(base)) != 0)
			continue;
		fd = open_regular(dirfd(dir), d->d_name, O_NOFOLLOW);
		if (fd >= 0 && !is_file(fd, dev, inode)) {
			close(fd);
			fd = -1;
		}
	}
	closedir(dir);
	if (fd < 0)
		errno = ENOENT;
	return fd;
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

	if (path == NULL) {
		errno = ESTALE;
		return -1;
	}
	fd = req->inode == 0 ? open_regular(AT_FDCWD, path, 0)
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
		int fd;

		if (priv_reload(&req, conf))
			continue;
		if (req.op != PRIVMSG_OPEN_LOG) {
			priv_reply(&req, PRIVMSG_OFF, 0, 0, -1);
			continue;
		}
		fd = open_log(*conf, &req);
		priv_reply(&req, fd >= 0 ? PRIVMSG_OK : PRIVMSG_ERROR,
		    fd >= 0 ? 0 : errno, 0, fd);
		if (fd >= 0)
			close(fd);
	}
}
