/*
 * app_reload: another configuration, all of it or nothing.
 *
 *   read and check --> prepare (open what is new, aside) --> commit
 *         \----------------------\---> refused: all is as it was
 *
 * Whatever can fail is done before anything is changed: rules are compiled,
 * listeners, HTTP service opened beside those in use. What follows cannot fail.
 * Connections, scores, blocks and log positions are not touched by it.
 */
#include <stdlib.h>
#include <string.h>

#include "lib/core/conf.h"
#include "lib/core/engine.h"
#include "lib/core/log.h"
#include "lib/io/conn.h"
#include "lib/io/notify.h"
#include "policyd/daemon/app_int.h"
#include "policyd/daemon/control.h"
#include "policyd/daemon/firewall.h"
#include "policyd/daemon/hook.h"
#include "policyd/daemon/http.h"
#include "policyd/daemon/logs.h"
#include "policyd/daemon/output.h"
#include "policyd/daemon/policysrv.h"
#include "policyd/daemon/state.h"

/* What has been made for a configuration that is not in force yet. */
struct prepared {
	struct conf *conf;
	struct http *http; /* NULL: as it is, or none */
	bool http_changed;
	struct output *output; /* NULL: as it is */
};

static void
warn_restart(void *ctx, const char *section, const char *option)
{
	(void)ctx;
	log_warning("option '%s%s%s' has changed: a restart is needed for it",
	    section, section[0] != '\0' ? "." : "", option);
}

static int
prepare_http(struct app *app, struct prepared *p, struct errbuf *err)
{
	bool same = strcmp(app->conf->http, p->conf->http) == 0;

	if (same && (app->http != NULL || p->conf->http[0] == '\0'))
		return 0;
	p->http = app_make_http(app, p->conf, app->http, err);
	p->http_changed = p->http != NULL || p->conf->http[0] == '\0';
	if (p->http_changed)
		return 0;
	if (!same)
		return -1;
	/* It was not to be had at the start either. */
	log_error("still no metrics: %s", err->text);
	return 0;
}

static int
prepare_output(struct app *app, struct prepared *p, struct errbuf *err)
{
	if (strcmp(app->conf->log_target, p->conf->log_target) == 0)
		return 0;
	p->output = output_open(p->conf->log_target, app->foreground, "", err);
	return p->output != NULL ? 0 : -1;
}

/* The helpers read the file themselves, and refuse one that others can write:
 * better said now than found out by them. */
static int
check_helpers(const struct app *app, const char *file, struct errbuf *err)
{
	struct conf *theirs;

	if (app->firewall == NULL &&
	    strcmp(logs_helper_state(app->logs), "running") != 0)
		return 0;
	theirs = conf_read_trusted(file, err);
	if (theirs == NULL)
		return -1;
	conf_destroy(&theirs);
	return 0;
}

static int
app_prepare(struct app *app, struct prepared *p, struct errbuf *err)
{
	p->conf = conf_read(app->conf->file, err);
	if (p->conf == NULL || logs_check(p->conf, err) != 0 ||
	    check_helpers(app, p->conf->file, err) != 0 ||
	    prepare_output(app, p, err) != 0 ||
	    app_prepare_listeners(app, p->conf, err) != 0)
		return -1;
	if (prepare_http(app, p, err) == 0)
		return 0;
	conn_server_rollback(policysrv_conns(app->policy));
	return -1;
}

static void
app_commit(struct app *app, struct prepared *p)
{
	struct conf *conf = p->conf;

	conf_restart_needed(app->conf, conf, warn_restart, NULL);
	conn_server_commit(policysrv_conns(app->policy));
	if (p->http_changed) {
		http_destroy(&app->http);
		app->http = p->http;
	}
	engine_reconfigure(app->engine, conf);
	policysrv_set_idle_timeout(app->policy, conf->idle_timeout);
	if (app->control != NULL)
		control_reconfigure(app->control, conf);
	logs_configure(app->logs, conf, false);
	if (app->firewall != NULL)
		firewall_reconfigure(app->firewall, conf);
	hook_reconfigure(app->hook, conf);
	state_set_interval(app->state, conf->snapshot_interval);
	conf_destroy(&app->conf);
	app->conf = conf;
	if (p->output != NULL) {
		output_use(p->output);
		output_close(&app->output);
		app->output = p->output;
	}
	app_set_output(app);
}

int
app_reload(void *ctx, struct errbuf *err)
{
	struct app *app = ctx;
	struct prepared p = { .conf = NULL };
	int rc;

	notify_reloading(app->notify);
	if (output_reopen(app->output, err) != 0)
		log_error("%s", err->text);
	rc = app_prepare(app, &p, err);
	if (rc == 0) {
		app_commit(app, &p);
		log_notice("configuration reloaded");
	} else {
		output_close(&p.output);
		conf_destroy(&p.conf);
		log_error("configuration not reloaded, the old one stays in "
			  "force: %s",
		    err->text);
	}
	app->refused = rc != 0;
	notify_ready(app->notify);
	return rc;
}
