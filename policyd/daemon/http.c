/*
 * http: see http.h.
 */
#include "policyd/daemon/http.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/http.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/core/conf.h"
#include "lib/core/xalloc.h"
#include "lib/io/listener.h"
#include "lib/io/loop.h"

#define HTTP_TIMEOUT 10	      /* seconds */
#define HTTP_HEADERS_MAX 8192 /* bytes */

struct http {
	struct listener *listener;
	struct evhttp *server; /* has a duplicate of the listener's socket */
	const struct http_pages *pages;
	void *ctx;
};

static void
http_send(struct evhttp_request *req, int code, const char *reason,
    const char *type, struct evbuffer *body)
{
	struct evkeyvalq *headers = evhttp_request_get_output_headers(req);

	evhttp_add_header(headers, "Content-Type", type);
	evhttp_add_header(headers, "Cache-Control", "no-store");
	evhttp_send_reply(req, code, reason, body);
}

static void
http_metrics(struct evhttp_request *req, void *arg)
{
	struct http *h = arg;
	struct evbuffer *body = evbuffer_new();

	if (body != NULL)
		h->pages->metrics(h->ctx, body);
	http_send(req, body != NULL ? HTTP_OK : HTTP_INTERNAL,
	    body != NULL ? "OK" : "out of memory",
	    "text/plain; version=0.0.4; charset=utf-8", body);
	if (body != NULL)
		evbuffer_free(body);
}

static void
http_health(struct evhttp_request *req, void *arg)
{
	struct http *h = arg;
	struct evbuffer *body = evbuffer_new();
	bool good = body != NULL && h->pages->health(h->ctx, body);

	http_send(req, good ? HTTP_OK : HTTP_SERVUNAVAIL,
	    good ? "OK" : "Service Unavailable", "text/plain; charset=utf-8",
	    body);
	if (body != NULL)
		evbuffer_free(body);
}

static void
http_other(struct evhttp_request *req, void *arg)
{
	(void)arg;
	evhttp_send_error(req, HTTP_NOTFOUND, NULL);
}

static struct listener *
http_listen(
    const struct conf_endpoint *ep, struct http *old, struct errbuf *err)
{
	struct listener *l;

	l = listener_open(ep, 0, (uid_t)-1, (gid_t)-1, err);
	if (l != NULL || errno != EADDRINUSE || old == NULL ||
	    listener_port(old->listener) != ep->port ||
	    !listener_suspend(old->listener))
		return l;
	l = listener_open(ep, 0, (uid_t)-1, (gid_t)-1, err);
	if (l == NULL)
		listener_resume(old->listener);
	return l;
}

static int
http_serve(struct http *h, struct loop *loop)
{
	int fd = fcntl(listener_fd(h->listener), F_DUPFD_CLOEXEC, 0);

	h->server = evhttp_new(loop_base(loop));
	if (fd < 0 || h->server == NULL ||
	    evhttp_accept_socket(h->server, fd) != 0) {
		if (fd >= 0)
			close(fd);
		return -1;
	}
	evhttp_set_timeout(h->server, HTTP_TIMEOUT);
	evhttp_set_max_headers_size(h->server, HTTP_HEADERS_MAX);
	evhttp_set_max_body_size(h->server, 0);
	evhttp_set_allowed_methods(h->server, EVHTTP_REQ_GET | EVHTTP_REQ_HEAD);
	evhttp_set_cb(h->server, "/metrics", http_metrics, h);
	evhttp_set_cb(h->server, "/healthz", http_health, h);
	evhttp_set_gencb(h->server, http_other, h);
	return 0;
}

struct http *
http_create(struct loop *loop, const char *where,
    const struct http_pages *pages, void *ctx, struct http *old,
    struct errbuf *err)
{
	struct http *h = x_calloc(1, sizeof(*h));
	char *text = x_asprintf("inet:%s", where);
	struct conf_endpoint ep;

	h->pages = pages;
	h->ctx = ctx;
	if (conf_parse_endpoint(text, &ep, err))
		h->listener = http_listen(&ep, old, err);
	free(text);
	if (h->listener == NULL) {
		errbuf_prefix(err, "option 'http'");
		http_destroy(&h);
	} else if (http_serve(h, loop) != 0) {
		errbuf_set(err, "option 'http': %s: cannot serve", where);
		http_destroy(&h);
	}
	return h;
}

void
http_destroy(struct http **hp)
{
	if (*hp == NULL)
		return;
	if ((*hp)->server != NULL)
		evhttp_free((*hp)->server);
	listener_close(&(*hp)->listener);
	free(*hp);
	*hp = NULL;
}
