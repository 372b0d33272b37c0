/*
 * conf_log: what the name of a `log` section stands for; see conf.h.
 */
#include "lib/core/conf.h"

#include <fnmatch.h>
#include <string.h>

bool
conf_log_is_journal(const struct conf_log *log, const char **directory_r)
{
	*directory_r = NULL;
	if (strcmp(log->path, "journal") == 0)
		return true;
	if (strncmp(log->path, "journal:/", 9) != 0)
		return false;
	*directory_r = log->path + 8;
	return true;
}

bool
conf_log_is_pattern(const struct conf_log *log)
{
	return strpbrk(log->path, "*?[") != NULL;
}

/* mail.log.1, mail.log-20261231, mail.log.2.gz: what log rotation makes. */
static bool
is_rotated_name(const char *path)
{
	static const char *const packed[] = { ".gz", ".bz2", ".xz", ".zst",
		".lz4" };
	size_t len = strlen(path), digits = 0;

	for (size_t i = 0; i < sizeof(packed) / sizeof(packed[0]); i++) {
		size_t n = strlen(packed[i]);

		if (len > n && strcmp(path + len - n, packed[i]) == 0)
			return true;
	}
	while (digits < len && path[len - 1 - digits] >= '0' &&
	    path[len - 1 - digits] <= '9')
		digits++;
	return digits > 0 && digits < len &&
	    (path[len - 1 - digits] == '.' ||
		(path[len - 1 - digits] == '-' && digits >= 8));
}

bool
conf_log_covers(const struct conf_log *log, const char *path)
{
	if (strcmp(log->path, path) == 0)
		return true;
	return conf_log_is_pattern(log) &&
	    fnmatch(log->path, path, FNM_PATHNAME | FNM_PERIOD) == 0 &&
	    !is_rotated_name(path);
}
