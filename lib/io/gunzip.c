/*
 * gunzip: see gunzip.h.
 */
#include "lib/io/gunzip.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>
#include <zlib.h>

#define GUNZIP_BLOCK 16384
#define GUNZIP_BLOCKS 8 /* taken for one piece */

struct gunzip {
	int fd;
	off_t at; /* of the next block */
	bool over;
	bool member; /* in the middle of one */
	z_stream z;
	unsigned char in[GUNZIP_BLOCK];
};

/* The next block, if the last one is used up. 0 at the end, -1 and errno. */
static int
gunzip_fill(struct gunzip *g)
{
	ssize_t n;

	if (g->z.avail_in > 0)
		return 1;
	do
		n = pread(g->fd, g->in, sizeof(g->in), g->at);
	while (n < 0 && errno == EINTR);
	if (n <= 0)
		return (int)n;
	g->at += n;
	g->z.next_in = g->in;
	g->z.avail_in = (unsigned)n;
	return 1;
}

struct gunzip *
gunzip_create(int fd)
{
	struct gunzip *g = calloc(1, sizeof(*g));

	if (g == NULL)
		return NULL;
	g->fd = fd;
	if (inflateInit2(&g->z, 15 + 16) != Z_OK) { /* gzip, not zlib */
		free(g);
		errno = ENOMEM;
		return NULL;
	}
	if (gunzip_fill(g) == 1 && g->z.avail_in > 2 && g->in[0] == 0x1f &&
	    g->in[1] == 0x8b)
		return g;
	gunzip_destroy(&g);
	errno = EINVAL;
	return NULL;
}

void
gunzip_destroy(struct gunzip **gp)
{
	if (*gp == NULL)
		return;
	inflateEnd(&(*gp)->z);
	free(*gp);
	*gp = NULL;
}

void
gunzip_rewind(struct gunzip *g)
{
	inflateReset(&g->z);
	g->z.avail_in = 0;
	g->at = 0;
	g->over = g->member = false;
}

/* Behind a member: does another one begin? */
static bool
gunzip_next(struct gunzip *g)
{
	if (gunzip_fill(g) != 1 || *g->z.next_in != 0x1f)
		return false;
	return inflateReset(&g->z) == Z_OK;
}

static ssize_t
gunzip_failed(struct gunzip *g, int why)
{
	g->over = true;
	errno = why;
	return -1;
}

ssize_t
gunzip_read(struct gunzip *g, char *buf, size_t cap)
{
	g->z.next_out = (unsigned char *)buf;
	g->z.avail_out = (unsigned)(cap < INT32_MAX ? cap : INT32_MAX);
	cap = g->z.avail_out;
	for (int i = 0; i < GUNZIP_BLOCKS && !g->over; i++) {
		int got = gunzip_fill(g), rc;
		unsigned room;

		if (got < 0)
			return gunzip_failed(g, errno);
		if (got == 0 && !g->member) {
			if (g->z.avail_out < cap)
				break; /* what there was; the rest next time */
			return 0;
		}
		g->member = true;
		room = g->z.avail_out;
		rc = inflate(&g->z, Z_NO_FLUSH);
		/* Cut off. Had zlib still something of what it has taken? */
		if (got == 0 && rc != Z_STREAM_END && g->z.avail_out == room)
			rc = Z_DATA_ERROR;
		if (rc == Z_STREAM_END) {
			g->member = false;
			g->over = !gunzip_next(g);
		} else if (rc != Z_OK && rc != Z_BUF_ERROR) {
			if (g->z.avail_out < cap) {
				/* Said next time, if it is so then, too. */
				break;
			}
			return gunzip_failed(g, EBADMSG);
		}
		if (g->z.avail_out == 0)
			break;
	}
	if (g->z.avail_out < cap)
		return (ssize_t)(cap - g->z.avail_out);
	return g->over ? 0 : GUNZIP_AGAIN;
}
