/*
 * http: /metrics and /healthz. See peers.h for the form of an input. The
 * parser is libevent's; what is ours is who is let in, what is allowed and what
 * is answered, and that nothing of it is left when the server goes.
 *
 * However it goes: an answer has one of the codes that are meant, a page is
 * made only for an answer that shows it, a complete request for a page gets it,
 * and whoever has ended is let go.
 */
#include <event2/buffer.h>
#include <fcntl.h>

#include "lib/io/listener.h"
#include "policyd/daemon/http.h"
#include "t/fuzz/peers.h"

#define METRICS "mxwarden_up 1\n"
#define HEALTH "all is well\n"

enum option { UNWELL = 1 };

static uint8_t options;
static size_t pages_made;
static struct http *http;

/* --- The listener: that of the clients -------------------------------------
 */

struct listener {
	int fd;
};

struct listener *
listener_open(const struct conf_endpoint *ep, unsigned mode, uid_t uid,
    gid_t gid, struct errbuf *err)
{
	struct listener *l = x_calloc(1, sizeof(*l));

	(void)mode;
	(void)uid;
	(void)gid;
	(void)err;
	must(!ep->is_unix);
	l->fd = peers_begin();
	return l;
}

void
listener_close(struct listener **lp)
{
	if (*lp != NULL)
		close((*lp)->fd);
	free(*lp);
	*lp = NULL;
}

int
listener_fd(const struct listener *l)
{
	return l->fd;
}

uint16_t
listener_port(const struct listener *l)
{
	(void)l;
	return 0;
}

bool
listener_suspend(struct listener *l)
{
	(void)l;
	return false;
}

void
listener_resume(struct listener *l)
{
	(void)l;
}

/* --- Pages -----------------------------------------------------------------
 */

static void
page_metrics(void *ctx, struct evbuffer *out)
{
	must(ctx == &options);
	pages_made++;
	evbuffer_add(out, METRICS, sizeof(METRICS) - 1);
}

static bool
page_health(void *ctx, struct evbuffer *out)
{
	must(ctx == &options);
	pages_made++;
	evbuffer_add(out, HEALTH, sizeof(HEALTH) - 1);
	return (options & UNWELL) == 0;
}

static const struct http_pages pages = { page_metrics, page_health };

static void
nothing(void)
{
}

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	peers_init();
	must(fcntl(peers_listening, F_SETFL, O_NONBLOCK) == 0);
	return 0;
}

static bool
starts(const char *buf, size_t len, const char *text)
{
	return len >= strlen(text) && memcmp(buf, text, strlen(text)) == 0;
}

/* The code of the nth answer, 0 if there are not so many. */
static int
code(const struct peer *p, size_t n)
{
	for (size_t i = 0; i + 12 < p->got_len; i++) {
		const char *blank;

		/* With the version of the request, whatever it was. */
		if (!starts(p->got + i, p->got_len - i, "HTTP/") || n-- > 0)
			continue;
		blank = memchr(p->got + i, ' ', p->got_len - i - 4);
		must(blank != NULL);
		return atoi(blank + 1);
	}
	return 0;
}

/* Returns how many pages it has got, with a body or (HEAD) without. */
static size_t
check_answers(const struct peer *p)
{
	static const int codes[] = { 200, 400, 404, 405, 413, 417, 500, 501,
		503 };
	const int well = (options & UNWELL) != 0 ? 503 : 200;
	size_t n = 0;

	must(p->got_len == 0 || starts(p->got, p->got_len, "HTTP/"));
	for (size_t i = 0; code(p, i) != 0; i++) {
		bool known = false;

		for (size_t k = 0; k < sizeof(codes) / sizeof(codes[0]); k++)
			known |= code(p, i) == codes[k];
		must(known);
		n += code(p, i) == 200;
	}
	if (p->cut)
		return n;
	if (starts(p->sent, p->sent_len, "GET /metrics HTTP/1.1\r\n\r\n"))
		must(code(p, 0) == 200 &&
		    memmem(p->got, p->got_len, METRICS, strlen(METRICS)));
	if (starts(p->sent, p->sent_len, "GET /healthz HTTP/1.0\r\n\r\n"))
		must(code(p, 0) == well &&
		    memmem(p->got, p->got_len, HEALTH, strlen(HEALTH)));
	if (starts(p->sent, p->sent_len, "POST "))
		must(code(p, 0) != 200);
	return n;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct errbuf err;
	size_t got = 0;

	options = size > 0 ? data[0] : 0;
	pages_made = 0;
	http = http_create(
	    &peers_loop, "127.0.0.1:9117", &pages, &options, NULL, &err);
	must(http != NULL);
	if (size > 0)
		peers_run(data + 1, size - 1, 0, NULL, nothing);
	/* Half-closed is closed for HTTP: what has been asked comes first. */
	for (int i = 0; i < 8; i++)
		peers_turn();
	for (size_t i = 0; i < PEERS; i++)
		peer_read(&peers[i]);
	peers_finish(nothing);
	for (size_t i = 0; i < PEERS; i++) {
		must(peers[i].fd < 0 || peers[i].over);
		got += check_answers(&peers[i]);
	}
	must(got <= pages_made);
	http_destroy(&http);
	peers_turn();
	peers_end();
	return 0;
}
