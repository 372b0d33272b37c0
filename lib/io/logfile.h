/*
 * logfile: one open log file, what it is known by, and how far it is read.
 *
 * A log only grows. Where it does not (copytruncate, `> mail.log`), the
 * descriptor stays the same and the size may already be larger than before
 * when we look. So each read begins LOGFILE_OVERLAP bytes before the place
 * that was reached and compares them with what was there, and does the same
 * with the first LOGPOS_HEAD_MAX bytes, for a log can repeat itself: fewer
 * bytes, or others, mean that the file was rewritten. That misses only a file
 * whose new content repeats the old at both places.
 *
 * A compressed file is one that was rotated: nobody writes to it any more. All
 * numbers but its inode are those of its content. It can only be read from its
 * beginning, so going on at a place takes reads that give nothing.
 *
 * Across restarts the first LOGPOS_HEAD_MAX bytes do the same service: their
 * hash is part of the saved position.
 */
#ifndef MXW_LOGFILE_H
#define MXW_LOGFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "lib/core/logpos.h"

#define LOGFILE_OVERLAP 256

struct logfile {
	int fd;		   /* -1: closed */
	struct gunzip *gz; /* compressed, or NULL */
	uint64_t gz_at;	   /* how much of it was read; `at` when all skipped */
	uint64_t dev;
	uint64_t ino;
	uint64_t at;   /* next byte to read */
	uint64_t size; /* when last looked at; compressed: UINT64_MAX */
	double mtime;  /* likewise; seconds since 1970, never 0 */
	size_t head_len;
	size_t over_len;
	char head[LOGPOS_HEAD_MAX];
	char over[LOGFILE_OVERLAP]; /* the bytes before `at` */
};

#define LOGFILE_REWRITTEN ((ssize_t)-2)
#define LOGFILE_AGAIN ((ssize_t)-3)   /* compressed: nothing yet */
#define LOGFILE_DAMAGED ((ssize_t)-4) /* compressed: it ends here; once */

/* open(2) for reading; a FIFO does not block it. -1 and errno. */
int logfile_open(const char *path);
/* Takes `fd` over, at its first byte. On failure `fd` is closed: false and
 * errno, EISDIR for a directory, EINVAL for what is no regular file. */
bool logfile_adopt(struct logfile *, int fd);
/* The same for a file compressed by gzip(1); EINVAL also if it is none. */
bool logfile_adopt_packed(struct logfile *, int fd);
void logfile_close(struct logfile *);
/*
 * The next bytes, at most `cap`, into buf + LOGFILE_OVERLAP, which has room
 * for LOGFILE_OVERLAP + cap. Returns their number, 0 at the end, -1 and errno,
 * or one of the above.
 */
ssize_t logfile_read(struct logfile *, char *buf, size_t cap);
/* Goes on at `at`; false, and nothing changes, when the file is shorter. */
bool logfile_seek(struct logfile *, uint64_t at);
/* Does the other file hold the same bytes before `at`? Then it goes on there,
 * in place of this one, which is closed. */
bool logfile_take_over(struct logfile *, struct logfile *other);
/* From the first byte, as another file: it was rewritten. */
void logfile_restart(struct logfile *);
/* Where the last line begins that is not complete, or the size. */
uint64_t logfile_last_line(struct logfile *);

/* Writes dev, ino, head and time. */
void logfile_identity(const struct logfile *, struct logpos *out);
/* Can it be the file of this position, judged by its content and size? */
bool logfile_content_is(const struct logfile *, const struct logpos *);
/* That, and its inode. The device number may change over a reboot: it counts
 * only where there is no content to judge by. */
bool logfile_is(const struct logfile *, const struct logpos *);
bool logfile_same(const struct logfile *, const struct stat *);

static inline double
logfile_mtime(const struct stat *st)
{
	return (double)st->st_mtim.tv_sec + (double)st->st_mtim.tv_nsec / 1e9;
}

#endif
