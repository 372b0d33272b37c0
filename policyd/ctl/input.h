/*
 * input: log files for replay, plain or gzip, or standard input, in blocks.
 *
 * Compression is told by the first bytes, not by the name. Several gzip members
 * in a row are one log, as gzip itself has it.
 */
#ifndef MXW_INPUT_H
#define MXW_INPUT_H

#include <stdint.h>

#include "lib/core/errbuf.h"
#include "lib/core/linesplit.h"

struct input;

/* "-" is standard input. NULL and a reason on failure. */
struct input *input_open(const char *path, struct errbuf *);
void input_close(struct input **);
/* The reference for years: when the log was last written (the file's time, the
 * time in the gzip header); for standard input the time now. */
double input_ref(const struct input *);

struct input_events {
	linesplit_line *line;
	/* A block is read: these (unpacked) bytes come next as lines; `taken`
	 * bytes of the file have been read. */
	void (*block)(void *ctx, const char *buf, size_t len, uint64_t taken);
};

/* Reads all of it. -1 and a reason on failure; the lines before it have been
 * handed on. */
int input_run(
    struct input *, const struct input_events *, void *ctx, struct errbuf *);

/* Bytes of a file, 0 if that cannot be told. */
uint64_t input_size(const char *path);

#endif
