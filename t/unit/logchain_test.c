/* logchain: which files are rotated forms of a log, and their order. */
#include "lib/io/logchain.h"

#include <dlfcn.h>

#include "t/unit/tailkit.h"

/*
 * A rotation while the directory is read: it comes when half of the names
 * were handed out, so that files move from names not seen yet to names already
 * passed. Which of the two functions is called, the size of off_t decides.
 */
static int rotate_at; /* names until then; 0 = never */
static int rotations;

static void
rotate(void)
{
	char from[64], to[64];

	for (int n = 20; n > 0; n--) {
		snprintf(from, sizeof(from), "mail.log.%d", n);
		snprintf(to, sizeof(to), "mail.log.%d", n + 1);
		if (access(kit_path(from), F_OK) == 0)
			kit_rename(from, to);
	}
	rotations++;
}

static void
count_name(void)
{
	if (rotate_at > 0 && --rotate_at == 0)
		rotate();
}

struct dirent *
readdir(DIR *dir)
{
	struct dirent *(*next)(DIR *);

	*(void **)&next = dlsym(RTLD_NEXT, "readdir");
	count_name();
	return next(dir);
}

struct dirent64 *
readdir64(DIR *dir)
{
	struct dirent64 *(*next)(DIR *);

	*(void **)&next = dlsym(RTLD_NEXT, "readdir64");
	count_name();
	return next(dir);
}

/* Makes the files, oldest modification time first. */
static void
make(const char *const *names)
{
	long age = 100000;

	kit_empty(kit_dir);
	for (; *names != NULL; names++) {
		kit_append(*names, "x");
		kit_age(*names, age -= 10);
	}
}

/* The names in order, with '!' before the compressed ones. */
static const char *
chain(const char *path, uint64_t ino)
{
	static char text[4096];
	struct logchain *c;
	char full[512];

	snprintf(full, sizeof(full), "%s", kit_path(path));
	c = logchain_scan(full, ino);
	text[0] = '\0';
	for (size_t i = 0; c != NULL && i < logchain_count(c); i++) {
		const struct logchain_file *f = logchain_get(c, i);
		size_t len = strlen(text);

		snprintf(text + len, sizeof(text) - len, "%s%s%s",
		    i > 0 ? " " : "", f->packed ? "!" : "",
		    strrchr(f->path, '/') + 1);
	}
	logchain_destroy(&c);
	return text;
}

#define MAKE(...) make((const char *const[]){ __VA_ARGS__, NULL })

int
main(void)
{
	struct logchain *c;
	struct stat st;

	kit_begin();
	/* Numbers count down, whatever the times say. */
	MAKE("mail.log.1", "mail.log.10", "mail.log", "mail.log.2",
	    "mail.log.9", "mail.log.0", "mail.log.3.gz");
	is_str(chain("mail.log", 0),
	    "mail.log.10 mail.log.9 !mail.log.3.gz mail.log.2 mail.log.1 "
	    "mail.log.0",
	    "numbered");
	MAKE("mail.1.log", "mail.log", "mail.11.log", "mail.2.log");
	is_str(chain("mail.log", 0), "mail.11.log mail.2.log mail.1.log",
	    "numbered before the ending");
	/* Dates count up. */
	MAKE("mail.log-20261120", "mail.log-20260101.xz", "mail.log",
	    "mail.log-20251231.bz2");
	is_str(chain("mail.log", 0),
	    "!mail.log-20251231.bz2 !mail.log-20260101.xz mail.log-20261120",
	    "dated");
	MAKE("mail.log.20261120-100000", "mail.log",
	    "mail.log.20261120-093000.zst", "mail.log.20261119-235959.lz4");
	is_str(chain("mail.log", 0),
	    "!mail.log.20261119-235959.lz4 !mail.log.20261120-093000.zst "
	    "mail.log.20261120-100000",
	    "with the time of day");
	MAKE("mail-2026-11-02.log", "mail.log", "mail-2026-9-30.log");
	is_str(chain("mail.log", 0), "mail-2026-9-30.log mail-2026-11-02.log",
	    "before the ending, numbers as numbers");
	MAKE("mail.log-2026", "mail.log-2025", "mail.log-1700000000");
	is_str(chain("mail.log", 0),
	    "mail.log-2025 mail.log-2026 mail.log-1700000000",
	    "years and seconds");
	/* Else by time. */
	MAKE("mail.log.2", "mail.log-20261120", "mail.log.old", "mail.log.3",
	    "mail.log-4");
	is_str(chain("mail.log", 0),
	    "mail.log.2 mail.log-20261120 mail.log.old mail.log.3 mail.log-4",
	    "several kinds");
	/* What is something else. */
	MAKE("mail.log", "mail.log.offset", "mail.err", "mail.err.1",
	    "mail.logs.1", "xmail.log.1", "mail.log.", "mail.log.1x",
	    "mail.log1", "maillog.1", "mail.1.err", "mail.log.x.1", "mail");
	is_str(chain("mail.log", 0), "", "others are left alone");
	MAKE("maillog", "maillog-20261120", "maillog.1.gz", "mail.1");
	is_str(chain("maillog", 0), "maillog-20261120 !maillog.1.gz",
	    "a name without an ending");
	mkdir(kit_path("maillog.2"), 0755);
	ok(symlink("maillog", kit_path("maillog.3")) == 0 &&
		mkfifo(kit_path("maillog.4"), 0644) == 0,
	    "(directory, link, FIFO)");
	is_str(chain("maillog", 0), "maillog-20261120 !maillog.1.gz",
	    "only regular files");
	MAKE("mail.log", "mail.log.1", "mail.log.1.gz", "mail.log.2.gz");
	is_str(chain("mail.log", 0), "!mail.log.2.gz mail.log.1",
	    "a file that is just being compressed");

	/* While names change: as they were before, or are afterwards. */
	for (int at = 1; at < 40; at++) {
		const char *names;

		MAKE("mail.log.8", "mail.log.7", "mail.log.6", "mail.log.5",
		    "mail.log.4", "mail.log.3", "mail.log.2", "mail.log.1");
		rotations = 0;
		rotate_at = at;
		names = chain("mail.log", 0);
		rotate_at = 0;
		if (rotations > 0 && names[9] == '9') {
			ok(strcmp(names,
			       "mail.log.9 mail.log.8 mail.log.7 mail.log.6 "
			       "mail.log.5 mail.log.4 mail.log.3 "
			       "mail.log.2") == 0,
			    "rotated at name %d: as afterwards", at);
			continue;
		}
		is_str(names,
		    "mail.log.8 mail.log.7 mail.log.6 mail.log.5 "
		    "mail.log.4 mail.log.3 mail.log.2 mail.log.1",
		    "rotated at name %d: as before", at);
	}

	/* By inode. */
	MAKE("mail.log", "mail.log.2", "keep.this", "mail.log.1");
	stat(kit_path("keep.this"), &st);
	is_str(chain("mail.log", st.st_ino), "mail.log.2 keep.this mail.log.1",
	    "any name for a known inode; then time decides");
	c = logchain_scan(kit_path("mail.log"), st.st_ino);
	is_int(logchain_index(c, st.st_dev, st.st_ino), 1, "found");
	is_int(logchain_index(c, st.st_dev + 1, st.st_ino), 3, "on no other");
	is_int(logchain_after(c, (double)st.st_mtime + 1), 2, "written after");
	is_int(logchain_after(c, 4e9), 3, "none");
	logchain_destroy(&c);
	stat(kit_path("mail.log"), &st);
	is_str(chain("mail.log", st.st_ino), "mail.log.2 mail.log.1",
	    "never the log itself");
	ok(link(kit_path("mail.log.1"), kit_path("mail.log.3")) == 0 &&
		strcmp(chain("mail.log", 0), "mail.log.3 mail.log.1") != 0,
	    "two names of one file count once");

	/* Links. */
	MAKE("mail-20261120.log", "mail-20261118.log", "mail-20261121.log",
	    "mail-20261119.log.gz", "mail-2026112.log", "other-20261119.log");
	ok(symlink("mail-20261120.log", kit_path("mail.log")) == 0, "(link)");
	is_str(chain("mail.log", 0),
	    "mail-2026112.log mail-20261118.log !mail-20261119.log.gz "
	    "mail-20261120.log mail-20261121.log",
	    "what looks like a rotated form of the link, its target too");
	unlink(kit_path("mail.log"));
	ok(symlink("mail-20261120.log", kit_path("current")) == 0, "(link)");
	is_str(chain("current", 0), "mail-20261118.log !mail-20261119.log.gz",
	    "a link to a dated name: those before it");
	mkdir(kit_path("d"), 0755);
	kit_append("d/real.log", "x");
	kit_append("d/real.log.1", "x");
	unlink(kit_path("current"));
	ok(symlink("d/real.log", kit_path("current")) == 0, "(link)");
	is_str(chain("current", 0), "real.log.1", "beside the target");

	is_str(chain("no/such/mail.log", 0), "", "no directory");
	kit_empty(kit_dir);
	is_str(chain("mail.log", 0), "", "empty directory");
	return kit_done();
}
