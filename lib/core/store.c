/*
 * store: the calls through the table of an implementation; see store.h.
 */
#include "lib/core/store.h"

static void
store_strike(void *ctx, const struct block *b)
{
	struct store *s = ctx;

	s->ops->strike(s, b);
}

void
store_set_sink(struct store *s, const struct store_sink *sink, void *ctx,
    struct blocklist *view)
{
	s->sink = sink;
	s->sink_ctx = ctx;
	s->view = view;
	if (s->ops->strike != NULL)
		blocklist_on_end(view, store_strike, s);
}

void
store_set_history(struct store *s, const struct history *history)
{
	s->history = history;
}

void
store_destroy(struct store **sp)
{
	if (*sp == NULL)
		return;
	(*sp)->ops->destroy(*sp);
	*sp = NULL;
}

void
store_configure(struct store *s, const struct store_params *params)
{
	s->ops->configure(s, params);
}

void
store_hit(struct store *s, const struct hit *h)
{
	s->ops->hit(s, h);
}

void
store_block(struct store *s, uint64_t ticket, const struct block *b)
{
	s->ops->block(s, ticket, b);
}

void
store_unblock(struct store *s, uint64_t ticket, const struct addr *a)
{
	s->ops->unblock(s, ticket, a);
}

void
store_unblock_all(struct store *s, uint64_t ticket)
{
	s->ops->unblock_all(s, ticket);
}

void
store_forgive(struct store *s, uint64_t ticket, const struct addr *a)
{
	s->ops->forgive(s, ticket, a);
}

void
store_allow(
    struct store *s, uint64_t ticket, const struct addr *a, bool present)
{
	s->ops->allow(s, ticket, a, present);
}

void
store_fetch(struct store *s, uint64_t ticket, const struct addr *a)
{
	s->ops->fetch(s, ticket, a);
}

void
store_top(struct store *s, uint64_t ticket, size_t n)
{
	s->ops->top(s, ticket, n);
}

void
store_refuse(struct store *s, uint64_t ticket)
{
	if (s->n_refused < STORE_TICKETS)
		s->refused[s->n_refused++] = ticket;
}

bool
store_poll(struct store *s, double now, double horizon)
{
	for (size_t i = 0; i < s->n_refused; i++)
		s->sink->done(s->sink_ctx, s->refused[i], STORE_UNAVAILABLE,
		    STORE_NO_MEMORY);
	s->n_refused = 0;
	return s->ops->poll(s, now, horizon);
}

enum store_flow
store_flow(struct store *s, unsigned flags)
{
	return s->ops->flow(s, flags);
}

void
store_save(const struct store *s, struct snapshot_writer *w)
{
	s->ops->save(s, w);
}

bool
store_load(struct store *s, struct snapshot_reader *r, uint8_t section)
{
	return s->ops->load(s, r, section);
}

void
store_status(const struct store *s, struct store_status *out)
{
	s->ops->status(s, out);
}
