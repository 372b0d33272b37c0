/*
 * redis: what a Redis server, or what pretends to be one, says to the store.
 * The store, its view, its link and the parser are the real ones; the loop, the
 * clock and the system calls of resp.c are played here, so an input is the same
 * run each time.
 *
 * An input is one byte of options and then pieces, each ended by 0xff. The
 * first byte of a piece says what happens: 'c' the rest is what the command
 * connection receives, 's' the subscribed one, 'n' the sentinel; 'x' 'y' 'z'
 * end them; 't' time passes; the others call the store. Unless the options say
 * no, whatever is not EVALSHA is answered as Redis does, so that the bytes of
 * an input are replies of the scripts and what is pushed.
 *
 * However it goes: the view holds what can be in it, and each ticket is
 * answered once.
 */
#include <math.h>
#include <string.h>
#include <sys/random.h>

#include "lib/core/history.h"
#include "lib/core/log.h"
#include "lib/io/rsentinel.h"
#include "lib/io/store_redis.h"
#include "t/fuzz/fuzz.h"
#include "t/fuzz/redis_peer.h"

#define TICKETS 64
#define STEPS 400 /* callbacks after each piece */

enum option {
	NO_ANSWERS = 1,
	SENTINEL = 2,
	PASSWORD = 4,
	SMALL_PIECES = 8,
	NO_TRACKING = 16,
	SMALL_QUEUE = 32,
};

static struct level levels[2];
static struct store_params params = { .window = 600,
	.repeat = { 2, 86400, 86400 },
	.levels = levels,
	.n_levels = 2 };
static struct blocklist *view;
static unsigned asked, answered[TICKETS + 1];

/* The pause of a link is jittered; not here. */
ssize_t
getrandom(void *buf, size_t len, unsigned flags)
{
	(void)flags;
	memset(buf, 0, len);
	return (ssize_t)len;
}

static void
quiet(void *ctx, enum msg_level level, const char *text)
{
	(void)ctx;
	(void)level;
	(void)text;
}

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	log_set_sink(quiet, NULL);
	levels[0] = (struct level){
		.name = name_intern("defer", 5), .threshold = 5, .duration = 60
	};
	levels[1] = (struct level){ .name = name_intern("reject", 6),
		.threshold = 10,
		.duration = 600 };
	params.host = name_intern("mx1", 3);
	return 0;
}

/* --- The sink --------------------------------------------------------------
 */

static void
sink_blocked(void *ctx, const struct block *b, enum store_why why)
{
	(void)ctx;
	(void)why;
	must(isfinite(b->until) && isfinite(b->score) && b->addr.plen <= 128);
	must(b->level != 0);
	blocklist_set(view, b);
}

static void
sink_unblocked(void *ctx, const struct addr *a, enum store_why why)
{
	(void)ctx;
	(void)why;
	blocklist_del(view, a);
}

static void
sink_allowed(void *ctx, const struct addr *a, bool present)
{
	(void)ctx;
	(void)present;
	must(a->plen <= 128);
}

static void
sink_info(void *ctx, uint64_t ticket, const struct score_info *info)
{
	(void)ctx;
	must(ticket > 0 && ticket <= asked && answered[ticket] == 0);
	must(info->n_rules <= STORE_RULES_MAX);
}

static void
sink_line(void *ctx, uint64_t ticket, const struct history_line *line)
{
	(void)ctx;
	must(ticket > 0 && ticket <= asked && answered[ticket] == 0);
	must(line->len <= sizeof(line->text));
}

static void
sink_done(
    void *ctx, uint64_t ticket, enum store_result result, const char *text)
{
	(void)ctx;
	must(ticket > 0 && ticket <= asked && text != NULL);
	must(result <= STORE_UNAVAILABLE);
	answered[ticket]++;
	must(answered[ticket] == 1);
}

/* --- Pieces ----------------------------------------------------------------
 */

static struct addr
some_addr(const uint8_t *p, size_t len)
{
	char text[40];
	struct addr a;

	snprintf(text, sizeof(text),
	    len > 1 && (p[1] & 1) ? "2001:db8::%x" : "192.0.2.%u",
	    len > 0 ? p[0] : 1u);
	must(addr_parse(text, strlen(text), &a));
	return a;
}

static void
some_hits(struct store *s, const uint8_t *p, size_t len)
{
	static uint64_t offset;

	for (size_t i = 0; i < len && i < 600; i++) {
		struct hit h = { .addr = some_addr(p + i, 1),
			.t = peer_now(),
			.weight = (p[i] & 15) - 2,
			.rule = name_intern("postfix-auth-failed", 19),
			.epoch = 7,
			.offset = ++offset,
			.again = p[i] == 'A' };

		store_hit(s, &h);
	}
}

static void
by_hand(struct store *s, uint8_t what, const uint8_t *p, size_t len)
{
	struct addr a = some_addr(p, len);
	struct block b = { .addr = a,
		.until = peer_now() + 60,
		.since = peer_now(),
		.level = levels[0].name,
		.by = params.host };

	if (asked == TICKETS)
		return;
	asked++;
	switch (what) {
	case 'b':
		store_block(s, asked, &b);
		return;
	case 'u':
		store_unblock(s, asked, &a);
		return;
	case 'U':
		store_unblock_all(s, asked);
		return;
	case 'g':
		store_forgive(s, asked, &a);
		return;
	case 'a':
		store_allow(s, asked, &a, len > 1 && (p[1] & 2) != 0);
		return;
	case 'T':
		store_top(s, asked, len > 0 ? p[0] : 1);
		return;
	default:
		store_fetch(s, asked, &a);
		return;
	}
}

static void
run_piece(struct store *s, const uint8_t *p, size_t len)
{
	switch (p[0]) {
	case 'c':
	case 's':
	case 'n':
		peer_send(p[0], (const char *)p + 1, len - 1);
		break;
	case 'x':
	case 'y':
	case 'z':
		peer_close(p[0] == 'x' ? 'c' : p[0] == 'y' ? 's' : 'n');
		break;
	case 't':
		peer_pass_time();
		break;
	case 'h':
		some_hits(s, p + 1, len - 1);
		break;
	case 'w':
		store_flow(s, len > 1 ? p[1] & 3u : 3u);
		break;
	default:
		by_hand(s, p[0], p + 1, len - 1);
	}
}

static void
settle(struct store *s)
{
	struct store_status st;

	peer_run(STEPS);
	for (int i = 0; i < 10; i++)
		if (!store_poll(s, peer_now(), peer_now()))
			break;
	blocklist_expire(view, peer_now(), 1000, NULL, NULL);
	store_status(s, &st);
	must(memchr(st.detail, '\0', sizeof(st.detail)) != NULL);
	must(isfinite(st.lag));
}

static void
check_view(void)
{
	size_t cursor = 0;
	struct block b;

	while (blocklist_next_entry(view, &cursor, &b))
		must(isfinite(b.until) && name_text(b.level)[0] != '\0');
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct store_sink sink = { .blocked = sink_blocked,
		.unblocked = sink_unblocked,
		.allowed = sink_allowed,
		.info = sink_info,
		.line = sink_line,
		.done = sink_done };
	struct store_redis_options o = { .params = &params,
		.max_addresses = 1000,
		.link = { .prefix = "mxwarden:",
		    .user = "",
		    .password_file = "",
		    .timeout = 0.5 } };
	uint8_t options = size > 0 ? *data++ : 0;
	struct store *s;

	size -= size > 0;
	must(storeuri_parse((options & SENTINEL) != 0
		? "sentinel://m@192.0.2.1:26379,192.0.2.2:26379/1"
		: (options & PASSWORD) != 0 ? "redis://u:p@192.0.2.1:6379/2"
					    : "redis://192.0.2.1:6379/0",
	    &o.link.uri, NULL));
	o.queue = (options & SMALL_QUEUE) != 0 ? 2 * STORE_FLOW_HITS : 0;
	peer_reset((options & NO_ANSWERS) == 0, (options & NO_TRACKING) == 0,
	    (options & SMALL_PIECES) != 0 ? 1 : SIZE_MAX);
	asked = 0;
	memset(answered, 0, sizeof(answered));
	view = blocklist_create();
	s = store_redis_create(NULL, &o);
	store_set_sink(s, &sink, NULL, view);
	store_configure(s, &params);
	settle(s);
	while (size > 0) {
		const uint8_t *end = memchr(data, 0xff, size);
		size_t len = end != NULL ? (size_t)(end - data) : size;

		if (len > 0) {
			run_piece(s, data, len);
			settle(s);
			check_view();
		}
		len += end != NULL;
		data += len;
		size -= len;
	}
	/* Whoever still waits for an answer gets it when the link is lost. */
	peer_close('c');
	peer_close('s');
	settle(s);
	for (int i = 0; i < 4; i++)
		peer_pass_time();
	settle(s);
	if ((options & NO_ANSWERS) == 0)
		peer_answers(false);
	peer_close('c');
	peer_close('s');
	settle(s);
	/* Many questions at once take their turns on this host. */
	for (int i = 0; i < 100 * TICKETS; i++)
		if (!store_poll(s, peer_now(), peer_now()))
			break;
	for (unsigned i = 1; i <= asked; i++)
		must(answered[i] == 1);
	store_destroy(&s);
	blocklist_destroy(&view);
	peer_reset(false, false, 1);
	return 0;
}
