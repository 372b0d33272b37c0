/*
 * listener: listening stream sockets, opened from endpoints or adopted.
 *
 * A unix socket is bound with its final mode (no moment with a wider one); its
 * owner is set through a descriptor, so nobody who may write to the directory
 * can make us change another file. What stands at its path is replaced only
 * if it is a socket that refuses connections. The path is removed at the end
 * if it is still our socket: a successor may have replaced it.
 */
#ifndef MXW_LISTENER_H
#define MXW_LISTENER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/core/conf.h"
#include "lib/core/errbuf.h"

struct listener;

/* Binds and listens, non-blocking, close-on-exec. `mode`, `uid` and `gid` are
 * for unix sockets; (uid_t)-1 and (gid_t)-1 leave the owner. NULL and a
 * message that begins with the endpoint on failure, which errno tells, too. */
struct listener *listener_open(const struct conf_endpoint *, unsigned mode,
    uid_t uid, gid_t gid, struct errbuf *);
/* Takes over a listening stream socket; on failure it stays the caller's. */
struct listener *listener_adopt(int fd, struct errbuf *);
void listener_close(struct listener **);
/*
 * Lets go of the port without giving it back: connections are refused, and an
 * address that holds this one can be bound. For opening a wider or narrower
 * address on the same port; connections waiting to be accepted are lost. False
 * for unix and adopted sockets.
 */
bool listener_suspend(struct listener *);
/* Listens again. */
void listener_resume(struct listener *);
/* Is it bound to exactly this? */
bool listener_is_at(const struct listener *, const struct conf_endpoint *);
bool listener_is_adopted(const struct listener *);

int listener_fd(const struct listener *);
bool listener_is_unix(const struct listener *);
/* 0 for unix sockets. */
uint16_t listener_port(const struct listener *);
/* The endpoint as it would be configured. */
const char *listener_name(const struct listener *);

#endif
