/*
 * enginekit: an engine with a configuration and rules of its own, an embedded
 * store, and a record of its events as text. Times are seconds behind BASE.
 */
#ifndef MXW_ENGINEKIT_H
#define MXW_ENGINEKIT_H

#include <stdlib.h>
#include <time.h>

#include "lib/core/engine.h"
#include "lib/core/errbuf.h"
#include "lib/core/names.h"
#include "lib/core/store_embedded.h"
#include "t/unit/tap.h"

#define BASE 1797242400.0 /* 2026-12-14 10:00:00 UTC */

struct kit {
	struct conf conf;
	struct conf_log logs[1];
	struct level levels[3];
	struct rules *rules;
	struct store *store;
	struct engine *engine;
	struct source *src;
	uint64_t offset;
	unsigned woken;
	size_t len;
	char log[100000];
};

static const char *const kit_programs[] = { "smtpd" };
static const char *const kit_sets[] = { "s", NULL };

static void __attribute__((format(printf, 2, 3)))
kit_log(struct kit *k, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	if (k->len < sizeof(k->log) - 300)
		k->len += (size_t)vsnprintf(
		    k->log + k->len, sizeof(k->log) - k->len, fmt, ap);
	va_end(ap);
}

static void
kit_offence(void *ctx, const struct offence *o)
{
	char text[ADDR_STRLEN];

	kit_log(ctx, "offence %s t=%g %s weight=%g attempts=%u %s\n",
	    addr_format(&o->addr, text), o->t - BASE, name_text(o->rule->name),
	    o->weight, o->attempts, o->source);
}

static void
kit_blocked(void *ctx, const struct block *b, enum store_why why)
{
	static const char *const names[] = { "decided", "raised", "manual",
		"shared", "loaded", "expired" };
	char text[ADDR_STRLEN];

	kit_log(ctx, "%s %s %s since=%g until=%g score=%g %s %s strikes=%u\n",
	    names[why], addr_format(&b->addr, text), name_text(b->level),
	    b->since - BASE, b->until - BASE, b->score, name_text(b->rule),
	    name_text(b->by), b->strikes);
}

static void
kit_unblocked(void *ctx, const struct block *b, enum store_why why)
{
	char text[ADDR_STRLEN];

	kit_log(ctx, "%s %s %s\n",
	    why == STORE_EXPIRED ? "expired" : "unblocked",
	    addr_format(&b->addr, text), name_text(b->level));
}

static void
kit_info(void *ctx, uint64_t ticket, const struct score_info *i)
{
	char text[ADDR_STRLEN];

	kit_log(ctx,
	    "info %llu %s score=%.15g first=%.15g last=%.15g hits=%u "
	    "strikes=%u\n",
	    (unsigned long long)ticket, addr_format(&i->addr, text),
	    i->score.score, i->score.first - BASE, i->score.last - BASE,
	    i->hits, i->strikes);
}

static void
kit_done(void *ctx, uint64_t ticket, enum store_result r, const char *text)
{
	kit_log(ctx, "done %llu %s%s\n", (unsigned long long)ticket,
	    r == STORE_OK	       ? "ok"
		: r == STORE_NOT_FOUND ? "not found"
				       : "unavailable",
	    text);
}

static void
kit_wake(void *ctx)
{
	((struct kit *)ctx)->woken++;
}

static const struct engine_events kit_events = { .offence = kit_offence,
	.blocked = kit_blocked,
	.unblocked = kit_unblocked,
	.info = kit_info,
	.done = kit_done,
	.wake = kit_wake };

static void
kit_rule(struct kit *k, struct rule_def d)
{
	struct errbuf err;

	d.set = d.set != NULL ? d.set : "s";
	d.programs = kit_programs;
	d.n_programs = 1;
	if (rules_add(k->rules, &d, &err) != 0)
		ok(false, "%s: %s", d.name, err.text);
}

static void
kit_rules(struct kit *k)
{
	k->rules = rules_create();
	kit_rule(k,
	    (struct rule_def){ .name = "fault",
		.pattern = "^fault from {client}",
		.evidence = "auth",
		.kind = RULE_FAULT });
	kit_rule(k,
	    (struct rule_def){ .name = "fail",
		.pattern = "^fail from {client}",
		.weight = 2,
		.evidence = "auth" });
	kit_rule(k,
	    (struct rule_def){ .name = "lost",
		.pattern = "^lost from {client}",
		.weight = 2,
		.evidence = "auth",
		.counts = RULE_COUNTS_ONCE });
	kit_rule(k,
	    (struct rule_def){ .name = "total",
		.pattern = "^disconnect from {client} "
			   "auth=(?<ok>\\d+)/(?<attempts>\\d+)",
		.weight = 2,
		.evidence = "auth",
		.counts = RULE_COUNTS_TOTAL,
		.ends = true });
	kit_rule(k,
	    (struct rule_def){ .name = "end",
		.pattern = "^disconnect from {client}",
		.kind = RULE_END });
	kit_rule(k,
	    (struct rule_def){ .name = "relay",
		.pattern = "^NOQUEUE: reject: RCPT from {client}: 554 "
			   "5.7.1 <[^>]*>: Relay access denied",
		.weight = 1.5 });
	kit_rule(k,
	    (struct rule_def){ .name = "login",
		.pattern = "^login from {client}",
		.weight = -3 });
	kit_rule(k,
	    (struct rule_def){
		.name = "zero", .pattern = "^zero from {client}" });
	kit_rule(k,
	    (struct rule_def){ .name = "bomb",
		.pattern = "^bomb (?:(?:a+)+)+[!?]{addr}",
		.weight = 1 });
	kit_rule(k,
	    (struct rule_def){ .name = "unknown",
		.pattern = "^{queue}: no such user",
		.weight = 1 });
	kit_rule(k,
	    (struct rule_def){ .name = "join",
		.pattern = "^{queue}: from {client}",
		.kind = RULE_JOIN });
	kit_rule(k,
	    (struct rule_def){ .name = "other-set",
		.set = "t",
		.pattern = "^special from {client}",
		.weight = 7 });
}

/* The configuration of the tests, before they change it. */
static struct kit *
kit_open(void)
{
	static struct addr allow[2];
	struct kit *k = calloc(1, sizeof(*k));

	if (k == NULL)
		exit(1);
	setenv("TZ", "UTC", 1);
	tzset();
	kit_rules(k);
	k->levels[0] = (struct level){ name_intern_str("defer"), 5, 600,
		"DEFER 4.7.1 Too many errors from {address}", false };
	k->levels[1] = (struct level){ name_intern_str("reject"), 10, 3600,
		"REJECT 5.7.1 Abuse from {address} ({rule}) until {until}",
		false };
	k->levels[2] = (struct level){ name_intern_str("firewall"), 20, 43200,
		"521 5.7.1 {level}", true };
	k->logs[0] = (struct conf_log){ .path = "/log", .sets = kit_sets };
	addr_parse("198.51.100.0/24", 15, &allow[0]);
	addr_parse("2001:db8:a::/48", 15, &allow[1]);
	k->conf = (struct conf){ .host = "mx1",
		.allow = allow,
		.n_allow = 2,
		.allow_authenticated = true,
		.window = 600,
		.ipv4_prefix = 32,
		.ipv6_prefix = 64,
		.repeat = { 2, 86400, 864000 },
		.levels = k->levels,
		.n_levels = 3,
		.logs = k->logs,
		.n_logs = 1,
		.rules = k->rules };
	k->store = store_embedded_create(NULL, 10000);
	k->engine = engine_create(&k->conf, k->store, &kit_events, k);
	return k;
}

/* The log that the tests feed, read up to its end. */
static void
kit_source(struct kit *k)
{
	struct logpos pos = { .epoch = 4711 };

	k->src = engine_source_add(k->engine, "/log", kit_sets);
	if (source_position(k->src)->epoch == 0)
		source_set_position(k->src, &pos);
	source_set_current(k->src, true);
}

static void
kit_close(struct kit **kp)
{
	struct kit *k = *kp;

	engine_destroy(&k->engine);
	store_destroy(&k->store);
	rules_destroy(&k->rules);
	free(k);
	*kp = NULL;
}

/* One line at BASE + t; the engine's clock is at BASE + now. */
static enum feed_result
kit_feed_at(struct kit *k, double t, double now, unsigned pid, const char *msg)
{
	time_t sec = (time_t)(BASE + t);
	char stamp[32], line[4000];
	struct tm tm;
	int n;

	gmtime_r(&sec, &tm);
	strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%SZ", &tm);
	n = snprintf(line, sizeof(line), "%s mx1 postfix/smtpd[%u]: %s", stamp,
	    pid, msg);
	k->offset += (uint64_t)n + 1;
	return engine_feed(k->engine, k->src, line, (size_t)n, k->offset, false,
	    BASE + now, BASE + now);
}

static enum feed_result
kit_feed(struct kit *k, double t, unsigned pid, const char *msg)
{
	return kit_feed_at(k, t, t, pid, msg);
}

/* What has happened since the last time. */
static void __attribute__((format(printf, 3, 4), unused))
kit_expect(struct kit *k, const char *want, const char *fmt, ...)
{
	char what[200];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	is_str(k->log, want, "%s", what);
	k->len = 0;
	k->log[0] = '\0';
}

static void __attribute__((unused)) kit_forget(struct kit *k)
{
	k->len = 0;
	k->log[0] = '\0';
}

static struct addr
kit_addr(const char *s)
{
	struct addr a;

	memset(&a, 0, sizeof(a));
	if (!addr_parse(s, strlen(s), &a))
		ok(false, "test address %s", s);
	return a;
}

/* The action for a client at BASE + t; user may be NULL. */
__attribute__((unused)) static const char *
kit_ask(struct kit *k, double t, const char *client, const char *user,
    struct verdict *v)
{
	struct policy_request req;

	memset(&req, 0, sizeof(req));
	if (client != NULL)
		req.attr[POLICY_CLIENT_ADDRESS] =
		    (struct policy_str){ client, strlen(client) };
	if (user != NULL)
		req.attr[POLICY_SASL_USERNAME] =
		    (struct policy_str){ user, strlen(user) };
	engine_query(k->engine, &req, BASE + t, v);
	if (v->action_len != strlen(v->action))
		ok(false, "the action's length");
	return v->action;
}

#endif
