/*
 * tailseen: which files the path of a log has named since the one that is being
 * read.
 *
 * A tail that is behind (paused, or at work on a large file) reads them one
 * after the other, as far as they are still there when it comes to them. Which
 * are not would never be noticed without this list: the directory shows only
 * what is left.
 */
#ifndef MXW_TAILSEEN_H
#define MXW_TAILSEEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "lib/io/logchain.h"
#include "lib/io/logfile.h"

#define TAILSEEN_MAX 32 /* beyond it the oldest are forgotten */

struct tailseen {
	struct {
		uint64_t dev, ino;
		bool content;  /* when it was last looked at */
	} files[TAILSEEN_MAX]; /* in the order in which they came */
	size_t n;
};

/* The path names this file now, and `cur` is being read. */
void tailseen_note(
    struct tailseen *, const struct logfile *cur, const struct stat *st);
/*
 * After `cur` comes `next`, which is index `at` of the chain, or its end;
 * `from` is the index behind `cur`. Forgets all up to it; returns how many of
 * them are nowhere any more, and had content.
 */
size_t tailseen_pass(struct tailseen *, const struct logchain *, size_t from,
    size_t at, const struct logfile *next);

#endif
