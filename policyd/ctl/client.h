/*
 * client: the admin command's side of the control protocol (record.h).
 *
 * Blocking, with a deadline for each step. The daemon is trusted no more than
 * it trusts us: lines are bounded, and what has a bad form is an error.
 */
#ifndef MXW_CLIENT_H
#define MXW_CLIENT_H

#include <stdbool.h>

#include "lib/core/errbuf.h"
#include "lib/core/record.h"

struct client;

#define CLIENT_TIMEOUT 10.0 /* seconds; the daemon's own is shorter */

/* Connects and reads the greeting. NULL and a reason on failure. */
struct client *client_create(const char *path, struct errbuf *);
void client_destroy(struct client **);
/* Sends a request. Frees the record either way. */
int client_send(struct client *, struct record_out *, struct errbuf *);
/* The next record, valid until the next call. -1 and a reason on failure; the
 * end of the connection is one. `wait` seconds at most, 0 = for ever. */
int client_next(
    struct client *, double wait, struct record *out, struct errbuf *);

#endif
