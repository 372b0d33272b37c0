/*
 * logplace: see logplace.h.
 */
#include "lib/io/logplace.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static bool
logplace_split(const char *path, struct logplace *out)
{
	const char *slash = strrchr(path, '/');
	const char *name = slash != NULL ? slash + 1 : path;
	size_t len = slash != NULL ? (size_t)(slash - path) : 0;

	if (len >= sizeof(out->dir) || strlen(name) >= sizeof(out->name))
		return false;
	if (slash == NULL)
		strcpy(out->dir, ".");
	else if (len == 0)
		strcpy(out->dir, "/");
	else {
		memcpy(out->dir, path, len);
		out->dir[len] = '\0';
	}
	strcpy(out->name, name);
	return true;
}

size_t
logplace_find(const char *path, struct logplace out[LOGPLACE_MAX])
{
	struct stat st;
	char *target;
	size_t n = 1;

	if (!logplace_split(path, &out[0]))
		return 0;
	if (lstat(path, &st) != 0 || !S_ISLNK(st.st_mode))
		return 1;
	target = realpath(path, NULL);
	if (target == NULL)
		return 1; /* it points nowhere for now */
	if (logplace_split(target, &out[1]))
		n = 2;
	free(target);
	return n;
}
