/*
 * bench: endpoints for the benchmark programs, which link nothing of ours that
 * is measured.
 */
#ifndef MXW_BENCH_H
#define MXW_BENCH_H

#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

struct bench_address {
	struct sockaddr_storage ss;
	socklen_t len;
};

/* "inet:HOST:PORT" or "unix:PATH"; ends the program if it is neither. */
static void
bench_parse(const char *text, struct bench_address *out)
{
	struct addrinfo hints = { .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV,
		.ai_socktype = SOCK_STREAM };
	struct addrinfo *ai;
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	char host[64];
	const char *colon = strrchr(text, ':');

	memset(out, 0, sizeof(*out));
	if (strncmp(text, "unix:", 5) == 0) {
		snprintf(un.sun_path, sizeof(un.sun_path), "%s", text + 5);
		memcpy(&out->ss, &un, sizeof(un));
		out->len = sizeof(un);
		return;
	}
	if (strncmp(text, "inet:", 5) == 0 && colon > text + 5) {
		snprintf(host, sizeof(host), "%.*s", (int)(colon - text - 5),
		    text + 5);
		if (host[0] == '[' && strlen(host) > 2) {
			memmove(host, host + 1, strlen(host));
			host[strlen(host) - 1] = '\0';
		}
		if (getaddrinfo(host, colon + 1, &hints, &ai) == 0) {
			memcpy(&out->ss, ai->ai_addr, ai->ai_addrlen);
			out->len = ai->ai_addrlen;
			freeaddrinfo(ai);
			return;
		}
	}
	fprintf(stderr, "%s: not inet:HOST:PORT or unix:PATH\n", text);
	exit(2);
}

#endif
