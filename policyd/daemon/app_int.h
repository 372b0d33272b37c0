/*
 * app_int: what app.c (the parts together, and the end), app_open.c (the
 * start) and app_reload.c (another configuration) share. For these files only.
 */
#ifndef MXW_APP_INT_H
#define MXW_APP_INT_H

#include <stdbool.h>

#include "lib/core/store.h"
#include "lib/io/activation.h"
#include "policyd/daemon/app.h"
#include "policyd/daemon/status.h"

#define APP_N_SIGNALS 4

struct event;
struct hook;
struct notify;
struct output;
struct reaper;

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
	struct reaper *reaper;
	struct notify *notify;
	struct output *output;
	struct hook *hook;
	struct activation activation;
	struct loop_timer *tick, *drain;
	struct event *ev_signal[APP_N_SIGNALS];
	double started;
	bool foreground;
	bool verbose;
	bool draining;
	bool refused;	  /* the last reload was */
	double drain_end; /* monotonic */
};

/* Reads the configuration again: all of it is in force then, or nothing has
 * changed. */
int app_reload(void *ctx, struct errbuf *);
/* Prepares the policy listeners of a configuration; conn_server_commit() or
 * conn_server_rollback() is the caller's. */
int app_prepare_listeners(struct app *, const struct conf *, struct errbuf *);
/* Level and form of messages. */
void app_set_output(struct app *);
/* NULL and a reason, or NULL and "" when none is wanted. `old` (may be NULL) is
 * what serves now; see http_create(). */
struct http *app_make_http(
    struct app *, const struct conf *, struct http *old, struct errbuf *);
struct status_parts app_parts(const struct app *);
void app_status(void *ctx, struct control_client *);
/* Hooks of control: firewall_ask() and firewall_forget(). */
bool app_firewall(void *ctx, bool repair,
    void (*done)(void *client, int result), void *client, struct errbuf *);
void app_firewall_forget(void *ctx, void *client);
/* Called by logs and state. */
void app_on_progress(void *ctx);
void app_on_before_state(void *ctx);

#endif
