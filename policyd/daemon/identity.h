/*
 * identity: which user the daemon runs as, and who owns its sockets.
 */
#ifndef MXW_IDENTITY_H
#define MXW_IDENTITY_H

#include <sys/types.h>

#include "lib/core/errbuf.h"

/* "user", "user:group" or ":group" to ids; (uid_t)-1 where nothing is said. A
 * user without a group stands for his own group too. */
int identity_parse(
    const char *owner, uid_t *uid_r, gid_t *gid_r, struct errbuf *);
/* Becomes `user` for good, with his groups and no capability. No way back is
 * left. */
int identity_become(const char *user, struct errbuf *);
/* Creates a directory (one level) for `user` if it is missing; "" = as we
 * are. One that exists is given to him if root owns it and it is empty: made
 * for us, that is, and not /run or /var/log. */
int identity_directory(const char *path, const char *user, struct errbuf *);

#endif
