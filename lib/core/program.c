/*
 * program: see program.h.
 */
#include "lib/core/program.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/core/xalloc.h"

static const char *const directories[] = { "/usr/sbin", "/usr/bin", "/sbin",
	"/bin" };

static bool
is_executable(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISREG(st.st_mode) &&
	    access(path, X_OK) == 0;
}

char *
program_find(const char *name)
{
	if (strchr(name, '/') != NULL)
		return is_executable(name) ? x_strdup(name) : NULL;
	for (size_t i = 0; i < sizeof(directories) / sizeof(directories[0]);
	     i++) {
		char *path = x_asprintf("%s/%s", directories[i], name);

		if (is_executable(path))
			return path;
		free(path);
	}
	return NULL;
}

bool
program_exists(const char *name)
{
	char *path = program_find(name);

	free(path);
	return path != NULL;
}
