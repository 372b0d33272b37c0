/*
 * protect: what is never dropped, whatever the daemon says: loopback and the
 * unspecified addresses, this host's own addresses, and the configured allow
 * list; nor any prefix that holds one of these, or is held by one; nor a
 * prefix that is wider than configured.
 */
#ifndef MXW_PROTECT_H
#define MXW_PROTECT_H

#include <stdbool.h>

#include "lib/core/addr.h"
#include "lib/core/conf.h"

struct protect;

struct protect *protect_create(void);
void protect_destroy(struct protect **);
/* Reads the allow list, and this host's addresses as they are now. */
void protect_load(struct protect *, const struct conf *);
bool protect_holds(
    const struct protect *, const struct conf *, const struct addr *);

#endif
