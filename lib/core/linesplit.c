/*
 * linesplit: see linesplit.h.
 */
#include "lib/core/linesplit.h"

#include <stdlib.h>
#include <string.h>

#include "lib/core/xalloc.h"

struct linesplit {
	uint64_t done; /* behind the last line handed on */
	size_t kept;   /* bytes in buf */
	uint64_t seen; /* bytes of the partial line, kept or not */
	char buf[LINESPLIT_KEEP];
};

struct linesplit *
linesplit_create(uint64_t offset)
{
	struct linesplit *ls = x_calloc(1, sizeof(*ls));

	ls->done = offset;
	return ls;
}

void
linesplit_destroy(struct linesplit **lsp)
{
	free(*lsp);
	*lsp = NULL;
}

void
linesplit_reset(struct linesplit *ls, uint64_t offset)
{
	ls->done = offset;
	ls->kept = 0;
	ls->seen = 0;
}

uint64_t
linesplit_offset(const struct linesplit *ls)
{
	return ls->done;
}

static void
linesplit_keep(struct linesplit *ls, const char *buf, size_t len)
{
	size_t room = sizeof(ls->buf) - ls->kept;
	size_t n = len < room ? len : room;

	memcpy(ls->buf + ls->kept, buf, n);
	ls->kept += n;
	ls->seen += len;
}

static void
linesplit_emit(
    struct linesplit *ls, uint64_t newline, linesplit_line *line, void *ctx)
{
	size_t len = ls->kept;
	bool cut = ls->seen > ls->kept;

	ls->done += ls->seen + newline;
	ls->kept = 0;
	ls->seen = 0;
	line(ctx, ls->buf, len, ls->done, cut);
}

void
linesplit_feed(struct linesplit *ls, const char *buf, size_t len,
    linesplit_line *line, void *ctx)
{
	const char *end = buf + len;

	while (buf < end) {
		const char *nl = memchr(buf, '\n', (size_t)(end - buf));
		size_t n = (size_t)((nl != NULL ? nl : end) - buf);

		if (nl == NULL) {
			linesplit_keep(ls, buf, n);
			return;
		}
		if (ls->seen > 0) {
			linesplit_keep(ls, buf, n);
			linesplit_emit(ls, 1, line, ctx);
		} else {
			bool cut = n > LINESPLIT_KEEP;

			ls->done += n + 1;
			line(ctx, buf, cut ? LINESPLIT_KEEP : n, ls->done, cut);
		}
		buf = nl + 1;
	}
}

void
linesplit_finish(struct linesplit *ls, linesplit_line *line, void *ctx)
{
	if (ls->seen > 0)
		linesplit_emit(ls, 0, line, ctx);
}
