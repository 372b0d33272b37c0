/*
 * journal_none: in place of journal.c where there is no libsystemd.
 */
#include <string.h>

#include "lib/io/journal.h"

struct journal *
journal_create(struct loop *loop, const struct journal_options *options,
    const struct tail_events *events, void *ctx, struct errbuf *err)
{
	(void)loop;
	(void)options;
	(void)events;
	(void)ctx;
	errbuf_set(err, "log \"journal\": built without libsystemd");
	return NULL;
}

void
journal_destroy(struct journal **jp)
{
	(void)jp;
}

void
journal_position(const struct journal *j, struct logpos *out)
{
	(void)j;
	memset(out, 0, sizeof(*out));
}

void
journal_stats(const struct journal *j, struct tail_stats *out)
{
	(void)j;
	memset(out, 0, sizeof(*out));
	out->state = "missing";
}

bool
journal_supported(void)
{
	return false;
}
