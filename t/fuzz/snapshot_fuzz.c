/*
 * snapshot: a state file whose checksum is right and whose content is
 * anything. What is read must be usable, and can be written and read again.
 */
#include <math.h>
#include <string.h>
#include <unistd.h>

#include "lib/core/engine.h"
#include "lib/core/log.h"
#include "lib/core/snapshot.h"
#include "lib/core/store_embedded.h"
#include "t/fuzz/fuzz.h"

static char dir[] = "/tmp/mxw-fuzz-XXXXXX";
static char path[64], conf_path[64];
static struct conf *conf;
static struct store_params params;

static void
clean_up(void)
{
	conf_destroy(&conf);
	unlink(path);
	unlink(conf_path);
	rmdir(dir);
}

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	struct errbuf err;
	FILE *f;

	(void)argc;
	(void)argv;
	must(mkdtemp(dir) != NULL);
	snprintf(path, sizeof(path), "%s/state", dir);
	snprintf(conf_path, sizeof(conf_path), "%s/c.conf", dir);
	f = fopen(conf_path, "w");
	must(f != NULL);
	fclose(f);
	conf = conf_read(conf_path, &err);
	must(conf != NULL);
	atexit(clean_up);
	return 0;
}

static void
load(struct engine *e, struct store *s)
{
	struct snapshot_reader *r = NULL;
	uint8_t section;

	if (snapshot_reader_open(path, &r, NULL) != SNAPSHOT_OK)
		return;
	while ((section = snapshot_next_section(r)) != SNAPSHOT_END) {
		if (section == SNAPSHOT_SOURCES)
			engine_load_sources(e, r);
		else if (!store_load(s, r, section))
			break;
	}
	snapshot_reader_destroy(&r);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct snapshot_writer *w = snapshot_writer_create(path, NULL);
	struct store *s = store_embedded_create(&params, 1000);
	struct engine *e = engine_create(conf, s, NULL, NULL);
	const struct blocklist *view = engine_view(e);
	size_t cursor = 0;
	struct block b;

	must(w != NULL);
	for (size_t i = 0; i < size; i++)
		snapshot_put_u8(w, data[i]);
	must(snapshot_writer_commit(&w, NULL) == 0);
	load(e, s);
	while (blocklist_next_entry(view, &cursor, &b))
		must(isfinite(b.until) && b.addr.plen <= 128);
	w = snapshot_writer_create(path, NULL);
	must(w != NULL);
	engine_save_sources(e, w);
	store_save(s, w);
	must(snapshot_writer_commit(&w, NULL) == 0);
	load(e, s);
	engine_tick(e, 1795000000.0);
	engine_destroy(&e);
	store_destroy(&s);
	return 0;
}
