/* snapshot: values, damage, and writes that fail. */
#include "lib/core/snapshot.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "t/unit/rnd.h"
#include "t/unit/tap.h"

static char dir[] = "/tmp/snapshot_test.XXXXXX";
static char path[64], tmp[80];

static bool
exists(const char *p)
{
	struct stat st;

	return lstat(p, &st) == 0;
}

/* The whole file, or NULL. */
static unsigned char *
slurp(size_t *len_r)
{
	int fd = open(path, O_RDONLY);
	unsigned char *buf = NULL;
	struct stat st;

	if (fd < 0 || fstat(fd, &st) != 0)
		exit(1);
	*len_r = (size_t)st.st_size;
	buf = malloc(*len_r + 1);
	if (buf == NULL || read(fd, buf, *len_r) != (ssize_t)*len_r)
		exit(1);
	close(fd);
	return buf;
}

static void
spew(const unsigned char *buf, size_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	if (fd < 0 || write(fd, buf, len) != (ssize_t)len)
		exit(1);
	close(fd);
}

static struct addr
A(const char *s) {
	struct addr a;

	memset(&a, 0, sizeof(a));
	if (!addr_parse(s, strlen(s), &a))
		ok(false, "test address %s", s);
	return a;
}

static void
put_values(struct snapshot_writer *w)
{
	struct addr v4 = A("192.0.2.0/24"), v6 = A("2001:db8::1");

	snapshot_put_u8(w, SNAPSHOT_SCORES);
	snapshot_put_u8(w, 255);
	snapshot_put_u32(w, 0x89abcdefu);
	snapshot_put_u64(w, 0x0123456789abcdefu);
	snapshot_put_f64(w, -1.5e300);
	snapshot_put_f64(w, INFINITY);
	snapshot_put_addr(w, &v4);
	snapshot_put_addr(w, &v6);
	snapshot_put_str(w, "a\0b", 3);
	snapshot_put_str(w, "", 0);
	snapshot_put_name(w, name_intern_str("postfix-auth"));
	snapshot_put_u8(w, SNAPSHOT_ALLOW);
}

static bool
write_values(struct errbuf *err)
{
	struct snapshot_writer *w = snapshot_writer_create(path, err);

	if (w == NULL)
		return false;
	put_values(w);
	return snapshot_writer_commit(&w, err) == 0;
}

static void
test_values(void)
{
	struct addr v4 = A("192.0.2.0/24"), v6 = A("2001:db8::1"), a;
	struct snapshot_reader *r = (struct snapshot_reader *)path;
	struct errbuf err = { "" };
	const char *s;
	size_t len;
	struct stat st;

	is_int(snapshot_reader_open(path, &r, &err), SNAPSHOT_MISSING,
	    "no file yet");
	ok(r == NULL, "no reader");
	ok(write_values(&err), "written");
	ok(!exists(tmp), "the temporary file is gone");
	ok(stat(path, &st) == 0 && (st.st_mode & 0777) == 0600,
	    "for the owner only");
	is_int(snapshot_reader_open(path, &r, &err), SNAPSHOT_OK, "opened");
	is_int(snapshot_next_section(r), SNAPSHOT_SCORES, "a section");
	is_int(snapshot_get_u8(r), 255, "u8");
	is_int(snapshot_get_u32(r), 0x89abcdefu, "u32");
	ok(snapshot_get_u64(r) == 0x0123456789abcdefu, "u64");
	ok(snapshot_get_f64(r) == -1.5e300 && isinf(snapshot_get_f64(r)),
	    "f64");
	ok(snapshot_get_addr(r, &a) && addr_equal(&a, &v4), "an IPv4 prefix");
	ok(snapshot_get_addr(r, &a) && addr_equal(&a, &v6), "an IPv6 host");
	s = snapshot_get_str(r, &len);
	ok(len == 3 && memcmp(s, "a\0b", 3) == 0, "bytes");
	s = snapshot_get_str(r, &len);
	ok(len == 0 && s != NULL, "no bytes");
	is_str(name_text(snapshot_get_name(r)), "postfix-auth", "a name");
	is_int(snapshot_next_section(r), SNAPSHOT_ALLOW, "the next section");
	is_int(snapshot_next_section(r), SNAPSHOT_END, "and the end");
	ok(!snapshot_failed(r), "without failing");
	is_int(snapshot_get_u32(r), 0, "behind the end there are zeros");
	ok(snapshot_failed(r), "and a failure");
	is_int(snapshot_next_section(r), SNAPSHOT_END, "which stays");
	ok(!snapshot_get_addr(r, &a), "for all types");
	is_str(snapshot_get_str(r, &len), "", "of value");
	snapshot_reader_destroy(&r);
	snapshot_reader_destroy(&r);
	ok(r == NULL, "destroyed");
}

/* A length that reaches beyond the end, an address with too long a prefix. */
static void
test_bad_values(void)
{
	struct snapshot_reader *r;
	struct snapshot_writer *w;
	struct errbuf err;
	struct addr a = A("192.0.2.1");
	size_t len;

	w = snapshot_writer_create(path, &err);
	snapshot_put_u32(w, 0xffffffffu);
	a.plen = 129;
	snapshot_put_addr(w, &a);
	is_int(snapshot_writer_commit(&w, &err), 0, "written");
	snapshot_reader_open(path, &r, &err);
	snapshot_get_str(r, &len);
	ok(len == 0 && snapshot_failed(r), "a string longer than the file");
	snapshot_reader_destroy(&r);
	snapshot_reader_open(path, &r, &err);
	snapshot_get_u32(r);
	ok(!snapshot_get_addr(r, &a) && snapshot_failed(r),
	    "an impossible prefix length");
	snapshot_reader_destroy(&r);
	/* Bits behind the prefix are cleared. */
	w = snapshot_writer_create(path, &err);
	a = A("192.0.2.255");
	a.plen = 120;
	snapshot_put_addr(w, &a);
	is_int(snapshot_writer_commit(&w, &err), 0, "written");
	snapshot_reader_open(path, &r, &err);
	ok(snapshot_get_addr(r, &a) && a.b[15] == 0, "a prefix with host bits");
	snapshot_reader_destroy(&r);
}

/* Hints of how many entries there are: in files that have them. */
static void
test_counts(void)
{
	struct snapshot_reader *r;
	struct snapshot_writer *w;
	struct errbuf err;
	unsigned char *old, *new;
	size_t len, new_len;

	write_values(&err);
	old = slurp(&len);
	is_int(old[len - 9], 0, "a file without hints ends in a zero");
	snapshot_reader_open(path, &r, &err);
	is_int(snapshot_count(r, SNAPSHOT_SCORES), 0, "and has none");
	snapshot_reader_destroy(&r);
	w = snapshot_writer_create(path, &err);
	put_values(w);
	snapshot_tell_count(w, SNAPSHOT_SCORES, 5);
	snapshot_tell_count(w, SNAPSHOT_STRIKES, 1000000);
	snapshot_tell_count(w, SNAPSHOT_ALLOW, SIZE_MAX);
	is_int(snapshot_writer_commit(&w, &err), 0, "a file with hints");
	new = slurp(&new_len);
	ok(new_len > len && memcmp(old, new, len - 8) == 0,
	    "is the same before them, which older versions read");
	is_int(snapshot_reader_open(path, &r, &err), SNAPSHOT_OK, "opened");
	is_int(snapshot_count(r, SNAPSHOT_SCORES), 5, "a count");
	is_int(snapshot_count(r, SNAPSHOT_BLOCKS), 0, "none");
	is_int(snapshot_count(r, SNAPSHOT_STRIKES), 0,
	    "more entries than have room in the file");
	is_int(snapshot_count(r, SNAPSHOT_ALLOW), 0, "far more");
	while (!snapshot_failed(r))
		(void)snapshot_get_u8(r);
	snapshot_reader_destroy(&r);
	free(old);
	free(new);
}

/* The same few names again and again, and others that are like them. */
static void
test_names(void)
{
	struct snapshot_reader *r;
	struct snapshot_writer *w;
	struct errbuf err;
	unsigned wrong = 0;
	char name[32];

	w = snapshot_writer_create(path, &err);
	for (unsigned i = 0; i < 3000; i++) {
		snprintf(name, sizeof(name), "n%ux", i % 300);
		snapshot_put_str(w, name, strlen(name));
		snapshot_put_str(w, "", 0);
	}
	is_int(snapshot_writer_commit(&w, &err), 0, "names");
	snapshot_reader_open(path, &r, &err);
	for (unsigned i = 0; i < 3000; i++) {
		snprintf(name, sizeof(name), "n%ux", i % 300);
		wrong += snapshot_get_name(r) != name_intern_str(name);
		wrong += snapshot_get_name(r) != 0;
	}
	is_int(wrong, 0, "are read as they are");
	snapshot_reader_destroy(&r);
}

static bool
is_bad(void)
{
	struct snapshot_reader *r;
	struct errbuf err = { "" };
	enum snapshot_open got = snapshot_reader_open(path, &r, &err);
	bool bad = got == SNAPSHOT_BAD && err.text[0] != '\0' && r == NULL;

	snapshot_reader_destroy(&r);
	return bad;
}

static void
test_damage(void)
{
	unsigned char *good, *buf;
	unsigned wrong = 0;
	size_t len;
	struct errbuf err;

	write_values(&err);
	good = slurp(&len);
	buf = malloc(len + 100);
	if (buf == NULL)
		exit(1);
	for (size_t n = 0; n < len; n++) {
		spew(good, n);
		wrong += !is_bad();
	}
	is_int(wrong, 0, "truncated at every length (%zu)", len);
	for (size_t i = 0; i < len; i++)
		for (unsigned bit = 0; bit < 8; bit++) {
			memcpy(buf, good, len);
			buf[i] ^= (unsigned char)(1u << bit);
			spew(buf, len);
			wrong += !is_bad();
		}
	is_int(wrong, 0, "one bit changed, anywhere");
	for (size_t i = 0; i < len; i++) {
		memcpy(buf, good, i);
		buf[i] = (unsigned char)rnd();
		memcpy(buf + i + 1, good + i, len - i);
		spew(buf, len + 1);
		wrong += !is_bad();
		memcpy(buf + i, good + i + 1, len - i - 1);
		spew(buf, len - 1);
		wrong += !is_bad();
	}
	is_int(wrong, 0, "one byte more or less, anywhere");
	memcpy(buf, good, len);
	memset(buf + len, 0, 100);
	spew(buf, len + 100);
	ok(is_bad(), "zeros behind the end");
	memset(buf, 0, len);
	spew(buf, len);
	ok(is_bad(), "only zeros");
	free(good);
	free(buf);
}

/* The same over the size of the buffers in between. */
static void
test_large(void)
{
	struct snapshot_writer *w;
	struct snapshot_reader *r;
	unsigned char *good;
	struct errbuf err;
	unsigned wrong = 0;
	size_t len;

	w = snapshot_writer_create(path, &err);
	for (uint64_t i = 0; i < 100000; i++) {
		if (i % 1000 == 0)
			snapshot_put_u8(w, (uint8_t)i);
		snapshot_put_u64(w, i * 0x9e3779b97f4a7c15u);
	}
	is_int(snapshot_writer_commit(&w, &err), 0, "a large one");
	is_int(snapshot_reader_open(path, &r, &err), SNAPSHOT_OK, "is opened");
	for (uint64_t i = 0; i < 100000; i++) {
		if (i % 1000 == 0)
			wrong += snapshot_get_u8(r) != (uint8_t)i;
		wrong += snapshot_get_u64(r) != i * 0x9e3779b97f4a7c15u;
	}
	is_int(wrong, 0, "and read");
	snapshot_reader_destroy(&r);
	good = slurp(&len);
	for (int i = 0; i < 60; i++) {
		size_t at = (size_t)rnd() % len;
		unsigned char old = good[at];

		good[at] = (unsigned char)(old + 1 + rnd_below(255));
		spew(good, len);
		wrong += !is_bad();
		good[at] = old;
		spew(good, len - 1 - (size_t)rnd() % 200000);
		wrong += !is_bad();
	}
	is_int(wrong, 0, "damage is found there, too");
	free(good);
}

static void
test_kinds(void)
{
	static const unsigned char other[] = "mxwarden-snapshot 2\n\0abcdefgh";
	struct snapshot_reader *r;
	struct errbuf err = { "" };

	spew(other, sizeof(other) - 1);
	is_int(snapshot_reader_open(path, &r, &err), SNAPSHOT_BAD,
	    "another version");
	is_str(err.text, "not a snapshot of this version", "says so");
	spew(other, 0);
	is_int(snapshot_reader_open(path, &r, &err), SNAPSHOT_BAD,
	    "an empty file");
	is_str(err.text, "empty", "says so");
	unlink(path);
	mkdir(path, 0700);
	is_int(
	    snapshot_reader_open(path, &r, &err), SNAPSHOT_BAD, "a directory");
	is_str(err.text, "not a file", "says so");
	ok(!write_values(&err), "nor can it be replaced");
	ok(strstr(err.text, path) != NULL, "which says so: %s", err.text);
	ok(!exists(tmp), "and leaves nothing");
	rmdir(path);
	mkfifo(path, 0600);
	is_int(snapshot_reader_open(path, &r, &err), SNAPSHOT_BAD,
	    "a pipe that nobody writes");
	unlink(path);
	if (geteuid() != 0) {
		spew(other, 5);
		chmod(path, 0);
		is_int(snapshot_reader_open(path, &r, &err), SNAPSHOT_BAD,
		    "a file that may not be read");
		unlink(path);
	}
}

/* In a child with a limit of file sizes, as if the disk was full. */
static void
test_full(void)
{
	struct snapshot_reader *r;
	unsigned char *before, *after;
	struct errbuf err;
	size_t len, len2;
	unsigned wrong = 0, failed = 0;

	write_values(&err);
	before = slurp(&len);
	for (rlim_t limit = 0; limit < len + 3; limit += 7) {
		int status;
		pid_t pid = fork();

		if (pid == 0) {
			struct rlimit rl = { limit, limit };

			signal(SIGXFSZ, SIG_IGN);
			setrlimit(RLIMIT_FSIZE, &rl);
			err.text[0] = '\0';
			if (write_values(&err))
				_exit(0);
			_exit(strstr(err.text, strerror(EFBIG)) != NULL &&
				    !exists(tmp)
				? 1
				: 2);
		}
		waitpid(pid, &status, 0);
		wrong += !WIFEXITED(status) || WEXITSTATUS(status) == 2;
		failed += WIFEXITED(status) && WEXITSTATUS(status) == 1;
		wrong += (limit < len) != (WEXITSTATUS(status) == 1);
		after = slurp(&len2);
		wrong += len != len2 || memcmp(before, after, len) != 0;
		free(after);
	}
	ok(wrong == 0 && failed > 5,
	    "a write that fails at any place leaves the old file (%u)", failed);
	is_int(snapshot_reader_open(path, &r, &err), SNAPSHOT_OK, "intact");
	snapshot_reader_destroy(&r);
	free(before);
}

static void
test_abort(void)
{
	char nowhere[100];
	struct snapshot_writer *w;
	struct errbuf err;
	unsigned char *before, *after;
	size_t len, len2;

	write_values(&err);
	before = slurp(&len);
	w = snapshot_writer_create(path, &err);
	snapshot_put_u64(w, 1);
	ok(exists(tmp), "a temporary file");
	snapshot_writer_abort(&w);
	snapshot_writer_abort(&w);
	ok(w == NULL && !exists(tmp), "is removed when it is given up");
	after = slurp(&len2);
	ok(len == len2 && memcmp(before, after, len) == 0, "the old one stays");
	free(before);
	free(after);
	snprintf(nowhere, sizeof(nowhere), "%s/none/state", dir);
	ok(snapshot_writer_create(nowhere, &err) == NULL, "no directory");
	ok(strstr(err.text, nowhere) != NULL, "is told: %s", err.text);
	/* What an earlier process left behind is no obstacle. */
	ok(mkdir(nowhere, 0700) != 0, "none");
	close(open(tmp, O_WRONLY | O_CREAT, 0600));
	ok(write_values(&err) && !exists(tmp), "a left over temporary file");
}

int
main(void)
{
	if (mkdtemp(dir) == NULL)
		return 1;
	snprintf(path, sizeof(path), "%s/state", dir);
	snprintf(tmp, sizeof(tmp), "%s.tmp", path);
	test_values();
	test_bad_values();
	test_counts();
	test_names();
	test_damage();
	test_large();
	test_kinds();
	test_full();
	test_abort();
	unlink(path);
	rmdir(dir);
	names_destroy();
	return tap_done();
}
