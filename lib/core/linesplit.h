/*
 * linesplit: chunks of a log into lines, with bounded memory.
 *
 * Complete lines inside a chunk are handed on without a copy; only a line that
 * crosses chunks is kept. Of a line longer than LINESPLIT_KEEP the first
 * LINESPLIT_KEEP bytes are kept and the rest is counted: such a line is handed
 * on once, marked as cut, when its newline comes.
 */
#ifndef MXW_LINESPLIT_H
#define MXW_LINESPLIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LINESPLIT_KEEP 16384

struct linesplit;

/* `end` is the offset behind the line's newline, counted as feed() counts. */
typedef void linesplit_line(
    void *ctx, const char *line, size_t len, uint64_t end, bool cut);

/* `offset` is where the first byte of the first chunk lies. */
struct linesplit *linesplit_create(uint64_t offset);
void linesplit_destroy(struct linesplit **);
/* Forgets a partial line and goes on at `offset`. */
void linesplit_reset(struct linesplit *, uint64_t offset);
void linesplit_feed(struct linesplit *, const char *buf, size_t len,
    linesplit_line *line, void *ctx);
/* The file has ended for good: hands on a last line without newline. */
void linesplit_finish(struct linesplit *, linesplit_line *line, void *ctx);
/* Behind the last line that was handed on: where to go on after a restart. */
uint64_t linesplit_offset(const struct linesplit *);

#endif
