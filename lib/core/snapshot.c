/*
 * snapshot: see snapshot.h. The checksum takes eight bytes at a time: a state
 * of a million addresses must be checked within the start-up time.
 */
#include "lib/core/snapshot.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/core/xalloc.h"

#define SNAPSHOT_MAGIC "mxwarden-snapshot 1\n"
#define SNAPSHOT_BUFFER 65536 /* a multiple of 8: see checksum_add() */
#define COUNTS_MARK 0xc5
#define COUNTS_MAX 64 /* tags of other versions */
#define ENTRY_MIN 18  /* bytes of an entry at least: an address and a u8 */
#define READER_NAMES 64

struct checksum {
	uint64_t h;
};

/* Whole words; the last piece of a stream may be shorter. */
static void
checksum_add(struct checksum *c, const unsigned char *p, size_t len)
{
	while (len > 0) {
		uint64_t w = 0;
		size_t n = len < 8 ? len : 8;

		memcpy(&w, p, n);
		c->h = (c->h ^ w) * 0x9e3779b97f4a7c15u;
		c->h ^= c->h >> 29;
		p += n;
		len -= n;
	}
}

struct snapshot_writer {
	char *path, *tmp;
	int fd;
	int error; /* errno of the first failure, or 0 */
	struct checksum sum;
	uint32_t counts[SNAPSHOT_SECTIONS];
	bool counted;
	size_t used;
	unsigned char buf[SNAPSHOT_BUFFER];
};

struct snapshot_writer *
snapshot_writer_create(const char *path, struct errbuf *err)
{
	struct snapshot_writer *w = x_calloc(1, sizeof(*w));

	w->path = x_strdup(path);
	w->tmp = x_asprintf("%s.tmp", path);
	w->fd = open(w->tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (w->fd < 0) {
		errbuf_set(err, "%s: %s", w->tmp, strerror(errno));
		snapshot_writer_abort(&w);
		return NULL;
	}
	for (const char *m = SNAPSHOT_MAGIC; *m != '\0'; m++)
		snapshot_put_u8(w, (uint8_t)*m);
	return w;
}

static void
writer_write(struct snapshot_writer *w, const unsigned char *p, size_t len)
{
	while (len > 0 && w->error == 0) {
		ssize_t n = write(w->fd, p, len);

		if (n < 0 && errno != EINTR)
			w->error = errno;
		if (n > 0) {
			p += n;
			len -= (size_t)n;
		}
	}
}

static void
writer_flush(struct snapshot_writer *w)
{
	checksum_add(&w->sum, w->buf, w->used);
	writer_write(w, w->buf, w->used);
	w->used = 0;
}

static void
writer_put(struct snapshot_writer *w, const void *p, size_t len)
{
	const unsigned char *s = p;

	while (len > 0) {
		size_t room = sizeof(w->buf) - w->used;
		size_t n = len < room ? len : room;

		memcpy(w->buf + w->used, s, n);
		w->used += n;
		s += n;
		len -= n;
		if (w->used == sizeof(w->buf))
			writer_flush(w);
	}
}

void
snapshot_put_u8(struct snapshot_writer *w, uint8_t v)
{
	writer_put(w, &v, 1);
}

void
snapshot_put_u32(struct snapshot_writer *w, uint32_t v)
{
	unsigned char b[4];

	for (int i = 0; i < 4; i++)
		b[i] = (unsigned char)(v >> (8 * i));
	writer_put(w, b, 4);
}

void
snapshot_put_u64(struct snapshot_writer *w, uint64_t v)
{
	unsigned char b[8];

	for (int i = 0; i < 8; i++)
		b[i] = (unsigned char)(v >> (8 * i));
	writer_put(w, b, 8);
}

void
snapshot_put_f64(struct snapshot_writer *w, double v)
{
	uint64_t u;

	memcpy(&u, &v, 8);
	snapshot_put_u64(w, u);
}

void
snapshot_put_addr(struct snapshot_writer *w, const struct addr *a)
{
	writer_put(w, a->b, 16);
	snapshot_put_u8(w, a->plen);
}

void
snapshot_put_str(struct snapshot_writer *w, const char *s, size_t len)
{
	snapshot_put_u32(w, (uint32_t)len);
	writer_put(w, s, len);
}

void
snapshot_put_name(struct snapshot_writer *w, name_id id)
{
	const char *s = name_text(id);

	snapshot_put_str(w, s, strlen(s));
}

void
snapshot_tell_count(
    struct snapshot_writer *w, enum snapshot_section section, size_t n)
{
	w->counts[section] = n < UINT32_MAX ? (uint32_t)n : UINT32_MAX;
	w->counted = true;
}

static void
writer_put_counts(struct snapshot_writer *w)
{
	if (!w->counted)
		return;
	for (size_t i = 0; i < SNAPSHOT_SECTIONS; i++)
		snapshot_put_u32(w, w->counts[i]);
	snapshot_put_u32(w, SNAPSHOT_SECTIONS);
	snapshot_put_u8(w, COUNTS_MARK);
}

void
snapshot_writer_abort(struct snapshot_writer **wp)
{
	struct snapshot_writer *w = *wp;

	if (w == NULL)
		return;
	if (w->fd >= 0) {
		close(w->fd);
		unlink(w->tmp);
	}
	free(w->path);
	free(w->tmp);
	free(w);
	*wp = NULL;
}

/* A rename is on disk when its directory is. */
static int
directory_sync(const char *path)
{
	char *copy = x_strdup(path);
	int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int rc = -1;

	if (fd >= 0) {
		rc = fsync(fd);
		close(fd);
	}
	free(copy);
	return rc;
}

int
snapshot_writer_commit(struct snapshot_writer **wp, struct errbuf *err)
{
	struct snapshot_writer *w = *wp;
	unsigned char b[8];

	snapshot_put_u8(w, SNAPSHOT_END);
	writer_put_counts(w);
	writer_flush(w);
	for (int i = 0; i < 8; i++)
		b[i] = (unsigned char)(w->sum.h >> (8 * i));
	writer_write(w, b, 8);
	if (w->error == 0 && fsync(w->fd) != 0)
		w->error = errno;
	if (w->error == 0 && rename(w->tmp, w->path) != 0)
		w->error = errno;
	if (w->error != 0) {
		errbuf_set(err, "%s: %s", w->tmp, strerror(w->error));
		snapshot_writer_abort(wp);
		return -1;
	}
	close(w->fd);
	w->fd = -1;
	directory_sync(w->path);
	snapshot_writer_abort(wp);
	return 0;
}

struct snapshot_reader {
	unsigned char *map;
	size_t len;		      /* of map */
	const unsigned char *p, *end; /* values not yet read */
	bool failed;
	size_t counts[SNAPSHOT_SECTIONS];
	/* A million entries have the same few names: those of the last. */
	struct {
		const char *s; /* in the map; NULL = none */
		size_t len;
		name_id id;
	} names[READER_NAMES];
};

/* A constant n makes this one load. */
static inline uint64_t
get_le(const unsigned char *p, int n)
{
	uint64_t v = 0;

	for (int i = 0; i < n; i++)
		v |= (uint64_t)p[i] << (8 * i);
	return v;
}

/* Length, magic and checksum of the mapped file. */
static bool
reader_check(const struct snapshot_reader *r, struct errbuf *err)
{
	size_t magic = sizeof(SNAPSHOT_MAGIC) - 1;
	struct checksum sum = { 0 };

	if (r->len < magic + 9) {
		errbuf_set(err, "truncated");
		return false;
	}
	if (memcmp(r->map, SNAPSHOT_MAGIC, magic) != 0) {
		errbuf_set(err, "not a snapshot of this version");
		return false;
	}
	for (size_t at = 0; at < r->len - 8; at += SNAPSHOT_BUFFER) {
		size_t n = r->len - 8 - at;

		checksum_add(&sum, r->map + at,
		    n < SNAPSHOT_BUFFER ? n : SNAPSHOT_BUFFER);
	}
	if (sum.h != get_le(r->map + r->len - 8, 8)) {
		errbuf_set(err, "truncated or damaged: the checksum is wrong");
		return false;
	}
	return true;
}

/* The hints, which end before r->end, if there are any. */
static void
reader_counts(struct snapshot_reader *r)
{
	const size_t left = (size_t)(r->end - r->p);
	const unsigned char *p;
	size_t n;

	if (left < 5 || r->end[-1] != COUNTS_MARK)
		return;
	n = get_le(r->end - 5, 4);
	if (n > COUNTS_MAX || left < n * 4 + 5)
		return;
	p = r->end - 5 - n * 4;
	for (size_t i = 0; i < n && i < SNAPSHOT_SECTIONS; i++) {
		const size_t count = get_le(p + i * 4, 4);

		if (count <= left / ENTRY_MIN)
			r->counts[i] = count;
	}
	r->end = p;
}

size_t
snapshot_count(const struct snapshot_reader *r, enum snapshot_section section)
{
	return r->counts[section];
}

enum snapshot_open
snapshot_reader_open(
    const char *path, struct snapshot_reader **reader_r, struct errbuf *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct snapshot_reader *r;
	struct stat st;

	*reader_r = NULL;
	if (fd < 0 && errno == ENOENT)
		return SNAPSHOT_MISSING;
	if (fd < 0 || fstat(fd, &st) != 0) {
		errbuf_set(err, "%s", strerror(errno));
		if (fd >= 0)
			close(fd);
		return SNAPSHOT_BAD;
	}
	if (!S_ISREG(st.st_mode) || st.st_size == 0) {
		errbuf_set(err, S_ISREG(st.st_mode) ? "empty" : "not a file");
		close(fd);
		return SNAPSHOT_BAD;
	}
	r = x_calloc(1, sizeof(*r));
	r->len = (size_t)st.st_size;
	/* At once: a fault for every few pages costs more. */
	r->map =
	    mmap(NULL, r->len, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
	close(fd);
	if (r->map == MAP_FAILED) {
		errbuf_set(err, "%s", strerror(errno));
		free(r);
		return SNAPSHOT_BAD;
	}
	if (!reader_check(r, err)) {
		snapshot_reader_destroy(&r);
		return SNAPSHOT_BAD;
	}
	r->p = r->map + sizeof(SNAPSHOT_MAGIC) - 1;
	r->end = r->map + r->len - 8;
	reader_counts(r);
	*reader_r = r;
	return SNAPSHOT_OK;
}

void
snapshot_reader_destroy(struct snapshot_reader **rp)
{
	if (*rp == NULL)
		return;
	munmap((*rp)->map, (*rp)->len);
	free(*rp);
	*rp = NULL;
}

/* The next `len` bytes, or NULL. */
static const unsigned char *
reader_take(struct snapshot_reader *r, size_t len)
{
	const unsigned char *p = r->p;

	if (r->failed || (size_t)(r->end - r->p) < len) {
		r->failed = true;
		return NULL;
	}
	r->p += len;
	return p;
}

uint8_t
snapshot_get_u8(struct snapshot_reader *r)
{
	const unsigned char *p = reader_take(r, 1);

	return p != NULL ? *p : 0;
}

static inline uint64_t
reader_uint(struct snapshot_reader *r, int n)
{
	const unsigned char *p = reader_take(r, (size_t)n);

	return p != NULL ? get_le(p, n) : 0;
}

uint32_t
snapshot_get_u32(struct snapshot_reader *r)
{
	return (uint32_t)reader_uint(r, 4);
}

uint64_t
snapshot_get_u64(struct snapshot_reader *r)
{
	return reader_uint(r, 8);
}

double
snapshot_get_f64(struct snapshot_reader *r)
{
	uint64_t u = reader_uint(r, 8);
	double v;

	memcpy(&v, &u, 8);
	return v;
}

bool
snapshot_get_addr(struct snapshot_reader *r, struct addr *out)
{
	const unsigned char *p = reader_take(r, 17);
	struct addr a;

	if (p == NULL)
		return false;
	memcpy(a.b, p, 16);
	a.plen = 128;
	if (p[16] > 128) {
		r->failed = true;
		return false;
	}
	*out = addr_mask(&a, p[16]);
	return true;
}

const char *
snapshot_get_str(struct snapshot_reader *r, size_t *len_r)
{
	size_t len = snapshot_get_u32(r);
	const unsigned char *p = reader_take(r, len);

	*len_r = p != NULL ? len : 0;
	return p != NULL ? (const char *)p : "";
}

name_id
snapshot_get_name(struct snapshot_reader *r)
{
	size_t len, i;
	const char *s = snapshot_get_str(r, &len);

	i = len > 0 ? (unsigned char)s[0] * 5u + (unsigned char)s[len - 1] : 0;
	i = (i * 3 + len) % READER_NAMES;
	if (r->names[i].s == NULL || r->names[i].len != len ||
	    memcmp(r->names[i].s, s, len) != 0) {
		r->names[i].s = s;
		r->names[i].len = len;
		r->names[i].id = name_intern(s, len);
	}
	return r->names[i].id;
}

uint8_t
snapshot_next_section(struct snapshot_reader *r)
{
	return r->failed ? SNAPSHOT_END : snapshot_get_u8(r);
}

bool
snapshot_failed(const struct snapshot_reader *r)
{
	return r->failed;
}
