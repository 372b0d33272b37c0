/* gunzip: whole files, cut ones, damaged ones; each piece has a bound. */
#include "lib/io/gunzip.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zlib.h>

#include "t/unit/rnd.h"
#include "t/unit/tap.h"

#define CONTENT 20000

static char content[CONTENT], got[CONTENT * 2];
static size_t got_len, pieces;

/* One member with these bytes. */
static size_t
member(const char *text, size_t len, unsigned char *out, size_t room)
{
	z_stream z = { 0 };

	if (deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) !=
	    Z_OK)
		exit(1);
	z.next_in = (unsigned char *)(uintptr_t)text;
	z.avail_in = (unsigned)len;
	z.next_out = out;
	z.avail_out = (unsigned)room;
	if (deflate(&z, Z_FINISH) != Z_STREAM_END)
		exit(1);
	deflateEnd(&z);
	return room - z.avail_out;
}

static int
file_of(const void *p, size_t len)
{
	int fd = memfd_create("gunzip_test", MFD_CLOEXEC);

	if (fd == -1 || write(fd, p, len) != (ssize_t)len)
		exit(1);
	return fd;
}

/* All of it, in pieces of at most `cap`; what the last read(2) said. */
static ssize_t
all(struct gunzip *g, size_t cap)
{
	ssize_t n;

	got_len = 0;
	for (pieces = 0; pieces < 1000000; pieces++) {
		char buf[4096];

		n = gunzip_read(g, buf, cap);
		if (n == 0 || n == -1)
			return n;
		if (n == GUNZIP_AGAIN)
			continue;
		if (n < 0 || (size_t)n > cap)
			return -3;
		if (got_len + (size_t)n <= sizeof(got))
			memcpy(got + got_len, buf, (size_t)n);
		got_len += (size_t)n;
	}
	return -4;
}

static void
test_whole(const unsigned char *gz, size_t len)
{
	unsigned char two[CONTENT * 2];
	size_t two_len;
	struct gunzip *g;
	int fd = file_of(gz, len);

	g = gunzip_create(fd);
	ok(g != NULL && all(g, 4096) == 0 && got_len == CONTENT &&
		memcmp(got, content, CONTENT) == 0,
	    "a whole file");
	is_int(gunzip_read(g, got, 10), 0, "at its end it stays");
	gunzip_rewind(g);
	ok(all(g, 1) == 0 && got_len == CONTENT &&
		memcmp(got, content, CONTENT) == 0,
	    "once more, byte by byte");
	gunzip_destroy(&g);
	gunzip_destroy(&g);
	ok(lseek(fd, 0, SEEK_CUR) == (off_t)len, "its offset is left alone");
	close(fd);

	memcpy(two, gz, len);
	two_len = len + member("", 0, two + len, 100);
	two_len += member("and more", 8, two + two_len, 100);
	memset(two + two_len, 0, 50); /* as tapes have it */
	fd = file_of(two, two_len + 50);
	g = gunzip_create(fd);
	ok(all(g, 4096) == 0 && got_len == CONTENT + 8 &&
		memcmp(got + CONTENT, "and more", 8) == 0,
	    "several members, and padding");
	gunzip_destroy(&g);
	close(fd);

	fd = file_of("nothing of the kind", 19);
	errno = 0;
	ok(gunzip_create(fd) == NULL && errno == EINVAL, "another file");
	close(fd);
	fd = file_of("", 0);
	ok(gunzip_create(fd) == NULL, "an empty one");
	close(fd);
}

static void
test_broken(const unsigned char *gz, size_t len)
{
	unsigned char bad[CONTENT];
	unsigned wrong = 0, endless = 0, seen = 0;

	for (size_t cut = 3; cut < len; cut += 1 + len / 300) {
		int fd = file_of(gz, cut);
		struct gunzip *g = gunzip_create(fd);
		ssize_t end = all(g, 1000);

		wrong += end != -1 || errno != EBADMSG || got_len > CONTENT ||
		    memcmp(got, content, got_len) != 0 ||
		    gunzip_read(g, got, 10) != 0;
		gunzip_destroy(&g);
		close(fd);
	}
	is_int(wrong, 0, "cut off anywhere: what there was, and an error");
	for (int i = 0; i < 500; i++) {
		struct gunzip *g;
		ssize_t end;
		int fd;

		memcpy(bad, gz, len);
		bad[2 + rnd_below((unsigned)len - 2)] ^=
		    (unsigned char)(1 + rnd_below(255));
		fd = file_of(bad, len);
		g = gunzip_create(fd);
		end = g != NULL ? all(g, 4096) : -1;
		endless += end < -1;
		seen += end == -1;
		gunzip_destroy(&g);
		close(fd);
	}
	is_int(endless, 0, "damaged anywhere: it comes to an end");
	ok(seen > 300, "and most damage is seen (%u of 500)", seen);
}

/* Of a file that is cut off zlib may have taken the last byte, and hold more
 * than a piece has room for. */
static void
test_cut_repeats(void)
{
	static const char repeats[5000];
	static const size_t caps[] = { 1, 7, 300 };
	unsigned char gz[200];
	size_t len = member(repeats, sizeof(repeats), gz, sizeof(gz));
	unsigned wrong = 0, some = 0;

	for (size_t cut = 3; cut < len; cut++) {
		int fd = file_of(gz, cut);
		struct gunzip *g = gunzip_create(fd);
		size_t want;

		all(g, 4096);
		want = got_len;
		some += want > 0;
		for (size_t i = 0; i < 3; i++) {
			gunzip_rewind(g);
			wrong += all(g, caps[i]) != -1 || errno != EBADMSG ||
			    got_len != want;
		}
		gunzip_destroy(&g);
		close(fd);
	}
	ok(some > 3, "a cut file has something");
	is_int(wrong, 0, "the same, whatever the pieces are");
}

/* Little that becomes much, and much that becomes nothing. */
static void
test_bounds(void)
{
	enum { MANY = 20000 };
	unsigned char *file = calloc(MANY, 32), *zeros = calloc(1, 1 << 20);
	struct gunzip *g;
	size_t len = 0;
	int fd;

	if (file == NULL || zeros == NULL)
		exit(1);
	for (int i = 0; i < MANY; i++)
		len += member("", 0, file + len, 32);
	fd = file_of(file, len);
	g = gunzip_create(fd);
	is_int(gunzip_read(g, got, 4096), GUNZIP_AGAIN,
	    "empty members: a piece ends without any content");
	ok(all(g, 4096) == 0 && got_len == 0 && pieces > 100, "all of them");
	gunzip_destroy(&g);
	close(fd);
	len = member((char *)zeros, 1 << 20, file, MANY * 32);
	fd = file_of(file, len);
	g = gunzip_create(fd);
	ok(all(g, 4096) == 0 && got_len == 1 << 20 && pieces >= 256,
	    "a megabyte of nothing, in pieces");
	gunzip_destroy(&g);
	close(fd);
	free(file);
	free(zeros);
}

int
main(void)
{
	static unsigned char gz[CONTENT * 2];
	size_t len;

	for (size_t i = 0; i < CONTENT; i++)
		content[i] = (char)('a' + rnd_below(16));
	len = member(content, CONTENT, gz, sizeof(gz));
	test_whole(gz, len);
	test_broken(gz, len);
	test_cut_repeats();
	test_bounds();
	return tap_done();
}
