/* linesplit: chunks into lines, whatever the chunks are. */
#include "lib/core/linesplit.h"

#include <stdlib.h>

#include "lib/core/xalloc.h"
#include "t/unit/tap.h"

/* What was handed on, written down: "end:cut:text\n" for each line, of long
 * ones the first bytes and the length. */
static char got[8192];
static size_t got_len;

static void
note(void *ctx, const char *line, size_t len, uint64_t end, bool cut)
{
	(void)ctx;
	got_len += (size_t)snprintf(got + got_len, sizeof(got) - got_len,
	    "%lu:%d:%zu:", (unsigned long)end, cut, len);
	for (size_t i = 0; i < len && i < 20; i++)
		got[got_len++] = line[i] == '\0' ? '0' : line[i];
	got[got_len++] = '\n';
	got[got_len] = '\0';
}

static void
begin(void)
{
	got_len = 0;
	got[0] = '\0';
}

/* Feeds a copy of each chunk that ends with the chunk, so that the sanitizer
 * sees a read beyond it. */
static void
feed(struct linesplit *ls, const char *buf, size_t len)
{
	char *copy = x_calloc(len > 0 ? len : 1, 1);

	memcpy(copy, buf, len);
	linesplit_feed(ls, copy, len, note, NULL);
	free(copy);
}

static void
test_splits(void)
{
	static const char text[] = "one\n\ntwo\0\xff\r\n\n\nlast";
	static const char want[] = "104:0:3:one\n105:0:0:\n"
				   "112:0:6:two0\xff\r\n113:0:0:\n114:0:0:\n";
	size_t n = sizeof(text) - 1;
	struct linesplit *ls = linesplit_create(100);
	bool same = true, offset = true, finished = true;

	feed(ls, text, n);
	is_str(got, want, "lines, with NUL and empty ones");
	is_int(linesplit_offset(ls), 114, "offset behind the last");
	linesplit_finish(ls, note, NULL);
	is_str(got + strlen(want), "118:0:4:last\n", "the unfinished one");
	is_int(linesplit_offset(ls), 118, "and behind it");
	linesplit_finish(ls, note, NULL);
	is_int(got_len, strlen(want) + 13, "finished once");
	for (size_t i = 0; i <= n; i++) {
		for (size_t j = i; j <= n; j++) {
			begin();
			linesplit_reset(ls, 100);
			feed(ls, text, i);
			feed(ls, text + i, j - i);
			feed(ls, text + j, n - j);
			same = same && strcmp(got, want) == 0;
			offset = offset && linesplit_offset(ls) == 114;
			linesplit_finish(ls, note, NULL);
			finished = finished && linesplit_offset(ls) == 118;
		}
	}
	ok(same, "the same in any three chunks");
	ok(offset, "with the same offset");
	ok(finished, "and the same end");
	linesplit_destroy(&ls);
	ok(ls == NULL, "destroyed");
	linesplit_destroy(&ls);
}

/* A line of `len` bytes in chunks of `chunk`, then a short one. */
static void
long_line(size_t len, size_t chunk)
{
	struct linesplit *ls = linesplit_create(0);
	char *text = x_calloc(len + 1, 1), want[128];
	size_t kept = len < LINESPLIT_KEEP ? len : LINESPLIT_KEEP;

	memset(text, 'x', len);
	text[len] = '\n';
	begin();
	for (size_t at = 0; at <= len; at += chunk)
		feed(
		    ls, text + at, len + 1 - at < chunk ? len + 1 - at : chunk);
	feed(ls, "next\n", 5);
	snprintf(want, sizeof(want), "%zu:%d:%zu:%s\n%zu:0:4:next\n", len + 1,
	    len > LINESPLIT_KEEP, kept, "xxxxxxxxxxxxxxxxxxxx", len + 6);
	is_str(got, want, "a line of %zu bytes in chunks of %zu", len, chunk);
	free(text);
	linesplit_destroy(&ls);
}

static void
test_long(void)
{
	static const size_t lens[] = { LINESPLIT_KEEP - 1, LINESPLIT_KEEP,
		LINESPLIT_KEEP + 1, 1000000 };
	struct linesplit *ls = linesplit_create(0);
	char *text = x_calloc(100000, 1);

	for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
		long_line(lens[i], lens[i] + 1);
		long_line(lens[i], 65536);
		long_line(lens[i], 4096);
		long_line(lens[i], LINESPLIT_KEEP);
	}
	long_line(LINESPLIT_KEEP + 1, 1);

	begin();
	memset(text, 'y', 100000);
	feed(ls, text, 100000);
	is_int(linesplit_offset(ls), 0, "nothing while it has no end");
	linesplit_finish(ls, note, NULL);
	is_str(got, "100000:1:16384:yyyyyyyyyyyyyyyyyyyy\n",
	    "an unfinished long line is cut too");
	linesplit_reset(ls, 7);
	begin();
	feed(ls, "part", 4);
	linesplit_reset(ls, 50);
	feed(ls, "whole\n", 6);
	is_str(got, "56:0:5:whole\n", "reset forgets a part");
	free(text);
	linesplit_destroy(&ls);
}

int
main(void)
{
	test_splits();
	test_long();
	return tap_done();
}
