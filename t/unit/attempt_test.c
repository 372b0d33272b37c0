/* attempt: each, once, total; ends; forgetting; against a plain list. */
#include "lib/core/attempt.h"

#include <stdlib.h>

#include "t/unit/rnd.h"
#include "t/unit/tap.h"

/* A key; borrowed until the next few calls. */
static struct attempt_key *
key(uint64_t pid, name_id evidence)
{
	static struct attempt_key keys[4];
	static unsigned n;
	struct attempt_key k;

	memset(&k, 0, sizeof(k));
	k.pid = pid;
	k.program = 7;
	k.evidence = evidence;
	if (!addr_parse("192.0.2.1", 9, &k.addr))
		ok(false, "test address");
	n = (n + 1) % 4;
	keys[n] = k;
	return &keys[n];
}

static void
test_counts(void)
{
	struct attempts *at = attempts_create();
	struct attempt_key a = *key(100, 1), b = *key(100, 2),
			   other = *key(101, 1);
	struct attempt_key prog = *key(100, 1), addr = *key(100, 1);

	prog.program = 8;
	addr.addr.b[15] = 2;
	/* Three failures, then lost, then auth=0/3: three attempts. */
	is_int(attempts_add(at, &a, RULE_COUNTS_EACH, 1, 0), 1, "a failure");
	is_int(attempts_add(at, &a, RULE_COUNTS_EACH, 1, 0), 1, "another");
	is_int(attempts_add(at, &a, RULE_COUNTS_EACH, 1, 0), 1, "a third");
	is_int(attempts_add(at, &a, RULE_COUNTS_ONCE, 1, 0), 0, "lost: known");
	is_int(attempts_add(at, &a, RULE_COUNTS_TOTAL, 3, 0), 0,
	    "disconnect with 3: known");
	is_int(attempts_add(at, &a, RULE_COUNTS_TOTAL, 5, 0), 2,
	    "with 5: two more");
	is_int(attempts_add(at, &a, RULE_COUNTS_TOTAL, 5, 0), 0, "again");
	is_int(attempts_add(at, &a, RULE_COUNTS_TOTAL, 2, 0), 0,
	    "fewer than known");
	is_int(attempts_add(at, &b, RULE_COUNTS_ONCE, 1, 0), 1,
	    "other evidence counts by itself");
	is_int(attempts_add(at, &b, RULE_COUNTS_ONCE, 1, 0), 0, "once");
	is_int(
	    attempts_add(at, &other, RULE_COUNTS_ONCE, 1, 0), 1, "another pid");
	is_int(attempts_add(at, &prog, RULE_COUNTS_ONCE, 1, 0), 1,
	    "another program");
	is_int(attempts_add(at, &addr, RULE_COUNTS_ONCE, 1, 0), 1,
	    "another address");
	is_int(attempts_count(at), 5, "five are known");
	/* The end takes all evidence of this connection and no other. */
	a.evidence = 99;
	attempts_end(at, &a);
	is_int(attempts_count(at), 3, "the end of one connection");
	is_int(attempts_add(at, &b, RULE_COUNTS_ONCE, 1, 0), 1,
	    "the pid is used again");
	is_int(attempts_add(at, &other, RULE_COUNTS_ONCE, 1, 0), 0,
	    "others go on");
	attempts_end(at, key(55, 1));
	/* A line that syslog repeated. */
	is_int(attempts_add(at, key(200, 1), RULE_COUNTS_EACH, 4, 0), 4,
	    "four at once");
	is_int(attempts_add(at, key(200, 1), RULE_COUNTS_TOTAL, 6, 0), 2,
	    "of six");
	is_int(attempts_add(at, key(201, 1), RULE_COUNTS_ONCE, 4, 0), 1,
	    "once is once");
	attempts_destroy(&at);
	attempts_destroy(&at);
	ok(at == NULL, "destroyed");
}

static void
test_refused(void)
{
	struct attempts *at = attempts_create();
	struct attempt_key a = *key(100, 1), b = *key(101, 1);

	is_int(attempts_add(at, &a, RULE_COUNTS_EACH, 1, 0), 1, "a failure");
	attempts_refuse(at, &a, 0);
	attempts_refuse(at, &a, 0);
	is_int(attempts_count(at), 2, "marked once");
	is_int(attempts_add(at, &a, RULE_COUNTS_ONCE, 1, 0), 0,
	    "what counts once is the refusal's doing");
	is_int(attempts_add(at, &a, RULE_COUNTS_TOTAL, 9, 0), 0,
	    "so is the summary");
	is_int(attempts_add(at, &a, RULE_COUNTS_EACH, 2, 0), 2,
	    "what counts each time still does");
	a.evidence = 0;
	is_int(attempts_add(at, &a, RULE_COUNTS_EACH, 1, 0), 1,
	    "also without evidence");
	is_int(attempts_add(at, &a, RULE_COUNTS_TOTAL, 3, 0), 0,
	    "the summary without evidence does not");
	is_int(attempts_add(at, &b, RULE_COUNTS_ONCE, 1, 0), 1,
	    "another connection does");
	b.evidence = 0;
	is_int(attempts_add(at, &b, RULE_COUNTS_TOTAL, 3, 0), 3,
	    "without evidence it stands alone");
	is_int(attempts_count(at), 3, "and leaves nothing");
	attempts_end(at, &a);
	a.evidence = 1;
	is_int(attempts_add(at, &a, RULE_COUNTS_ONCE, 1, 0), 1,
	    "the next connection of that pid");
	attempts_destroy(&at);
}

static void
test_idle(void)
{
	struct attempts *at = attempts_create();
	struct attempt_key a = *key(1, 1), b = *key(2, 1);

	attempts_add(at, &a, RULE_COUNTS_ONCE, 1, 1000);
	is_int(attempts_add(at, &b, RULE_COUNTS_ONCE, 1, 1000 + ATTEMPT_IDLE),
	    1, "an hour later");
	is_int(attempts_count(at), 2, "it is still known");
	is_int(attempts_add(at, &a, RULE_COUNTS_ONCE, 1, 1000 + ATTEMPT_IDLE),
	    0, "and touched");
	is_int(attempts_add(
		   at, key(3, 1), RULE_COUNTS_ONCE, 1, 1001 + 2 * ATTEMPT_IDLE),
	    1, "later still");
	is_int(attempts_count(at), 1, "both are forgotten");
	is_int(
	    attempts_add(at, &a, RULE_COUNTS_ONCE, 1, 1001 + 2 * ATTEMPT_IDLE),
	    1, "and count anew");
	/* A line from long ago forgets nothing that is newer. */
	is_int(attempts_add(at, &b, RULE_COUNTS_ONCE, 1, 5), 1, "an old line");
	is_int(attempts_count(at), 3, "the others stay");
	attempts_destroy(&at);
}

static void
test_full(void)
{
	struct attempts *at = attempts_create();

	for (unsigned i = 0; i < ATTEMPT_MAX; i++)
		attempts_add(at, key(i, 1), RULE_COUNTS_ONCE, 1, i * 0.01);
	is_int(attempts_count(at), ATTEMPT_MAX, "full");
	is_int(attempts_add(at, key(0, 1), RULE_COUNTS_ONCE, 1, 1000), 0,
	    "the oldest one is touched");
	is_int(attempts_add(at, key(ATTEMPT_MAX, 1), RULE_COUNTS_ONCE, 1, 1000),
	    1, "one more");
	is_int(attempts_count(at), ATTEMPT_MAX, "the bound holds");
	is_int(attempts_add(at, key(0, 1), RULE_COUNTS_ONCE, 1, 1000), 0,
	    "the touched one is still known");
	is_int(attempts_add(at, key(1, 1), RULE_COUNTS_ONCE, 1, 1000), 1,
	    "the next oldest made room");
	attempts_destroy(&at);
}

/* --- against a list --- */

#define MODEL_MAX 4000

struct known {
	struct attempt_key key;
	unsigned count;
	double t;
};

static struct known list[MODEL_MAX]; /* oldest touch first */
static size_t list_n;

static void
list_remove(size_t i)
{
	memmove(&list[i], &list[i + 1], (list_n - i - 1) * sizeof(list[0]));
	list_n--;
}

static bool
same(const struct attempt_key *a, const struct attempt_key *b, bool evidence)
{
	return a->pid == b->pid && a->program == b->program &&
	    addr_equal(&a->addr, &b->addr) &&
	    (!evidence || a->evidence == b->evidence);
}

/* Takes the entry out, or gives an empty one. */
static bool
list_take(const struct attempt_key *k, struct known *out)
{
	*out = (struct known){ *k, 0, 0 };
	for (size_t i = 0; i < list_n; i++)
		if (same(&list[i].key, k, true)) {
			*out = list[i];
			list_remove(i);
			return true;
		}
	return false;
}

static void
list_put(struct known e, double t)
{
	e.t = t;
	list[list_n++] = e;
}

static unsigned
list_add(
    const struct attempt_key *k, enum rule_counts counts, unsigned n, double t)
{
	struct attempt_key mark = *k;
	struct known e;
	unsigned add = n;

	while (list_n > 0 && list[0].t < t - ATTEMPT_IDLE)
		list_remove(0);
	mark.evidence = 0;
	if (counts != RULE_COUNTS_EACH && list_take(&mark, &e)) {
		list_put(e, t);
		return 0;
	}
	if (k->evidence == 0)
		return counts == RULE_COUNTS_ONCE ? 1 : n;
	list_take(k, &e);
	if (counts == RULE_COUNTS_ONCE)
		add = e.count == 0 ? 1 : 0;
	if (counts == RULE_COUNTS_TOTAL)
		add = n > e.count ? n - e.count : 0;
	e.count += add;
	list_put(e, t);
	return add;
}

static void
list_refuse(const struct attempt_key *k, double t)
{
	struct attempt_key mark = *k;
	struct known e;

	mark.evidence = 0;
	while (list_n > 0 && list[0].t < t - ATTEMPT_IDLE)
		list_remove(0);
	list_take(&mark, &e);
	list_put(e, t);
}

struct walk {
	size_t at;
	unsigned wrong;
};

static void
compare(void *ctx, const struct attempt_key *k, unsigned count, double t)
{
	struct walk *w = ctx;

	w->wrong += w->at >= list_n || !same(k, &list[w->at].key, true) ||
	    count != list[w->at].count || t != list[w->at].t;
	w->at++;
}

static void
copy(void *ctx, const struct attempt_key *k, unsigned count, double t)
{
	attempts_restore(ctx, k, count, t);
}

static void
taken(void *ctx, const struct attempt_key *k, unsigned count, double t)
{
	struct walk *w = ctx;

	(void)t;
	w->at++;
	for (size_t i = 0; i < list_n; i++)
		if (same(&list[i].key, k, true) && list[i].count == count)
			return;
	w->wrong++;
}

static unsigned
end_step(struct attempts *at, const struct attempt_key *k)
{
	struct walk w = { 0, 0 };
	size_t n = 0;

	if (rnd_below(2))
		attempts_take(at, k, taken, &w);
	else
		attempts_end(at, k);
	for (size_t i = list_n; i-- > 0;)
		if (same(&list[i].key, k, false)) {
			list_remove(i);
			n++;
		}
	return w.wrong + (w.at != 0 && w.at != n);
}

static void
test_model(void)
{
	struct attempts *at = attempts_create(), *second;
	unsigned wrong = 0;
	struct walk w = { 0, 0 };
	double t = 1e9;

	for (int i = 0; i < 60000; i++) {
		struct attempt_key k =
		    *key(rnd_below(300), (name_id)rnd_below(3));
		enum rule_counts counts = (enum rule_counts)rnd_below(3);
		unsigned n = 1 + rnd_below(4);

		k.program = (name_id)rnd_below(2);
		k.addr.b[15] = (uint8_t)rnd_below(3);
		t += rnd_below(2000) == 0 ? 3000 : rnd_below(6);
		if (rnd_below(6) == 0) {
			wrong += end_step(at, &k);
			continue;
		}
		if (rnd_below(20) == 0) {
			attempts_refuse(at, &k, t);
			list_refuse(&k, t);
			continue;
		}
		if (rnd_below(20) == 0) {
			double old = t - rnd_below(5000);

			wrong += attempts_add(at, &k, counts, n, old) !=
			    list_add(&k, counts, n, old);
			continue;
		}
		wrong += attempts_add(at, &k, counts, n, t) !=
		    list_add(&k, counts, n, t);
		wrong += attempts_count(at) != list_n;
	}
	is_int(wrong, 0, "as a list, searched from end to end");
	attempts_each(at, compare, &w);
	ok(w.wrong == 0 && w.at == list_n, "each: oldest first (%zu)", w.at);
	second = attempts_create();
	attempts_each(at, copy, second);
	w.at = 0;
	attempts_each(second, compare, &w);
	ok(w.wrong == 0 && w.at == list_n, "restored: the same");
	attempts_destroy(&second);
	attempts_destroy(&at);
}

int
main(void)
{
	test_counts();
	test_refused();
	test_idle();
	test_full();
	test_model();
	return tap_done();
}
