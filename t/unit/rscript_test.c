/*
 * The Lua script against the embedded store: the same hits, the same clock,
 * and after each of them the same score, the same decision and the same TTLs.
 *
 * The clock is the test's. What Redis would have let expire is expired by
 * hand: of each key it is remembered when, on the test's clock, its TTL ends.
 */
#include <math.h>

#include "lib/core/blockvalue.h"
#include "lib/core/names.h"
#include "lib/core/scoretable.h"
#include "lib/core/store_embedded.h"
#include "lib/io/rscript.h"
#include "t/unit/tap.h"

#include "t/unit/rediskit.h"

#define N_ADDR 8
#define P "mxw{*}:" /* characters that are special to patterns */

static const char *const addr_text[N_ADDR] = { "192.0.2.1", "192.0.2.2",
	"198.51.100.0/24", "2001:db8:1:2::/64", "2001:db8::1", "203.0.113.9",
	"192.0.2.7", "192.0.2.8" };
static const char *const key_kinds[3] = { "score", "block", "strikes" };
static struct addr addrs[N_ADDR];
static double ends[N_ADDR][3]; /* of keys, test clock; 0 = none */
static double expired_at[N_ADDR];
static uint64_t next_offset = 1, since_lift[N_ADDR];

static struct level levels[3];
static struct store_params params = { .window = 600,
	.repeat = { 2.0, 86400, 5000 },
	.levels = levels,
	.n_levels = 3 };
static struct store *em;
static struct blocklist *view;
static struct block decided; /* by the last hit; level 0 = none */
static char decided_how;
static double now;
static double slack; /* what is older may be forgotten here */
static char sha[41];
static unsigned long long seed = 1;

static double
rnd(void)
{
	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return (double)(seed >> 11) / 9007199254740992.0;
}

static void
sink_blocked(void *ctx, const struct block *b, enum store_why why)
{
	(void)ctx;
	blocklist_set(view, b);
	decided = *b;
	decided_how = why == STORE_DECIDED ? 'b' : 'r';
}

static void
sink_unblocked(void *ctx, const struct addr *a, enum store_why why)
{
	(void)ctx;
	(void)why;
	blocklist_del(view, a);
}

static void
sink_done(void *ctx, uint64_t ticket, enum store_result r, const char *text)
{
	(void)ctx;
	(void)ticket;
	(void)r;
	(void)text;
}

static struct score_info info;

static void
sink_info(void *ctx, uint64_t ticket, const struct score_info *i)
{
	(void)ctx;
	(void)ticket;
	info = *i;
}

static const struct store_sink sink = { .blocked = sink_blocked,
	.unblocked = sink_unblocked,
	.done = sink_done,
	.info = sink_info };

static struct {
	char buf[64][64];
	const char *argv[64];
	int argc;
} args;

static void __attribute__((format(printf, 1, 2))) arg(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(args.buf[args.argc], 64, fmt, ap);
	va_end(ap);
	args.argv[args.argc] = args.buf[args.argc];
	args.argc++;
}

static void
arg_begin(enum rscript which)
{
	redisReply *r = kit_cmd("SCRIPT LOAD %s", rscript_text(which));

	snprintf(sha, sizeof(sha), "%s", r->str);
	freeReplyObject(r);
	args.argc = 0;
	arg("EVALSHA");
	arg("%s", sha);
	arg("0");
	arg(P);
}

static redisReply *
arg_call(void)
{
	redisReply *r = redisCommandArgv(kit_redis, args.argc, args.argv, NULL);

	if (r == NULL || r->type == REDIS_REPLY_ERROR) {
		printf(
		    "Bail out! %s\n", r != NULL ? r->str : kit_redis->errstr);
		exit(1);
	}
	return r;
}

/* What the script says to one hit: its flag; the value in `value`. */
static char
script_hit(int a, const struct hit *h, char *value, size_t room)
{
	redisReply *r;
	char flag;

	arg_begin(RSCRIPT_HITS);
	arg("%.17g", now);
	arg("%.17g", params.window);
	arg("%.17g", params.repeat.factor);
	arg("%.17g", params.repeat.max);
	arg("%.17g", params.repeat.memory);
	arg("%s", name_text(params.host));
	arg("%zu", params.n_levels);
	for (size_t i = 0; i < params.n_levels; i++) {
		arg("%s", name_text(levels[i].name));
		arg("%.17g", levels[i].threshold);
		arg("%.17g", levels[i].duration);
	}
	arg("%s", addr_text[a]);
	arg("%.17g", h->t);
	arg("%.17g", h->weight);
	arg("%s", name_text(h->rule));
	arg("%016llx", (unsigned long long)h->epoch);
	arg("%llu", (unsigned long long)h->offset);
	r = arg_call();
	flag = r->element[0]->str[0];
	snprintf(value, room, "%s", r->elements > 1 ? r->element[1]->str : "");
	freeReplyObject(r);
	return flag;
}

static void
remember_ttls(int a)
{
	for (int k = 0; k < 3; k++) {
		long long left =
		    kit_int("PTTL %s%s:%s", P, key_kinds[k], addr_text[a]);

		ends[a][k] = left < 0 ? 0 : now + (double)left / 1000;
	}
}

static void
pass(double dt)
{
	now += dt;
	for (int a = 0; a < N_ADDR; a++)
		for (int k = 0; k < 3; k++) {
			if (ends[a][k] == 0)
				continue;
			if (ends[a][k] <= now) {
				kit_int("DEL %s%s:%s", P, key_kinds[k],
				    addr_text[a]);
				ends[a][k] = 0;
				expired_at[a] = now;
				if (k == 0) /* it knows no offsets now */
					since_lift[a] = next_offset;
			} else {
				kit_int("PEXPIRE %s%s:%s %lld", P, key_kinds[k],
				    addr_text[a],
				    (long long)((ends[a][k] - now) * 1000));
			}
		}
	blocklist_expire(view, now, 1000, NULL, NULL);
	store_poll(em, now, now - slack);
}

static double
script_score(int a)
{
	redisReply *r = kit_cmd("HGET %sscore:%s score", P, addr_text[a]);
	double v = r->type == REDIS_REPLY_STRING ? strtod(r->str, NULL) : -1;

	freeReplyObject(r);
	return v;
}

static double
c_score(int a)
{
	info.score.score = -1;
	store_fetch(em, 1, &addrs[a]);
	store_poll(em, now, now - slack);
	return info.score.score;
}

static bool
near(double a, double b)
{
	return fabs(a - b) <= 1e-9 * fmax(1, fabs(b));
}

/* One hit to both. False, and a message, if they differ. */
static bool
both(int a, const struct hit *h, bool ttls)
{
	char value[BLOCKVALUE_MAX], wanted[BLOCKVALUE_MAX], flag, want;
	struct block b = { .addr = addrs[a] };
	struct store_status before, after;
	double cs, ss;

	decided_how = 0;
	store_status(em, &before);
	store_hit(em, h);
	store_status(em, &after);
	store_poll(em, now, now - slack);
	want = decided_how != 0		     ? decided_how
	    : after.applied > before.applied ? '1'
					     : '0';
	flag = script_hit(a, h, value, sizeof(value));
	if (flag != want) {
		printf("# %s: flag %c, want %c (t=%.3f now=%.3f)\n",
		    addr_text[a], flag, want, h->t, now);
		return false;
	}
	cs = c_score(a);
	ss = script_score(a);
	if (!near(cs, ss)) {
		printf("# %s: score %.17g, want %.17g\n", addr_text[a], ss, cs);
		return false;
	}
	remember_ttls(a);
	if (decided_how == 0)
		return true;
	if (!blockvalue_parse(
		value, strlen(value), now, BLOCKVALUE_ALONE, &b) ||
	    b.level != decided.level || b.rule != decided.rule ||
	    b.by != decided.by || b.strikes != decided.strikes ||
	    b.until != decided.until || b.since != decided.since ||
	    !near(b.score, decided.score)) {
		blockvalue_format(&decided, wanted);
		printf("# %s: '%s', want '%s'\n", addr_text[a], value, wanted);
		return false;
	}
	if (ttls &&
	    (fabs(ends[a][1] - decided.until) > 1 ||
		fabs(ends[a][0] - now - params.window) > 1)) {
		printf("# %s: TTLs to %.3f %.3f, want %.3f %.3f\n",
		    addr_text[a], ends[a][1], ends[a][0], decided.until,
		    now + params.window);
		return false;
	}
	return true;
}

static void
reset(double t)
{
	redisReply *r = kit_cmd("FLUSHALL");

	freeReplyObject(r);
	store_destroy(&em);
	blocklist_destroy(&view);
	view = blocklist_create();
	em = store_embedded_create(&params, 1000);
	store_set_sink(em, &sink, NULL, view);
	memset(ends, 0, sizeof(ends));
	memset(expired_at, 0, sizeof(expired_at));
	now = t;
	for (int i = 0; i < N_ADDR; i++)
		since_lift[i] = next_offset;
}

static void
lift(int a, bool forgive)
{
	redisReply *r;

	if (forgive)
		store_forgive(em, 1, &addrs[a]);
	else
		store_unblock(em, 1, &addrs[a]);
	store_poll(em, now, now - slack);
	arg_begin(RSCRIPT_LIFT);
	arg("%s", addr_text[a]);
	arg("%d", forgive);
	arg("mx1");
	r = arg_call();
	freeReplyObject(r);
	since_lift[a] = next_offset;
	remember_ttls(a);
}

static void
random_hit(struct hit *h, int a, double t)
{
	static const char *const rules[] = { "auth", "helo", "user unknown" };

	memset(h, 0, sizeof(*h));
	h->addr = addrs[a];
	h->t = t;
	h->weight = rnd() < 0.1 ? -rnd() * 10 : floor(rnd() * 40) / 7;
	h->rule = name_intern_str(rules[(int)(rnd() * 3)]);
	h->epoch = 1 + (uint64_t)(rnd() * 3);
	h->offset = next_offset++;
	if (rnd() < 0.05 && h->offset > since_lift[a] + 20)
		h->offset -= 20; /* read again, perhaps */
}

/* The clock runs; lines come late by a little. */
static void
test_live(unsigned long long with)
{
	int n, bad = 0, blocks = 0;

	seed = with;
	slack = 600;
	reset(1.7e9 + 0.25);
	for (n = 0; n < 1500 && bad == 0; n++) {
		int a = (int)(rnd() * N_ADDR);
		double p = rnd(), t;
		struct hit h;

		pass(p < 0.6 ? rnd() : p < 0.97 ? rnd() * 90 : rnd() * 4000);
		t = now;
		if (rnd() < 0.2 && now - expired_at[a] > 10)
			t -= rnd() * 4;
		if (rnd() < 0.01)
			lift(a, rnd() < 0.5);
		random_hit(&h, a, t);
		bad += !both(a, &h, true);
		blocks += decided_how != 0;
	}
	ok(bad == 0 && blocks > 50,
	    "live, seed %llu: %d hits, %d blocks are the same", with, n,
	    blocks);
}

/* A log of long ago is read: blocks begin and end in the past. */
static void
test_past(unsigned long long with)
{
	double t = 1.7e9, memory = params.repeat.memory;
	int n, bad = 0, blocks = 0;

	seed = with;
	slack = 1e9;
	params.repeat.memory = 1e7;
	reset(1.7e9 + 200000);
	for (n = 0; n < 1500 && bad == 0; n++) {
		int a = (int)(rnd() * N_ADDR);
		struct hit h;

		t += rnd() < 0.97 ? rnd() * 20 : rnd() * 3000;
		random_hit(&h, a, fmin(t, now));
		bad += !both(a, &h, false);
		blocks += decided_how != 0;
	}
	ok(bad == 0 && blocks > 50,
	    "the past, seed %llu: %d hits, %d blocks are the same", with, n,
	    blocks);
	params.repeat.memory = memory;
}

/* Keys of other types, made by hand, stop nothing. */
static void
test_types(void)
{
	char value[BLOCKVALUE_MAX];
	struct hit h;

	reset(1.7e9);
	freeReplyObject(kit_cmd("SET %sscore:%s x", P, addr_text[0]));
	freeReplyObject(kit_cmd("SADD %sstrikes:%s x", P, addr_text[1]));
	freeReplyObject(kit_cmd("SADD %sblock:%s x", P, addr_text[1]));
	freeReplyObject(kit_cmd("SADD %sevents x", P));
	random_hit(&h, 0, now);
	is_int(script_hit(0, &h, value, sizeof(value)), 'e',
	    "a score that is no hash is told of");
	h.weight = 100;
	is_int(script_hit(1, &h, value, sizeof(value)), 'b',
	    "block and strikes of another type are replaced");
	ok(strncmp(value, "firewall score=100 rule=", 24) == 0,
	    "the value reads well: %s", value);
}

int
main(void)
{
	static const char *const names[] = { "defer", "reject", "firewall" };

	if (!kit_start()) {
		printf("1..0 # SKIP redis-server is not installed\n");
		return 0;
	}
	for (int i = 0; i < 3; i++) {
		levels[i].name = name_intern_str(names[i]);
		levels[i].threshold = (double[]){ 5, 10.5, 20 }[i];
		levels[i].duration = (double[]){ 120, 600.5, 5000 }[i];
	}
	params.host = name_intern_str("mx1");
	for (int i = 0; i < N_ADDR; i++)
		if (!addr_parse(addr_text[i], strlen(addr_text[i]), &addrs[i]))
			return 1;
	for (unsigned long long s = 1; s <= 4; s++)
		test_live(s);
	for (unsigned long long s = 11; s <= 13; s++)
		test_past(s);
	test_types();
	store_destroy(&em);
	blocklist_destroy(&view);
	names_destroy();
	return tap_done();
}
