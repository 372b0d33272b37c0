/*
 * tail, against a writer that appends and rotates at random while the tail is
 * stopped, killed and started again: each line must come exactly once, in
 * order, with growing offsets.
 *
 *     tail_random_test [SEED [ROUNDS]]
 *
 * First with writer and tail taking turns, which repeats for a seed; then with
 * the writer in a process of its own, which does not, but meets real races.
 */
#include <sys/mman.h>
#include <sys/wait.h>

#include "t/unit/tailkit.h"

enum naming { NUMBERED, STEM, DATED, LINKED, MIXED, NNAMINGS };

static const char *const naming_names[] = { "mail.log.N", "mail.N.log",
	"mail.log-DATE", "symbolic link to mail-DATE.log",
	"both kinds, told by time" };

/* What the writer has done. */
static enum naming naming;
static int writer = -1;	  /* its descriptor */
static bool stale;	  /* it is not the one that the path names */
static unsigned long seq; /* of the last line */
static unsigned rotation;
static char half[64]; /* a line begun; "" = none */
static char *want;    /* the complete lines */
static size_t want_len, want_room;
static long ticks; /* the time given to files, where time decides */

/* What a crash goes back to: a position saved inside progress. */
struct saved {
	struct logpos pos;
	size_t len;
	uint64_t end;
};
static struct saved saved[4];
static unsigned nsaved;
static uint64_t lost;

static uint64_t rng;

static unsigned
pick(unsigned n)
{
	rng = rng * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)(rng >> 33) % n;
}

static void
want_line(const char *text, size_t len)
{
	if (want_len + len + 2 > want_room) {
		want_room = (want_len + len + 2) * 2;
		want = x_reallocarray(want, want_room, 1);
	}
	memcpy(want + want_len, text, len);
	want_len += len;
	want[want_len++] = '\n';
	want[want_len] = '\0';
}

/* Time in steps, far enough apart for any file system. */
static void
tick(int fd)
{
	struct timespec now = { 1700000001 + ticks++, 0 };
	struct timespec ts[2] = { now, now };

	if (naming == MIXED)
		futimens(fd, ts);
}

static void
put(const char *text, size_t len)
{
	if (write(writer, text, len) != (ssize_t)len)
		log_fatal("write: %s", strerror(errno));
	tick(writer);
}

static void
put_lines(unsigned n)
{
	char line[4096];

	while (n-- > 0) {
		unsigned pad = pick(20) == 0 ? pick(3000) : pick(80);
		int len = snprintf(line, sizeof(line), "%lu ", ++seq);

		memset(line + len, 'x', pad);
		len += (int)pad;
		if (half[0] != '\0') {
			char whole[4200];
			int wlen = snprintf(
			    whole, sizeof(whole), "%s%.*s", half, len, line);

			half[0] = '\0';
			want_line(whole, (size_t)wlen);
		} else {
			want_line(line, (size_t)len);
		}
		line[len++] = '\n';
		put(line, (size_t)len);
	}
}

static void
put_half(void)
{
	if (half[0] != '\0')
		return;
	snprintf(half, sizeof(half), "%lu half ", ++seq);
	put(half, strlen(half));
}

static int
create(const char *name)
{
	int fd = open(
	    kit_path(name), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);

	if (fd == -1)
		log_fatal("%s: %s", name, strerror(errno));
	tick(fd);
	return fd;
}

/* The writer opens its log again, as after a SIGHUP. */
static void
writer_open(bool give_up_half)
{
	if (half[0] != '\0' && !give_up_half)
		put_lines(1);
	if (writer != -1)
		close(writer);
	writer = create("mail.log");
	if (half[0] != '\0' && stale) {
		want_line(half, strlen(half));
		half[0] = '\0';
		put_lines(1);
	}
	stale = false;
}

static const char *
rotated_name(unsigned n)
{
	static char name[64];
	bool dated = naming == DATED || (naming == MIXED && n % 3 == 1);

	if (naming == LINKED)
		snprintf(name, sizeof(name), "mail-2026%04u-%u.log", n, n);
	else
		snprintf(name, sizeof(name),
		    dated		 ? "mail.log-2026%04u"
			: naming == STEM ? "mail.%u.log"
					 : "mail.log.%u",
		    n);
	return name;
}

static void
rotate_link(bool empty)
{
	char name[64];

	snprintf(name, sizeof(name), "%s", rotated_name(1000 + ++rotation));
	if (empty)
		close(create(name));
	if (symlink(name, kit_path("link")) != 0)
		log_fatal("symlink: %s", strerror(errno));
	kit_rename("link", "mail.log");
}

/* The names move up; what is dated keeps its name. */
static void
rotate_names(void)
{
	char from[64], to[64];

	for (unsigned n = 99; naming != DATED && n > 0; n--) {
		snprintf(from, sizeof(from), "%s", rotated_name(n));
		snprintf(to, sizeof(to), "%s", rotated_name(n + 1));
		if (access(kit_path(from), F_OK) == 0)
			kit_rename(from, to);
	}
}

static void
rotate(bool empty)
{
	const char *to;

	if (naming == LINKED) {
		rotate_link(empty);
		stale = true;
		return;
	}
	if (access(kit_path("mail.log"), F_OK) != 0)
		return;
	rotate_names();
	to = rotated_name(naming == DATED ? ++rotation : 1);
	kit_rename("mail.log", to);
	if (empty)
		close(create("mail.log"));
	stale = true;
}

static void
on_progress(void *ctx, bool current)
{
	struct saved *s = &saved[nsaved++ % 4];

	kit_progress(ctx, current);
	tail_position(kit_tail, &s->pos);
	s->len = kit_len;
	s->end = kit_end;
}

static void
start(void)
{
	static const struct tail_events events = { kit_line, on_progress };
	struct tail_options options = { .path = kit_path("mail.log"),
		.beginning = true,
		.epoch = 1,
		.pos = kit_have_pos ? &kit_pos : NULL };

	if (kit_tail != NULL)
		return;
	kit_current = false;
	kit_tail = tail_create(kit_loop, &options, &events, NULL);
}

static void
stop(void)
{
	if (kit_tail == NULL)
		return;
	lost += kit_stats().lost;
	kit_stop();
}

/* As if killed: what was handed on after the saved position comes again. */
static void
crash(void)
{
	struct saved s;

	stop();
	if (nsaved == 0)
		return;
	s = saved[pick(nsaved < 4 ? nsaved : 4)];
	kit_pos = s.pos;
	kit_len = s.len;
	kit_end = s.end;
	saved[0] = s; /* the others are of a future that did not come */
	nsaved = 1;
}

/* Everything is read; nothing older will be asked for again. */
static bool
settle(void)
{
	start();
	kit_turns(3); /* it may not have seen yet that there is more */
	kit_until(kit_len == want_len && kit_current);
	nsaved = 0;
	return kit_len == want_len;
}

/* The file is copied and truncated, after all of it was read. */
static void
truncate_copied(void)
{
	char buf[65536];
	ssize_t n;
	int in, out;

	if (stale || half[0] != '\0' || naming == LINKED || naming == MIXED ||
	    !settle())
		return;
	rotate_names();
	in = open(kit_path("mail.log"), O_RDONLY | O_CLOEXEC);
	out = open(kit_path(rotated_name(naming == DATED ? ++rotation : 1)),
	    O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	while ((n = read(in, buf, sizeof(buf))) > 0)
		if (write(out, buf, (size_t)n) != n)
			log_fatal("copy: %s", strerror(errno));
	close(in);
	close(out);
	if (truncate(kit_path("mail.log"), 0) != 0)
		log_fatal("truncate: %s", strerror(errno));
}

/* Rotated files that were read are compressed, or deleted. */
static void
tidy(void)
{
	char name[64], packed[80];
	struct stat st;

	if (stale || naming == LINKED || naming == MIXED || !settle() ||
	    stat(kit_path("mail.log"), &st) != 0)
		return;
	stop();
	if (kit_pos.ino != st.st_ino)
		return;
	for (unsigned n = 1; n < 60; n++) {
		snprintf(name, sizeof(name), "%s", rotated_name(n));
		snprintf(packed, sizeof(packed), "%s.gz", name);
		if (access(kit_path(name), F_OK) != 0)
			continue;
		if (pick(2) == 0) {
			kit_append(packed, "packed");
			kit_age(packed, 1000000000);
		}
		unlink(kit_path(name));
	}
}

static void
step(void)
{
	switch (pick(16)) {
	case 0:
	case 1:
		put_lines(1 + pick(5));
		break;
	case 2:
		put_lines(pick(300));
		break;
	case 3:
		put_half();
		break;
	case 4:
	case 5:
		rotate(pick(2) == 0);
		break;
	case 6:
	case 7:
		writer_open(pick(2) == 0);
		break;
	case 8:
		stop();
		break;
	case 9:
		crash();
		break;
	case 10:
		if (pick(4) == 0)
			truncate_copied();
		break;
	case 11:
		if (pick(4) == 0)
			tidy();
		break;
	default:
		start();
		kit_turns((int)pick(8));
	}
}

static bool
finish(const char *what)
{
	bool good;

	writer_open(true);
	put_lines(1);
	start();
	kit_until(kit_len >= want_len && kit_current);
	stop();
	good = kit_len == want_len && memcmp(kit_text, want, want_len) == 0;
	if (!good) {
		size_t i = 0;

		while (i < kit_len && i < want_len && kit_text[i] == want[i])
			i++;
		printf("# %zu bytes, wanted %zu; they differ from byte %zu:\n"
		       "# got  %.60s\n# want %.60s\n# said %.2000s\n",
		    kit_len, want_len, i, kit_text + i, want + i, kit_said);
	}
	if (!kit_ordered || lost != 0)
		printf("# %s: ordered %d, lost %lu: %.2000s\n", what,
		    kit_ordered, (unsigned long)lost, kit_said);
	close(writer);
	writer = -1;
	return good && kit_ordered && lost == 0;
}

static void
prepare(uint64_t seed)
{
	kit_empty(kit_dir);
	kit_have_pos = false;
	kit_ordered = true;
	kit_forget();
	rng = (seed * NNAMINGS + naming) * 2654435761u + 1;
	half[0] = '\0';
	want_len = 0;
	seq = rotation = 0;
	nsaved = 0;
	lost = 0;
	stale = false;
	if (naming == LINKED)
		rotate_link(false);
	writer_open(false);
	/* Without a position it begins with the file that is there now. */
	start();
	kit_turns(3);
}

static bool
round_of(uint64_t seed, enum naming how)
{
	naming = how;
	prepare(seed);
	for (int i = 0; i < 200; i++)
		step();
	return finish(naming_names[naming]);
}

/* The writer alone, as fast as it can. */
static void
race_writer(unsigned long *last)
{
	for (int i = 0; i < 60; i++) {
		for (unsigned n = pick(30); n > 0; n--)
			put_lines(pick(40));
		rotate(pick(2) == 0);
		put_lines(pick(50));
		if (pick(4) > 0)
			usleep(pick(3000));
		writer_open(false);
	}
	put_lines(1);
	*last = seq;
	_exit(0);
}

/* Lines carry their number: 1, 2, 3... */
static bool
race_check(unsigned long last)
{
	const char *p = kit_text;

	for (unsigned long n = 1; n <= last; n++) {
		char *end;

		if (strtoul(p, &end, 10) != n || *end != ' ' ||
		    (p = strchr(end, '\n')) == NULL) {
			printf("# want line %lu, got %.40s\n# said %.2000s\n",
			    n, p != NULL ? p : end, kit_said);
			return false;
		}
		p++;
	}
	return *p == '\0';
}

static unsigned long
race_seen(void)
{
	const char *p = kit_text + kit_len;

	if (kit_len < 2)
		return 0;
	for (p -= 2; p > kit_text && p[-1] != '\n'; p--)
		;
	return strtoul(p, NULL, 10);
}

static bool
race(uint64_t seed, enum naming how)
{
	unsigned long *last = mmap(NULL, sizeof(*last), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	double deadline = kit_clock() + 60;
	unsigned restarts = 0;
	int status = -1;
	bool good;
	pid_t pid;

	naming = how;
	prepare(seed);
	put_lines(1);
	pid = fork();
	if (pid == 0)
		race_writer(last);
	while (waitpid(pid, &status, WNOHANG) == 0 && kit_clock() < deadline) {
		start();
		kit_turns((int)pick(60));
		if (pick(20) == 0)
			stop();
		else if (pick(20) == 0)
			crash();
		restarts += kit_tail == NULL;
	}
	if (status == -1)
		kill(pid, SIGKILL);
	start();
	kit_until(race_seen() == *last && kit_current);
	stop();
	close(writer);
	writer = -1;
	printf("# %lu lines, %u restarts, %lu lost\n", *last, restarts,
	    (unsigned long)lost);
	good = status == 0 && race_check(*last) && lost == 0 && kit_ordered;
	munmap(last, sizeof(*last));
	return good;
}

int
main(int argc, char **argv)
{
	uint64_t seed =
	    argc > 1 ? strtoull(argv[1], NULL, 10) : (uint64_t)time(NULL);
	unsigned rounds = argc > 2 ? (unsigned)atol(argv[2]) : 5;
	int descriptors;

	kit_begin();
	descriptors = kit_descriptors();
	printf("# seed %lu\n", (unsigned long)seed);
	for (unsigned i = 0; i < rounds; i++)
		for (enum naming n = 0; n < NNAMINGS; n++)
			ok(round_of(seed + i, n), "seed %lu: %s",
			    (unsigned long)(seed + i), naming_names[n]);
	/* Of these, time is too coarse for the last. */
	for (enum naming n = 0; n < MIXED; n++)
		ok(race(seed, n), "race: %s", naming_names[n]);
	is_int(kit_descriptors(), descriptors, "no descriptor is left open");
	free(want);
	return kit_done();
}
