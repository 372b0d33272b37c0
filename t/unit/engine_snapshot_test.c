/*
 * What engine and store keep over a restart: feeding half of a log, saving,
 * loading into a new engine and feeding the rest is the same as feeding it at
 * once. And sources: positions, marks, connections.
 */
#include <unistd.h>

#include "lib/core/attempt.h"
#include "lib/core/snapshot.h"
#include "t/unit/enginekit.h"
#include "t/unit/rnd.h"

#define STEPS 1500
#define ADDRESSES 300

static char path[] = "/tmp/engine_snapshot_test.XXXXXX";

static void
save(struct kit *k)
{
	struct errbuf err = { "" };
	struct snapshot_writer *w = snapshot_writer_create(path, &err);

	engine_save_sources(k->engine, w);
	store_save(k->store, w);
	if (snapshot_writer_commit(&w, &err) != 0)
		ok(false, "save: %s", err.text);
}

static void
load(struct kit *k)
{
	struct snapshot_reader *r;
	struct errbuf err = { "" };
	uint8_t section;

	if (snapshot_reader_open(path, &r, &err) != SNAPSHOT_OK) {
		ok(false, "load: %s", err.text);
		return;
	}
	while ((section = snapshot_next_section(r)) != SNAPSHOT_END)
		if (section == SNAPSHOT_SOURCES)
			engine_load_sources(k->engine, r);
		else if (!store_load(k->store, r, section))
			ok(false, "unknown section %u", section);
	if (snapshot_failed(r))
		ok(false, "the snapshot is read to its end");
	snapshot_reader_destroy(&r);
}

/* The store of these tests is small, so that scores make room for others. */
static struct kit *
small_kit(void)
{
	struct kit *k = kit_open();

	engine_destroy(&k->engine);
	store_destroy(&k->store);
	k->store = store_embedded_create(NULL, 200);
	k->engine = engine_create(&k->conf, k->store, &kit_events, k);
	return k;
}

/* --- the same steps for any engine --- */

struct step {
	unsigned kind, addr, pid, ticket;
	double t;
};

static struct step steps[STEPS];

static void
steps_make(void)
{
	double t = 0;

	for (unsigned i = 0; i < STEPS; i++) {
		t += rnd_below(40) ? rnd_below(8) : rnd_below(3000);
		steps[i] = (struct step){ .kind = rnd_below(40),
			.addr =
			    rnd_below(3) ? rnd_below(12) : rnd_below(ADDRESSES),
			.pid = rnd_below(6),
			.ticket = i,
			.t = t };
	}
}

static const char *
address(unsigned n)
{
	static char text[ADDR_STRLEN];

	if (n % 4 == 3)
		snprintf(text, sizeof(text), "2001:db8:%x::%x", n, n);
	else
		snprintf(text, sizeof(text), "192.0.%u.%u", n / 200, n % 200);
	return text;
}

static void
step_line(struct kit *k, const struct step *s)
{
	static const char *const forms[] = { "fail from a[%s]",
		"lost from a[%s]", "disconnect from a[%s] auth=0/2",
		"disconnect from a[%s] auth=1/3", "disconnect from a[%s]",
		"fault from a[%s]", "login from a[%s]",
		"NOQUEUE: reject: RCPT from a[%s]: 554 5.7.1 <x>: Relay access "
		"denied;",
		"ABCDE%s: no such user", "ABCDE7: from a[%s]",
		"NOQUEUE: reject: CONNECT from a[%s]: 554 5.7.1 <a[::1]>: "
		"Client host rejected: x [mxw]; proto=SMTP" };
	const char *form = forms[s->kind % 11], *at = strstr(form, "%s");
	char msg[300];

	snprintf(msg, sizeof(msg), "%.*s%s%s", (int)(at - form), form,
	    s->kind % 11 == 8 ? "7" : address(s->addr), at + 2);
	kit_feed(k, s->t, s->pid, msg);
}

static void
step_do(struct kit *k, const struct step *s)
{
	struct addr a = kit_addr(address(s->addr));
	struct block b = { .addr = a,
		.since = BASE + s->t,
		.until = BASE + s->t + 1000.25 + s->addr,
		.level = name_intern_str("reject"),
		.rule = name_intern_str("by-hand"),
		.by = name_intern_str("mx1") };

	switch (s->kind) {
	case 33:
		engine_block(k->engine, s->ticket, &b);
		break;
	case 34:
		engine_unblock(k->engine, s->ticket, &a);
		break;
	case 35:
		engine_forgive(k->engine, s->ticket, &a);
		break;
	case 36:
		engine_allow(k->engine, s->ticket, &a, s->addr % 2);
		break;
	case 37:
		engine_fetch(k->engine, s->ticket, &a);
		break;
	case 38:
		engine_top(k->engine, s->ticket, 5);
		break;
	case 39:
		if (s->addr == 7)
			engine_unblock_all(k->engine, s->ticket);
		break;
	default:
		step_line(k, s);
		return;
	}
	while (engine_tick(k->engine, BASE + s->t))
		;
}

static int
compare_lines(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The lines of what happened, sorted: what expires at the same time may do so
 * in any order. */
static char *
sorted(char *text)
{
	char **lines = calloc(strlen(text) + 1, sizeof(char *)), *out, *p;
	size_t n = 0;

	out = calloc(1, strlen(text) + 2);
	if (lines == NULL || out == NULL)
		exit(1);
	for (p = strtok(text, "\n"); p != NULL; p = strtok(NULL, "\n"))
		lines[n++] = p;
	qsort(lines, n, sizeof(char *), compare_lines);
	p = out;
	for (size_t i = 0; i < n; i++)
		p += sprintf(p, "%s\n", lines[i]);
	free(lines);
	return out;
}

/* Everything that can be asked of it, at the end. */
static void
dump(struct kit *k, double t)
{
	struct block b;
	size_t cursor = 0;
	struct addr a;

	for (unsigned i = 0; i < ADDRESSES; i++) {
		a = kit_addr(address(i));
		engine_fetch(k->engine, 10000 + i, &a);
	}
	engine_top(k->engine, 9999, 100);
	while (engine_tick(k->engine, BASE + t))
		;
	while (blocklist_next_entry(engine_view(k->engine), &cursor, &b))
		kit_blocked(k, &b, STORE_LOADED);
	cursor = 0;
	while (engine_allow_next(k->engine, &cursor, &a)) {
		char text[ADDR_STRLEN];

		kit_log(k, "allowed %s\n", addr_format(&a, text));
	}
	kit_log(k, "attempts %zu\n", attempts_count(source_attempts(k->src)));
}

static void
test_round_trip(void)
{
	for (int round = 0; round < 6; round++) {
		struct kit *once = small_kit(), *half = small_kit();
		struct kit *rest = small_kit();
		unsigned cut = rnd_below(STEPS), same = 0;
		struct logpos pos;
		char *a, *b;

		steps_make();
		kit_source(once);
		kit_source(half);
		for (unsigned i = 0; i < cut; i++) {
			step_do(once, &steps[i]);
			step_do(half, &steps[i]);
		}
		pos = *source_position(half->src);
		pos.offset = half->offset;
		source_set_position(half->src, &pos);
		save(half);
		load(rest);
		kit_source(rest);
		rest->offset = source_position(rest->src)->offset;
		is_int(rest->offset, half->offset, "where to go on");
		kit_forget(once);
		kit_forget(rest);
		for (unsigned i = cut; i < STEPS; i++) {
			step_do(once, &steps[i]);
			step_do(rest, &steps[i]);
		}
		dump(once, steps[STEPS - 1].t);
		dump(rest, steps[STEPS - 1].t);
		a = sorted(once->log);
		b = sorted(rest->log);
		while (a[same] != '\0' && a[same] == b[same])
			same++;
		if (!ok(strcmp(a, b) == 0 && strlen(a) > 1000,
			"cut at %u of %u: the same as at once", cut, STEPS))
			printf("#   got  %.200s\n#   want %.200s\n",
			    b + same - (same > 80 ? 80 : same),
			    a + same - (same > 80 ? 80 : same));
		free(a);
		free(b);
		kit_close(&once);
		kit_close(&half);
		kit_close(&rest);
	}
}

/* Saved, loaded, saved: the same bytes, whatever is in it. */
static void
test_stable(void)
{
	struct kit *k = kit_open(), *again = kit_open();
	char *first = NULL, *second = NULL;
	size_t len[2] = { 0, 0 }, room = 1000000;
	FILE *f;

	steps_make();
	kit_source(k);
	for (unsigned i = 0; i < STEPS; i++)
		if (steps[i].kind < 33) /* nothing is ever removed */
			step_do(k, &steps[i]);
	first = malloc(room);
	second = malloc(room);
	if (first == NULL || second == NULL)
		exit(1);
	save(k);
	f = fopen(path, "r");
	len[0] = fread(first, 1, room, f);
	fclose(f);
	load(again);
	save(again);
	f = fopen(path, "r");
	len[1] = fread(second, 1, room, f);
	fclose(f);
	ok(len[0] > 5000 && len[0] == len[1] &&
		memcmp(first, second, len[0]) == 0,
	    "the same bytes (%zu)", len[0]);
	free(first);
	free(second);
	kit_close(&k);
	kit_close(&again);
}

/* Logs that are not configured any more, and many of them. */
static void
test_sources(void)
{
	struct kit *k = kit_open(), *again = kit_open();
	struct logpos pos = { .epoch = 99,
		.base = 1000,
		.offset = 50,
		.dev = 1,
		.ino = 2,
		.head_hash = 3,
		.head_len = 4,
		.time = BASE };
	struct addr a = kit_addr("192.0.2.1");
	struct source *src;
	char name[32];

	for (int i = 0; i < 1100; i++) {
		snprintf(name, sizeof(name), "/log%d", i);
		src = engine_source_add(k->engine, name, kit_sets);
		pos.offset = (uint64_t)i;
		source_set_position(src, &pos);
	}
	engine_allow(k->engine, 1, &a, true);
	engine_tick(k->engine, BASE);
	save(k);
	load(again);
	src = engine_source_add(again->engine, "/log17", kit_sets);
	ok(source_position(src)->epoch == 99 &&
		source_position(src)->offset == 17 &&
		source_position(src)->ino == 2 &&
		source_position(src)->head_len == 4,
	    "a position");
	ok(!source_is_current(src), "is not current yet");
	ok(engine_is_allowed(again->engine, &a),
	    "more logs than are remembered do not hide what follows");
	engine_source_remove(again->engine, &src);
	save(again);
	kit_close(&k);
	k = kit_open();
	load(k);
	src = engine_source_add(k->engine, "/log17", kit_sets);
	is_int(source_position(src)->offset, 17,
	    "a log that was taken out keeps its position");
	src = engine_source_add(k->engine, "/new", kit_sets);
	ok(source_position(src)->epoch == 0 && source_position(src)->ino == 0,
	    "a new one has none");
	kit_close(&k);
	kit_close(&again);
}

/* Going back to a mark gives the same hits once more, with the connections of
 * then; over a restart as well. */
static void
test_mark(void)
{
	struct kit *k = kit_open(), *again = kit_open();
	struct logpos mark, end;
	struct store_status st;

	kit_source(k);
	kit_feed(k, 1, 10, "fail from a[192.0.2.1]");
	mark = *source_position(k->src);
	mark.offset = k->offset;
	source_set_position(k->src, &mark);
	ok(!source_has_mark(k->src), "no mark");
	source_mark(k->src, &mark);
	kit_feed(k, 2, 10, "lost from a[192.0.2.1]");
	kit_feed(k, 3, 10, "disconnect from a[192.0.2.1] auth=0/2");
	kit_feed(k, 4, 10, "lost from a[192.0.2.1]");
	kit_forget(k);
	end = mark;
	end.offset = k->offset;
	source_set_position(k->src, &end);
	save(k);
	load(again);
	kit_source(again);
	for (int i = 0; i < 2; i++) {
		struct kit *one = i == 0 ? k : again;

		if (i == 0)
			source_rewind(k->src, &end);
		is_int(source_position(one->src)->offset, mark.offset,
		    "back at the mark");
		ok(!source_has_mark(one->src), "which is gone");
		one->offset = mark.offset;
		kit_feed(one, 2, 10, "lost from a[192.0.2.1]");
		kit_feed(one, 3, 10, "disconnect from a[192.0.2.1] auth=0/2");
		kit_feed(one, 4, 10, "lost from a[192.0.2.1]");
		is_int(source_stats(one->src)->lines, i == 0 ? 4 : 0,
		    "lines that were read before are not counted again");
		kit_forget(one);
		kit_feed(one, 5, 10, "disconnect from a[192.0.2.1] auth=0/2");
		kit_expect(one,
		    "offence 192.0.2.1 t=5 total weight=2 attempts=1 /log\n",
		    "what is new is; the connection is known");
		store_status(one->store, &st);
		is_int(st.repeated, 2, "the hits were the same");
	}
	source_mark(k->src, &end);
	source_unmark(k->src);
	ok(!source_has_mark(k->src), "a mark that is given up");
	kit_close(&k);
	kit_close(&again);
}

int
main(void)
{
	int fd = mkstemp(path);

	close(fd);
	test_round_trip();
	test_stable();
	test_sources();
	test_mark();
	unlink(path);
	names_destroy();
	return tap_done();
}
