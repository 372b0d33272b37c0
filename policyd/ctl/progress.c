/*
 * progress: see progress.h.
 */
#include "policyd/ctl/progress.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/core/num.h"
#include "lib/core/xalloc.h"

#define PROGRESS_AFTER 0.5 /* seconds: what is done by then needs no bar */
#define PROGRESS_EVERY 0.1
#define PROGRESS_BAR 30

struct progress {
	uint64_t total;
	double began, next;
	bool shown;
};

struct progress *
progress_create(uint64_t total, double now)
{
	struct progress *p;

	if (!isatty(STDERR_FILENO))
		return NULL;
	p = x_calloc(1, sizeof(*p));
	p->total = total;
	p->began = now;
	p->next = now + PROGRESS_AFTER;
	return p;
}

void
progress_destroy(struct progress **pp)
{
	progress_clear(*pp);
	free(*pp);
	*pp = NULL;
}

static void
progress_bar(
    const struct progress *p, uint64_t done, double seconds, char out[128])
{
	double part = (double)done / (double)p->total;
	char bar[PROGRESS_BAR + 1], left[NUM_DURATION_LEN];
	size_t n;

	if (part > 1)
		part = 1; /* the log has grown meanwhile */
	n = (size_t)(part * PROGRESS_BAR);
	memset(bar, '#', n);
	memset(bar + n, '.', PROGRESS_BAR - n);
	bar[PROGRESS_BAR] = '\0';
	snprintf(out, 128, "[%s] %3.0f%%%s%s%s", bar, part * 100,
	    part > 0.01 ? "  " : "",
	    part > 0.01 ? num_format_duration(seconds / part - seconds, left)
			: "",
	    part > 0.01 ? " left" : "");
}

void
progress_show(struct progress *p, uint64_t done, uint64_t lines, double now)
{
	char where[128], line[256];
	double seconds;

	if (p == NULL || now < p->next)
		return;
	p->next = now + PROGRESS_EVERY;
	p->shown = true;
	seconds = now - p->began;
	if (p->total > 0)
		progress_bar(p, done, seconds, where);
	else
		snprintf(where, sizeof(where), "%.1f MB", (double)done / 1e6);
	/* In one piece: a terminal shows no half of it. */
	snprintf(line, sizeof(line), "\r%s  %llu lines  %.2f M/s\033[K", where,
	    (unsigned long long)lines, (double)lines / seconds / 1e6);
	fputs(line, stderr);
}

void
progress_clear(struct progress *p)
{
	if (p == NULL || !p->shown)
		return;
	fputs("\r\033[K", stderr);
	p->shown = false;
}
