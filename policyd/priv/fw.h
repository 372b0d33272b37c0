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

struct fw_entry {
	struct addr addr;
	uint32_t ttl; /* seconds; 0 = delete */
	bool known;   /* it is there already, by what we have been told */
	bool same;    /* known, and until about then */
	bool failed;  /* set by `change`: this one was not done */
};

struct fw_ops {
	/* Does the filter forget entries by itself? */
	bool (*expires)(const struct conf *);
	/* Chain, rule and sets: all there? */
	bool (*check)(const struct conf *);
	/* Are these entries there? (Or, of those that have none, is the
	 * backend unable to say?) At most FW_SAMPLE of them. */
	bool (*holds)(const struct conf *, const struct fw_entry *, size_t n);
	/* Makes what is missing; leaves the rest alone. A sync follows. */
	bool (*repair)(const struct conf *);
	/* Adds, replaces the ttl of, and deletes entries: one change. Each
	 * address occurs once. */
	bool (*change)(const struct conf *, struct fw_entry *, size_t n);
	/* These entries and no others: one change. NULL: by `change`. */
	bool (*sync)(const struct conf *, const struct fw_entry *, size_t n);
	/* Takes rules and sets away. NULL: deletes all by `change`. */
	bool (*remove)(const struct conf *);
};

#define FW_SAMPLE 16

extern const struct fw_ops fw_ipset, fw_nft, fw_command;

#endif
