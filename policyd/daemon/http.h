/*
 * http: /metrics and /healthz, on libevent's evhttp. GET and HEAD only; no
 * input is used but the path.
 */
#ifndef MXW_HTTP_H
#define MXW_HTTP_H

#include <stdbool.h>

#include "lib/core/errbuf.h"

struct evbuffer;
struct http;
struct loop;

struct http_pages {
	void (*metrics)(void *ctx, struct evbuffer *out);
	/* True: healthy. */
	bool (*health)(void *ctx, struct evbuffer *out);
};

/* `where`: ADDRESS:PORT, IPv6 in brackets. NULL and a reason. `old` (may be
 * NULL) is about to be replaced by it: where both want the same port, it stops
 * listening, but goes on if the new one cannot be had. */
struct http *http_create(struct loop *, const char *where,
    const struct http_pages *, void *ctx, struct http *old, struct errbuf *);
void http_destroy(struct http **);

#endif
