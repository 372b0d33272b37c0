/*
 * control_verbs: the commands of the control server, one row each.
 *
 * An address stands for what it is scored under (an IPv6 address for its /64,
 * unless configured otherwise), so `show`, `block`, `unblock` and `forgive` of
 * a client's address concern what the offences of that client have led to. To
 * block exactly one address, write its length. The allow list takes addresses
 * as they are given.
 */
#include <stdio.h>
#include <string.h>

#include "policyd/daemon/control_int.h"

/* Fields in the order in which people read them. */
void
control_put_block(struct record_out *o, const struct block *b)
{
	char text[ADDR_STRLEN];

	record_str(o, "address", addr_format(&b->addr, text));
	record_str(o, "level", name_text(b->level));
	record_num(o, "score", b->score);
	record_str(o, "rule", name_text(b->rule));
	record_time(o, "since", b->since);
	record_time(o, "until", b->until);
	record_str(o, "by", name_text(b->by));
	record_num(o, "strikes", b->strikes);
}

void
control_put_rules(struct record_out *o, const struct score_info *info)
{
	record_object(o, "rules");
	for (size_t i = 0; i < info->n_rules && i < STORE_RULES_MAX; i++)
		record_member_num(o, "rules", name_text(info->rules[i].rule),
		    info->rules[i].count);
}

static void
control_put_info(struct record_out *o, const struct score_info *info)
{
	char text[ADDR_STRLEN];

	record_str(o, "address", addr_format(&info->addr, text));
	record_num(o, "score", info->score.score);
	record_time(o, "first", info->score.first);
	record_time(o, "last", info->score.last);
	record_num(o, "hits", info->hits);
	record_num(o, "strikes", info->strikes);
	control_put_rules(o, info);
}

/* The argument `address` into c->addr; answers when it is none. */
bool
control_get_addr(struct control_client *c, const struct record *req)
{
	const char *text = record_get_str(req, "address", NULL);

	if (text == NULL) {
		control_answer(c, "error", "an address is missing");
		return false;
	}
	if (!addr_parse(text, strlen(text), &c->addr)) {
		control_answer(
		    c, "error", "'%.64s' is not an IP address or prefix", text);
		return false;
	}
	c->scope = engine_scope(c->server->engine, &c->addr);
	return true;
}

/* The active block of exactly this address or prefix. */
bool
control_get_block(
    const struct control *s, const struct addr *a, struct block *out)
{
	return blocklist_get(engine_view(s->engine), a, out) &&
	    out->until > control_now(s);
}

/* The block that decides for this address; of a prefix, for all of it. */
bool
control_match_block(
    const struct control *s, const struct addr *a, struct block *out)
{
	return engine_match(s->engine, a, control_now(s), out);
}

static void control_help(struct control_client *c, const struct record *req);

static void
control_status(struct control_client *c, const struct record *req)
{
	struct control *s = c->server;
	struct record_out *o;

	(void)req;
	s->hooks->status(s->ctx, c);
	o = control_put(c, "control");
	record_num(o, "clients", (double)s->n_clients);
	record_num(o, "watchers", (double)s->n_watching);
	record_num(o, "lost", (double)s->lost);
	control_put_end(c);
	control_answer(c, "ok", "%s", "");
}

static void
control_list(struct control_client *c, const struct record *req)
{
	snprintf(
	    c->level, sizeof(c->level), "%s", record_get_str(req, "level", ""));
	control_start_listing(c);
}

static bool
control_list_more(struct control_client *c)
{
	const struct control *s = c->server;
	double now = control_now(s);
	struct block b;

	for (size_t n = 0; !control_full(c, n); n++) {
		if (!blocklist_next_entry(
			engine_view(s->engine), &c->cursor, &b))
			return false;
		if (b.until <= now)
			continue;
		if (c->level[0] != '\0' &&
		    strcmp(c->level, name_text(b.level)) != 0)
			continue;
		control_put_block(control_put(c, "block"), &b);
		control_put_end(c);
	}
	return true;
}

static void
control_top(struct control_client *c, const struct record *req)
{
	double n = record_get_num(req, "n", CONTROL_TOP_DEFAULT);

	if (!(n >= 1 && n <= CONTROL_TOP_MAX)) {
		control_answer(
		    c, "error", "the number must be 1 to %d", CONTROL_TOP_MAX);
		return;
	}
	engine_top(c->server->engine, control_pend(c), (size_t)n);
}

static void
control_top_info(struct control_client *c, const struct score_info *info)
{
	control_put_info(control_put(c, "score"), info);
	control_put_end(c);
}

/* The final record where the store's answer is all there is to say. */
void
control_finish(
    struct control_client *c, enum store_result result, const char *text)
{
	const char *said = text != NULL && text[0] != '\0' ? text : NULL;

	switch (result) {
	case STORE_OK:
		control_answer(c, "ok", "%s%s%s", c->text,
		    said != NULL && c->text[0] != '\0' ? ": " : "",
		    said != NULL ? said : "");
		return;
	case STORE_NOT_FOUND:
		control_answer(c, "no", "%s",
		    said != NULL ? said : "there is no such entry");
		return;
	case STORE_UNAVAILABLE:
		control_answer(c, "error", "%s",
		    said != NULL ? said : "the store is not available");
		return;
	}
}

static void
control_allow_list(struct control_client *c, const struct record *req)
{
	(void)req;
	control_start_listing(c);
}

static void
control_put_allow(
    struct control_client *c, const struct addr *a, const char *source)
{
	char text[ADDR_STRLEN];
	struct record_out *o = control_put(c, "allow");

	record_str(o, "address", addr_format(a, text));
	record_str(o, "source", source);
	control_put_end(c);
}

static bool
control_allow_more(struct control_client *c)
{
	const struct control *s = c->server;
	struct addr a;

	for (size_t n = 0; !control_full(c, n); n++) {
		if (c->cursor < s->conf->n_allow)
			control_put_allow(
			    c, &s->conf->allow[c->cursor++], "configuration");
		else if (engine_allow_next(s->engine, &c->extra_cursor, &a))
			control_put_allow(c, &a, "shared");
		else
			return false;
	}
	return true;
}

static void
control_watch(struct control_client *c, const struct record *req)
{
	control_start_watching(c, record_get_num(req, "offences", 0) != 0);
}

static void
control_reload(struct control_client *c, const struct record *req)
{
	struct control *s = c->server;
	struct errbuf err = { "" };

	(void)req;
	if (s->hooks->reload(s->ctx, &err) == 0)
		control_answer(c, "ok", "the configuration is reloaded");
	else
		control_answer(c, "error", "not reloaded: %s", err.text);
}

static const struct control_verb control_verbs[] = {
	{ "status", 0, 0, false, control_status, NULL, NULL, NULL,
	    "state of the daemon, its logs and its store" },
	{ "list", 0, 1, false, control_list, NULL, NULL, control_list_more,
	    "blocked addresses; level" },
	{ "top", 0, 1, false, control_top, control_top_info, control_finish,
	    NULL, "highest scores; n" },
	{ "show", 1, 1, false, control_show, NULL, control_show_finish, NULL,
	    "what is known about an address; address" },
	{ "block", 1, 4, true, control_block, NULL, control_finish, NULL,
	    "block by hand; address, level, duration, reason" },
	{ "unblock", 1, 1, true, control_unblock, NULL, control_unblock_finish,
	    NULL, "lift a block and forget its score; address, or all" },
	{ "forgive", 1, 1, true, control_forgive, NULL, control_forgive_finish,
	    NULL, "lift a block, forget score and strikes; address" },
	{ "allow-add", 1, 1, true, control_allow_add, NULL,
	    control_allow_finish, NULL, "add to the allow list; address" },
	{ "allow-del", 1, 1, true, control_allow_del, NULL,
	    control_allow_finish, NULL, "remove from the allow list; address" },
	{ "allow-list", 0, 0, false, control_allow_list, NULL, NULL,
	    control_allow_more, "both allow lists" },
	{ "watch", 0, 1, false, control_watch, NULL, NULL, NULL,
	    "events as they happen; offences" },
	{ "reload", 0, 0, true, control_reload, NULL, NULL, NULL,
	    "read the configuration again" },
	{ "firewall-check", 0, 0, true, control_firewall_check, NULL, NULL,
	    NULL, "are the firewall's rules and sets all there?" },
	{ "firewall-repair", 0, 0, true, control_firewall_repair, NULL, NULL,
	    NULL, "make what is missing of them" },
	{ "help", 0, 0, false, control_help, NULL, NULL, NULL,
	    "these commands" },
};

#define CONTROL_NVERBS (sizeof(control_verbs) / sizeof(control_verbs[0]))

static void
control_help(struct control_client *c, const struct record *req)
{
	(void)req;
	for (size_t i = 0; i < CONTROL_NVERBS; i++) {
		struct record_out *o = control_put(c, "command");

		record_str(o, "name", control_verbs[i].name);
		record_bool(o, "writes", control_verbs[i].writes);
		record_str(o, "help", control_verbs[i].help);
		control_put_end(c);
	}
	control_answer(c, "ok", "%s", "");
}

const struct control_verb *
control_verb_find(const char *name)
{
	for (size_t i = 0; i < CONTROL_NVERBS; i++)
		if (strcmp(control_verbs[i].name, name) == 0)
			return &control_verbs[i];
	return NULL;
}
