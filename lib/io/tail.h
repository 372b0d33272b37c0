/*
 * tail: follows one log file through everything that log rotation does to it.
 *
 *   missing --open--> reading --EOF--> current --more--> reading
 *      ^                  |               |
 *      +---- gone --------+---- rotated: the old file is read to its end,
 *                               then the next one from its beginning
 *
 * inotify (through the loop) says when to look; a timer looks once a second
 * anyway, four times a second where the file system does not tell inotify
 * (network file systems). Each turn reads at most TAIL_CHUNK bytes, at work
 * priority, so answers never wait for more than that.
 *
 * Rotation by rename: the old file is followed until its successor has
 * content and the old one has no more; several rotations that happened while
 * nobody was looking are found in the directory by inode (mail.log.1,
 * mail.log-20261231, ...) and read in order (logchain.h), those that gzip(1)
 * has compressed as well. Truncation
 * (copytruncate): a file that is shorter than what was read, or holds other
 * bytes before that place (logfile.h), is read from its start; what was not
 * read before is looked for in a copy. A symbolic link is followed; when it
 * points elsewhere that is a rotation. The last line waits for its newline,
 * unless its file is finished.
 *
 * What cannot be read (missing, a directory, no permission) is said once per
 * reason, counted and tried again.
 */
#ifndef MXW_TAIL_H
#define MXW_TAIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/core/logpos.h"

struct loop;
struct tail;

#define TAIL_CHUNK 65536

/* Callbacks come from the loop only, never from inside a call. They may pause
 * the tail and ask for its state, but neither destroy nor rewind it. */
struct tail_events {
	/* One line; see linesplit.h. `end` is the logical offset; `ref` the
	 * reference for its year (when the file was last written). */
	void (*line)(void *ctx, const char *line, size_t len, uint64_t end,
	    bool cut, double ref);
	/* A chunk has been handed on, or the state changed: positions may be
	 * saved now. `current`: read to the end. */
	void (*progress)(void *ctx, bool current);
};

struct tail_options {
	const char *path; /* copied */
	bool beginning;	  /* without a position: read the file from its start
			     (else from its end; a file that appears later is
			     always read from its start) */
	const struct logpos *pos; /* where to go on, or NULL; epoch is taken
				     from it */
	uint64_t epoch;		  /* used without pos; random, not 0 */
	/*
	 * Opens what open(2) may not (EACCES), O_CLOEXEC: the log at `path`
	 * (always options.path), or the rotated file of it with this device
	 * and inode (0 = none). -1 and errno; EAGAIN: it is asked for, and
	 * tail_look() will be called when the answer is there. The tail then
	 * begins anew, and may ask for several files before it has what it
	 * needs: each answer must stay good for a while. NULL: nobody can.
	 * Descriptors are the tail's own.
	 */
	int (*open)(void *ctx, const char *path, uint64_t dev, uint64_t ino);
};

struct tail_stats {
	uint64_t bytes;
	uint64_t rotations;
	uint64_t truncations;
	uint64_t errors;   /* failed opens and reads */
	uint64_t lost;	   /* files, or ends of them, that could not be read */
	const char *state; /* "missing", "reading", "current" */
	uint64_t behind;   /* bytes of the current file not yet read */
};

struct tail *tail_create(struct loop *, const struct tail_options *,
    const struct tail_events *, void *ctx);
void tail_destroy(struct tail **);
/* Where to go on after a restart: behind the last line handed on. Exact at
 * any time between callbacks, and inside `progress`. */
void tail_position(const struct tail *, struct logpos *out);
void tail_stats(const struct tail *, struct tail_stats *out);
/* Reads no more until resumed (the store is behind). */
void tail_pause(struct tail *, bool paused);
/* Looks again soon: something that the opener waited for has come. */
void tail_look(struct tail *);
/* Goes back to a logical offset that lies in a file which can still be found
 * (the current one, or rotated ones); false if it cannot. */
bool tail_rewind(struct tail *, uint64_t logical);

#endif
