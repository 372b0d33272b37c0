/*
 * check: is the configuration sound? The same reader as the daemon's.
 */
#include <stdio.h>

#include "lib/core/conf.h"
#include "lib/core/log.h"
#include "lib/core/preflight.h"
#include "policyd/ctl/ctl.h"
#include "lib/core/json.h"

static size_t
check_listeners(const struct conf *conf)
{
	size_t n = 0;

	while (conf->listen[n] != NULL)
		n++;
	return n;
}

/* Those of the configuration: not the one that is always there. */
static size_t
check_rules(const struct conf *conf)
{
	size_t n = 0;

	for (size_t i = 0; i < rules_count(conf->rules); i++)
		n += rules_nth(conf->rules, i)->kind != RULE_OWN;
	return n;
}

static void
check_print_json(
    const struct ctl *ctl, const struct conf *conf, const char *error)
{
	struct json j = { .f = stdout };

	json_open(&j, NULL, '{');
	json_bool(&j, "ok", conf != NULL);
	json_str(&j, "file", ctl->conf);
	json_str(&j, "error", error);
	if (conf != NULL) {
		json_num(&j, "rules", (double)check_rules(conf));
		json_num(&j, "sets", (double)rules_set_count(conf->rules));
		json_num(&j, "levels", (double)conf->n_levels);
		json_num(&j, "logs", (double)conf->n_logs);
		json_num(&j, "listeners", (double)check_listeners(conf));
	}
	json_close(&j, '}');
	json_newline(&j);
}

static void
check_print_count(const char *lead, size_t n, const char *what)
{
	printf("%s%zu %s%s", lead, n, what, n == 1 ? "" : "s");
}

enum ctl_status
verb_check(const struct ctl *ctl)
{
	struct errbuf err = { "" };
	struct conf *conf = conf_read(ctl->conf, &err);

	/* What this host lacks for it. */
	if (conf != NULL && preflight_check(conf, &err) != 0)
		conf_destroy(&conf);
	if (ctl->json)
		check_print_json(ctl, conf, conf == NULL ? err.text : NULL);
	if (conf == NULL) {
		log_error("%s", err.text);
		return CTL_ERROR;
	}
	if (!ctl->json) {
		printf("%s: ok", ctl->conf);
		check_print_count(" (", check_rules(conf), "rule");
		check_print_count(" in ", rules_set_count(conf->rules), "set");
		check_print_count(", ", conf->n_levels, "level");
		check_print_count(", ", conf->n_logs, "log");
		check_print_count(", ", check_listeners(conf), "listener");
		printf(")\n");
	}
	conf_destroy(&conf);
	return CTL_OK;
}
