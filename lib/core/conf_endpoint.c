/*
 * conf_endpoint: where to listen, or to connect to; see conf.h. Addresses,
 * never names: a name would have to be looked up, and to wait.
 */
#include "lib/core/conf.h"

#include <string.h>

#include "lib/core/num.h"

static bool
parse_inet(const char *text, struct conf_endpoint *out, struct errbuf *err)
{
	const char *colon = strrchr(text, ':');
	const char *host = text;
	size_t len;
	uint64_t port;

	if (colon == NULL || colon == text) {
		errbuf_set(err, "'%s' is not ADDRESS:PORT", text);
		return false;
	}
	len = (size_t)(colon - text);
	if (host[0] == '[' && host[len - 1] == ']') {
		host++;
		len -= 2;
	} else if (memchr(host, ':', len) != NULL) {
		errbuf_set(
		    err, "'%s': write an IPv6 address in brackets", text);
		return false;
	}
	if (!addr_parse_host(host, len, &out->addr)) {
		errbuf_set(err,
		    "'%.*s' is not an address (names are not looked "
		    "up)",
		    (int)len, host);
		return false;
	}
	if (!num_parse_u64(colon + 1, strlen(colon + 1), &port) ||
	    port > 65535) {
		errbuf_set(err, "'%s' is not a port", colon + 1);
		return false;
	}
	out->port = (uint16_t)port;
	return true;
}

bool
conf_parse_endpoint(
    const char *text, struct conf_endpoint *out, struct errbuf *err)
{
	memset(out, 0, sizeof(*out));
	if (strncmp(text, "inet:", 5) == 0)
		return parse_inet(text + 5, out, err);
	if (strncmp(text, "unix:", 5) != 0) {
		errbuf_set(err,
		    "'%s' is neither inet:ADDRESS:PORT nor "
		    "unix:/path",
		    text);
		return false;
	}
	text += 5;
	if (text[0] != '/' || strlen(text) >= sizeof(out->path)) {
		errbuf_set(err,
		    "'%s' is not an absolute path of at most %zu "
		    "bytes",
		    text, sizeof(out->path) - 1);
		return false;
	}
	out->is_unix = true;
	memcpy(out->path, text, strlen(text) + 1);
	return true;
}
