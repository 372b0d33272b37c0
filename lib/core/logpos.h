/*
 * logpos: how far a log has been read, in a way that survives rotation.
 *
 * A logical offset counts bytes over all files that were ever read under this
 * name: `base` bytes lie in files before the current one, `offset` bytes of
 * the current one are read. The file is known by device and inode, and by a
 * hash of its first bytes, because inodes are used again.
 */
#ifndef MXW_LOGPOS_H
#define MXW_LOGPOS_H

#include <stddef.h>
#include <stdint.h>

#define LOGPOS_HEAD_MAX 512

struct logpos {
	uint64_t epoch; /* random, never 0 once the log has been opened */
	uint64_t base;
	uint64_t offset; /* behind the last complete line that was read */
	uint64_t dev;
	uint64_t ino; /* 0 = no file yet */
	uint64_t head_hash;
	uint32_t head_len; /* bytes hashed, <= LOGPOS_HEAD_MAX */
	/* When the file had last been written to, as far as it was seen;
	 * without a file, since when there was none (0: never looked). Tells
	 * rotated files written later from those read before. Seconds since
	 * 1970. */
	double time;
};

static inline uint64_t
logpos_logical(const struct logpos *p)
{
	return p->base + p->offset;
}

/* FNV-1a, 64 bits. */
uint64_t logpos_hash(const void *buf, size_t len);

#endif
