/*
 * store_redis_int: what the files of the Redis store share.
 */
#ifndef MXW_STORE_REDIS_INT_H
#define MXW_STORE_REDIS_INT_H

#include <hiredis.h>

#include "lib/core/hitqueue.h"
#include "lib/core/log.h"
#include "lib/core/rate.h"
#include "lib/io/rlink.h"
#include "lib/io/rview.h"
#include "lib/io/store_redis.h"

struct call;

struct store_redis {
	struct store store; /* first */
	struct loop *loop;
	const struct store_params *params;
	char *prefix;
	struct store *local; /* the embedded store */
	struct rlink *link;
	struct rview *view;
	struct hitqueue *queue;

	bool sentinel;	  /* another master may be found */
	bool deciding;	  /* this host decides by its own count */
	bool refused;	  /* Redis is there, but does not take our hits */
	bool overflow;	  /* hits are not queued; the logs are marked */
	bool replaying;	  /* the logs have not been read to their ends */
	bool alone;	  /* has decided since the view began to be read */
	uint64_t judged;  /* queue position up to which we have decided */
	uint64_t confirm; /* ... that Redis must reach before it decides */
	uint64_t single;  /* ... up to which hits are sent one by one */
	size_t under_way; /* hits in the call under way, 0 = none */
	unsigned noscript;
	double pause; /* after a refusal */
	struct loop_timer *sender;

	struct call *calls, **calls_end;
	char error[200]; /* the last */
	uint64_t applied, repeated, errors;
	struct rate telling; /* of lines */
	struct loglimit limit_error, limit_hit;
};

/* store_redis_admin.c: what is done by hand, and questions. */
void store_redis_block(struct store *, uint64_t ticket, const struct block *);
void store_redis_unblock(struct store *, uint64_t ticket, const struct addr *);
void store_redis_unblock_all(struct store *, uint64_t ticket);
void store_redis_forgive(struct store *, uint64_t ticket, const struct addr *);
void store_redis_allow(
    struct store *, uint64_t ticket, const struct addr *, bool present);
void store_redis_fetch(struct store *, uint64_t ticket, const struct addr *);
void store_redis_top(struct store *, uint64_t ticket, size_t n);
/* The link is gone: calls without a reply are answered by the next poll. */
void store_redis_calls_lost(struct store_redis *);
void store_redis_calls_destroy(struct store_redis *);
void store_redis_calls_poll(struct store_redis *);
/* The sink of the local store. */
extern const struct store_sink store_redis_local_sink;

/* store_redis_lines.c: log lines, in the stream of events. */
/* Tells the other hosts what this one has read about an address. */
void store_redis_tell(struct store_redis *, const struct addr *);
/* Hands the lines of a reply of RSCRIPT_LINES to the sink. False: it is none.
 * from_r: where the next call goes on, "" = nowhere. */
bool store_redis_take_lines(struct store_redis *, uint64_t ticket,
    const struct redisReply *, char *from_r, size_t from_size);

/* A reply that a call cannot use; what happens to the link for it. */
void store_redis_trouble(struct store_redis *, const struct redisReply *);

#endif
