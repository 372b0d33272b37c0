/*
 * logpath: opens the files of a log: the one that its path names now, and the
 * ones that it named before.
 *
 * The one at the path may need a privileged opener. Rotated files are opened
 * directly. Only regular files are opened; a FIFO or device in the log's place
 * is not even touched.
 */
#ifndef MXW_LOGPATH_H
#define MXW_LOGPATH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "lib/core/logpos.h"
#include "lib/io/logchain.h"
#include "lib/io/logfile.h"

struct logpath {
	const char *path;
	/* For what open(2) may not; see tail.h. */
	int (*open)(void *ctx, const char *path, uint64_t dev, uint64_t ino);
	void *ctx;
};

/* What the path names. False and errno: EISDIR for a directory, EINVAL for
 * what is no regular file either. */
bool logpath_stat(const struct logpath *, struct stat *st);
bool logpath_open(const struct logpath *, struct logfile *);

/*
 * Looks for the file of `pos` among the rotated ones. If it is not there, for
 * a copy of it (copytruncate): one that begins in the same way and was written
 * no earlier. 1: found, 0: not there, -1: try again later.
 */
int logpath_search(const struct logpath *, const struct logchain *,
    const struct logpos *pos, struct logfile *);
/*
 * Which file comes next, from index `i` of the chain on: the first that can be
 * opened, else the one that the path names, `cur` (may be closed), which is
 * taken over then. Those skipped are told, and added to *lost. False: things
 * are moving, or there is none; try again later.
 */
bool logpath_next(const struct logpath *, const struct logchain *, size_t i,
    struct logfile *cur, struct logfile *next_r, uint64_t *lost);
/*
 * Opens the file of a saved position, or, where that is gone, what follows it:
 * the oldest rotated file written to since, else the one that the path names,
 * from its start; `pos->base` and `offset` are set accordingly, and it is told
 * and added to *lost. False and errno, 0 when things are moving.
 */
bool logpath_resume(const struct logpath *, struct logpos *pos,
    struct logfile *f_r, uint64_t *lost);

#endif
