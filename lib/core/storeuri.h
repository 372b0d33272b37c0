/*
 * storeuri: the value of the option `store`.
 *
 *     embedded
 *     redis://[user[:password]@]host[:port][/db]
 *     redis+unix://[user[:password]@]/path[?db=n]
 *     sentinel://name@host[:port],host[:port]...[/db]
 *
 * host is an IPv4 address, an IPv6 address in brackets, or `localhost`
 * (127.0.0.1). Other names are refused: looking one up would make the daemon
 * wait. User and password may hold %XX escapes.
 */
#ifndef MXW_STOREURI_H
#define MXW_STOREURI_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/core/addr.h"
#include "lib/core/errbuf.h"

#define STOREURI_HOSTS 8
#define STOREURI_TEXT 256

enum storeuri_kind {
	STOREURI_EMBEDDED,
	STOREURI_TCP,
	STOREURI_UNIX,
	STOREURI_SENTINEL,
};

struct storeuri {
	enum storeuri_kind kind;
	unsigned n_hosts; /* one of TCP, those of the sentinels */
	struct {
		struct addr addr;
		uint16_t port;
	} hosts[STOREURI_HOSTS];
	char path[108];
	char name[STOREURI_TEXT]; /* the master's, of SENTINEL */
	char user[STOREURI_TEXT], password[STOREURI_TEXT]; /* "" = none */
	unsigned db;
};

/* False and what is wrong. The message never holds the password. */
bool storeuri_parse(const char *text, struct storeuri *out, struct errbuf *);

#endif
