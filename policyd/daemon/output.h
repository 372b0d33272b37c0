/*
 * output: where messages go, and in which form.
 *
 *   syslog   facility mail
 *   stderr   with the time of day; under systemd, whose journal has its own
 *            time, with the priority instead
 *   file     appended to, opened again by output_reopen() after a rotation
 *
 * In the form "json" each message is one object on a line: time, severity,
 * message, and what report.c knows about an event. A message that cannot be
 * written is counted, and the number is told with the next one that can.
 */
#ifndef MXW_OUTPUT_H
#define MXW_OUTPUT_H

#include <stdbool.h>

#include "lib/core/errbuf.h"
#include "lib/core/log.h"

struct conf;
struct json;
struct output;

/* What `log_target` says; "auto" is stderr in the foreground, else syslog. A
 * file that is created belongs to `user` when we are root. NULL and a reason.
 */
struct output *output_open(
    const char *target, bool foreground, const char *user, struct errbuf *);
void output_close(struct output **);
bool output_is_stderr(const struct output *);
void output_set_json(struct output *, bool json);
/* All messages go there from now on; NULL: to stderr, as before the start. */
void output_use(struct output *);
/* A file that was renamed or removed is made again. -1: goes on with it. */
int output_reopen(struct output *, struct errbuf *);

/* A message with fields; `fields` adds them to the object. */
void output_event(enum msg_level, const char *text,
    void (*fields)(struct json *, const void *ctx), const void *ctx);

#endif
