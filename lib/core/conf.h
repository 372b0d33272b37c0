/*
 * conf: the configuration, read once into an immutable value. The only user of
 * libconfuse.
 *
 * conf_read() gives a complete, checked configuration or one message with file
 * and line; nothing half-read is ever seen. A reload reads a second one beside
 * the first. The options, their types, defaults, ranges and help are one table
 * (conf_options()), which the documents are tested against.
 */
#ifndef MXW_CONF_H
#define MXW_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/core/addr.h"
#include "lib/core/errbuf.h"
#include "lib/core/log.h"
#include "lib/core/rate.h"
#include "lib/core/rules.h"
#include "lib/core/score.h"

enum conf_store { CONF_STORE_EMBEDDED, CONF_STORE_REDIS };

enum conf_firewall {
	CONF_FIREWALL_NONE,
	CONF_FIREWALL_IPTABLES,
	CONF_FIREWALL_NFTABLES,
	CONF_FIREWALL_COMMAND,
};

struct conf_log {
	const char *path;		/* or a pattern, as in glob(7) */
	const char *const *sets;	/* NULL-terminated */
	const char *const *identifiers; /* of the journal; likewise */
	const char *const *matches;
	bool beginning; /* start at the beginning when there is no position */
};

/* All strings belong to the configuration. Durations are seconds. */
struct conf {
	const char *file; /* where it was read from */

	const char *const
	    *listen;		  /* NULL-terminated; endpoint syntax checked */
	unsigned listen_mode;	  /* of unix sockets */
	const char *listen_owner; /* "user:group", "" = as started */
	const char *control;	  /* path, "" = none */
	unsigned control_mode;
	const char *control_group; /* "" = as started */
	const char *http;	   /* ADDRESS:PORT, "" = off */
	const char *user;	   /* "" = do not change */
	const char *state_dir;
	const char *store;
	enum conf_store store_kind;
	const char *host;
	const char *log_target; /* "auto", "syslog", "stderr", "file:/path" */
	enum msg_level log_level;
	bool log_json;
	bool dry_run;
	bool allow_authenticated;
	const struct addr *allow;
	size_t n_allow;
	double snapshot_interval;
	uint64_t max_addresses;
	double idle_timeout;

	const struct conf_log *logs;
	size_t n_logs;

	double window;
	unsigned ipv4_prefix; /* 8..32 */
	unsigned ipv6_prefix; /* 16..128 */
	struct repeat repeat;
	const struct level *levels; /* ascending threshold */
	size_t n_levels;

	struct {
		const char *prefix;
		const char *user;
		const char *password_file;
		double timeout;
	} redis;

	struct {
		const char *const
		    *command;	  /* program, arguments; empty: none */
		size_t min_level; /* index into levels */
		struct rate rate;
		double timeout;
	} notify;

	const char *helper; /* path */
	struct {
		enum conf_firewall backend;
		const char *const *ports; /* lists are NULL-terminated */
		const char *const *protocols;
		bool reset; /* verdict */
		const char *chain;
		const char *name;
		const char *const *add;
		const char *const *del;
		double interval;
		uint64_t max_entries;
		unsigned widest_ipv4, widest_ipv6;
		bool remove_on_stop;
		bool shared;
	} firewall;

	const struct rules *rules; /* NULL from conf_read_trusted() */
};

/* NULL and a message "FILE:LINE: ..." on failure. */
struct conf *conf_read(const char *path, struct errbuf *);
/* The same without rules, and only if nobody but root can write the file and
 * what it includes: for a program that keeps privileges. */
struct conf *conf_read_trusted(const char *path, struct errbuf *);
void conf_destroy(struct conf **);

/* "journal", or "journal:/directory" (*directory_r, else NULL)? */
bool conf_log_is_journal(const struct conf_log *, const char **directory_r);
/* Is this `log` about several files ("/var/log/exim4/""*log")? */
bool conf_log_is_pattern(const struct conf_log *);
/* Is it about this file? Rotated files that a pattern would match (x.1, x.gz,
 * x-20261231) belong to the log that they were. */
bool conf_log_covers(const struct conf_log *, const char *path);

/* One row of the option table. section "" is the top level; `type` is what the
 * manual calls it ("string", "duration", ...); dflt as it would be written. */
struct conf_option {
	const char *section;
	const char *name;
	const char *type;
	const char *dflt; /* NULL = must be given */
	bool reloadable;
	const char *help; /* one line */
};
const struct conf_option *conf_options(size_t *n_r);

/* Calls `say` for each option that differs and that a reload does not change.
 * section "" is the top level. */
void conf_restart_needed(const struct conf *old, const struct conf *new,
    void (*say)(void *ctx, const char *section, const char *option), void *ctx);

/* Endpoints: "inet:127.0.0.1:10040", "inet:[::1]:10040", "unix:/path". */
struct conf_endpoint {
	bool is_unix;
	struct addr addr; /* of inet */
	uint16_t port;
	char path[108];
};
bool conf_parse_endpoint(
    const char *text, struct conf_endpoint *out, struct errbuf *);

#endif
