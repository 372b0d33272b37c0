/*
 * journal: the systemd journal as a log. Each entry becomes the line that
 * syslog would have written, with its time in UTC:
 *
 *     <RFC 3339 time> <host> <identifier>[<pid>]: <message>
 *
 * and goes the way of all lines. A position is an entry's sequence number;
 * logical offsets count entries. Rotation and vacuuming are libsystemd's
 * business. In a build without libsystemd, journal_create() says so.
 */
#ifndef MXW_JOURNAL_H
#define MXW_JOURNAL_H

#include <stdbool.h>

#include "lib/core/errbuf.h"
#include "lib/core/logpos.h"
#include "lib/io/tail.h"

struct journal;
struct loop;

#define JOURNAL_TURN 200 /* entries per turn of the loop */

struct journal_options {
	const char *directory;	    /* NULL: this host's journal */
	const char *const *matches; /* FIELD=value, as journalctl takes them */
	const char *const *identifiers; /* patterns; others are passed over */
	bool beginning;
	const struct logpos *pos; /* where to go on, or NULL */
	uint64_t epoch;		  /* used without pos */
};

/* NULL and a reason only if there is no libsystemd, or no memory: a journal
 * that cannot be opened is awaited. */
struct journal *journal_create(struct loop *, const struct journal_options *,
    const struct tail_events *, void *ctx, struct errbuf *);
void journal_destroy(struct journal **);
void journal_position(const struct journal *, struct logpos *out);
void journal_stats(const struct journal *, struct tail_stats *out);
bool journal_supported(void);

#endif
