/*
 * priv: mxwarden-priv, the only code that keeps privileges. Two processes of
 * this program serve mxwardend, each with one role and one capability:
 *
 *   logs      opens the configured logs by number        CAP_DAC_READ_SEARCH
 *   firewall  applies entries to the packet filter       CAP_NET_ADMIN
 *
 * Each reads the configuration itself, from files that only root can write,
 * and speaks privmsg.h on descriptor 3 with the daemon, which it does not
 * trust: what is not a valid request ends the process. It ends when the daemon
 * does. No shell is ever run.
 */
#ifndef MXW_PRIV_H
#define MXW_PRIV_H

#include <stdbool.h>

#include "lib/core/conf.h"
#include "lib/core/privmsg.h"

#define PRIV_FD 3
#define PRIV_COMPANY 2 /* milliseconds that changes wait for company */

/* priv.c: the conversation. False at the end of it. */
bool priv_receive(struct privmsg_request *req);
/* Is there more to read, or will there be at once? */
bool priv_waiting(void);
/* fd -1: none. */
void priv_reply(const struct privmsg_request *req, enum privmsg_result result,
    int error, unsigned count, int fd);

/* Reads the configuration again, if that is the request, and answers. */
bool priv_reload(const struct privmsg_request *req, struct conf **conf);

/* logs.c, firewall.c: the roles; they return at the end. *conf may be
 * replaced. */
void priv_logs(struct conf **conf);
void priv_firewall(struct conf **conf);

#endif
