/*
 * activation: see activation.h.
 */
#include "lib/io/activation.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/core/num.h"

static void
activation_names(const char *names, struct activation *out)
{
	for (size_t i = 0; i < out->count && names != NULL; i++) {
		size_t len = strcspn(names, ":");
		size_t n =
		    len < ACTIVATION_NAME - 1 ? len : ACTIVATION_NAME - 1;

		memcpy(out->names[i], names, n);
		names = names[len] == ':' ? names + len + 1 : NULL;
	}
}

int
activation_parse(const char *pid, const char *fds, const char *names,
    pid_t self, struct activation *out, struct errbuf *err)
{
	uint64_t who, count;

	memset(out, 0, sizeof(*out));
	if (pid == NULL || fds == NULL)
		return 0;
	if (!num_parse_u64(pid, strlen(pid), &who))
		return errbuf_set(
		    err, "LISTEN_PID '%.40s' is not a process", pid);
	if (who != (uint64_t)self) /* inherited from somebody else's start */
		return 0;
	if (!num_parse_u64(fds, strlen(fds), &count))
		return errbuf_set(
		    err, "LISTEN_FDS '%.40s' is not a number", fds);
	if (count > ACTIVATION_MAX)
		return errbuf_set(err,
		    "LISTEN_FDS: %s descriptors are more "
		    "than %d",
		    fds, ACTIVATION_MAX);
	out->count = (size_t)count;
	activation_names(names, out);
	return 0;
}

int
activation_take(struct activation *out, struct errbuf *err)
{
	int rc = activation_parse(getenv("LISTEN_PID"), getenv("LISTEN_FDS"),
	    getenv("LISTEN_FDNAMES"), getpid(), out, err);

	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
	for (size_t i = 0; rc == 0 && i < out->count; i++)
		if (fcntl(ACTIVATION_FIRST + (int)i, F_SETFD, FD_CLOEXEC) != 0)
			rc = errbuf_set(err, "LISTEN_FDS: descriptor %zu: %s",
			    ACTIVATION_FIRST + i, strerror(errno));
	return rc;
}
