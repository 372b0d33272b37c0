/* program: what counts as a program, and where it is looked for. */
#include "lib/core/program.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "t/unit/tap.h"

static char dir[] = "/tmp/mxwarden-program-XXXXXX";

static const char *
file(const char *name, mode_t mode)
{
	static char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (fd == -1 || fchmod(fd, mode) != 0)
		exit(1);
	close(fd);
	return path;
}

static void
test_paths(void)
{
	const char *path = file("program", 0755);
	char *found = program_find(path), link[160], below[160];

	is_str(found, path, "a name with a slash is taken as it is");
	free(found);
	snprintf(link, sizeof(link), "%s/link", dir);
	snprintf(below, sizeof(below), "%s/below", path);
	ok(symlink(path, link) == 0 && program_exists(link), "a link to one");
	ok(!program_exists(below), "a file is no directory");
	unlink(link);
	unlink(path);
	ok(!program_exists(path), "gone");
	path = file("data", 0644);
	ok(!program_exists(path), "without permission to execute");
	unlink(path);
	ok(!program_exists(dir), "a directory");
}

static void
test_names(void)
{
	const char *path = file("mxwarden-test-program", 0755);
	char *sh = program_find("sh");

	ok(sh != NULL && sh[0] == '/' && access(sh, X_OK) == 0 &&
		strcmp(strrchr(sh, '/'), "/sh") == 0,
	    "one of the system's: %s", sh != NULL ? sh : "none");
	free(sh);
	setenv("PATH", dir, 1);
	ok(!program_exists("mxwarden-test-program"),
	    "the environment's PATH is not asked");
	ok(program_exists("sh"), "nor needed");
	ok(chdir(dir) == 0 && !program_exists("mxwarden-test-program"),
	    "nor the working directory");
	ok(program_exists("./mxwarden-test-program"), "unless it is said");
	ok(!program_exists(""), "no name");
	ok(strncmp(PROGRAM_PATH, "PATH=/usr/sbin:", 15) == 0,
	    "what is run has the same path");
	unlink(path);
}

int
main(void)
{
	if (mkdtemp(dir) == NULL)
		return 1;
	test_paths();
	test_names();
	ok(rmdir(dir) == 0, "nothing is left");
	return tap_done();
}
