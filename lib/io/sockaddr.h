/*
 * sockaddr: socket addresses from our own address values.
 */
#ifndef MXW_SOCKADDR_H
#define MXW_SOCKADDR_H

#include <stdint.h>
#include <sys/socket.h>

#include "lib/core/addr.h"

socklen_t sockaddr_of(
    const struct addr *, uint16_t port, struct sockaddr_storage *out);
/* `path` is shorter than sun_path. */
socklen_t sockaddr_of_path(const char *path, struct sockaddr_storage *out);

#endif
