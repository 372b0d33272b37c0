/*
 * identity: which user the daemon runs as, and who owns its sockets.
 */
#ifndef MXW_IDENTITY_H
#define MXW_IDENTITY_H

#include <stdbool.h>
#include <sys/types.h>

#include "lib/core/errbuf.h"

/* "user", "user:group" or ":group" to ids; (uid_t)-1 where nothing is said. A
 * user without a group stands for his own group too. */
int identity_parse(
    const char *owner, uid_t *uid_r, gid_t *gid_r, struct errbuf *);
/* May we start a helper that has this capability (CAP_...)? As root; or because
 * a service manager has passed it on, as an ambient capability, to a process of
 * the daemon's user. */
bool identity_may_pass(unsigned capability);
/* Started as root: becomes `user` for good, with his groups. In any case no
 * capability and no way back are left. */
int identity_become(const char *user, struct errbuf *);
/* Creates a directory (one level) for `user` if it is missing; "" = as we
 * are. One that exists is given to him if root owns it and it is empty: made
 * for us, that is, and not /run or /var/log. */
int identity_directory(const char *path, const char *user, struct errbuf *);

#endif
