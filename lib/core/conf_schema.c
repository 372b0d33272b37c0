/*
 * conf_schema: see conf_schema.h.
 */
#include "lib/core/conf_schema.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/core/conf.h"
#include "lib/core/log.h"
#include "lib/core/num.h"
#include "lib/core/policy.h"
#include "lib/core/rate.h"
#include "lib/core/rules.h"
#include "lib/core/storeuri.h"

#define DAY 86400.0

int
conf_backend(const char *value)
{
	static const char *const names[] = { "none", "iptables", "nftables",
		"command" };

	for (int i = 0; i < 4; i++)
		if (strcmp(value, names[i]) == 0)
			return i;
	return -1;
}

static int
check_endpoint(const char *value, struct errbuf *err)
{
	struct conf_endpoint ep;

	return conf_parse_endpoint(value, &ep, err) ? 0 : -1;
}

static int
check_path(const char *value, struct errbuf *err)
{
	if (value[0] != '/')
		return errbuf_set(err, "'%s' is not an absolute path", value);
	return 0;
}

static int
check_path_or_empty(const char *value, struct errbuf *err)
{
	return value[0] == '\0' ? 0 : check_path(value, err);
}

static int
check_allow(const char *value, struct errbuf *err)
{
	struct addr a;

	if (strncmp(value, "file:", 5) == 0)
		return check_path(value + 5, err);
	if (!addr_parse(value, strlen(value), &a))
		return errbuf_set(err,
		    "'%s' is not an address, a prefix or "
		    "file:/path",
		    value);
	return 0;
}

static int
check_word(const char *value, struct errbuf *err)
{
	if (strncmp(value, "file:", 5) == 0)
		return check_path(value + 5, err);
	if (value[0] == '\0' || strpbrk(value, " \t") != NULL)
		return errbuf_set(err, "'%s' is not a word", value);
	return 0;
}

static int
check_store(const char *value, struct errbuf *err)
{
	struct storeuri uri;

	return storeuri_parse(value, &uri, err) ? 0 : -1;
}

/* Beginning of all keys; it is part of patterns and messages. */
static int
check_prefix(const char *value, struct errbuf *err)
{
	size_t n = strlen(value);

	if (n == 0 || n > 128)
		return errbuf_set(err, "the prefix must have 1 to 128 bytes");
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)value[i] <= ' ' || value[i] == 0x7f)
			return errbuf_set(err,
			    "the prefix must not hold "
			    "blanks or control characters");
	return 0;
}

static int
check_http(const char *value, struct errbuf *err)
{
	char text[300];
	struct conf_endpoint ep;

	if (value[0] == '\0')
		return 0;
	snprintf(text, sizeof(text), "inet:%s", value);
	return conf_parse_endpoint(text, &ep, err) ? 0 : -1;
}

static int
check_backend(const char *value, struct errbuf *err)
{
	if (conf_backend(value) < 0)
		return errbuf_set(err,
		    "'%s' is not \"none\", \"iptables\", "
		    "\"nftables\" or \"command\"",
		    value);
	return 0;
}

static int
check_port(const char *value, struct errbuf *err)
{
	uint64_t port;

	if (!num_parse_u64(value, strlen(value), &port) || port < 1 ||
	    port > 65535)
		return errbuf_set(err, "'%s' is not a port number", value);
	return 0;
}

static int
check_protocol(const char *value, struct errbuf *err)
{
	if (strcmp(value, "tcp") != 0 && strcmp(value, "udp") != 0)
		return errbuf_set(
		    err, "'%s' is neither \"tcp\" nor \"udp\"", value);
	return 0;
}

/* Names of chains, tables and sets: what every tool takes as one word. */
static int
check_chain(const char *value, struct errbuf *err)
{
	size_t len = strlen(value);

	if (len < 1 || len > 24 ||
	    strspn(value,
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
		"0123456789-_") != len ||
	    value[0] == '-')
		return errbuf_set(err,
		    "'%s' is not a name of 1 to 24 letters, "
		    "digits, '-' and '_'",
		    value);
	return 0;
}

static int
check_verdict(const char *value, struct errbuf *err)
{
	if (strcmp(value, "drop") != 0 && strcmp(value, "reset") != 0)
		return errbuf_set(err,
		    "'%s' is neither \"drop\" nor "
		    "\"reset\"",
		    value);
	return 0;
}

static int
check_on_stop(const char *value, struct errbuf *err)
{
	if (strcmp(value, "keep") != 0 && strcmp(value, "remove") != 0)
		return errbuf_set(err,
		    "'%s' is neither \"keep\" nor "
		    "\"remove\"",
		    value);
	return 0;
}

static int
check_action(const char *value, struct errbuf *err)
{
	return policy_check_action(value, err);
}

static int
check_match(const char *value, struct errbuf *err)
{
	const char *eq = strchr(value, '=');

	if (eq == NULL || eq == value ||
	    strspn(value, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") <
		(size_t)(eq - value))
		return errbuf_set(err, "'%s' is not FIELD=value", value);
	return 0;
}

static int
check_start(const char *value, struct errbuf *err)
{
	if (strcmp(value, "end") != 0 && strcmp(value, "beginning") != 0)
		return errbuf_set(err,
		    "'%s' is neither \"end\" nor "
		    "\"beginning\"",
		    value);
	return 0;
}

static int
check_pattern(const char *value, struct errbuf *err)
{
	return conf_pattern_check != NULL ? conf_pattern_check(value, err) : 0;
}

int (*conf_pattern_check)(const char *value, struct errbuf *);

int
conf_counts(const char *value)
{
	static const char *const names[] = { "each", "once", "total" };

	for (int i = 0; i < 3; i++)
		if (strcmp(value, names[i]) == 0)
			return i;
	return -1;
}

static int
check_counts(const char *value, struct errbuf *err)
{
	if (conf_counts(value) < 0)
		return errbuf_set(err,
		    "'%s' is not \"each\", \"once\" or "
		    "\"total\"",
		    value);
	return 0;
}

int
conf_kind(const char *value)
{
	static const char *const names[] = { "offence", "fault", "end", "join",
		"ambiguous" };

	for (int i = 0; i < 5; i++)
		if (strcmp(value, names[i]) == 0)
			return i;
	return -1;
}

static int
check_kind(const char *value, struct errbuf *err)
{
	if (conf_kind(value) < 0)
		return errbuf_set(err,
		    "'%s' is not \"offence\", \"fault\", "
		    "\"end\", \"join\" or \"ambiguous\"",
		    value);
	return 0;
}

static int
check_rate(const char *value, struct errbuf *err)
{
	struct rate ignored;

	if (!rate_parse(value, &ignored))
		return errbuf_set(err,
		    "'%s' is not a rate (like 5/s, 10/m, "
		    "100/h, 1000/d)",
		    value);
	return 0;
}

static int
check_log_target(const char *value, struct errbuf *err)
{
	if (strncmp(value, "file:", 5) == 0)
		return check_path(value + 5, err);
	if (strcmp(value, "auto") != 0 && strcmp(value, "syslog") != 0 &&
	    strcmp(value, "stderr") != 0)
		return errbuf_set(err,
		    "'%s' is not \"auto\", \"syslog\", "
		    "\"stderr\" or \"file:/path\"",
		    value);
	return 0;
}

int
conf_log_level(const char *value)
{
	for (int i = MSG_DEBUG; i <= MSG_ERROR; i++)
		if (strcmp(value, log_level_name((enum msg_level)i)) == 0)
			return i;
	return -1;
}

static int
check_log_level(const char *value, struct errbuf *err)
{
	if (conf_log_level(value) < 0)
		return errbuf_set(err,
		    "'%s' is not \"debug\", \"info\", "
		    "\"notice\", \"warning\" or \"error\"",
		    value);
	return 0;
}

static int
check_log_format(const char *value, struct errbuf *err)
{
	if (strcmp(value, "text") != 0 && strcmp(value, "json") != 0)
		return errbuf_set(err,
		    "'%s' is neither \"text\" nor "
		    "\"json\"",
		    value);
	return 0;
}

const struct conf_row conf_rows[] = {
	{ "", "listen", CONF_LIST, "{\"inet:127.0.0.1:10040\"}", 0, 0, true,
	    check_endpoint,
	    "where Postfix asks: inet:ADDRESS:PORT or unix:/path" },
	{ "", "listen_mode", CONF_MODE, "0666", 0, 0, false, NULL,
	    "file mode of unix listeners" },
	{ "", "listen_owner", CONF_STRING, "", 0, 0, false, NULL,
	    "owner of unix listeners, user or user:group; \"\" = as started" },
	{ "", "control", CONF_STRING, "/run/mxwarden/control.sock", 0, 0, false,
	    check_path_or_empty, "socket of the admin command; \"\" = off" },
	{ "", "control_mode", CONF_MODE, "0660", 0, 0, false, NULL,
	    "file mode of the control socket" },
	{ "", "control_group", CONF_STRING, "", 0, 0, false, NULL,
	    "group of the control socket; \"\" = as started" },
	{ "", "http", CONF_STRING, "127.0.0.1:10041", 0, 0, true, check_http,
	    "ADDRESS:PORT of /metrics and /healthz; \"\" = off" },
	{ "", "user", CONF_STRING, "mxwarden", 0, 0, false, NULL,
	    "user to run as when started as root; \"\" = do not change" },
	{ "", "helper", CONF_STRING, MXW_LIBEXECDIR "/mxwarden-priv", 0, 0,
	    false, check_path,
	    "program that opens logs and applies firewall changes as root" },
	{ "", "state_dir", CONF_STRING, "/var/lib/mxwarden", 0, 0, false,
	    check_path, "where the state is kept over restarts" },
	{ "", "store", CONF_STRING, "embedded", 0, 0, false, check_store,
	    "where scores and blocks live" },
	{ "", "host", CONF_STRING, "", 0, 0, false, NULL,
	    "name of this host in blocks; \"\" = its host name" },
	{ "", "log_target", CONF_STRING, "auto", 0, 0, true, check_log_target,
	    "where messages go: auto, syslog, stderr or file:/path" },
	{ "", "log_level", CONF_STRING, "notice", 0, 0, true, check_log_level,
	    "least important messages: debug, info, notice, warning, error" },
	{ "", "log_format", CONF_STRING, "text", 0, 0, true, check_log_format,
	    "text, or json: one object on a line" },
	{ "", "dry_run", CONF_BOOL, "false", 0, 0, true, NULL,
	    "score and report, but answer DUNNO" },
	{ "", "allow", CONF_LIST, "{\"127.0.0.0/8\", \"::1\"}", 0, 0, true,
	    check_allow,
	    "addresses and prefixes never scored nor refused; file:/path" },
	{ "", "allow_authenticated", CONF_BOOL, "true", 0, 0, true, NULL,
	    "let requests with a SASL user name pass" },
	{ "", "idle_timeout", CONF_DURATION, "1h", 300, 7 * DAY, true, NULL,
	    "close policy connections without a request for so long" },
	{ "", "snapshot_interval", CONF_DURATION, "10s", 0.05, DAY, true, NULL,
	    "how often the state is written" },
	{ "", "max_addresses", CONF_NUMBER, "1000000", 100, 1e8, false, NULL,
	    "scored addresses kept in memory" },

	{ "log", "rules", CONF_LIST, NULL, 0, 0, true, NULL,
	    "rule sets for this log" },
	{ "log", "start", CONF_STRING, "end", 0, 0, true, check_start,
	    "where to begin without a saved position: end or beginning" },

	{ "log", "identifiers", CONF_LIST,
	    "{\"postfix*\", \"dovecot*\", \"exim*\", \"sendmail*\", "
	    "\"sm-mta*\", \"courier*\", \"imapd*\", \"pop3d*\"}",
	    0, 0, true, NULL,
	    "journal: syslog identifiers to read, as patterns" },
	{ "log", "match", CONF_LIST, "{\"SYSLOG_FACILITY=2\"}", 0, 0, true,
	    check_match, "journal: FIELD=value, as journalctl takes them" },

	{ "score", "window", CONF_DURATION, "10m", 1, 365 * DAY, true, NULL,
	    "offences within so long add up" },
	{ "score", "ipv4_prefix", CONF_NUMBER, "32", 8, 32, true, NULL,
	    "IPv4 clients of one prefix of this length share a score" },
	{ "score", "ipv6_prefix", CONF_NUMBER, "64", 16, 128, true, NULL,
	    "IPv6 clients of one prefix of this length share a score" },

	{ "repeat", "factor", CONF_REAL, "2.0", 1, 100, true, NULL,
	    "each earlier block multiplies the duration by this" },
	{ "repeat", "max", CONF_DURATION, "7d", 1, 3650 * DAY, true, NULL,
	    "longest block" },
	{ "repeat", "memory", CONF_DURATION, "30d", 1, 3650 * DAY, true, NULL,
	    "how long earlier blocks are remembered" },

	{ "level", "threshold", CONF_REAL, NULL, 0.001, 1e9, true, NULL,
	    "score that reaches this level" },
	{ "level", "action", CONF_STRING, NULL, 0, 0, true, check_action,
	    "what Postfix is told" },
	{ "level", "duration", CONF_DURATION, NULL, 1, 3650 * DAY, true, NULL,
	    "how long the first block lasts" },
	{ "level", "firewall", CONF_BOOL, "false", 0, 0, true, NULL,
	    "drop in the kernel as well" },

	{ "firewall", "backend", CONF_STRING, "none", 0, 0, false,
	    check_backend,
	    "what drops packets: none, iptables, nftables or command" },
	{ "firewall", "ports", CONF_LIST, "{\"25\", \"465\", \"587\"}", 0, 0,
	    false, check_port, "ports that are closed to offenders" },
	{ "firewall", "protocols", CONF_LIST, "{\"tcp\"}", 0, 0, false,
	    check_protocol, "protocols that are closed to offenders" },
	{ "firewall", "verdict", CONF_STRING, "drop", 0, 0, false,
	    check_verdict, "drop, or reset (TCP connections)" },
	{ "firewall", "chain", CONF_STRING, "INPUT", 0, 0, false, check_chain,
	    "iptables: the chain that gets our rules" },
	{ "firewall", "name", CONF_STRING, "mxwarden", 0, 0, false, check_chain,
	    "name of our nftables table, or beginning of our ipsets' names" },
	{ "firewall", "add", CONF_LIST, "{}", 0, 0, false, NULL,
	    "command: program and arguments that add {address} {family} "
	    "{ttl}" },
	{ "firewall", "delete", CONF_LIST, "{}", 0, 0, false, NULL,
	    "command: program and arguments that delete" },
	{ "firewall", "interval", CONF_DURATION, "60s", 1, DAY, false, NULL,
	    "how often rules and sets are checked and repaired" },
	{ "firewall", "max_entries", CONF_NUMBER, "200000", 1, 1e7, false, NULL,
	    "entries at most" },
	{ "firewall", "widest_ipv4", CONF_NUMBER, "16", 0, 32, false, NULL,
	    "wider IPv4 prefixes are never dropped" },
	{ "firewall", "widest_ipv6", CONF_NUMBER, "32", 0, 128, false, NULL,
	    "wider IPv6 prefixes are never dropped" },
	{ "firewall", "on_stop", CONF_STRING, "keep", 0, 0, false,
	    check_on_stop,
	    "keep entries when the daemon ends, or remove them" },
	{ "firewall", "shared", CONF_BOOL, "true", 0, 0, true, NULL,
	    "blocks decided on other hosts are dropped here, too" },

	{ "notify", "command", CONF_LIST, "{}", 0, 0, true, NULL,
	    "program and arguments run for blocks and their ends" },
	{ "notify", "min_level", CONF_STRING, "", 0, 0, true, NULL,
	    "lowest level that is told; \"\" = every level" },
	{ "notify", "rate", CONF_STRING, "10/m", 0, 0, true, check_rate,
	    "runs at most: a number per s, m, h or d" },
	{ "notify", "timeout", CONF_DURATION, "30s", 0.1, 3600, true, NULL,
	    "a run that takes longer is killed" },

	{ "redis", "prefix", CONF_STRING, "mxwarden:", 0, 0, false,
	    check_prefix, "beginning of all keys" },
	{ "redis", "user", CONF_STRING, "", 0, 0, false, NULL,
	    "ACL user; \"\" = default" },
	{ "redis", "password_file", CONF_STRING, "", 0, 0, false,
	    check_path_or_empty, "file that holds the password" },
	{ "redis", "timeout", CONF_DURATION, "500ms", 0.01, 60, false, NULL,
	    "how long to wait for Redis" },

	{ "rule", "set", CONF_STRING, NULL, 0, 0, true, NULL,
	    "rule set it belongs to" },
	{ "rule", "program", CONF_LIST, NULL, 0, 0, true, NULL,
	    "last component of the syslog tag" },
	{ "rule", "pattern", CONF_STRING, NULL, 0, 0, true, check_pattern,
	    "regular expression, anchored at the message's first byte" },
	{ "rule", "weight", CONF_REAL, "1", -1e6, 1e6, true, NULL,
	    "what one offence adds to the score" },
	{ "rule", "evidence", CONF_STRING, "", 0, 0, true, NULL,
	    "lines of one connection about one attempt count once" },
	{ "rule", "counts", CONF_STRING, "each", 0, 0, true, check_counts,
	    "how such lines add up: each, once or total" },
	{ "rule", "kind", CONF_STRING, "offence", 0, 0, true, check_kind,
	    "offence, fault (of our own server), end (of a connection) or "
	    "join (of a queue id with its client)" },
	{ "rule", "ends", CONF_BOOL, "false", 0, 0, true, NULL,
	    "the line also ends the connection" },
	{ "rule", "field", CONF_STRING, "", 0, 0, true, NULL,
	    "named group that `in` and `not_in` are about; with _domain "
	    "appended what stands behind its last @" },
	{ "rule", "in", CONF_LIST, "{}", 0, 0, true, check_word,
	    "the rule holds only for these; file:/path" },
	{ "rule", "not_in", CONF_LIST, "{}", 0, 0, true, check_word,
	    "the rule does not hold for these; file:/path" },

	{ "tune", "weight", CONF_REAL, "", -1e6, 1e6, true, NULL,
	    "another weight for a rule; 0 switches it off" },
	{ "tune", "field", CONF_STRING, "", 0, 0, true, NULL, "as in a rule" },
	{ "tune", "in", CONF_LIST, "{}", 0, 0, true, check_word,
	    "as in a rule" },
	{ "tune", "not_in", CONF_LIST, "{}", 0, 0, true, check_word,
	    "as in a rule" },
};
const size_t conf_n_rows = sizeof(conf_rows) / sizeof(conf_rows[0]);

const struct conf_row *
conf_row_find(const char *section, const char *name)
{
	for (size_t i = 0; i < conf_n_rows; i++)
		if (strcmp(conf_rows[i].section, section) == 0 &&
		    strcmp(conf_rows[i].name, name) == 0)
			return &conf_rows[i];
	return NULL;
}

static int
parse_bool(const char *s)
{
	if (strcasecmp(s, "true") == 0 || strcasecmp(s, "yes") == 0 ||
	    strcasecmp(s, "on") == 0)
		return 1;
	if (strcasecmp(s, "false") == 0 || strcasecmp(s, "no") == 0 ||
	    strcasecmp(s, "off") == 0)
		return 0;
	return -1;
}

static bool
parse_mode(const char *s, unsigned *out)
{
	char *end;
	unsigned long v;

	if (strspn(s, "01234567") != strlen(s) || *s == '\0')
		return false;
	v = strtoul(s, &end, 8);
	*out = (unsigned)v;
	return v <= 0777;
}

static int
check_range(
    const struct conf_row *row, const char *value, double v, struct errbuf *err)
{
	char min[NUM_DURATION_LEN], max[NUM_DURATION_LEN];

	if (v >= row->min && v <= row->max)
		return 0;
	if (row->type == CONF_DURATION)
		return errbuf_set(err, "%s is out of range (%s to %s)", value,
		    num_format_duration(row->min, min),
		    num_format_duration(row->max, max));
	return errbuf_set(err, "%s is out of range (%.10g to %.10g)", value,
	    row->min, row->max);
}

int
conf_row_check(
    const struct conf_row *row, const char *value, struct errbuf *err)
{
	uint64_t u;
	unsigned mode;
	double v;

	switch (row->type) {
	case CONF_STRING:
	case CONF_LIST:
		break;
	case CONF_BOOL:
		if (parse_bool(value) < 0)
			return errbuf_set(
			    err, "'%s' is neither true nor false", value);
		break;
	case CONF_NUMBER:
		if (!num_parse_u64(value, strlen(value), &u))
			return errbuf_set(
			    err, "'%s' is not a whole number", value);
		if (check_range(row, value, (double)u, err) != 0)
			return -1;
		break;
	case CONF_REAL:
		if (!num_parse_double(value, strlen(value), &v))
			return errbuf_set(err, "'%s' is not a number", value);
		if (check_range(row, value, v, err) != 0)
			return -1;
		break;
	case CONF_DURATION:
		if (!num_parse_duration(value, &v))
			return errbuf_set(err,
			    "'%s' is not a duration (like "
			    "500ms, 10m, 1h30m, 7d)",
			    value);
		if (check_range(row, value, v, err) != 0)
			return -1;
		break;
	case CONF_MODE:
		if (!parse_mode(value, &mode))
			return errbuf_set(err,
			    "'%s' is not a file mode (like "
			    "0660)",
			    value);
		break;
	}
	return row->check != NULL ? row->check(value, err) : 0;
}

bool
conf_bool(const char *value)
{
	return parse_bool(value) == 1;
}

double
conf_real(const char *value)
{
	double v = 0;

	(void)num_parse_double(value, strlen(value), &v);
	return v;
}

double
conf_duration(const char *value)
{
	double v = 0;

	(void)num_parse_duration(value, &v);
	return v;
}

unsigned
conf_mode(const char *value)
{
	unsigned v = 0;

	(void)parse_mode(value, &v);
	return v;
}

const struct conf_option *
conf_options(size_t *n_r)
{
	static const char *const types[] = { "string", "list", "boolean",
		"number", "real", "duration", "mode" };
	static struct conf_option
	    options[sizeof(conf_rows) / sizeof(conf_rows[0])];
	static char quoted[sizeof(conf_rows) / sizeof(conf_rows[0])][512];

	for (size_t i = 0; i < conf_n_rows; i++) {
		const struct conf_row *row = &conf_rows[i];
		const char *dflt = row->dflt;

		if (dflt != NULL &&
		    (row->type == CONF_STRING || row->type == CONF_DURATION)) {
			snprintf(quoted[i], sizeof(quoted[i]), "\"%s\"", dflt);
			dflt = quoted[i];
		}
		options[i] = (struct conf_option){ row->section, row->name,
			types[row->type], dflt, row->reloadable, row->help };
	}
	*n_r = conf_n_rows;
	return options;
}
