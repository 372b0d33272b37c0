/*
 * conf: a configuration file. It is taken or refused with a message; nothing
 * leaks either way. include() finds only what lies beside the file.
 */
#include <string.h>
#include <unistd.h>

#include "lib/core/conf.h"
#include "lib/core/log.h"
#include "t/fuzz/fuzz.h"

static char dir[] = "/tmp/mxw-fuzz-XXXXXX";
static char path[64];

static void
clean_up(void)
{
	unlink(path);
	rmdir(dir);
}

static void
quiet(void *ctx, enum msg_level level, const char *text)
{
	(void)ctx;
	(void)level;
	(void)text;
}

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	must(mkdtemp(dir) != NULL);
	snprintf(path, sizeof(path), "%s/c.conf", dir);
	atexit(clean_up);
	log_set_sink(quiet, NULL);
	return 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct errbuf err;
	struct conf *conf;
	FILE *f;

	/* Files of the machine are none of our business. */
	if (memmem(data, size, "file:", 5) != NULL ||
	    memmem(data, size, "include", 7) != NULL)
		return 0;
	f = fopen(path, "wb");
	must(f != NULL && fwrite(data, 1, size, f) == size);
	fclose(f);
	conf = conf_read(path, &err);
	must(conf != NULL || err.text[0] != '\0');
	if (conf != NULL) {
		must(conf->n_levels > 0 && conf->window > 0);
		must(conf->rules != NULL);
	}
	conf_destroy(&conf);
	return 0;
}
