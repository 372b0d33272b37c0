/*
 * control_events: what `watch` shows, as it happens.
 *
 * An event is made into a record once and written to every watcher. A watcher
 * with more than CONTROL_BACKLOG bytes that it has not taken yet gets no more
 * of them until it has caught up; what it missed is counted and told in a
 * `lost` record, in the place where the events would have been. One that takes
 * nothing at all is closed by conn's time-out.
 */
#include "lib/io/conn.h"
#include "policyd/daemon/control_int.h"

#define CONTROL_BACKLOG 262144

static const char *const control_why[] = {
	[STORE_DECIDED] = "decided",
	[STORE_RAISED] = "raised",
	[STORE_MANUAL] = "manual",
	[STORE_SHARED] = "shared",
	[STORE_LOADED] = "loaded",
	[STORE_EXPIRED] = "expired",
};

void
control_start_watching(struct control_client *c, bool offences)
{
	c->offences = offences;
	control_set_state(c, CONTROL_WATCHING);
	control_put(c, "watching");
	control_put_end(c);
}

/* Says how many events were lost, once there is room again. */
void
control_report_lost(struct control_client *c)
{
	struct record_out *o;

	if (c->lost == 0 || conn_backlog(c->conn) > CONTROL_BACKLOG / 2)
		return;
	o = control_put(c, "lost");
	record_time(o, "time", control_now(c->server));
	record_num(o, "events", (double)c->lost);
	c->lost = 0;
	control_put_end(c);
}

/* Writes the record in s->out to every watcher that wants it. */
static void
control_send_event(struct control *s, bool offence)
{
	size_t len;
	const char *line = record_end(&s->out, &len);

	for (struct control_client *c = s->clients; c != NULL; c = c->next) {
		if (c->state != CONTROL_WATCHING || (offence && !c->offences))
			continue;
		if (line == NULL || c->lost > 0 ||
		    conn_backlog(c->conn) > CONTROL_BACKLOG) {
			c->lost++;
			s->lost++;
			continue;
		}
		control_write(c, line, len);
	}
}

/* Before s->out is used for the event itself. */
static void
control_begin_event(struct control *s)
{
	for (struct control_client *c = s->clients; c != NULL; c = c->next)
		if (c->state == CONTROL_WATCHING)
			control_report_lost(c);
}

void
control_event_offence(struct control *s, const struct offence *of)
{
	char text[ADDR_STRLEN];

	if (s->n_offences == 0)
		return;
	control_begin_event(s);
	record_begin(&s->out, "offence");
	record_time(&s->out, "time", of->t);
	record_str(&s->out, "address", addr_format(&of->addr, text));
	record_str(&s->out, "rule", name_text(of->rule->name));
	record_num(&s->out, "weight", of->weight);
	record_num(&s->out, "attempts", of->attempts);
	record_str(&s->out, "log", of->source);
	control_send_event(s, true);
}

static void
control_event_change(struct control *s, const char *kind, const struct block *b,
    enum store_why why)
{
	/* Loading is not a change, and there may be a million of them. */
	if (s->n_watching == 0 || why == STORE_LOADED)
		return;
	control_begin_event(s);
	record_begin(&s->out, kind);
	record_time(&s->out, "time", control_now(s));
	record_str(&s->out, "why", control_why[why]);
	control_put_block(&s->out, b);
	control_send_event(s, false);
}

void
control_event_blocked(
    struct control *s, const struct block *b, enum store_why why)
{
	control_event_change(s, "blocked", b, why);
}

void
control_event_unblocked(
    struct control *s, const struct block *b, enum store_why why)
{
	control_event_change(s, "unblocked", b, why);
}
