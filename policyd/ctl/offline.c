/*
 * offline: see offline.h.
 */
#include "policyd/ctl/offline.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/core/log.h"
#include "lib/core/store_embedded.h"
#include "lib/core/xalloc.h"

int
offline_create(struct offline *o, const struct ctl *ctl,
    const struct engine_events *events, void *ctx)
{
	static const struct store_params none; /* until engine_create() */

	memset(o, 0, sizeof(*o));
	o->conf = ctl_conf(ctl);
	if (o->conf == NULL)
		return -1;
	o->store = store_embedded_create(&none, o->conf->max_addresses);
	o->engine = engine_create(o->conf, o->store, events, ctx);
	return 0;
}

void
offline_destroy(struct offline *o)
{
	engine_destroy(&o->engine);
	if (o->store != NULL)
		store_destroy(&o->store);
	if (o->conf != NULL)
		conf_destroy(&o->conf);
}

/* A choice of sets, each once; the names are those of the rules. */
struct choice {
	const struct rules *rules;
	uint64_t bits;
};

static bool
choice_add(struct choice *c, const char *name, size_t len)
{
	for (size_t i = 0; i < rules_set_count(c->rules); i++) {
		const char *set = rules_set_name(c->rules, i);

		if (strlen(set) == len && memcmp(set, name, len) == 0) {
			c->bits |= UINT64_C(1) << i;
			return true;
		}
	}
	return false;
}

static const char **
choice_names(const struct choice *c)
{
	size_t n = 0, count = rules_set_count(c->rules);
	const char **names = x_calloc(count + 1, sizeof(*names));

	for (size_t i = 0; i < count; i++)
		if ((c->bits >> i & 1) != 0)
			names[n++] = rules_set_name(c->rules, i);
	return names;
}

static void
choice_add_log(struct choice *c, const struct conf_log *log)
{
	for (size_t i = 0; log->sets[i] != NULL; i++)
		choice_add(c, log->sets[i], strlen(log->sets[i]));
}

static bool
offline_same_file(const char *a, const char *b)
{
	struct stat x, y;

	if (strcmp(a, b) == 0)
		return true;
	return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev &&
	    x.st_ino == y.st_ino;
}

/* "a,b": each must exist. */
static int
choice_parse(struct choice *c, const char *list)
{
	for (;;) {
		size_t len = strcspn(list, ",");

		if (!choice_add(c, list, len)) {
			char known[512] = "";

			for (size_t i = 0; i < rules_set_count(c->rules); i++) {
				size_t n = strlen(known);

				snprintf(known + n, sizeof(known) - n, "%s%s",
				    i > 0 ? ", " : "",
				    rules_set_name(c->rules, i));
			}
			log_error("there is no rule set '%.*s'; there are: %s",
			    (int)len, list, known);
			return -1;
		}
		if (list[len] == '\0')
			return 0;
		list += len + 1;
	}
}

const char **
offline_sets(const struct offline *o, const struct ctl *ctl, const char *path)
{
	const struct conf *conf = o->conf;
	struct choice c = { .rules = conf->rules };

	if (ctl->rules != NULL)
		return choice_parse(&c, ctl->rules) == 0 ? choice_names(&c)
							 : NULL;
	for (size_t i = 0; path != NULL && i < conf->n_logs; i++)
		if (offline_same_file(path, conf->logs[i].path) ||
		    conf_log_covers(&conf->logs[i], path))
			choice_add_log(&c, &conf->logs[i]);
	if (c.bits == 0 && path != NULL)
		for (size_t i = 0; i < conf->n_logs; i++)
			choice_add_log(&c, &conf->logs[i]);
	if (c.bits == 0)
		c.bits = UINT64_MAX;
	return choice_names(&c);
}
