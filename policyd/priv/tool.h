/*
 * tool: runs a program with arguments and text on its standard input, waits
 * for it, and says what it complained of. No shell; a fixed environment.
 */
#ifndef MXW_TOOL_H
#define MXW_TOOL_H

#include <stdbool.h>
#include <stddef.h>

#define TOOL_TIMEOUT 60			/* seconds; then it is killed */
#define TOOL_OUTPUT (16u * 1024 * 1024) /* bytes that are kept */

struct tool_text { /* grows; zero-initialised */
	char *buf;
	size_t len, size;
};

void tool_printf(struct tool_text *, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
void tool_free(struct tool_text *);

/*
 * True if it exits with 0. Otherwise, unless `quiet`, an error is logged with
 * the first line that it wrote. argv[0] is looked for in the system's
 * directories unless it has a slash; `input` may be NULL.
 */
bool tool_run(
    const char *const *argv, const struct tool_text *input, bool quiet);
/* The same, quietly; what it wrote is appended to `out`, NUL-terminated. */
bool tool_output(const char *const *argv, struct tool_text *out);

#endif
