/*
 * fw: a packet filter as the helper sees it. Backends: fw_ipset.c (iptables
 * and ipset), fw_nft.c (nftables), fw_command.c (any program).
 *
 * All calls wait for the tools; the daemon does not wait for us.
 */
#ifndef MXW_FW_H
#define MXW_FW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/core/addr.h"
#include "lib/core/conf.h"
#include "lib/core/errbuf.h"

struct fw_entry {
	struct addr addr;
	uint32_t ttl; /* seconds; 0 = delete */
};

struct fw_ops {
	const char *name;
	/* Are the tools there? -1 and which one is not. */
	int (*tools)(const struct conf *, struct errbuf *);
	/* Chain, rule and sets: all there? */
	bool (*check)(const struct conf *);
	/* Makes what is missing; leaves the rest alone. */
	bool (*repair)(const struct conf *);
	/* Adds, replaces the ttl of, and deletes entries: one change. */
	bool (*change)(const struct conf *, const struct fw_entry *, size_t n);
	/* These entries and no others: one change. */
	bool (*sync)(const struct conf *, const struct fw_entry *, size_t n);
	/* Takes rules and sets away. */
	bool (*remove)(const struct conf *);
};

extern const struct fw_ops fw_ipset, fw_nft, fw_command;
const struct fw_ops *fw_backend(const struct conf *);

#endif
