/*
 * control_change: the commands that change something: block, unblock, forgive,
 * allow. They check what can be checked without the store, hand the change to
 * the engine, and answer when the store has.
 */
#include <stdio.h>
#include <string.h>

#include "lib/core/num.h"
#include "policyd/daemon/control_int.h"

#define CONTROL_DURATION_MAX (3650.0 * 86400)

/* The level asked for, or the highest one that only refuses mail: the packet
 * filter is for those who ask for it. Answers and returns NULL if there is no
 * such level. */
static const struct level *
control_get_level(struct control_client *c, const struct record *req)
{
	const struct conf *conf = c->server->conf;
	const char *name = record_get_str(req, "level", NULL);
	const struct level *found = NULL;

	for (size_t i = 0; i < conf->n_levels; i++) {
		const struct level *l = &conf->levels[i];

		if (name != NULL ? strcmp(name, name_text(l->name)) == 0
				 : !l->firewall || found == NULL)
			found = l;
	}
	if (found == NULL)
		control_answer(c, "error", "no level '%.64s' is configured",
		    name != NULL ? name : "");
	return found;
}

static bool
control_check_block(struct control_client *c, double duration)
{
	const struct addr *a = &c->scope;
	char text[ADDR_STRLEN];

	if (engine_is_allowed(c->server->engine, &c->addr)) {
		control_answer(c, "error",
		    "%s is on the allow list: a block would have no effect",
		    addr_format(&c->addr, text));
		return false;
	}
	if (addr_prefix_len(a) < (addr_is_v4(a) ? 8u : 16u)) {
		control_answer(c, "error",
		    "%s is too wide: the widest prefixes are /8 for IPv4 and "
		    "/16 for IPv6",
		    addr_format(a, text));
		return false;
	}
	if (!(duration > 0 && duration <= CONTROL_DURATION_MAX)) {
		control_answer(c, "error",
		    "the duration must be more than 0 and at most 3650d");
		return false;
	}
	return true;
}

void
control_block(struct control_client *c, const struct record *req)
{
	struct control *s = c->server;
	const struct level *level;
	const char *reason = record_get_str(req, "reason", "manual");
	struct block b = { 0 };
	char addr[ADDR_STRLEN], left[NUM_DURATION_LEN];
	double duration;

	if (!control_get_addr(c, req))
		return;
	if (strchr(record_get_str(req, "address", ""), '/') != NULL)
		c->scope = c->addr;
	level = control_get_level(c, req);
	if (level == NULL)
		return;
	duration = record_get_num(req, "duration", level->duration);
	if (!control_check_block(c, duration))
		return;
	b.addr = c->scope;
	b.since = control_now(s);
	b.until = b.since + duration;
	b.level = level->name;
	b.rule = name_intern_str(reason);
	b.by = name_intern_str(s->conf->host);
	snprintf(c->text, sizeof(c->text), "%s is blocked at level %s for %s",
	    addr_format(&b.addr, addr), name_text(level->name),
	    num_format_duration(duration, left));
	engine_block(s->engine, control_pend(c), &b);
}

/* What the engine takes the address for: an entry of its own goes before its
 * scope. */
static void
control_set_target(struct control_client *c)
{
	struct block b;

	if (control_get_block(c->server, &c->addr, &b))
		c->scope = c->addr;
}

void
control_unblock(struct control_client *c, const struct record *req)
{
	struct control *s = c->server;
	char text[ADDR_STRLEN];

	if (record_get_num(req, "all", 0) != 0) {
		c->all = true;
		snprintf(c->text, sizeof(c->text), "all blocks are lifted");
		engine_unblock_all(s->engine, control_pend(c));
		return;
	}
	if (!control_get_addr(c, req))
		return;
	control_set_target(c);
	snprintf(c->text, sizeof(c->text), "%s is unblocked",
	    addr_format(&c->scope, text));
	engine_unblock(s->engine, control_pend(c), &c->addr);
}

void
control_unblock_finish(
    struct control_client *c, enum store_result result, const char *said)
{
	char text[ADDR_STRLEN], wide[ADDR_STRLEN];
	struct block b;
	bool held;

	if (result == STORE_NOT_FOUND && c->all) {
		control_answer(c, "no", "nothing is blocked");
		return;
	}
	addr_format(&c->scope, text);
	held = !c->all && control_match_block(c->server, &c->addr, &b) &&
	    !addr_equal(&b.addr, &c->scope);
	if (held)
		addr_format(&b.addr, wide);
	if (result == STORE_NOT_FOUND && held)
		control_answer(c, "no",
		    "%s itself is not blocked, but %s is, which holds it: "
		    "unblock that",
		    text, wide);
	else if (result == STORE_NOT_FOUND)
		control_answer(c, "no", "%s is not blocked", text);
	else if (result == STORE_OK && held)
		control_answer(c, "ok",
		    "%s is unblocked, but %s is not, which holds it", text,
		    wide);
	else
		control_finish(c, result, said);
}

void
control_forgive(struct control_client *c, const struct record *req)
{
	char text[ADDR_STRLEN];

	if (!control_get_addr(c, req))
		return;
	control_set_target(c);
	snprintf(c->text, sizeof(c->text),
	    "%s is unblocked, its score and strikes are forgotten",
	    addr_format(&c->scope, text));
	engine_forgive(c->server->engine, control_pend(c), &c->addr);
}

void
control_forgive_finish(
    struct control_client *c, enum store_result result, const char *said)
{
	char text[ADDR_STRLEN];

	if (result == STORE_NOT_FOUND)
		control_answer(c, "no", "nothing is known about %s",
		    addr_format(&c->scope, text));
	else
		control_finish(c, result, said);
}

static void
control_allow(struct control_client *c, const struct record *req, bool present)
{
	char text[ADDR_STRLEN];

	if (!control_get_addr(c, req))
		return;
	snprintf(c->text, sizeof(c->text), "%s is %s the shared allow list",
	    addr_format(&c->addr, text), present ? "on" : "removed from");
	engine_allow(c->server->engine, control_pend(c), &c->addr, present);
}

void
control_allow_add(struct control_client *c, const struct record *req)
{
	control_allow(c, req, true);
}

void
control_allow_del(struct control_client *c, const struct record *req)
{
	control_allow(c, req, false);
}

void
control_allow_finish(
    struct control_client *c, enum store_result result, const char *said)
{
	const struct conf *conf = c->server->conf;
	char text[ADDR_STRLEN];

	if (result != STORE_NOT_FOUND) {
		control_finish(c, result, said);
		return;
	}
	addr_format(&c->addr, text);
	for (size_t i = 0; i < conf->n_allow; i++) {
		if (!addr_equal(&conf->allow[i], &c->addr))
			continue;
		control_answer(c, "no",
		    "%s is in the configuration's allow list, not in the "
		    "shared one: edit %s and reload",
		    text, conf->file);
		return;
	}
	control_answer(c, "no", "%s is not on the shared allow list", text);
}
