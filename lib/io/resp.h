/*
 * resp: one connection to Redis. The only user of hiredis.
 *
 *   connecting --> open --> dead (closed() is called once, from the loop)
 *
 * hiredis brings the reply parser; the connection is ours, because hiredis'
 * asynchronous context ends the process (assert) when a server sends a reply
 * that nobody asked for, and reads replies of any size.
 *
 * What the server sends is hostile: a reply is bounded in elements, nesting
 * and bytes; what exceeds that, and anything that is not RESP2, ends the
 * connection. A connection that owes an answer and has been silent for
 * `timeout` is dead; the time counts from the last byte, so a long pipeline
 * that moves is alive.
 *
 * Commands are queued at once and written in the next turn of the loop, all
 * callbacks come from the loop at work priority, with at most RESP_CHUNK bytes
 * between looks at what clients want.
 */
#ifndef MXW_RESP_H
#define MXW_RESP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#define RESP_CHUNK 32768
#define RESP_REPLY_MAX (4 << 20)
#define RESP_ELEMENTS_MAX 16384
#define RESP_OUT_MAX (16 << 20)

struct loop;
struct redisReply;
struct resp;

/* The reply is borrowed for the time of the call. */
typedef void resp_reply(void *ctx, const struct redisReply *);

struct resp_events {
	void (*open)(void *ctx);
	/* A reply that no command waits for (subscriptions). NULL: such a
	 * reply ends the connection. */
	resp_reply *push;
	/* The connection is gone; commands without a reply get none. The
	 * owner may destroy it now, and must some time. */
	void (*closed)(void *ctx, const char *why);
};

/* NULL: no descriptor, no memory. */
struct resp *resp_create(struct loop *, const struct sockaddr *, socklen_t len,
    double timeout, const struct resp_events *, void *ctx);
/* From anywhere, its own callbacks too; nothing is called any more. */
void resp_destroy(struct resp **);

/* One command: begin with the number of words, then as many words, end. */
void resp_begin(struct resp *, size_t n_args);
void resp_arg(struct resp *, const char *s, size_t len);
void resp_arg_str(struct resp *, const char *s);
void resp_arg_num(struct resp *, double v); /* %.17g */
void resp_arg_u64(struct resp *, uint64_t v);
/* NULL: the reply is of no interest. */
void resp_end(struct resp *, resp_reply *fn, void *ctx);
/* The same in one call; words end with NULL. */
void resp_command(struct resp *, resp_reply *fn, void *ctx, ...)
    __attribute__((sentinel));
/* Sends now what the socket takes, not in a later turn of the loop: for the
 * server to work while the caller does. */
void resp_flush(struct resp *);
/* A command of a subscribed connection: its replies go to events->push. */
void resp_push_command(struct resp *, ...) __attribute__((sentinel));
/* Ends it with this reason, in the next turn. */
void resp_fail(struct resp *, const char *why);
/* Commands without a reply. */
size_t resp_waiting(const struct resp *);

/* Replies. */
bool resp_is_text(const struct redisReply *); /* string or status */
bool resp_is_error(const struct redisReply *, const char *code);
/* The text of an error, else what type it is: for messages. */
const char *resp_describe(const struct redisReply *);

#endif
