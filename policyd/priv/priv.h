/*
 * priv: mxwarden-priv, the only code that keeps privileges. Two processes of
 * this program serve mxwardend, each with one role:
 *
 *   logs      opens the configured logs by number
 *   firewall  applies entries to the packet filter
 *
 * (sandbox.h: what each keeps.) Each reads the configuration itself, from
 * files that only root can change, says whether it is ready, and then speaks
 * privmsg.h on descriptor 3 with the daemon, which it does not trust: what is
 * not a valid request ends the process. It ends when the daemon does. No shell
 * is ever run.
 */
#ifndef MXW_PRIV_H
#define MXW_PRIV_H

#include <stdbool.h>

#include "lib/core/conf.h"
#include "lib/core/privmsg.h"

#define PRIV_FD 3
#define PRIV_COMPANY 3 /* milliseconds that changes wait for company */

/* priv.c: the conversation. False at the end of it. */
bool priv_receive(struct privmsg_request *req);
/* Is there something to read (the end included), now or within so many
 * milliseconds? -1: waits. */
bool priv_waiting(int milliseconds);
/* Has the daemon gone? */
bool priv_is_over(void);
/* Fills in what says to which request it belongs. fd -1: none. */
void priv_reply(
    const struct privmsg_request *req, struct privmsg_reply *reply, int fd);

/* Reads the configuration again, if that is the request, and answers. The old
 * one is freed unless it is `keep`. */
bool priv_reload(const struct privmsg_request *req, struct conf **conf,
    const struct conf *keep);

/* logs.c, firewall.c: the roles; they return at the end. *conf may be
 * replaced. */
void priv_logs(struct conf **conf);
void priv_firewall(struct conf **conf);

#endif
