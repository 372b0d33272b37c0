/*
 * logchain: the rotated forms of a log, in the order in which they were
 * written.
 *
 * These are the regular files beside it (and beside its target, where it is a
 * symbolic link) with the names that rotation gives them (logname.h).
 * When a directory holds several kinds, modification time decides for
 * all. Compressed ones (.gz .bz2 .xz .zst .lz4 .Z) take part: those of gzip(1)
 * are read, the others show that something lies between two; not so while the
 * uncompressed form is there as well.
 *
 * Rotation may run while the directory is read, and rename a file from a name
 * not yet seen to one already passed. So it is read until two passes agree.
 */
#ifndef MXW_LOGCHAIN_H
#define MXW_LOGCHAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/core/logname.h"

struct logchain;

struct logchain_file {
	char *path;
	uint64_t dev;
	uint64_t ino;
	uint64_t size;
	double mtime;
	bool packed; /* compressed */
	bool gzip;   /* by gzip(1) */
	bool twice;  /* and is there uncompressed, too */
	enum logname_kind kind;
	const char *key; /* the part of `path` that orders */
	size_t key_len;
};

/*
 * `ino` not 0: also the file with this inode number, whatever its name.
 * Oldest first; never the name `path` itself, but it can be a link to one of
 * the files. NULL when there is no memory or the directory does not stand
 * still; try again later. A directory that cannot be read is an empty one.
 */
struct logchain *logchain_scan(const char *path, uint64_t ino);
void logchain_destroy(struct logchain **);
size_t logchain_count(const struct logchain *);
const struct logchain_file *logchain_get(const struct logchain *, size_t i);
/* Its index, or logchain_count(). */
size_t logchain_index(const struct logchain *, uint64_t dev, uint64_t ino);
/* The index behind this file. It may be gone, compressed or deleted: then of
 * the first one written after `mtime`, its own. */
size_t logchain_behind(
    const struct logchain *, uint64_t dev, uint64_t ino, double mtime);
/* Has anything been written to the files from index `i` on? */
bool logchain_content(const struct logchain *, size_t i);
/* The first in order that was written after `mtime`, or logchain_count(). */
size_t logchain_after(const struct logchain *, double mtime);

#endif
