/*
 * report: what the daemon tells its operator: to syslog (facility mail), or to
 * stderr in the foreground.
 */
#ifndef MXW_REPORT_H
#define MXW_REPORT_H

#include <stdbool.h>

#include "lib/core/engine.h"

/* From now on messages go to syslog, or to stderr when `foreground`. */
void report_open(bool foreground, bool verbose);
void report_close(void);

/* One line each; the fields are documented in README. */
void report_offence(const struct offence *);
void report_blocked(const struct block *, enum store_why);
void report_unblocked(const struct block *, enum store_why);

#endif
