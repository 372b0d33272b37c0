/*
 * logplace: the directories in which a log and its rotated forms live.
 *
 * That is the directory of the configured path; where the path is a symbolic
 * link, rotation can also happen beside the file that it points to.
 */
#ifndef MXW_LOGPLACE_H
#define MXW_LOGPLACE_H

#include <limits.h>
#include <stddef.h>

#define LOGPLACE_MAX 2

struct logplace {
	char dir[PATH_MAX];
	char name[NAME_MAX + 1];
};

/* How many places were found: 0 (the path is too long), 1 or 2. The first is
 * always the path's own. */
size_t logplace_find(const char *path, struct logplace out[LOGPLACE_MAX]);

#endif
