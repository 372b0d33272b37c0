/*
 * input: see input.h.
 */
#include "policyd/ctl/input.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "lib/core/xalloc.h"
#include "policyd/ctl/ctl.h"

/* Fits into the second-level cache, with what else a line needs. */
#define INPUT_BLOCK 262144

struct input {
	int fd;
	const char *path; /* borrowed */
	double ref;
	uint64_t taken;
	struct linesplit *lines;
	bool packed;
	bool ended; /* a gzip member is complete, and nothing followed yet */
	z_stream z;
	size_t len; /* bytes in buf */
	unsigned char buf[INPUT_BLOCK];
	unsigned char out[INPUT_BLOCK];
};

/* Fills the block; short only at the end. */
static int
input_fill(struct input *in, struct errbuf *err)
{
	in->len = 0;
	while (in->len < sizeof(in->buf)) {
		ssize_t n =
		    read(in->fd, in->buf + in->len, sizeof(in->buf) - in->len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errbuf_set(
			    err, "%s: %s", in->path, strerror(errno));
		if (n == 0)
			break;
		in->len += (size_t)n;
		/* A pipe's writer shall see its lines taken as they come. */
		if (in->fd == STDIN_FILENO)
			break;
	}
	in->taken += in->len;
	return 0;
}

static bool
input_begins(const struct input *in, const char *magic, size_t len)
{
	return in->len >= len && memcmp(in->buf, magic, len) == 0;
}

/* What kind of file is it? */
static int
input_look(struct input *in, struct errbuf *err)
{
	static const struct {
		const char *magic;
		size_t len;
		const char *tool;
	} others[] = { { "\xfd"
			 "7zXZ",
			   5, "xzcat" },
		{ "\x28\xb5\x2f\xfd", 4, "zstdcat" }, { "BZh", 3, "bzcat" } };
	uint32_t mtime;

	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		if (input_begins(in, others[i].magic, others[i].len))
			return errbuf_set(err,
			    "%s: is compressed: use '%s %s | mxwarden replay "
			    "-'",
			    in->path, others[i].tool, in->path);
	if (!input_begins(in, "\x1f\x8b", 2))
		return 0;
	in->packed = true;
	if (inflateInit2(&in->z, 15 + 16) != Z_OK)
		return errbuf_set(err, "%s: out of memory", in->path);
	if (in->len < 8)
		return 0;
	mtime = (uint32_t)in->buf[4] | (uint32_t)in->buf[5] << 8 |
	    (uint32_t)in->buf[6] << 16 | (uint32_t)in->buf[7] << 24;
	if (mtime != 0)
		in->ref = mtime;
	return 0;
}

struct input *
input_open(const char *path, struct errbuf *err)
{
	struct input *in = x_calloc(1, sizeof(*in));
	struct stat st;

	in->path = path;
	in->lines = linesplit_create(0);
	in->ref = ctl_now();
	if (strcmp(path, "-") == 0) {
		in->path = "standard input";
		in->fd = STDIN_FILENO;
	} else {
		in->fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
		if (in->fd < 0) {
			errbuf_set(err, "%s: %s", path, strerror(errno));
			input_close(&in);
			return NULL;
		}
		if (fstat(in->fd, &st) == 0 && S_ISREG(st.st_mode))
			in->ref = (double)st.st_mtim.tv_sec +
			    (double)st.st_mtim.tv_nsec / 1e9;
		posix_fadvise(in->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
	}
	if (input_fill(in, err) < 0 || input_look(in, err) < 0)
		input_close(&in);
	return in;
}

void
input_close(struct input **inp)
{
	struct input *in = *inp;

	if (in == NULL)
		return;
	if (in->packed)
		inflateEnd(&in->z);
	if (in->fd > STDIN_FILENO)
		close(in->fd);
	linesplit_destroy(&in->lines);
	free(in);
	*inp = NULL;
}

double
input_ref(const struct input *in)
{
	return in->ref;
}

uint64_t
input_size(const char *path)
{
	struct stat st;

	if (stat(path, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size < 0)
		return 0;
	return (uint64_t)st.st_size;
}

static void
input_hand_on(struct input *in, const unsigned char *buf, size_t len,
    const struct input_events *ev, void *ctx)
{
	ev->block(ctx, (const char *)buf, len, in->taken);
	linesplit_feed(in->lines, (const char *)buf, len, ev->line, ctx);
}

/* Unpacks the block that was read. */
static int
input_unpack(struct input *in, const struct input_events *ev, void *ctx,
    struct errbuf *err)
{
	in->z.next_in = in->buf;
	in->z.avail_in = (uInt)in->len;
	do {
		int rc;

		if (in->ended) {
			/* Padding or the like: gzip ignores it, too. */
			if (in->z.next_in[0] != 0x1f) {
				in->z.avail_in = 0;
				return 0;
			}
			inflateReset(&in->z);
			in->ended = false;
		}
		in->z.next_out = in->out;
		in->z.avail_out = sizeof(in->out);
		rc = inflate(&in->z, Z_NO_FLUSH);
		input_hand_on(
		    in, in->out, sizeof(in->out) - in->z.avail_out, ev, ctx);
		if (rc == Z_STREAM_END)
			in->ended = true;
		else if (rc != Z_OK && rc != Z_BUF_ERROR)
			return errbuf_set(err, "%s: damaged: %s", in->path,
			    in->z.msg != NULL ? in->z.msg : "bad data");
	} while (in->z.avail_in > 0 || (in->z.avail_out == 0 && !in->ended));
	return 0;
}

int
input_run(struct input *in, const struct input_events *ev, void *ctx,
    struct errbuf *err)
{
	while (in->len > 0) {
		if (!in->packed)
			input_hand_on(in, in->buf, in->len, ev, ctx);
		else if (input_unpack(in, ev, ctx, err) < 0)
			return -1;
		if (input_fill(in, err) < 0)
			return -1;
	}
	linesplit_finish(in->lines, ev->line, ctx);
	if (in->packed && !in->ended)
		return errbuf_set(err,
		    "%s: ends in the middle of the "
		    "compressed data",
		    in->path);
	return 0;
}
