/*
 * report: see report.h.
 */
#include "policyd/daemon/report.h"

#include <stdio.h>
#include <string.h>

#include "lib/core/json.h"
#include "lib/core/log.h"
#include "lib/core/num.h"
#include "policyd/daemon/output.h"

/* Addresses whose repeats are known; another one in the same place begins
 * anew. A power of two. */
#define REPORT_SLOTS 256

struct report_slot {
	struct addr addr;
	struct loglimit limit;
};

struct report_change {
	const char *event;
	const struct block *block;
	const char *reason;
	unsigned long held; /* lines left out */
};

static struct report_slot report_slots[2][REPORT_SLOTS];

const char *
report_why(enum store_why why)
{
	static const char *const words[] = {
		[STORE_DECIDED] = "decided",
		[STORE_RAISED] = "raised",
		[STORE_MANUAL] = "manual",
		[STORE_SHARED] = "shared",
		[STORE_LOADED] = "loaded",
		[STORE_EXPIRED] = "expired",
	};

	return words[why];
}

static bool
report_pass(
    const struct addr *a, bool blocked, double now, unsigned long *held_r)
{
	struct report_slot *slot;
	unsigned h = a->plen;

	for (size_t i = 0; i < sizeof(a->b); i++)
		h = h * 31 + a->b[i];
	slot = &report_slots[blocked][(h ^ h >> 8) % REPORT_SLOTS];
	if (memcmp(&slot->addr, a, sizeof(*a)) != 0) {
		memset(slot, 0, sizeof(*slot));
		slot->addr = *a;
	}
	return loglimit_pass(&slot->limit, now, held_r);
}

static void
offence_fields(struct json *j, const void *ctx)
{
	const struct offence *o = ctx;
	char addr[ADDR_STRLEN];

	json_str(j, "event", "offence");
	json_str(j, "address", addr_format(&o->addr, addr));
	json_str(j, "rule", name_text(o->rule->name));
	json_num(j, "weight", o->weight);
	json_num(j, "attempts", o->attempts);
	json_str(j, "log", o->source);
}

void
report_offence(const struct offence *o)
{
	char addr[ADDR_STRLEN], weight[NUM_SCORE_LEN], text[1024];

	if (log_level() > MSG_INFO)
		return;
	snprintf(text, sizeof(text),
	    "offence %s rule=%s weight=%s attempts=%u log=%s",
	    addr_format(&o->addr, addr), name_text(o->rule->name),
	    num_format_score(o->weight, weight), o->attempts, o->source);
	output_event(MSG_INFO, text, offence_fields, o);
}

static void
change_fields(struct json *j, const void *ctx)
{
	const struct report_change *c = ctx;
	const struct block *b = c->block;
	char addr[ADDR_STRLEN];

	json_str(j, "event", c->event);
	json_str(j, "address", addr_format(&b->addr, addr));
	json_str(j, "level", name_text(b->level));
	json_num(j, "score", b->score);
	json_str(j, "rule", name_text(b->rule));
	json_str(j, "host", name_text(b->by));
	json_time(j, "until", b->until);
	json_num(j, "strikes", b->strikes);
	json_str(j, "reason", c->reason);
	if (c->held > 0)
		json_num(j, "held", (double)c->held);
}

static void
report_change(
    const char *event, const struct block *b, enum store_why why, double now)
{
	struct report_change c = {
		.event = event, .block = b, .reason = report_why(why)
	};
	char addr[ADDR_STRLEN], score[NUM_SCORE_LEN], until[NUM_TIME_LEN];
	char held[64] = "", text[1024];

	if (log_level() > MSG_NOTICE ||
	    !report_pass(&b->addr, event[0] == 'b', now, &c.held))
		return;
	if (c.held > 0)
		snprintf(held, sizeof(held), " (%lu more like this)", c.held);
	snprintf(text, sizeof(text),
	    "%s %s level=%s score=%s rule=%s host=%s until=%s strikes=%u "
	    "reason=%s%s",
	    event, addr_format(&b->addr, addr), name_text(b->level),
	    num_format_score(b->score, score), name_text(b->rule),
	    name_text(b->by), num_format_time(b->until, until), b->strikes,
	    c.reason, held);
	output_event(MSG_NOTICE, text, change_fields, &c);
}

void
report_blocked(const struct block *b, enum store_why why, double now)
{
	if (why != STORE_LOADED && why != STORE_EXPIRED)
		report_change("blocked", b, why, now);
}

void
report_unblocked(const struct block *b, enum store_why why, double now)
{
	report_change("unblocked", b, why, now);
}
