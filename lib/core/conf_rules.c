/*
 * conf_rules: the rules of a configuration. Apart from conf.c, so that a
 * program that does not match lines (the privileged helper) does not link
 * PCRE2.
 */
#include <math.h>
#include <string.h>

#include "lib/core/conf_full.h"
#include "lib/core/conf_schema.h"
#include "lib/core/pattern.h"
#include "lib/core/rules.h"
#include "lib/core/wordset.h"

/* The words of a list and of its files; NULL when it is empty. */
static int
conf_words(
    cfg_t *sec, const char *name, struct wordset **out, struct errbuf *err)
{
	*out = NULL;
	for (unsigned i = 0; i < cfg_size(sec, name); i++) {
		const char *word = cfg_getnstr(sec, name, i);

		if (*out == NULL)
			*out = wordset_create();
		if (strncmp(word, "file:", 5) != 0)
			wordset_add(*out, word);
		else if (wordset_add_file(*out, word + 5, err) != 0)
			return -1;
	}
	return 0;
}

static int
fill_tunes(struct conf_full *cf, struct errbuf *err)
{
	for (unsigned i = 0; i < cfg_size(cf->cfg, "tune"); i++) {
		cfg_t *sec = cfg_getnsec(cf->cfg, "tune", i);
		const char *weight = conf_str(sec, "weight");
		const char *field = conf_str(sec, "field");
		struct wordset *in = NULL, *not_in = NULL;
		struct errbuf why;

		if (conf_words(sec, "in", &in, &why) == 0 &&
		    conf_words(sec, "not_in", &not_in, &why) == 0 &&
		    rules_tune(cf->rules, cfg_title(sec),
			weight[0] != '\0' ? conf_real(weight) : NAN,
			field[0] != '\0' ? field : NULL, in, not_in, &why) == 0)
			continue;
		wordset_destroy(&in);
		wordset_destroy(&not_in);
		return conf_fail_at(
		    cf, sec, err, "tune \"%s\": %s", cfg_title(sec), why.text);
	}
	return 0;
}

static int
fill_rules(struct conf_full *cf, struct errbuf *err)
{
	unsigned n = cfg_size(cf->cfg, "rule");

	cf->rules = rules_create();
	cf->rules_destroy = rules_destroy;
	cf->pub.rules = cf->rules;
	for (unsigned i = 0; i < n; i++) {
		cfg_t *sec = cfg_getnsec(cf->cfg, "rule", i);
		const char *field = conf_str(sec, "field");
		struct errbuf why;
		struct rule_def def = {
			.name = cfg_title(sec),
			.set = cfg_getstr(sec, "set"),
			.programs = conf_list(cf, sec, "program"),
			.n_programs = cfg_size(sec, "program"),
			.pattern = cfg_getstr(sec, "pattern"),
			.weight = conf_real(cfg_getstr(sec, "weight")),
			.evidence = conf_str(sec, "evidence"),
			.counts = (enum rule_counts)conf_counts(
			    conf_str(sec, "counts")),
			.kind =
			    (enum rule_kind)conf_kind(conf_str(sec, "kind")),
			.ends = conf_bool(cfg_getstr(sec, "ends")),
			.field = field[0] != '\0' ? field : NULL,
		};

		if (conf_words(sec, "in", &def.in, &why) == 0 &&
		    conf_words(sec, "not_in", &def.not_in, &why) == 0 &&
		    rules_add(cf->rules, &def, &why) == 0)
			continue;
		wordset_destroy(&def.in);
		wordset_destroy(&def.not_in);
		return conf_fail_at(
		    cf, sec, err, "rule \"%s\": %s", def.name, why.text);
	}
	return fill_tunes(cf, err);
}

static int
check_log_sets(struct conf_full *cf, struct errbuf *err)
{
	for (size_t i = 0; i < cf->pub.n_logs; i++) {
		const struct conf_log *log = &cf->pub.logs[i];
		const cfg_t *sec = cfg_getnsec(cf->cfg, "log", (unsigned)i);

		for (const char *const *s = log->sets; *s != NULL; s++)
			if (rules_set_bit(cf->rules, *s) == 0)
				return conf_fail_at(cf, sec, err,
				    "log \"%s\": no rule belongs to set "
				    "\"%s\"; is its file included?",
				    log->path, *s);
	}
	return 0;
}

static int
conf_fill_rules(struct conf_full *cf, struct errbuf *err)
{
	if (fill_rules(cf, err) != 0)
		return -1;
	return check_log_sets(cf, err);
}

static int
check_pattern(const char *value, struct errbuf *err)
{
	struct pattern *p = pattern_create(value, err);

	if (p == NULL)
		return -1;
	pattern_destroy(&p);
	return 0;
}

struct conf *
conf_read(const char *path, struct errbuf *err)
{
	conf_pattern_check = check_pattern;
	return conf_read_with(path, false, conf_fill_rules, err);
}
