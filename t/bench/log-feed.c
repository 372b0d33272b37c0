/*
 * log-feed: writes a log as fast as it is told to.
 *
 *     log-feed -r LINES/S -t SECONDS SOURCE DEST
 *
 * Appends the lines of SOURCE, again from its start at its end, to DEST, in
 * one write(2) each millisecond. The RFC 3164 time at the start of each line
 * becomes the present one (UTC), so they are what a busy server logs now.
 * Prints how many lines were written.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define STAMP_LEN 15 /* "Nov  7 12:34:56" */
#define TICK 1000000u

static char *text;
static size_t text_len;

static void
die(const char *what)
{
	fprintf(stderr, "log-feed: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t
now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void
load(const char *path)
{
	const int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) != 0)
		die(path);
	text_len = (size_t)st.st_size;
	text = malloc(text_len + 1);
	if (text == NULL || read(fd, text, text_len) != st.st_size)
		die(path);
	close(fd);
	if (text_len == 0 || text[text_len - 1] != '\n') {
		fprintf(stderr, "log-feed: %s: no whole lines\n", path);
		exit(2);
	}
}

/* The end of up to `lines` lines that begin at `at`, with the time put in. */
static size_t
stamp_lines(size_t at, uint64_t lines, const char *stamp)
{
	for (; lines > 0 && at < text_len; lines--) {
		const char *nl = memchr(text + at, '\n', text_len - at);

		if (nl - (text + at) > STAMP_LEN)
			memcpy(text + at, stamp, STAMP_LEN);
		at = (size_t)(nl - text) + 1;
	}
	return at;
}

static uint64_t
count_lines(size_t from, size_t to)
{
	uint64_t n = 0;

	for (; from < to; from++)
		n += text[from] == '\n';
	return n;
}

static uint64_t
feed(int fd, double rate, double seconds)
{
	const uint64_t start = now_ns();
	const uint64_t end = start + (uint64_t)(seconds * 1e9);
	uint64_t now, done = 0;
	size_t at = 0;
	char stamp[32];

	for (now = start; now < end; now = now_ns()) {
		const struct timespec tick = { .tv_nsec = TICK -
			    (now - start) % TICK };
		const time_t t = time(NULL);
		const uint64_t due =
		    (uint64_t)((double)(now - start) / 1e9 * rate);
		struct tm tm;

		strftime(
		    stamp, sizeof(stamp), "%b %e %H:%M:%S", gmtime_r(&t, &tm));
		while (done < due) {
			const size_t to = stamp_lines(at, due - done, stamp);

			if (write(fd, text + at, to - at) != (ssize_t)(to - at))
				die("write");
			done += count_lines(at, to);
			at = to < text_len ? to : 0;
		}
		nanosleep(&tick, NULL);
	}
	return done;
}

int
main(int argc, char **argv)
{
	double rate = 0, seconds = 0;
	int opt, fd;

	while ((opt = getopt(argc, argv, "r:t:")) != -1) {
		if (opt == 'r')
			rate = strtod(optarg, NULL);
		else if (opt == 't')
			seconds = strtod(optarg, NULL);
		else
			return 2;
	}
	if (optind + 2 != argc || !(rate > 0) || !(seconds > 0)) {
		fprintf(stderr,
		    "usage: log-feed -r LINES/S -t SECONDS SOURCE DEST\n");
		return 2;
	}
	load(argv[optind]);
	fd = open(argv[optind + 1], O_WRONLY | O_APPEND | O_CLOEXEC);
	if (fd < 0)
		die(argv[optind + 1]);
	printf("%llu\n", (unsigned long long)feed(fd, rate, seconds));
	close(fd);
	free(text);
	return 0;
}
