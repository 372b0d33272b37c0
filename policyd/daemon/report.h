/*
 * report: what the daemon tells its operator about offences, blocks and their
 * ends: one line each, with fields that are documented in mxwardend(8) and
 * that are members of the object where log_format is "json".
 *
 * An address that is blocked and unblocked again and again (by hosts that do
 * not agree, or by a script) is told a few times in ten seconds (loglimit); the
 * number of lines that were left out comes with the next one. Offences, which
 * are told only at level info, are not limited.
 */
#ifndef MXW_REPORT_H
#define MXW_REPORT_H

#include "lib/core/engine.h"

/* One word: "decided", "raised", "manual", "shared", "loaded", "expired". */
const char *report_why(enum store_why);

void report_offence(const struct offence *);
/* `now` in seconds, for the limits. */
void report_blocked(const struct block *, enum store_why, double now);
void report_unblocked(const struct block *, enum store_why, double now);

#endif
