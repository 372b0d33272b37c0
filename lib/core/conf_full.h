/*
 * conf_full: what conf.c and conf_rules.c share of a configuration. Private to
 * them.
 */
#ifndef MXW_CONF_FULL_H
#define MXW_CONF_FULL_H

#include <confuse.h>
#include <stdbool.h>

#include "lib/core/conf.h"
#include "lib/core/conf_text.h"

struct conf_full {
	struct conf pub; /* first */
	cfg_t *cfg;	 /* owns the strings */
	struct conf_text *text;
	struct rules *rules;
	void (*rules_destroy)(struct rules **);
	void **allocs;
	size_t n_allocs;
};

/* A message with the file and line of a line of the text (0 = none). -1. */
int conf_fail(const struct conf_text *, int line, struct errbuf *,
    const char *fmt, ...) __attribute__((format(printf, 4, 5)));
/* The same for the line on which a section begins. */
#define conf_fail_at(cf, sec, err, ...)                                        \
	conf_fail((cf)->text, conf_text_begin((cf)->text, (sec)->line), (err), \
	    __VA_ARGS__)

/* A string option, "" if it is not set. */
const char *conf_str(cfg_t *sec, const char *name);
/* A list, NULL-terminated; the array belongs to the configuration. */
const char *const *conf_list(struct conf_full *, cfg_t *sec, const char *name);

/* Reads everything; `rules` (may be NULL) fills in the rules. */
struct conf *conf_read_with(const char *path, bool trusted,
    int (*rules)(struct conf_full *, struct errbuf *), struct errbuf *);

#endif
