/*
 * attempt: several log lines about one attempt count once.
 *
 * Postfix tells of one failed AUTH up to three times: the SASL failure, the
 * lost connection, the disconnect with auth=0/1. Per connection (program, pid,
 * client address) and evidence group a tracker keeps how many attempts have
 * been counted. A line adds
 *   each   one attempt (or as many as syslog says it was repeated)
 *   once   one, if none has been counted yet
 *   total  what is missing to the number that the line itself gives
 * When we refused the client, what is then told of that connection (too many
 * errors, lost, its summary) is the refusal's doing: lines that count once or
 * in total add nothing any more, or a block would feed itself. An attempt that
 * is told each time, a wrong password, still counts.
 *
 * The tracker also keeps offences of lines that named a queue id instead of a
 * client: their "connection" is the queue id (its hash as pid, no address),
 * their evidence the rule.
 *
 * Connections end with a line of an `end` rule, or are forgotten
 * ATTEMPT_IDLE seconds of log time after their last line.
 *
 * The table is bounded: with more than ATTEMPT_MAX connections in flight the
 * least recently used is forgotten (and its lines may count twice).
 */
#ifndef MXW_ATTEMPT_H
#define MXW_ATTEMPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/core/addr.h"
#include "lib/core/names.h"
#include "lib/core/rules.h"

#define ATTEMPT_MAX 65536
#define ATTEMPT_IDLE 3600.0

struct attempts;

struct attempts *attempts_create(void);
void attempts_destroy(struct attempts **);

struct attempt_key {
	uint64_t pid;
	name_id program;
	name_id evidence; /* 0: the mark of attempts_refuse() */
	struct addr addr;
};

typedef void attempts_visit(
    void *ctx, const struct attempt_key *, unsigned count, double t);

/* How many attempts this line adds (0 or more); remembers them. `n` is the
 * number of new attempts with RULE_COUNTS_EACH, that of all so far in the
 * connection with RULE_COUNTS_TOTAL. Without evidence (0) the line stands
 * alone. `t` is the line's time. */
unsigned attempts_add(struct attempts *, const struct attempt_key *,
    enum rule_counts counts, unsigned n, double t);
/* We have refused the client in this connection; key->evidence is ignored. */
void attempts_refuse(struct attempts *, const struct attempt_key *, double t);
/* The connection of this pid, program and address is over: all its evidence
 * is forgotten. key->evidence is ignored. */
void attempts_end(struct attempts *, const struct attempt_key *);
/* The same, and tells of each that is forgotten. */
void attempts_take(
    struct attempts *, const struct attempt_key *, attempts_visit *, void *ctx);
size_t attempts_count(const struct attempts *);

/* For the snapshot: every entry, oldest first; and its return. */
void attempts_each(const struct attempts *, attempts_visit *, void *ctx);
void attempts_restore(
    struct attempts *, const struct attempt_key *, unsigned count, double t);

#endif
