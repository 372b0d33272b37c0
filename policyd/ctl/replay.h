/*
 * replay: the state of a replay, for its parts: replay.c feeds the engine,
 * replay_report.c prints, progress.c draws the bar.
 */
#ifndef MXW_REPLAY_H
#define MXW_REPLAY_H

#include "lib/core/source.h"
#include "policyd/ctl/offline.h"
#include "policyd/ctl/progress.h"
#include "policyd/ctl/shapes.h"
#include "policyd/ctl/tally.h"

struct replay {
	const struct ctl *ctl;
	bool terminal; /* where the report goes */
	struct offline off;
	struct tally *tally;
	struct progress *progress;
	double now;   /* when the replay began; no line is later */
	double began; /* monotonic */
	double elapsed;
	size_t top;	       /* offenders to show */
	struct shapes *shapes; /* of unmatched lines; NULL: not asked for */
	size_t top_shapes;

	/* the current log */
	struct source *source;
	double ref;
	bool begun;	 /* the time of its first line is known */
	double offence;	 /* time of the last offence: decisions follow it */
	uint64_t before; /* bytes of the logs before it */

	struct source_stats sum; /* of the logs that are done */
	bool has_span;
	double first, last;
	uint64_t decided, raised;
};

/* The report, as text or JSON. */
void replay_report(const struct replay *);
/* One block, as it is decided. */
void replay_decision(const struct replay *, const struct block *);

#endif
