/*
 * sandbox: gives up what the role does not need: capabilities, ways to get
 * new ones, and system calls.
 */
#ifndef MXW_SANDBOX_H
#define MXW_SANDBOX_H

#include "lib/core/errbuf.h"

enum sandbox_role { SANDBOX_LOGS, SANDBOX_FIREWALL };

/* For good. -1 and a reason: the process must not go on. */
int sandbox_enter(enum sandbox_role, struct errbuf *);

#endif
