/*
 * status: see status.h.
 */
#include "policyd/daemon/status.h"

#include <unistd.h>

#include "lib/core/conf.h"
#include "lib/core/engine.h"
#include "lib/io/conn.h"
#include "policyd/daemon/control.h"
#include "policyd/daemon/firewall.h"
#include "policyd/daemon/logs.h"
#include "policyd/daemon/policysrv.h"
#include "policyd/daemon/state.h"

static void
put_time(struct record_out *r, const char *name, double t)
{
	if (t > 0)
		record_time(r, name, t);
	else
		record_null(r, name);
}

static void
status_daemon(const struct status_parts *p, struct control_client *client)
{
	struct record_out *r = control_put(client, "daemon");
	struct engine_stats es;
	struct state_stats ss;

	engine_stats(p->engine, &es);
	state_stats(p->state, &ss);
	record_str(r, "version", PACKAGE_VERSION);
	record_str(r, "host", p->conf->host);
	record_num(r, "pid", (double)getpid());
	record_str(r, "config", p->conf->file);
	record_time(r, "started", p->started);
	record_duration(r, "uptime", p->now - p->started);
	record_bool(r, "dry_run", p->conf->dry_run);
	record_num(
	    r, "blocked", (double)blocklist_count(engine_view(p->engine)));
	record_num(r, "blocks", (double)es.blocks);
	record_num(r, "raised", (double)es.raised);
	record_num(r, "expired", (double)es.expired);
	record_num(r, "view_full", (double)es.view_full);
	record_str(r, "helper", logs_helper_state(p->logs));
	put_time(r, "state_written", ss.last);
	record_num(r, "state_writes", (double)ss.written);
	record_num(r, "state_failures", (double)ss.failed);
	if (ss.error[0] != '\0')
		record_str(r, "state_error", ss.error);
	else
		record_null(r, "state_error");
	control_put_end(client);
}

static void
status_log(const struct log_view *v, struct control_client *client)
{
	struct record_out *r = control_put(client, "log");

	record_str(r, "path", v->path);
	record_str(r, "state", v->tail.state);
	record_num(r, "lines", (double)v->source.lines);
	record_num(r, "parsed", (double)(v->source.lines - v->source.unparsed));
	record_num(r, "matched", (double)v->source.matched);
	record_num(r, "unmatched",
	    (double)(v->source.lines - v->source.unparsed - v->source.matched -
		v->source.own - v->source.faults - v->source.markers));
	record_num(r, "scored", (double)v->source.scored);
	record_num(r, "unparsed", (double)v->source.unparsed);
	record_num(r, "own", (double)v->source.own);
	record_num(r, "faults", (double)v->source.faults);
	record_num(r, "allowed", (double)v->source.allowed);
	record_num(r, "bad_time", (double)v->source.badtime);
	record_num(r, "cut", (double)v->source.cut);
	record_num(r, "limits", (double)v->source.limits);
	put_time(r, "last", v->source.last);
	record_num(r, "bytes", (double)v->tail.bytes);
	record_num(r, "behind", (double)v->tail.behind);
	record_num(r, "rotations", (double)v->tail.rotations);
	record_num(r, "truncations", (double)v->tail.truncations);
	record_num(r, "errors", (double)v->tail.errors);
	record_num(r, "lost", (double)v->tail.lost);
	record_num(r, "offset", (double)logpos_logical(&v->pos));
	control_put_end(client);
}

static void
status_store(const struct status_parts *p, struct control_client *client)
{
	struct record_out *r = control_put(client, "store");
	struct store_status st;

	store_status(p->store, &st);
	record_str(r, "name", st.name);
	record_str(r, "state", st.state);
	record_bool(r, "ready", st.ready);
	record_str(r, "detail", st.detail);
	record_num(r, "addresses", (double)st.addresses);
	record_num(r, "pending", (double)st.pending);
	record_num(r, "applied", (double)st.applied);
	record_num(r, "repeated", (double)st.repeated);
	record_num(r, "evicted", (double)st.evicted);
	record_num(r, "resyncs", (double)st.resyncs);
	record_num(r, "errors", (double)st.errors);
	record_duration(r, "lag", st.lag);
	control_put_end(client);
}

static void
status_policy(const struct status_parts *p, struct control_client *client)
{
	struct record_out *r = control_put(client, "policy");
	struct policysrv_stats ps;
	const struct conn_server_stats *cs = &ps.conns;

	policysrv_stats(p->policy, &ps);
	record_num(r, "requests", (double)ps.requests);
	record_num(r, "passed", (double)ps.by_why[VERDICT_PASS]);
	record_num(r, "blocked", (double)ps.by_why[VERDICT_BLOCKED]);
	record_num(r, "allowed", (double)ps.by_why[VERDICT_ALLOWED]);
	record_num(
	    r, "authenticated", (double)ps.by_why[VERDICT_AUTHENTICATED]);
	record_num(r, "no_address", (double)ps.by_why[VERDICT_NO_ADDRESS]);
	record_num(r, "dry", (double)ps.dry);
	record_num(r, "garbage", (double)ps.garbage);
	record_num(r, "connections", (double)cs->open);
	record_num(r, "accepted", (double)cs->accepted);
	record_num(r, "refused", (double)cs->refused);
	record_num(r, "timeouts", (double)cs->timeouts);
	record_num(r, "errors", (double)cs->errors);
	record_num(r, "paused", (double)cs->paused);
	control_put_end(client);
}

static void
status_firewall(const struct status_parts *p, struct control_client *client)
{
	struct record_out *r = control_put(client, "firewall");
	struct firewall_stats fs = { .backend = "none", .state = "off" };

	if (p->firewall != NULL)
		firewall_stats(p->firewall, &fs);
	record_str(r, "backend", fs.backend);
	record_str(r, "state", fs.state);
	record_num(r, "entries", (double)fs.entries);
	record_num(r, "pending", (double)fs.pending);
	record_num(r, "sent", (double)fs.sent);
	record_num(r, "refused", (double)fs.refused);
	record_num(r, "full", (double)fs.full);
	record_num(r, "repairs", (double)fs.repairs);
	record_num(r, "errors", (double)fs.errors);
	if (fs.error[0] != '\0')
		record_str(r, "error", fs.error);
	else
		record_null(r, "error");
	control_put_end(client);
}

void
status_write(const struct status_parts *p, struct control_client *client)
{
	status_daemon(p, client);
	for (size_t i = 0; i < logs_count(p->logs); i++) {
		struct log_view v;

		logs_view(p->logs, i, &v);
		status_log(&v, client);
	}
	status_store(p, client);
	status_policy(p, client);
	status_firewall(p, client);
}
