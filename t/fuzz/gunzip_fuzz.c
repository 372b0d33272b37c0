/*
 * gunzip: a rotated log that somebody else has compressed, or something that
 * only begins so. The first byte of an input says how many bytes are read at a
 * time, the rest is the file, in memory.
 *
 * However it goes: a piece has no more than its bound, reading ends, the size
 * of the pieces does not change what comes, and so does not how it ends; from
 * the beginning again it is the same. What zlib itself takes for a whole file
 * is read to its end.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <unistd.h>
#include <zlib.h>

#include "lib/io/gunzip.h"
#include "t/fuzz/fuzz.h"

#define OUT_MAX 100000 /* of a file that holds more, only this is read */

struct content {
	char *buf;
	size_t len;
	int error;
	int over; /* it has ended, well or not */
};

static int memory;

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	memory = memfd_create("log", MFD_CLOEXEC);
	must(memory >= 0);
	return 0;
}

static void
read_all(struct gunzip *g, size_t piece, struct content *c)
{
	size_t idle = 0;

	memset(c, 0, sizeof(*c));
	c->buf = malloc(OUT_MAX + piece);
	must(c->buf != NULL);
	while (c->len < OUT_MAX) {
		ssize_t n = gunzip_read(g, c->buf + c->len, piece);

		if (n == GUNZIP_AGAIN) {
			must(++idle < 1000);
			continue;
		}
		must(n >= -1 && n <= (ssize_t)piece);
		if (n <= 0) {
			c->error = n < 0 ? errno : 0;
			c->over = 1;
			/* And stays so. */
			must(gunzip_read(g, c->buf + c->len, piece) <= 0);
			return;
		}
		c->len += (size_t)n;
	}
}

static void
check_same(const struct content *a, const struct content *b)
{
	size_t n = a->len < b->len ? a->len : b->len;

	must(n == 0 || memcmp(a->buf, b->buf, n) == 0);
	if (a->over && b->over)
		must(a->len == b->len && a->error == b->error);
	must(!a->over || a->len >= n);
}

/* The first member, as zlib has it in one call; -1 if it is not whole. */
static ssize_t
first_member(const uint8_t *data, size_t size, char *out)
{
	z_stream z;
	ssize_t n = -1;

	memset(&z, 0, sizeof(z));
	must(inflateInit2(&z, 15 + 16) == Z_OK);
	z.next_in = (unsigned char *)(uintptr_t)data;
	z.avail_in = (unsigned)size;
	z.next_out = (unsigned char *)out;
	z.avail_out = OUT_MAX;
	if (inflate(&z, Z_FINISH) == Z_STREAM_END)
		n = (ssize_t)(OUT_MAX - z.avail_out);
	inflateEnd(&z);
	return n;
}

static void
check_member(const uint8_t *data, size_t size, const struct content *c)
{
	char *out = malloc(OUT_MAX);
	ssize_t n;

	must(out != NULL);
	n = first_member(data, size, out);
	must(n < 0 ||
	    (c->len >= (size_t)n && memcmp(out, c->buf, (size_t)n) == 0));
	must(n >= 0 || !c->over || c->error == EBADMSG);
	free(out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t piece = size > 0 ? 1u + data[0] * 16u : 1;
	struct content whole, pieces, again;
	struct gunzip *g;

	data += size > 0;
	size -= size > 0;
	must(ftruncate(memory, 0) == 0);
	must(pwrite(memory, data, size, 0) == (ssize_t)size);
	g = gunzip_create(memory);
	if (g == NULL) {
		must(errno == EINVAL);
		must(size < 3 || data[0] != 0x1f || data[1] != 0x8b);
		return 0;
	}
	read_all(g, 65536, &whole);
	gunzip_rewind(g);
	read_all(g, piece, &pieces);
	gunzip_rewind(g);
	read_all(g, 65536, &again);
	check_same(&whole, &pieces);
	check_same(&whole, &again);
	must(whole.len == again.len && whole.over == again.over);
	check_member(data, size, &whole);
	gunzip_destroy(&g);
	free(whole.buf);
	free(pieces.buf);
	free(again.buf);
	return 0;
}
