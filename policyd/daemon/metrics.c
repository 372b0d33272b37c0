/*
 * metrics: see metrics.h.
 */
#include "policyd/daemon/metrics.h"

#include <event2/buffer.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lib/core/conf.h"
#include "lib/core/engine.h"
#include "lib/core/histogram.h"
#include "lib/core/xalloc.h"
#include "lib/io/conn.h"
#include "policyd/daemon/firewall.h"
#include "policyd/daemon/hook.h"
#include "policyd/daemon/logs.h"
#include "policyd/daemon/policysrv.h"
#include "policyd/daemon/state.h"

#define RULES_MAX 1024

struct metrics {
	struct {
		name_id rule;
		uint64_t hits;
	} rules[RULES_MAX];
	size_t n_rules;
	double last;		/* time of the last offence */
	struct histogram delay; /* line to verdict */
};

struct metrics *
metrics_create(void)
{
	return x_calloc(1, sizeof(struct metrics));
}

void
metrics_destroy(struct metrics **mp)
{
	free(*mp);
	*mp = NULL;
}

void
metrics_offence(struct metrics *m, const struct offence *o)
{
	size_t i = 0;

	m->last = o->t;
	while (i < m->n_rules && m->rules[i].rule != o->rule->name)
		i++;
	if (i == RULES_MAX)
		return;
	if (i == m->n_rules) {
		m->n_rules++;
		m->rules[i].rule = o->rule->name;
	}
	m->rules[i].hits += o->attempts;
}

void
metrics_decided(struct metrics *m)
{
	struct timespec ts;
	double now;

	clock_gettime(CLOCK_REALTIME, &ts);
	now = (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
	/* An hour: the log is being caught up, which is no delay of ours. */
	if (now - m->last < 3600)
		histogram_add(&m->delay, now - m->last);
}

static void
put_head(
    struct evbuffer *b, const char *name, const char *type, const char *help)
{
	evbuffer_add_printf(b, "# HELP mxwarden_%s %s\n# TYPE mxwarden_%s %s\n",
	    name, help, name, type);
}

/* Label values escape backslash, quote and newline. */
static void
put_label(struct evbuffer *b, const char *label, const char *value)
{
	evbuffer_add_printf(b, "{%s=\"", label);
	for (; *value != '\0'; value++) {
		if (*value == '\\' || *value == '"')
			evbuffer_add(b, "\\", 1);
		evbuffer_add(
		    b, *value == '\n' ? "\\n" : value, *value == '\n' ? 2 : 1);
	}
	evbuffer_add_printf(b, "\"}");
}

static void
put_value(struct evbuffer *b, const char *name, const char *label,
    const char *value, double v)
{
	evbuffer_add_printf(b, "mxwarden_%s", name);
	if (label != NULL)
		put_label(b, label, value);
	evbuffer_add_printf(b, " %.17g\n", v);
}

static void
put_one(struct evbuffer *b, const char *name, const char *type,
    const char *help, double v)
{
	put_head(b, name, type, help);
	put_value(b, name, NULL, NULL, v);
}

static void
put_histogram(struct evbuffer *b, const char *name, const char *help,
    const struct histogram *h)
{
	uint64_t sum = 0;

	put_head(b, name, "histogram", help);
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
		sum += h->bucket[i];
		evbuffer_add_printf(b, "mxwarden_%s_bucket{le=\"%g\"} %llu\n",
		    name, histogram_bound(i), (unsigned long long)sum);
	}
	evbuffer_add_printf(b,
	    "mxwarden_%s_bucket{le=\"+Inf\"} %llu\n"
	    "mxwarden_%s_sum %.9f\nmxwarden_%s_count %llu\n",
	    name, (unsigned long long)h->count, name, h->sum, name,
	    (unsigned long long)h->count);
}

static void
put_logs(struct evbuffer *b, const struct logs *logs)
{
	static const struct {
		const char *name, *type, *help;
	} rows[] = {
		{ "log_lines_total", "counter", "Lines read." },
		{ "log_unparsed_total", "counter",
		    "Lines without a known header." },
		{ "log_matched_total", "counter", "Lines of offences." },
		{ "log_scored_total", "counter", "Attempts scored." },
		{ "log_own_refusals_total", "counter",
		    "Lines that tell of our own refusals." },
		{ "log_server_faults_total", "counter",
		    "Lines of faults of our own servers." },
		{ "log_allowed_total", "counter",
		    "Attempts of clients on the allow list, not scored." },
		{ "log_cut_total", "counter",
		    "Lines too long to match whole." },
		{ "log_limits_total", "counter", "Match limits hit." },
		{ "log_rotations_total", "counter", "Rotations followed." },
		{ "log_errors_total", "counter", "Failed opens and reads." },
		{ "log_lost_total", "counter",
		    "Times that lines may have been lost." },
		{ "log_behind_bytes", "gauge", "Bytes not yet read." },
		{ "log_current", "gauge", "1 if the log is read to its end." },
	};

	for (size_t r = 0; r < sizeof(rows) / sizeof(rows[0]); r++) {
		put_head(b, rows[r].name, rows[r].type, rows[r].help);
		for (size_t i = 0; i < logs_count(logs); i++) {
			struct log_view v;

			logs_view(logs, i, &v);
			const double values[] = { (double)v.source.lines,
				(double)v.source.unparsed,
				(double)v.source.matched,
				(double)v.source.scored, (double)v.source.own,
				(double)v.source.faults,
				(double)v.source.allowed, (double)v.source.cut,
				(double)v.source.limits,
				(double)v.tail.rotations, (double)v.tail.errors,
				(double)v.tail.lost, (double)v.tail.behind,
				strcmp(v.tail.state, "current") == 0 };

			put_value(b, rows[r].name, "log", v.path, values[r]);
		}
	}
}

static void
put_rules(struct evbuffer *b, const struct metrics *m)
{
	put_head(
	    b, "rule_attempts_total", "counter", "Attempts scored, by rule.");
	for (size_t i = 0; i < m->n_rules; i++)
		put_value(b, "rule_attempts_total", "rule",
		    name_text(m->rules[i].rule), (double)m->rules[i].hits);
}

static void
put_levels(struct evbuffer *b, const struct engine *e)
{
	struct engine_level l;

	put_head(b, "blocked", "gauge",
	    "Addresses and prefixes blocked now, by "
	    "level.");
	for (size_t i = 0; engine_level_nth(e, i, &l); i++)
		put_value(b, "blocked", "level", name_text(l.name),
		    (double)l.blocked);
	put_head(b, "blocks_total", "counter",
	    "Blocks and raises decided on this host, by level.");
	for (size_t i = 0; engine_level_nth(e, i, &l); i++)
		put_value(b, "blocks_total", "level", name_text(l.name),
		    (double)l.decided);
}

static void
put_policy(struct evbuffer *b, const struct policysrv *policy)
{
	static const char *const verdicts[] = {
		[VERDICT_PASS] = "pass",
		[VERDICT_NO_ADDRESS] = "no_address",
		[VERDICT_ALLOWED] = "allowed",
		[VERDICT_AUTHENTICATED] = "authenticated",
		[VERDICT_BLOCKED] = "blocked",
	};
	struct policysrv_stats ps;

	policysrv_stats(policy, &ps);
	put_head(b, "policy_requests_total", "counter",
	    "Policy requests answered, by verdict.");
	for (int i = 0; i <= VERDICT_BLOCKED; i++)
		put_value(b, "policy_requests_total", "verdict", verdicts[i],
		    (double)ps.by_why[i]);
	put_one(b, "policy_dry_total", "counter",
	    "Answers that were DUNNO only because of dry_run.", (double)ps.dry);
	put_one(b, "policy_garbage_total", "counter",
	    "Connections closed because they sent no policy request.",
	    (double)ps.garbage);
	put_one(b, "policy_connections", "gauge", "Open policy connections.",
	    (double)ps.conns.open);
	put_one(b, "policy_accepted_total", "counter",
	    "Policy connections accepted.", (double)ps.conns.accepted);
	put_one(b, "policy_timeouts_total", "counter",
	    "Policy connections closed for want of input.",
	    (double)ps.conns.timeouts);
	put_one(b, "policy_accept_paused_total", "counter",
	    "Times accepting paused for want of descriptors.",
	    (double)ps.conns.paused);
	put_histogram(b, "policy_answer_seconds",
	    "From the turn of the loop in which a request came to its answer.",
	    &ps.latency);
}

static void
put_store(struct evbuffer *b, const struct store *store)
{
	struct store_status st;

	store_status(store, &st);
	put_one(b, "store_ready", "gauge", "1 if decisions reach all hosts.",
	    st.ready);
	put_one(b, "store_addresses", "gauge", "Scores held on this host.",
	    (double)st.addresses);
	put_one(b, "store_pending", "gauge", "Hits not yet acknowledged.",
	    (double)st.pending);
	put_one(b, "store_lag_seconds", "gauge",
	    "Age of the oldest hit not yet acknowledged.", st.lag);
	put_one(b, "store_applied_total", "counter", "Hits applied.",
	    (double)st.applied);
	put_one(b, "store_repeated_total", "counter",
	    "Hits ignored because they had been applied before.",
	    (double)st.repeated);
	put_one(b, "store_evicted_total", "counter",
	    "Scores dropped because the table was full.", (double)st.evicted);
	put_one(b, "store_resyncs_total", "counter",
	    "Times the view was read anew.", (double)st.resyncs);
	put_one(b, "store_errors_total", "counter", "Errors of the store.",
	    (double)st.errors);
}

static void
put_firewall(struct evbuffer *b, const struct firewall *firewall)
{
	struct firewall_stats fs = { .state = "off" };

	if (firewall != NULL)
		firewall_stats(firewall, &fs);
	put_one(b, "firewall_ready", "gauge",
	    "1 if blocks are dropped in the kernel.",
	    strcmp(fs.state, "ready") == 0);
	put_one(b, "firewall_entries", "gauge",
	    "Entries of the last synchronisation.", (double)fs.entries);
	put_one(b, "firewall_pending", "gauge", "Changes not yet sent.",
	    (double)fs.pending);
	put_one(b, "firewall_sent_total", "counter", "Changes sent.",
	    (double)fs.sent);
	put_one(b, "firewall_refused_total", "counter",
	    "Entries refused because they are protected.", (double)fs.refused);
	put_one(b, "firewall_full_total", "counter",
	    "Entries not added because of max_entries.", (double)fs.full);
	put_one(b, "firewall_repairs_total", "counter",
	    "Times that rules or sets were missing.", (double)fs.repairs);
	put_one(b, "firewall_errors_total", "counter", "Failures.",
	    (double)fs.errors);
}

static void
put_hook(struct evbuffer *b, const struct hook *hook)
{
	struct hook_stats hs;

	hook_stats(hook, &hs);
	put_head(b, "notifications_total", "counter",
	    "Runs of notify.command, and events without one.");
	put_value(b, "notifications_total", "result", "done", (double)hs.done);
	put_value(
	    b, "notifications_total", "result", "failed", (double)hs.failed);
	put_value(b, "notifications_total", "result", "suppressed",
	    (double)hs.suppressed);
}

/* Resident memory in bytes, 0 if /proc does not tell. */
static double
resident(void)
{
	FILE *f = fopen("/proc/self/statm", "re");
	unsigned long pages = 0;

	if (f == NULL)
		return 0;
	/* The kernel's own words. NOLINTNEXTLINE(cert-err34-c) */
	if (fscanf(f, "%*u %lu", &pages) != 1)
		pages = 0;
	fclose(f);
	return (double)pages * (double)sysconf(_SC_PAGESIZE);
}

static void
put_daemon(struct evbuffer *b, const struct status_parts *p)
{
	struct state_stats ss;
	struct engine_stats es;

	state_stats(p->state, &ss);
	engine_stats(p->engine, &es);
	put_head(b, "build_info", "gauge", "The version.");
	put_value(b, "build_info", "version", PACKAGE_VERSION, 1);
	put_one(b, "start_time_seconds", "gauge", "When the daemon started.",
	    p->started);
	put_one(b, "resident_memory_bytes", "gauge", "Resident memory.",
	    resident());
	put_one(b, "dry_run", "gauge", "1 if nothing is refused.",
	    p->conf->dry_run);
	put_one(b, "blocks_expired_total", "counter", "Blocks that expired.",
	    (double)es.expired);
	put_one(b, "view_full_total", "counter",
	    "Blocks that did not fit into memory.", (double)es.view_full);
	put_one(b, "state_writes_total", "counter", "Snapshots written.",
	    (double)ss.written);
	put_one(b, "state_failures_total", "counter",
	    "Snapshots that could not be written.", (double)ss.failed);
	put_one(b, "state_written_seconds", "gauge",
	    "Time of the last snapshot.", ss.last);
	put_one(b, "log_helper", "gauge",
	    "1 if the helper that opens logs runs, or none is needed.",
	    strcmp(logs_helper_state(p->logs), "gone") != 0);
}

void
metrics_write(
    const struct metrics *m, const struct status_parts *p, struct evbuffer *b)
{
	put_daemon(b, p);
	put_levels(b, p->engine);
	put_policy(b, p->policy);
	put_histogram(b, "verdict_delay_seconds",
	    "From the time in the deciding log line to the block. Logs with "
	    "times in whole seconds add up to a second.",
	    &m->delay);
	put_rules(b, m);
	put_logs(b, p->logs);
	put_store(b, p->store);
	put_firewall(b, p->firewall);
	put_hook(b, p->hook);
}

bool
metrics_health(const struct status_parts *p, struct evbuffer *b)
{
	struct store_status st;
	struct state_stats ss;
	size_t troubles = 0;

	store_status(p->store, &st);
	state_stats(p->state, &ss);
	if (!st.ready)
		troubles += (size_t)evbuffer_add_printf(
		    b, "store: %s %s\n", st.state, st.detail);
	if (ss.error[0] != '\0')
		troubles += (size_t)evbuffer_add_printf(
		    b, "state is not written: %s\n", ss.error);
	for (size_t i = 0; i < logs_count(p->logs); i++) {
		struct log_view v;

		logs_view(p->logs, i, &v);
		if (strcmp(v.tail.state, "missing") == 0)
			troubles += (size_t)evbuffer_add_printf(
			    b, "log %s: missing\n", v.path);
	}
	if (strcmp(logs_helper_state(p->logs), "gone") == 0)
		troubles += (size_t)evbuffer_add_printf(
		    b, "the helper that opens logs is gone\n");
	if (p->firewall != NULL && !p->conf->dry_run) {
		struct firewall_stats fs;

		firewall_stats(p->firewall, &fs);
		if (strcmp(fs.state, "off") == 0 ||
		    strcmp(fs.state, "degraded") == 0)
			troubles += (size_t)evbuffer_add_printf(
			    b, "firewall: %s: %s\n", fs.state, fs.error);
	}
	if (troubles == 0)
		evbuffer_add_printf(b, "ok\n");
	return troubles == 0;
}
