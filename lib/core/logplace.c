/*
 * logplace: see logplace.h.
 */
#include "lib/core/logplace.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

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

/* Where a link points whose target does not exist yet: one step is enough to
 * see it come. */
static char *
logplace_dangling(const char *path, const char *dir)
{
	char link[PATH_MAX], *target = NULL;
	ssize_t n = readlink(path, link, sizeof(link) - 1);

	if (n <= 0)
		return NULL;
	link[n] = '\0';
	if (asprintf(&target, "%s%s%s", link[0] == '/' ? "" : dir,
		link[0] == '/' ? "" : "/", link) < 0)
		return NULL;
	return target;
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
		target = logplace_dangling(path, out[0].dir);
	if (target != NULL && logplace_split(target, &out[1]))
		n = 2;
	free(target);
	return n;
}
