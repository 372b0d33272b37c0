/*
 * app: see app.h.
 */
#include "policyd/daemon/app_int.h"

#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/core/conf.h"
#include "lib/core/engine.h"
#include "lib/core/history.h"
#include "lib/core/log.h"
#include "lib/core/store_embedded.h"
#include "lib/core/storeuri.h"
#include "lib/core/xalloc.h"
#include "lib/io/conn.h"
#include "lib/io/loop.h"
#include "lib/io/notify.h"
#include "lib/io/reaper.h"
#include "lib/io/store_redis.h"
#include "policyd/daemon/control.h"
#include "policyd/daemon/firewall.h"
#include "policyd/daemon/hook.h"
#include "policyd/daemon/http.h"
#include "policyd/daemon/logs.h"
#include "policyd/daemon/metrics.h"
#include "policyd/daemon/output.h"
#include "policyd/daemon/policysrv.h"
#include "policyd/daemon/report.h"
#include "policyd/daemon/state.h"

#define APP_TICK 0.25 /* seconds between looks at what expires */
#define APP_DRAIN 2.0 /* seconds to finish what clients have begun */

static const int app_signals[APP_N_SIGNALS] = { SIGTERM, SIGINT, SIGHUP,
	SIGUSR1 };

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

	/* There may be a million of these: no news to anybody else. */
	if (why == STORE_LOADED) {
		if (app->firewall != NULL)
			firewall_blocked(app->firewall, b, why);
		return;
	}
	report_blocked(b, why, loop_now(app->loop));
	if (why == STORE_DECIDED || why == STORE_RAISED)
		metrics_decided(app->metrics);
	if (app->control != NULL)
		control_event_blocked(app->control, b, why);
	hook_blocked(app->hook, b, why);
	if (app->firewall != NULL)
		firewall_blocked(app->firewall, b, why);
	if (app->state == NULL)
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

	report_unblocked(b, why, loop_now(app->loop));
	if (app->control != NULL)
		control_event_unblocked(app->control, b, why);
	hook_unblocked(app->hook, b, why);
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
on_line(void *ctx, uint64_t ticket, const struct history_line *line)
{
	struct app *app = ctx;

	if (app->control != NULL)
		control_event_line(app->control, ticket, line);
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

static void
on_allowed(void *ctx)
{
	struct app *app = ctx;

	if (app->firewall != NULL)
		firewall_allowed(app->firewall);
}

static const struct engine_events app_events = {
	.offence = on_offence,
	.blocked = on_blocked,
	.unblocked = on_unblocked,
	.info = on_info,
	.line = on_line,
	.done = on_done,
	.wake = on_wake,
	.allowed = on_allowed,
};

void
app_on_progress(void *ctx)
{
	struct app *app = ctx;

	if (app->state != NULL)
		state_touch(app->state);
}

void
app_on_before_state(void *ctx)
{
	struct app *app = ctx;

	logs_sync(app->logs);
}

/* The line that `systemctl status` shows. */
static void
app_tell_status(struct app *app)
{
	struct store_status st;
	char text[NOTIFY_STATUS_MAX];

	if (!notify_is_on(app->notify) || app->draining)
		return;
	store_status(app->store, &st);
	snprintf(text, sizeof(text), "%zu blocked; store %s, %s%s%s",
	    blocklist_count(engine_view(app->engine)), st.name, st.state,
	    app->conf->dry_run ? "; dry run" : "",
	    app->refused ? "; the last reload was refused" : "");
	notify_status(app->notify, text);
}

static void
on_tick(void *ctx)
{
	struct app *app = ctx;

	loop_timer_set(app->tick, APP_TICK);
	app_tell_status(app);
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
	notify_stopping(app->notify);
	app->drain_end = loop_mono(app->loop) + APP_DRAIN;
	conn_server_drain(policysrv_conns(app->policy));
	app_end_when_drained(app);
}

static void
on_signal(evutil_socket_t sig, short what, void *arg)
{
	struct app *app = arg;
	struct errbuf err;

	(void)what;
	if (sig == SIGUSR1 && output_reopen(app->output, &err) != 0)
		log_error("%s", err.text);
	if (sig == SIGHUP && !app->draining)
		(void)app_reload(app, &err);
	if (sig == SIGTERM || sig == SIGINT)
		app_shutdown(app, (int)sig);
}

bool
app_firewall(void *ctx, bool repair, void (*done)(void *client, int result),
    void *client, struct errbuf *err)
{
	struct app *app = ctx;

	if (app->firewall != NULL)
		return firewall_ask(app->firewall, repair, done, client, err);
	errbuf_set(err, "no firewall is configured");
	return false;
}

void
app_firewall_forget(void *ctx, void *client)
{
	struct app *app = ctx;

	if (app->firewall != NULL)
		firewall_forget(app->firewall, client);
}

struct status_parts
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
		.hook = app->hook,
		.control = app->control,
		.started = app->started,
		.now = loop_now(app->loop),
	};
}

void
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

struct app *
app_create(const struct app_options *options)
{
	struct app *app = x_calloc(1, sizeof(*app));
	struct conf *conf = options->conf;

	app->conf = conf;
	app->foreground = options->foreground;
	app->verbose = options->verbose;
	app->activation = *options->activation;
	app->loop = loop_create();
	if (app->loop == NULL)
		log_fatal("cannot create the event loop");
	app->started = loop_now(app->loop);
	app->tick = loop_timer_create(app->loop, LOOP_WORK, on_tick, app);
	app->drain = loop_timer_create(app->loop, LOOP_ANSWERS, on_drain, app);
	app->reaper = reaper_create(app->loop);
	app->notify = notify_create(app->loop);
	app->hook = hook_create(app->loop, app->reaper, conf);
	app->metrics = metrics_create();
	app->store = app_store(app);
	app->engine = engine_create(conf, app->store, &app_events, app);
	engine_keep_history(app->engine, HISTORY_ADDRESSES);
	app->policy =
	    policysrv_create(app->loop, app->engine, conf->idle_timeout);
	for (size_t i = 0; i < APP_N_SIGNALS; i++) {
		app->ev_signal[i] = evsignal_new(
		    loop_base(app->loop), app_signals[i], on_signal, app);
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
	hook_destroy(&app->hook);
	notify_destroy(&app->notify);
	reaper_destroy(&app->reaper);
	loop_timer_destroy(&app->tick);
	loop_timer_destroy(&app->drain);
	for (size_t i = 0; i < APP_N_SIGNALS; i++)
		event_free(app->ev_signal[i]);
	loop_destroy(&app->loop);
	conf_destroy(&app->conf);
	output_close(&app->output);
	free(app);
	*appp = NULL;
}

bool
app_uses_stderr(const struct app *app)
{
	return output_is_stderr(app->output);
}

int
app_run(struct app *app)
{
	struct errbuf err;
	int rc;

	notify_ready(app->notify);
	rc = loop_run(app->loop);
	if (state_save_now(app->state, &err) != 0) {
		log_error("state not written: %s", err.text);
		rc = -1;
	}
	log_notice("ended");
	return rc == 0 ? 0 : 1;
}
