/*
 * main: runs a fuzz target over files, for `make check` and for a finding:
 * NAME FILE... or NAME DIRECTORY...; prints TAP, one test for each file.
 */
#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "t/fuzz/fuzz.h"

static int tests;

static void
run_file(const char *path)
{
	FILE *f = fopen(path, "rb");
	uint8_t *buf = NULL;
	size_t n, len = 0, room = 0;

	if (f == NULL) {
		printf("not ok %d - %s: %s\n", ++tests, path, strerror(errno));
		exit(1);
	}
	do {
		if (room - len < 65536) {
			room += 65536;
			buf = realloc(buf, room);
			must(buf != NULL);
		}
		n = fread(buf + len, 1, room - len, f);
		len += n;
	} while (n > 0);
	fclose(f);
	/* A copy of its exact size: a byte too far is seen by the sanitizer. */
	buf = realloc(buf, len > 0 ? len : 1);
	must(buf != NULL);
	LLVMFuzzerTestOneInput(buf, len);
	free(buf);
	printf("ok %d - %s\n", ++tests, path);
	fflush(stdout);
}

static void
run_path(const char *path)
{
	struct stat st;
	struct dirent **names;
	int n;

	if (stat(path, &st) != 0 || !S_ISDIR(st.st_mode)) {
		run_file(path);
		return;
	}
	n = scandir(path, &names, NULL, alphasort);
	for (int i = 0; i < n; i++) {
		char file[4096];

		snprintf(file, sizeof(file), "%s/%s", path, names[i]->d_name);
		if (names[i]->d_name[0] != '.')
			run_file(file);
		free(names[i]);
	}
	free(names);
}

int
main(int argc, char **argv)
{
	const char *src = getenv("MXW_SRC"), *name = strrchr(argv[0], '/');
	char dir[4096];

	LLVMFuzzerInitialize(&argc, &argv);
	if (argc == 1) {
		/* t/fuzz/policy_fuzz reads t/fuzz/corpus/policy. */
		name = name != NULL ? name + 1 : argv[0];
		snprintf(dir, sizeof(dir), "%s/t/fuzz/corpus/%.*s",
		    src != NULL ? src : ".", (int)strcspn(name, "_"), name);
		run_path(dir);
	}
	for (int i = 1; i < argc; i++)
		run_path(argv[i]);
	printf("1..%d\n", tests);
	return 0;
}
