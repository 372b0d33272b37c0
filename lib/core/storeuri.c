/*
 * storeuri: see storeuri.h.
 */
#include "lib/core/storeuri.h"

#include <string.h>

#include "lib/core/num.h"

#define PORT_REDIS 6379
#define PORT_SENTINEL 26379
#define DB_MAX 1000000

static bool
fail(struct errbuf *err, const char *why)
{
	errbuf_set(err, "not a store: %s", why);
	return false;
}

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Copies with %XX decoded; what is decoded must not be a control character. */
static bool
text_copy(char out[STOREURI_TEXT], const char *s, size_t len)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		int c = (unsigned char)s[i];

		if (c == '%') {
			int hi = i + 1 < len ? hex_digit(s[i + 1]) : -1;
			int lo = i + 2 < len ? hex_digit(s[i + 2]) : -1;

			if (hi < 0 || lo < 0)
				return false;
			c = hi * 16 + lo;
			i += 2;
		}
		if (c < ' ' || n + 1 >= STOREURI_TEXT)
			return false;
		out[n++] = (char)c;
	}
	out[n] = '\0';
	return true;
}

/* "user:password", "user", ":password" */
static bool
parse_login(struct storeuri *u, const char *s, size_t len)
{
	const char *colon = memchr(s, ':', len);
	size_t user = colon != NULL ? (size_t)(colon - s) : len;

	return text_copy(u->user, s, user) &&
	    (colon == NULL ||
		text_copy(u->password, colon + 1, len - user - 1));
}

static bool
parse_db(struct storeuri *u, const char *s, size_t len)
{
	uint64_t db;

	if (!num_parse_u64(s, len, &db) || db > DB_MAX)
		return false;
	u->db = (unsigned)db;
	return true;
}

static bool
parse_host(struct storeuri *u, const char *s, size_t len, uint16_t port,
    struct errbuf *err)
{
	const char *end = s + len, *colon;
	uint64_t n = port;

	if (u->n_hosts == STOREURI_HOSTS)
		return fail(err, "too many hosts");
	if (len > 0 && *s == '[') {
		colon = memchr(s, ']', len);
		if (colon == NULL)
			return fail(err, "']' is missing");
		s++;
		len = (size_t)(colon++ - s);
	} else {
		colon = memchr(s, ':', len);
		if (colon == NULL)
			colon = end;
		len = (size_t)(colon - s);
	}
	if (colon < end &&
	    (*colon != ':' ||
		!num_parse_u64(colon + 1, (size_t)(end - colon) - 1, &n) ||
		n == 0 || n > UINT16_MAX))
		return fail(err, "the port is not a number from 1 to 65535");
	if (len == 9 && memcmp(s, "localhost", 9) == 0) {
		s = "127.0.0.1";
		len = 9;
	}
	if (!addr_parse_host(s, len, &u->hosts[u->n_hosts].addr))
		return fail(err,
		    "the host must be an address: names are not "
		    "looked up (IPv6 in brackets)");
	u->hosts[u->n_hosts++].port = (uint16_t)n;
	return true;
}

static bool
parse_tcp(struct storeuri *u, const char *s, struct errbuf *err)
{
	const char *at = strrchr(s, '@'), *slash;

	if (at != NULL) {
		if (!parse_login(u, s, (size_t)(at - s)))
			return fail(err, "bad user or password");
		s = at + 1;
	}
	slash = strchr(s, '/');
	if (slash != NULL && slash[1] != '\0' &&
	    !parse_db(u, slash + 1, strlen(slash + 1)))
		return fail(err, "the database is not a number");
	return parse_host(u, s, slash != NULL ? (size_t)(slash - s) : strlen(s),
	    PORT_REDIS, err);
}

static bool
parse_unix(struct storeuri *u, const char *s, struct errbuf *err)
{
	const char *at = strchr(s, '@'), *query;
	size_t len;

	if (s[0] != '/' && at != NULL) {
		if (!parse_login(u, s, (size_t)(at - s)))
			return fail(err, "bad user or password");
		s = at + 1;
	}
	query = strchr(s, '?');
	len = query != NULL ? (size_t)(query - s) : strlen(s);
	if (s[0] != '/' || len >= sizeof(u->path))
		return fail(err,
		    "the path of the socket must be absolute and "
		    "shorter than 108 bytes");
	memcpy(u->path, s, len);
	if (query != NULL &&
	    (strncmp(query, "?db=", 4) != 0 ||
		!parse_db(u, query + 4, strlen(query + 4))))
		return fail(err, "only ?db=NUMBER may follow the path");
	return true;
}

static bool
parse_sentinel(struct storeuri *u, const char *s, struct errbuf *err)
{
	const char *at = strchr(s, '@'), *slash;

	if (at == NULL || at == s || !text_copy(u->name, s, (size_t)(at - s)))
		return fail(err,
		    "sentinel:// needs the master's name before "
		    "an @");
	s = at + 1;
	slash = strchr(s, '/');
	if (slash != NULL && slash[1] != '\0' &&
	    !parse_db(u, slash + 1, strlen(slash + 1)))
		return fail(err, "the database is not a number");
	for (;;) {
		size_t len = strcspn(s, ",/");

		if (!parse_host(u, s, len, PORT_SENTINEL, err))
			return false;
		s += len;
		if (*s != ',')
			return true;
		s++;
	}
}

bool
storeuri_parse(const char *text, struct storeuri *out, struct errbuf *err)
{
	static const struct {
		const char *scheme;
		enum storeuri_kind kind;
		bool (*parse)(struct storeuri *, const char *, struct errbuf *);
	} schemes[] = {
		{ "redis://", STOREURI_TCP, parse_tcp },
		{ "redis+unix://", STOREURI_UNIX, parse_unix },
		{ "sentinel://", STOREURI_SENTINEL, parse_sentinel },
	};

	memset(out, 0, sizeof(*out));
	if (strcmp(text, "embedded") == 0)
		return true;
	for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
		size_t len = strlen(schemes[i].scheme);

		if (strncmp(text, schemes[i].scheme, len) != 0)
			continue;
		out->kind = schemes[i].kind;
		return schemes[i].parse(out, text + len, err);
	}
	return fail(err,
	    "known are embedded, redis://, redis+unix:// and "
	    "sentinel://");
}
