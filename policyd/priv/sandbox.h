/*
 * sandbox: gives up what the role does not need: the user, capabilities, ways
 * to get new ones, and system calls.
 *
 *   role and backend     runs as   capabilities
 *   logs                 `user`    DAC_READ_SEARCH
 *   firewall, nftables   `user`    NET_ADMIN
 *   firewall, iptables   root      NET_ADMIN, NET_RAW
 *   firewall, command    root      NET_ADMIN, NET_RAW
 *
 * iptables wants its lock file, which is root's, and a raw socket to find
 * sets; commands are other people's. Where `user` is not set nobody changes
 * the user, but capabilities are given up all the same.
 *
 * A daemon that was started as its user, with ambient capabilities, passes them
 * on: the user and his groups stay, of the capabilities those of the role. What
 * needs root does not run then.
 */
#ifndef MXW_SANDBOX_H
#define MXW_SANDBOX_H

#include "lib/core/conf.h"
#include "lib/core/errbuf.h"

enum sandbox_role { SANDBOX_LOGS, SANDBOX_FIREWALL };

/* For good. -1 and a reason: the process must not go on. */
int sandbox_enter(enum sandbox_role, const struct conf *, struct errbuf *);

#endif
