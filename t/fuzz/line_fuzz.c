/*
 * line: log lines through header, the shipped rules, attempts, scoring and the
 * view. The rules are those of conf/rules.d; the address that is taken must
 * stand in the line.
 */
#include <arpa/inet.h>
#include <string.h>

#include "lib/core/engine.h"
#include "lib/core/linesplit.h"
#include "lib/core/log.h"
#include "lib/core/store_embedded.h"
#include "t/fuzz/fuzz.h"

#define NOW 1795000000.0

static struct conf *conf;
static struct store_params params;

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
	const char *src = getenv("MXW_SRC");
	char path[4096];
	struct errbuf err;

	(void)argc;
	(void)argv;
	snprintf(path, sizeof(path), "%s/conf/mxwarden.conf",
	    src != NULL ? src : ".");
	conf = conf_read(path, &err);
	if (conf == NULL) {
		fprintf(stderr, "%s\n", err.text);
		exit(1);
	}
	log_set_sink(quiet, NULL);
	return 0;
}

struct run {
	struct engine *engine;
	struct source *source;
	const char *line;
	size_t len;
};

/* Every address that scores has its text in the line. */
static void
on_offence(void *ctx, const struct offence *o)
{
	const struct run *r = ctx;
	char text[ADDR_STRLEN];
	bool found = false;

	addr_format(&o->addr, text);
	for (size_t i = 0; i < r->len && !found; i++) {
		for (size_t n = 2; n <= 45 && i + n <= r->len && !found; n++) {
			struct addr a;

			found = addr_parse_host(r->line + i, n, &a) &&
			    addr_equal(&a, &o->addr);
		}
	}
	must(found || strstr(r->line, text) != NULL);
	must(o->attempts > 0);
}

static void
on_line(void *ctx, const char *line, size_t len, uint64_t end, bool cut)
{
	struct run *r = ctx;

	r->line = line;
	r->len = len;
	engine_feed(r->engine, r->source, line, len, end, cut, NOW, NOW);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const sets[] = { "postfix", "postscreen", "dovecot",
		"exim", "sendmail", "courier", NULL };
	static const struct engine_events events = { .offence = on_offence };
	struct run r = { .line = "" };
	struct store *store = store_embedded_create(&params, 1000);
	struct linesplit *ls = linesplit_create(0);

	r.engine = engine_create(conf, store, &events, &r);
	r.source = engine_source_add(r.engine, "fuzz", sets);
	linesplit_feed(ls, (const char *)data, size, on_line, &r);
	linesplit_finish(ls, on_line, &r);
	engine_tick(r.engine, NOW);
	linesplit_destroy(&ls);
	engine_destroy(&r.engine);
	store_destroy(&store);
	return 0;
}
