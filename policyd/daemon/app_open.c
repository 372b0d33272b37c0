/*
 * app_open: the start, from listening to the first line of a log.
 *
 * The order matters: what needs root first, then root is given up; the state
 * before the logs, which go on where it says.
 */
#include <libgen.h>
#include <linux/capability.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "lib/core/conf.h"
#include "lib/core/engine.h"
#include "lib/core/log.h"
#include "lib/core/syscalls.h"
#include "lib/core/xalloc.h"
#include "lib/io/conn.h"
#include "lib/io/loop.h"
#include "policyd/daemon/app_int.h"
#include "policyd/daemon/control.h"
#include "policyd/daemon/firewall.h"
#include "policyd/daemon/hook.h"
#include "policyd/daemon/http.h"
#include "policyd/daemon/identity.h"
#include "policyd/daemon/logs.h"
#include "policyd/daemon/metrics.h"
#include "policyd/daemon/output.h"
#include "policyd/daemon/policysrv.h"
#include "policyd/daemon/state.h"

/* One connection for each smtpd process, logs, store: as many descriptors as
 * we may have. */
static void
raise_descriptor_limit(void)
{
	struct rlimit rl;

	if (getrlimit(RLIMIT_NOFILE, &rl) != 0 || rl.rlim_cur == rl.rlim_max)
		return;
	rl.rlim_cur = rl.rlim_max;
	setrlimit(RLIMIT_NOFILE, &rl);
}

int
app_prepare_listeners(
    struct app *app, const struct conf *conf, struct errbuf *err)
{
	struct conn_listen want = { .mode = conf->listen_mode };
	struct conf_endpoint *ep;
	size_t n = 0;
	int rc;

	if (identity_parse(conf->listen_owner, &want.uid, &want.gid, err) != 0)
		return -1;
	while (conf->listen[n] != NULL)
		n++;
	ep = x_calloc(n + 1, sizeof(*ep));
	want.endpoints = ep;
	while (want.count < n &&
	    conf_parse_endpoint(conf->listen[want.count], &ep[want.count], err))
		want.count++;
	rc = want.count < n
	    ? -1
	    : conn_server_prepare(policysrv_conns(app->policy), &want, err);
	free(ep);
	return rc;
}

/* Those that the service manager holds for us first: what is configured and
 * among them is open then. */
static int
adopt_listeners(struct app *app, struct errbuf *err)
{
	struct conn_server *server = policysrv_conns(app->policy);

	for (size_t i = 0; i < app->activation.count; i++) {
		const char *name = app->activation.names[i];

		if (conn_server_adopt(server, ACTIVATION_FIRST + (int)i, err) !=
		    0)
			return errbuf_prefix(err, "socket activation");
		log_notice("%s is held by the service manager%s%s",
		    conn_server_name(server, i), name[0] != '\0' ? ", as " : "",
		    name);
	}
	return 0;
}

static int
open_listeners(struct app *app, struct errbuf *err)
{
	struct conn_server *server = policysrv_conns(app->policy);
	const char *name;

	if (adopt_listeners(app, err) != 0 ||
	    app_prepare_listeners(app, app->conf, err) != 0)
		return -1;
	conn_server_commit(server);
	for (size_t i = 0; (name = conn_server_name(server, i)) != NULL; i++)
		log_notice("policy service on %s", name);
	return 0;
}

static int
open_control(struct app *app, struct errbuf *err)
{
	static const struct control_hooks hooks = { app_status, app_reload,
		app_firewall, app_firewall_forget };
	const struct conf *conf = app->conf;
	char *path, *owner;
	uid_t uid;
	gid_t gid;
	int rc;

	if (conf->control[0] == '\0')
		return 0;
	path = x_strdup(conf->control);
	rc = identity_directory(dirname(path), conf->user, err);
	free(path);
	if (rc != 0)
		return -1;
	owner = x_asprintf(
	    "%s:%s", geteuid() == 0 ? conf->user : "", conf->control_group);
	rc = identity_parse(owner, &uid, &gid, err);
	free(owner);
	if (rc != 0)
		return -1;
	app->control =
	    control_create(app->loop, app->engine, conf, &hooks, app);
	return control_listen(
	    app->control, conf->control, conf->control_mode, uid, gid, err);
}

static void
app_metrics(void *ctx, struct evbuffer *out)
{
	const struct app *app = ctx;
	struct status_parts parts = app_parts(app);

	metrics_write(app->metrics, &parts, out);
}

static bool
app_health(void *ctx, struct evbuffer *out)
{
	struct status_parts parts = app_parts(ctx);

	return metrics_health(&parts, out);
}

struct http *
app_make_http(struct app *app, const struct conf *conf, struct http *old,
    struct errbuf *err)
{
	static const struct http_pages pages = { app_metrics, app_health };

	err->text[0] = '\0';
	if (conf->http[0] == '\0')
		return NULL;
	return http_create(app->loop, conf->http, &pages, app, old, err);
}

/* Mail goes on without metrics: what is wrong with them is said, no more. */
static void
open_http(struct app *app)
{
	struct errbuf err;

	app->http = app_make_http(app, app->conf, NULL, &err);
	if (app->http == NULL && err.text[0] != '\0')
		log_error("no metrics: %s", err.text);
}

/* What needs root, or a capability, is started while we have it, and then it
 * is given up. */
static int
separate_privileges(struct app *app, struct errbuf *err)
{
	const struct conf *conf = app->conf;

	app->firewall = firewall_create(app->loop, app->engine, app->store,
	    conf, app_uses_stderr(app), err);
	if (app->firewall == NULL && err->text[0] != '\0')
		return -1;
	/* Root that stays root opens them itself. */
	if (identity_may_pass(CAP_DAC_READ_SEARCH) && conf->n_logs > 0 &&
	    (geteuid() != 0 || conf->user[0] != '\0') &&
	    logs_start_helper(app->logs, conf, app_uses_stderr(app), err) != 0)
		return -1;
	if (identity_become(conf->user, err) != 0)
		return -1;
	return syscalls_forbid(hook_wanted(conf), err);
}

void
app_set_output(struct app *app)
{
	const enum msg_level level = app->conf->log_level;

	log_set_level(app->verbose && level > MSG_INFO ? MSG_INFO : level);
	output_set_json(app->output, app->conf->log_json);
}

int
app_open(struct app *app, struct errbuf *err)
{
	const struct conf *conf = app->conf;
	bool fresh, damaged;

	app->output =
	    output_open(conf->log_target, app->foreground, conf->user, err);
	if (app->output == NULL)
		return -1;
	app_set_output(app);
	raise_descriptor_limit();
	app->logs = logs_create(app->loop, app->engine, app_on_progress, app);
	if (identity_directory(conf->state_dir, conf->user, err) != 0 ||
	    open_listeners(app, err) != 0 || open_control(app, err) != 0 ||
	    separate_privileges(app, err) != 0)
		return -1;
	open_http(app);
	if (access(conf->state_dir, W_OK | X_OK) != 0)
		return errbuf_set(err, "%s: not writable", conf->state_dir);
	app->state = state_create(app->loop, app->reaper, conf->state_dir,
	    conf->snapshot_interval, app->engine, app->store,
	    app_on_before_state, app);
	state_load(app->state, &fresh, &damaged);
	/* With the state the names (epochs) are lost under which a shared store
	 * has counted the lines: it would count them again. */
	if (damaged && conf->store_kind == CONF_STORE_EMBEDDED)
		log_error("the logs are read from their beginning");
	else if (damaged)
		log_error("the logs are read from their ends: Redis has "
			  "counted most of what is in them");
	logs_configure(app->logs, conf,
	    damaged && conf->store_kind == CONF_STORE_EMBEDDED);
	if (conf->n_logs == 0)
		log_warning(
		    "no log is configured: nothing will be scored here");
	/* The state may hold all the hits that there is room for. */
	logs_flow(app->logs);
	/* What a new log's position is must be known after a crash, too. */
	state_hurry(app->state);
	loop_timer_set(app->tick, 0);
	/* So far whoever starts us has read what there was to say. */
	output_use(app->output);
	return 0;
}
