/*
 * logfile: see logfile.h.
 */
#include "lib/io/logfile.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "lib/io/gunzip.h"

/* How far back the end of the last complete line is looked for. */
#define LOGFILE_BACK_MAX (1024 * 1024)

int
logfile_open(const char *path)
{
	return open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

/* At least `min` bytes, where there are so many. */
static ssize_t
logfile_pread(int fd, char *buf, size_t len, uint64_t at, size_t min)
{
	size_t have = 0;

	while (have < min) {
		ssize_t n =
		    pread(fd, buf + have, len - have, (off_t)(at + have));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		if (n == 0)
			break;
		have += (size_t)n;
	}
	return (ssize_t)have;
}

static bool
logfile_stat(struct logfile *f)
{
	struct stat st;

	if (fstat(f->fd, &st) != 0)
		return false;
	f->dev = st.st_dev;
	f->ino = st.st_ino;
	f->size = (uint64_t)st.st_size;
	f->mtime = logfile_mtime(&st);
	if (!(f->mtime > 0))
		f->mtime = 1;
	if (S_ISREG(st.st_mode))
		return true;
	errno = S_ISDIR(st.st_mode) ? EISDIR : EINVAL;
	return false;
}

static void
logfile_read_head(struct logfile *f)
{
	ssize_t n =
	    logfile_pread(f->fd, f->head, sizeof(f->head), 0, sizeof(f->head));

	f->head_len = n > 0 ? (size_t)n : 0;
}

bool
logfile_adopt(struct logfile *f, int fd)
{
	memset(f, 0, sizeof(*f));
	f->fd = fd;
	if (!logfile_stat(f)) {
		int saved = errno;

		logfile_close(f);
		errno = saved;
		return false;
	}
	logfile_read_head(f);
	return true;
}

/* The first bytes; then it stands at its beginning again. */
static bool
logfile_read_packed_head(struct logfile *f)
{
	ssize_t n = 0;

	/* A file that gives so little for so much is damaged anyway. */
	for (int i = 0; i < 8 && f->head_len < sizeof(f->head); i++) {
		n = gunzip_read(f->gz, f->head + f->head_len,
		    sizeof(f->head) - f->head_len);
		if (n > 0)
			f->head_len += (size_t)n;
		else if (n != GUNZIP_AGAIN)
			break;
	}
	gunzip_rewind(f->gz);
	return f->head_len > 0 || n == 0;
}

bool
logfile_adopt_packed(struct logfile *f, int fd)
{
	int saved;

	memset(f, 0, sizeof(*f));
	f->fd = fd;
	if (logfile_stat(f)) {
		f->gz = gunzip_create(fd);
		f->size = UINT64_MAX;
		if (f->gz != NULL && logfile_read_packed_head(f))
			return true;
	}
	saved = errno;
	logfile_close(f);
	errno = saved;
	return false;
}

/* The next bytes of the content, or a piece of what was read before. */
static ssize_t
logfile_read_packed(struct logfile *f, char *buf, size_t cap)
{
	bool skip = f->gz_at < f->at;
	ssize_t n;

	if (skip && cap > f->at - f->gz_at)
		cap = (size_t)(f->at - f->gz_at);
	n = gunzip_read(f->gz, buf + LOGFILE_OVERLAP, cap);
	if (n == GUNZIP_AGAIN)
		return LOGFILE_AGAIN;
	if (n < 0)
		return errno == EBADMSG ? LOGFILE_DAMAGED : -1;
	f->gz_at += (uint64_t)n;
	if (skip)
		return n > 0 ? LOGFILE_AGAIN : 0;
	f->at = f->gz_at;
	return n;
}

void
logfile_close(struct logfile *f)
{
	if (f->fd != -1)
		gunzip_destroy(&f->gz);
	if (f->fd != -1)
		close(f->fd);
	f->fd = -1;
}

/* Remembers the last bytes of `len` that end at the new place. */
static void
logfile_remember(struct logfile *f, const char *buf, size_t len)
{
	size_t n = len < sizeof(f->over) ? len : sizeof(f->over);

	memcpy(f->over, buf + len - n, n);
	f->over_len = n;
}

/* Does it begin as it did? */
static bool
logfile_is_grown(const struct logfile *f)
{
	char head[LOGPOS_HEAD_MAX];

	/* Else the bytes before `at` hold all that there is of it. */
	return f->at <= f->over_len ||
	    (logfile_pread(f->fd, head, f->head_len, 0, f->head_len) ==
		    (ssize_t)f->head_len &&
		memcmp(head, f->head, f->head_len) == 0);
}

static ssize_t
logfile_read_plain(struct logfile *f, char *buf, size_t cap)
{
	size_t over = f->over_len;
	char *start = buf + LOGFILE_OVERLAP - over;
	ssize_t n =
	    logfile_pread(f->fd, start, over + cap, f->at - over, over + 1);

	if (n < 0)
		return -1;
	if ((size_t)n < over || memcmp(start, f->over, over) != 0 ||
	    !logfile_is_grown(f))
		return LOGFILE_REWRITTEN;
	if ((size_t)n == over)
		return 0;
	f->at += (size_t)n - over;
	logfile_remember(f, start, (size_t)n);
	if (!logfile_stat(f))
		return -1;
	if (f->head_len < sizeof(f->head))
		logfile_read_head(f);
	return n - (ssize_t)over;
}

ssize_t
logfile_read(struct logfile *f, char *buf, size_t cap)
{
	return f->gz != NULL ? logfile_read_packed(f, buf, cap)
			     : logfile_read_plain(f, buf, cap);
}

bool
logfile_seek(struct logfile *f, uint64_t at)
{
	size_t n = at < sizeof(f->over) ? (size_t)at : sizeof(f->over);
	char over[LOGFILE_OVERLAP];

	if (f->gz != NULL) {
		if (at < f->gz_at) {
			gunzip_rewind(f->gz);
			f->gz_at = 0;
		}
		f->at = at;
		return true;
	}
	if (logfile_pread(f->fd, over, n, at - n, n) != (ssize_t)n)
		return false;
	memcpy(f->over, over, n);
	f->over_len = n;
	f->at = at;
	return true;
}

bool
logfile_take_over(struct logfile *f, struct logfile *other)
{
	if (!logfile_seek(other, f->at))
		return false;
	/* Of a compressed one its beginning must be enough. */
	if (other->gz == NULL &&
	    (other->over_len < f->over_len ||
		memcmp(other->over + other->over_len - f->over_len, f->over,
		    f->over_len) != 0))
		return false;
	logfile_close(f);
	*f = *other;
	other->fd = -1;
	return true;
}

void
logfile_restart(struct logfile *f)
{
	f->at = 0;
	f->over_len = 0;
	logfile_stat(f);
	logfile_read_head(f);
}

uint64_t
logfile_last_line(struct logfile *f)
{
	uint64_t end = f->size, at = end;
	char buf[8192];

	while (at > 0 && end - at < LOGFILE_BACK_MAX) {
		size_t n = at < sizeof(buf) ? (size_t)at : sizeof(buf);
		const char *nl;

		if (logfile_pread(f->fd, buf, n, at - n, n) != (ssize_t)n)
			break;
		nl = memrchr(buf, '\n', n);
		if (nl != NULL)
			return at - n + (size_t)(nl - buf) + 1;
		at -= n;
	}
	return at;
}

void
logfile_identity(const struct logfile *f, struct logpos *out)
{
	out->dev = f->dev;
	out->ino = f->ino;
	out->head_hash = logpos_hash(f->head, f->head_len);
	out->head_len = (uint32_t)f->head_len;
	out->time = f->mtime;
}

bool
logfile_content_is(const struct logfile *f, const struct logpos *p)
{
	return p->head_len <= f->head_len && p->offset <= f->size &&
	    logpos_hash(f->head, p->head_len) == p->head_hash;
}

bool
logfile_is(const struct logfile *f, const struct logpos *p)
{
	return f->ino == p->ino && (f->dev == p->dev || p->head_len > 0) &&
	    logfile_content_is(f, p);
}

bool
logfile_same(const struct logfile *f, const struct stat *st)
{
	return f->dev == st->st_dev && f->ino == st->st_ino;
}
