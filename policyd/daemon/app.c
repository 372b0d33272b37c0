/*
 * app: see app.h.
 */
#include "policyd/daemon/app.h"

#include <event2/event.h>
#include <libgen.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "lib/core/conf.h"
#include "lib/core/engine.h"
#include "lib/core/log.h"
#include "lib/core/store_embedded.h"
#include "lib/core/storeuri.h"
#include "lib/core/syscalls.h"
#include "lib/core/xalloc.h"
#include "lib/io/conn.h"
#include "lib/io/loop.h"
#include "lib/io/store_redis.h"
#include "policyd/daemon/control.h"
#include "policyd/daemon/firewall.h"
#include "policyd/daemon/http.h"
#include "policyd/daemon/identity.h"
#include "policyd/daemon/logs.h"
#include "policyd/daemon/metrics.h"
#include "policyd/daemon/policysrv.h"
#include "policyd/daemon/report.h"
#include "policyd/daemon/state.h"
#include "policyd/daemon/status.h"

#define APP_TICK 0.25 /* seconds between looks at what expires */
#define APP_DRAIN 2.0 /* seconds to finish what clients have begun */

static const int app_signals[] = { SIGTERM, SIGINT, SIGHUP };
#define N_SIGNALS (sizeof(app_signals) / sizeof(app_signals[0]))

struct app {
	struct conf *conf;
	struct loop *loop;
	struct store *store;
	struct store_params params; /* until the engine brings its own */
	struct engine *engine;
	struct policysrv *policy;
	struct control *control;
	struct logs *logs;
	struct state *state;
	struct firewall *firewall; /* NULL: none */
	struct metrics *metrics;
	struct http *http; /* NULL: none */
	struct loop_timer *tick, *drain;
	struct event *ev_signal[N_SIGNALS];
	double started;
	bool foreground;
	bool draining;
	double drain_end; /* monotonic */
};

static void
on_offence(void *ctx, const struct offence *o)
{
	struct app *app = ctx;

	report_offence(o);
	metrics_offence(app->metrics, o);
	if (app->control != NULL)
		control_event_offence(app->control, o);
}

static void
on_blocked(void *ctx, const struct block *b, enum store_why why)
{
	struct app *app = ctx;

	report_blocked(b, why);
	if (why == STORE_DECIDED || why == STORE_RAISED)
		metrics_decided(app->metrics);
	if (app->control != NULL)
		control_event_blocked(app->control, b, why);
	if (app->firewall != NULL)
		firewall_blocked(app->firewall, b, why);
	if (app->state == NULL || why == STORE_LOADED)
		return;
	if (why == STORE_MANUAL)
		state_hurry(app->state);
	else
		state_touch(app->state);
}

static void
on_unblocked(void *ctx, const struct block *b, enum store_why why)
{
	struct app *app = ctx;

	report_unblocked(b, why);
	if (app->control != NULL)
		control_event_unblocked(app->control, b, why);
	if (app->firewall != NULL)
		firewall_unblocked(app->firewall, b, why);
	if (app->state == NULL)
		return;
	if (why == STORE_MANUAL)
		state_hurry(app->state);
	else
		state_touch(app->state);
}

static void
on_info(void *ctx, uint64_t ticket, const struct score_info *info)
{
	struct app *app = ctx;

	if (app->control != NULL)
		control_event_info(app->control, ticket, info);
}

static void
on_done(void *ctx, uint64_t ticket, enum store_result result, const char *text)
{
	struct app *app = ctx;

	if (app->control != NULL)
		control_event_done(app->control, ticket, result, text);
	/* Allow entries and scores that were forgiven are state as well. */
	if (app->state != NULL)
		state_touch(app->state);
}

static void
on_wake(void *ctx)
{
	struct app *app = ctx;

	loop_timer_set(app->tick, 0);
}

static const struct engine_events app_events = {
	.offence = on_offence,
	.blocked = on_blocked,
	.unblocked = on_unblocked,
	.info = on_info,
	.done = on_done,
	.wake = on_wake,
};

static void
on_progress(void *ctx)
{
	struct app *app = ctx;

	if (app->state != NULL)
		state_touch(app->state);
}

static void
on_before_state(void *ctx)
{
	struct app *app = ctx;

	logs_sync(app->logs);
}

static void
on_tick(void *ctx)
{
	struct app *app = ctx;

	loop_timer_set(app->tick, APP_TICK);
	logs_tick(app->logs);
	logs_flow(app->logs);
	if (engine_tick(app->engine, loop_now(app->loop)))
		loop_timer_set(app->tick, 0);
}

static void
app_end_when_drained(struct app *app)
{
	struct conn_server_stats st;

	conn_server_stats(policysrv_conns(app->policy), &st);
	if (st.open == 0 || loop_mono(app->loop) >= app->drain_end)
		loop_stop(app->loop);
	else
		loop_timer_set(app->drain, 0.01);
}

static void
on_drain(void *ctx)
{
	app_end_when_drained(ctx);
}

static void
app_shutdown(struct app *app, int sig)
{
	if (app->draining) { /* asked twice: now */
		loop_stop(app->loop);
		return;
	}
	log_notice("signal %d: finishing open requests, then ending", sig);
	app->draining = true;
	app->drain_end = loop_mono(app->loop) + APP_DRAIN;
	conn_server_drain(policysrv_conns(app->policy));
	app_end_when_drained(app);
}

/* Options that only a restart changes. */
static void
warn_unchangeable(const struct conf *old, const struct conf *new)
{
	const struct {
		const char *name, *a, *b;
	} same[] = {
		{ "control", old->control, new->control },
		{ "user", old->user, new->user },
		{ "state_dir", old->state_dir, new->state_dir },
		{ "store", old->store, new->store },
		{ "control_group", old->control_group, new->control_group },
	};
	const char *const *a = old->listen, *const *b = new->listen;

	for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++)
		if (strcmp(same[i].a, same[i].b) != 0)
			log_warning("option '%s' has changed: a restart is "
				    "needed for it", same[i].name);
	while (*a != NULL && *b != NULL && strcmp(*a, *b) == 0)
		a++, b++;
	if (*a != NULL || *b != NULL)
		log_warning("option 'listen' has changed: a restart is needed "
			    "for it");
}

static int
app_reload(void *ctx, struct errbuf *err)
{
	struct app *app = ctx;
	struct conf *conf = conf_read(app->conf->file, err);

	if (conf == NULL) {
		log_error("configuration not reloaded, the old one stays in "
			  "force: %s", err->text);
		return -1;
	}
	warn_unchangeable(app->conf, conf);
	engine_reconfigure(app->engine, conf);
	policysrv_set_idle_timeout(app->policy, conf->idle_timeout);
	if (app->control != NULL)
		control_reconfigure(app->control, conf);
	logs_configure(app->logs, conf, false);
	if (app->firewall != NULL)
		firewall_reconfigure(app->firewall, conf);
	state_set_interval(app->state, conf->snapshot_interval);
	conf_destroy(&app->conf);
	app->conf = conf;
	log_notice("configuration reloaded");
	return 0;
}

static void
on_signal(evutil_socket_t sig, short what, void *arg)
{
	struct app *app = arg;
	struct errbuf err;

	(void)what;
	if (sig == SIGHUP)
		(void)app_reload(app, &err);
	else
		app_shutdown(app, (int)sig);
}

static struct status_parts
app_parts(const struct app *app)
{
	return (struct status_parts){
		.conf = app->conf,
		.engine = app->engine,
		.store = app->store,
		.logs = app->logs,
		.firewall = app->firewall,
		.state = app->state,
		.policy = app->policy,
		.control = app->control,
		.started = app->started,
		.now = loop_now(app->loop),
	};
}

static void
app_status(void *ctx, struct control_client *client)
{
	struct status_parts parts = app_parts(ctx);

	status_write(&parts, client);
}

static struct store *
app_store(struct app *app)
{
	const struct conf *conf = app->conf;
	struct store_redis_options options = {
		.params = &app->params,
		.max_addresses = conf->max_addresses,
		.link = { .prefix = conf->redis.prefix,
		    .user = conf->redis.user,
		    .password_file = conf->redis.password_file,
		    .timeout = conf->redis.timeout },
	};

	if (conf->store_kind == CONF_STORE_EMBEDDED)
		return store_embedded_create(&app->params, conf->max_addresses);
	if (!storeuri_parse(conf->store, &options.link.uri, NULL))
		log_fatal("%s: not a store", conf->store); /* was checked */
	return store_redis_create(app->loop, &options);
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

struct app *
app_create(struct conf *conf, bool foreground)
{
	struct app *app = x_calloc(1, sizeof(*app));

	app->conf = conf;
	app->foreground = foreground;
	app->loop = loop_create();
	if (app->loop == NULL)
		log_fatal("cannot create the event loop");
	app->started = loop_now(app->loop);
	app->tick = loop_timer_create(app->loop, LOOP_WORK, on_tick, app);
	app->drain = loop_timer_create(app->loop, LOOP_ANSWERS, on_drain, app);
	app->metrics = metrics_create();
	app->store = app_store(app);
	app->engine = engine_create(conf, app->store, &app_events, app);
	app->policy = policysrv_create(app->loop, app->engine,
	    conf->idle_timeout);
	for (size_t i = 0; i < N_SIGNALS; i++) {
		app->ev_signal[i] = evsignal_new(loop_base(app->loop),
		    app_signals[i], on_signal, app);
		if (app->ev_signal[i] == NULL)
			log_fatal("out of memory");
		event_add(app->ev_signal[i], NULL);
	}
	return app;
}

void
app_destroy(struct app **appp)
{
	struct app *app = *appp;

	if (app == NULL)
		return;
	http_destroy(&app->http);
	control_destroy(&app->control);
	policysrv_destroy(&app->policy);
	firewall_destroy(&app->firewall);
	logs_destroy(&app->logs);
	state_destroy(&app->state);
	engine_destroy(&app->engine);
	store_destroy(&app->store);
	metrics_destroy(&app->metrics);
	loop_timer_destroy(&app->tick);
	loop_timer_destroy(&app->drain);
	for (size_t i = 0; i < N_SIGNALS; i++)
		event_free(app->ev_signal[i]);
	loop_destroy(&app->loop);
	conf_destroy(&app->conf);
	free(app);
	*appp = NULL;
}

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

static int
open_listeners(struct app *app, struct errbuf *err)
{
	const struct conf *conf = app->conf;
	uid_t uid;
	gid_t gid;

	if (identity_parse(conf->listen_owner, &uid, &gid, err) != 0)
		return -1;
	for (const char *const *l = conf->listen; *l != NULL; l++) {
		struct conf_endpoint ep;

		if (!conf_parse_endpoint(*l, &ep, err))
			return -1;
		if (conn_server_listen(policysrv_conns(app->policy), &ep,
			conf->listen_mode, uid, gid, err) != 0)
			return -1;
		log_notice("policy service on %s", *l);
	}
	return 0;
}

static int
open_control(struct app *app, struct errbuf *err)
{
	static const struct control_hooks hooks = { app_status, app_reload };
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
	owner = x_asprintf("%s:%s", geteuid() == 0 ? conf->user : "",
	    conf->control_group);
	rc = identity_parse(owner, &uid, &gid, err);
	free(owner);
	if (rc != 0)
		return -1;
	app->control = control_create(app->loop, app->engine, conf, &hooks,
	    app);
	return control_listen(app->control, conf->control, conf->control_mode,
	    uid, gid, err);
}

/* Mail goes on without metrics: what is wrong with them is said, no more. */
static void
open_http(struct app *app)
{
	static const struct http_pages pages = { app_metrics, app_health };
	struct errbuf err;

	if (app->conf->http[0] == '\0')
		return;
	app->http = http_create(app->loop, app->conf->http, &pages, app, &err);
	if (app->http == NULL)
		log_error("no metrics: %s", err.text);
}

/* What needs root is started while we are, and then it is given up. */
static int
separate_privileges(struct app *app, struct errbuf *err)
{
	const struct conf *conf = app->conf;

	app->firewall = firewall_create(app->loop, app->engine, conf,
	    app->foreground, err);
	if (app->firewall == NULL && err->text[0] != '\0')
		return -1;
	if (geteuid() == 0 && conf->user[0] != '\0' && conf->n_logs > 0 &&
	    logs_start_helper(app->logs, conf, app->foreground, err) != 0)
		return -1;
	if (identity_become(conf->user, err) != 0)
		return -1;
	return syscalls_forbid(false, err);
}

int
app_open(struct app *app, struct errbuf *err)
{
	const struct conf *conf = app->conf;
	bool fresh, damaged;

	raise_descriptor_limit();
	app->logs = logs_create(app->loop, app->engine, on_progress, app);
	if (identity_directory(conf->state_dir, conf->user, err) != 0 ||
	    open_listeners(app, err) != 0 || open_control(app, err) != 0 ||
	    separate_privileges(app, err) != 0)
		return -1;
	open_http(app);
	if (access(conf->state_dir, W_OK | X_OK) != 0)
		return errbuf_set(err, "%s: not writable", conf->state_dir);
	app->state = state_create(app->loop, conf->state_dir,
	    conf->snapshot_interval, app->engine, app->store, on_before_state,
	    app);
	state_load(app->state, &fresh, &damaged);
	logs_configure(app->logs, conf, damaged);
	if (conf->n_logs == 0)
		log_warning("no log is configured: nothing will be scored here");
	/* The state may hold all the hits that there is room for. */
	logs_flow(app->logs);
	/* What a new log's position is must be known after a crash, too. */
	state_hurry(app->state);
	loop_timer_set(app->tick, 0);
	return 0;
}

int
app_run(struct app *app)
{
	struct errbuf err;
	int rc = loop_run(app->loop);

	if (state_save_now(app->state, &err) != 0) {
		log_error("state not written: %s", err.text);
		rc = -1;
	}
	log_notice("ended");
	return rc == 0 ? 0 : 1;
}
