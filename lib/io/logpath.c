/*
 * logpath: see logpath.h.
 */
#include "lib/io/logpath.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "lib/core/log.h"

/* Where the directory may not even be searched, the opener has to look. */
static bool
logpath_stat_opened(const struct logpath *p, struct stat *st)
{
	int fd = p->open(p->ctx, p->path, 0, 0);
	bool good = fd != -1 && fstat(fd, st) == 0;

	if (fd != -1)
		close(fd);
	return good;
}

bool
logpath_stat(const struct logpath *p, struct stat *st)
{
	if (stat(p->path, st) != 0 &&
	    (errno != EACCES || p->open == NULL || !logpath_stat_opened(p, st)))
		return false;
	if (S_ISREG(st->st_mode))
		return true;
	errno = S_ISDIR(st->st_mode) ? EISDIR : EINVAL;
	return false;
}

bool
logpath_open(const struct logpath *p, struct logfile *f)
{
	struct stat st;
	int fd;

	f->fd = -1;
	if (!logpath_stat(p, &st))
		return false;
	fd = logfile_open(p->path);
	if (fd == -1 && errno == EACCES && p->open != NULL)
		fd = p->open(p->ctx, p->path, 0, 0);
	return fd != -1 && logfile_adopt(f, fd);
}

/* Opens a rotated file; it must still be the one that was listed. */
static bool
logpath_open_rotated(const struct logpath *p, const struct logchain_file *entry,
    struct logfile *f)
{
	int fd = logfile_open(entry->path);

	f->fd = -1;
	if (fd == -1 && errno == EACCES && p->open != NULL) {
		fd = p->open(p->ctx, p->path, entry->dev, entry->ino);
		/* It is there, as open(2) has seen. So this is a refusal. */
		if (fd == -1 && errno == ENOENT)
			errno = EACCES;
	}
	if (fd == -1 ||
	    !(entry->gzip ? logfile_adopt_packed(f, fd) : logfile_adopt(f, fd)))
		return false;
	if (f->ino == entry->ino && f->dev == entry->dev)
		return true;
	logfile_close(f);
	errno = ENOENT;
	return false;
}

/* Compressed by what we cannot undo. */
static bool
logpath_is_closed(const struct logchain_file *e)
{
	return e->packed && !e->gzip;
}

/* After this error the same open(2) may work soon. */
static bool
logpath_transient(int why)
{
	return why == ENOENT || why == EMFILE || why == ENFILE ||
	    why == ENOMEM || why == EINTR || why == ESTALE || why == EAGAIN;
}

static int
logpath_search_pass(const struct logpath *p, const struct logchain *chain,
    const struct logpos *pos, struct logfile *f, bool copy)
{
	for (size_t i = 0; i < logchain_count(chain); i++) {
		const struct logchain_file *e = logchain_get(chain, i);

		if (logpath_is_closed(e) ||
		    (copy ? e->mtime < pos->time : e->ino != pos->ino))
			continue;
		if (!logpath_open_rotated(p, e, f)) {
			if (logpath_transient(errno))
				return -1;
			continue;
		}
		if (copy ? logfile_content_is(f, pos) : logfile_is(f, pos))
			return 1;
		logfile_close(f);
	}
	return 0;
}

int
logpath_search(const struct logpath *p, const struct logchain *chain,
    const struct logpos *pos, struct logfile *f)
{
	int found = logpath_search_pass(p, chain, pos, f, false);

	if (found == 0 && pos->head_len > 0)
		found = logpath_search_pass(p, chain, pos, f, true);
	return found;
}

/* Nothing lies between the chain and `cur`, unless it has come meanwhile. */
static bool
logpath_is_last(const struct logpath *p, const struct logfile *cur)
{
	struct stat st;

	return logpath_stat(p, &st) && logfile_same(cur, &st);
}

bool
logpath_next(const struct logpath *p, const struct logchain *chain, size_t i,
    struct logfile *cur, struct logfile *next_r, uint64_t *lost)
{
	size_t first = i, n = logchain_count(chain);
	bool found = false;

	for (; i < n; i++) {
		const struct logchain_file *e = logchain_get(chain, i);

		if (cur->fd != -1 && e->ino == cur->ino && e->dev == cur->dev)
			break; /* rotated since it was opened */
		if (logpath_is_closed(e))
			continue;
		found = logpath_open_rotated(p, e, next_r);
		if (found)
			break;
		if (logpath_transient(errno))
			return false;
	}
	if (!found) {
		if (cur->fd == -1 || (i == n && !logpath_is_last(p, cur)))
			return false;
		*next_r = *cur;
		cur->fd = -1;
	}
	for (; first < i; first++) {
		++*lost;
		log_warning("%s: %s cannot be read; its lines are lost",
		    p->path, logchain_get(chain, first)->path);
	}
	return true;
}

/*
 * Is it the position's file? Either it is the same, or it has its content: it
 * was restored, moved to another disk or edited meanwhile. The latter only
 * with a full head to judge by.
 */
static bool
logpath_is(const struct logfile *cur, const struct logpos *pos, bool copy)
{
	if (cur->fd == -1 || pos->ino == 0)
		return false;
	if (!copy)
		return logfile_is(cur, pos);
	return pos->head_len == LOGPOS_HEAD_MAX && logfile_content_is(cur, pos);
}

/* The position's file is gone: goes on as near as possible. */
static bool
logpath_resume_after(const struct logpath *p, const struct logchain *chain,
    struct logpos *pos, struct logfile *cur, struct logfile *f_r,
    uint64_t *lost)
{
	size_t i = logchain_after(chain, pos->time);
	const char *packed = "";

	for (; i < logchain_count(chain); i++) {
		const struct logchain_file *e = logchain_get(chain, i);

		if (!logpath_is_closed(e))
			break;
		if (*packed == '\0' && e->mtime > pos->time)
			packed = e->path;
	}
	if (!logpath_next(p, chain, i, cur, f_r, lost))
		return false;
	if (pos->ino != 0 || *packed != '\0') {
		++*lost;
		log_warning(
		    "%s: the place reached before is not found again%s%s"
		    "; lines may be lost",
		    p->path, *packed != '\0' ? ", perhaps compressed to " : "",
		    packed);
	}
	pos->base = logpos_logical(pos);
	pos->offset = 0;
	return true;
}

bool
logpath_resume(const struct logpath *p, struct logpos *pos, struct logfile *f_r,
    uint64_t *lost)
{
	struct logfile cur;
	int why = logpath_open(p, &cur) ? 0 : errno, found = 0;
	struct logchain *chain = NULL;

	if (logpath_is(&cur, pos, false)) {
		*f_r = cur;
		return true;
	}
	chain = logchain_scan(p->path, pos->ino);
	if (chain == NULL)
		found = -1;
	else if (pos->ino != 0)
		found = logpath_search(p, chain, pos, f_r);
	if (found == 0 && logpath_is(&cur, pos, true)) {
		*f_r = cur;
		cur.fd = -1;
		found = 1;
	}
	/* A file that cannot be opened now may be the one. */
	if (found == 0 && (why == 0 || (why == ENOENT && pos->ino != 0)))
		found = logpath_resume_after(p, chain, pos, &cur, f_r, lost);
	logfile_close(&cur);
	logchain_destroy(&chain);
	errno = why;
	return found == 1;
}
