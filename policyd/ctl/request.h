/*
 * request: one request to the daemon, and what comes of it.
 */
#ifndef MXW_REQUEST_H
#define MXW_REQUEST_H

#include "lib/core/record.h"
#include "policyd/ctl/ctl.h"

/* Each record but the last one; NULL: they are not expected, and dropped. */
typedef void request_record(void *ctx, const struct record *);

/*
 * Connects, sends the request (and frees it), and calls `each` until the answer
 * is complete. An error is said on stderr. Without --json the text of the last
 * record goes to stdout; with it, the last record itself does if `last` is set
 * (for verbs that have nothing else to show). `wait`: seconds at most between
 * records, 0 = for ever.
 */
enum ctl_status request_run(const struct ctl *, struct record_out *req,
    double wait, request_record *each, void *ctx, bool last);

#endif
