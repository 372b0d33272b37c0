/*
 * activation: listening descriptors that the service manager passes
 * (sd_listen_fds(3)), without libsystemd.
 *
 * They are numbered from 3; $LISTEN_PID says for which process they are,
 * $LISTEN_FDS how many, $LISTEN_FDNAMES what each is called.
 */
#ifndef MXW_ACTIVATION_H
#define MXW_ACTIVATION_H

#include <stddef.h>
#include <sys/types.h>

#include "lib/core/errbuf.h"

#define ACTIVATION_FIRST 3
#define ACTIVATION_MAX 64
#define ACTIVATION_NAME 64

struct activation {
	size_t count; /* of descriptors, from ACTIVATION_FIRST on */
	char names[ACTIVATION_MAX][ACTIVATION_NAME]; /* "" = none given */
};

/* What the variables (any of them may be NULL) say to process `self`. Not for
 * us, or none: 0 with a count of 0. -1: they make no sense. */
int activation_parse(const char *pid, const char *fds, const char *names,
    pid_t self, struct activation *out, struct errbuf *);
/* The same from the environment, which forgets them; the descriptors are
 * closed by exec from now on. Before this process forks. */
int activation_take(struct activation *out, struct errbuf *);

#endif
