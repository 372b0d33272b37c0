/*
 * privmsg: what mxwardend may ask mxwarden-priv, and what that answers.
 *
 * Fixed-size records over a socket of type SOCK_SEQPACKET, both ends from the
 * same build. No path, no string and no command crosses: a log is a number in
 * the configuration (and an inode, for a rotated file of it), a firewall entry
 * is family, address, prefix length and ttl. Whatever is not exactly so ends
 * the helper: a daemon that sends it is not ours any more.
 */
#ifndef MXW_PRIVMSG_H
#define MXW_PRIVMSG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/core/addr.h"

#define PRIVMSG_MAGIC 0x4d585031u /* "MXP1" */
#define PRIVMSG_ENTRIES 500
#define PRIVMSG_LOGS_MAX 1024
#define PRIVMSG_TTL_MAX (10u * 365 * 86400)

enum privmsg_op {
	PRIVMSG_OPEN_LOG = 1, /* log; inode: 0 = the log itself */
	PRIVMSG_CHANGE,	      /* entries: ttl > 0 adds, 0 deletes */
	PRIVMSG_SYNC_BEGIN,   /* what follows is all there is to be */
	PRIVMSG_SYNC_ENTRIES, /* entries, ttl > 0 */
	PRIVMSG_SYNC_END,
	PRIVMSG_CHECK,	/* are chain, rule and set there? */
	PRIVMSG_REPAIR, /* makes them; a sync is needed then */
	PRIVMSG_REMOVE, /* takes rules and sets away (at stop) */
	PRIVMSG_RELOAD, /* reads the configuration again */
};

/* One address or prefix. Reserved bytes are zero. */
struct privmsg_entry {
	uint8_t addr[16]; /* IPv4 as ::ffff:0:0/96 */
	uint8_t plen;	  /* 0..128 of these 128 bits */
	uint8_t reserved[3];
	uint32_t ttl; /* seconds, <= PRIVMSG_TTL_MAX */
};

struct privmsg_request {
	uint32_t magic;
	uint32_t op;
	uint32_t seq; /* chosen by the daemon, comes back */
	uint32_t log; /* PRIVMSG_OPEN_LOG: index into the configuration */
	uint64_t dev; /* of a rotated file; 0 with inode 0 */
	uint64_t inode;
	uint64_t name;	/* logpos_hash() of the log's path: do both sides speak
			   of the same configuration? */
	uint32_t count; /* entries used; the others are zero */
	uint32_t reserved;
	struct privmsg_entry entries[PRIVMSG_ENTRIES];
};

enum privmsg_result {
	PRIVMSG_OK,
	PRIVMSG_ERROR,	 /* error says which errno; 0 = the tool failed */
	PRIVMSG_REFUSED, /* some entries: see refused and full */
	PRIVMSG_MISSING, /* CHECK: something is not there */
	PRIVMSG_OFF,	 /* no firewall is configured */
};

/* OPEN_LOG's answer carries a descriptor (SCM_RIGHTS) if the result is OK. */
struct privmsg_reply {
	uint32_t magic;
	uint32_t op;
	uint32_t seq;
	uint32_t result;
	int32_t error;
	uint32_t refused; /* entries that are protected */
	uint32_t full;	  /* entries beyond the configured maximum */
	uint32_t entries; /* how many the packet filter holds now */
	uint32_t reserved;
};

/* The helper's first message, once: is it ready, or why not? Read before
 * privileges are dropped, while the helper need not be distrusted. */
struct privmsg_hello {
	uint32_t magic;
	uint32_t ready;
	char why[1024]; /* NUL-terminated */
};

/* Is this a request that a sane daemon could have sent? (Whether the log
 * exists is for the helper to say: the configuration may just have changed.) */
bool privmsg_request_valid(const struct privmsg_request *, size_t len);
bool privmsg_reply_valid(const struct privmsg_reply *, size_t len);
bool privmsg_hello_valid(const struct privmsg_hello *, size_t len);

void privmsg_entry_set(
    struct privmsg_entry *, const struct addr *, uint32_t ttl);
/* False when it is not a prefix in canonical form. */
bool privmsg_entry_get(const struct privmsg_entry *, struct addr *out);

#endif
