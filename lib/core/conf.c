/*
 * conf: see conf.h.
 *
 * libconfuse parses; every option is a string or a list of strings to it, and
 * is checked by our table as it is set, so that each error has the line of the
 * option. libconfuse's callbacks carry no context, hence the one static
 * pointer to the message of the parse under way.
 */
#include "lib/core/conf.h"

#include <confuse.h>
#include <errno.h>
#include <fnmatch.h>
#include <math.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/core/conf_full.h"
#include "lib/core/conf_schema.h"
#include "lib/core/conf_text.h"
#include "lib/core/log.h"
#include "lib/core/num.h"
#include "lib/core/xalloc.h"

/* Of the parse under way. */
static struct errbuf *parse_error;
static const struct conf_text *parse_text;
static int parse_allow; /* line of the option `allow` */
static bool parse_trusted;

int
conf_fail(const struct conf_text *text, int line, struct errbuf *err,
    const char *fmt, ...)
{
	const char *file = conf_text_where(text, line, &line);
	char what[900];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	if (line > 0)
		return errbuf_set(err, "%s:%d: %s", file, line, what);
	return errbuf_set(err, "%s: %s", file, what);
}

/* libconfuse calls it; keeps the first message. */
static void __attribute__((format(printf, 2, 0)))
conf_error(cfg_t *cfg, const char *fmt, va_list ap)
{
	char text[900];

	if (parse_error == NULL || parse_error->text[0] != '\0')
		return;
	vsnprintf(text, sizeof(text), fmt, ap);
	conf_fail(
	    parse_text, cfg != NULL ? cfg->line : 0, parse_error, "%s", text);
}

static int
conf_validate(cfg_t *cfg, cfg_opt_t *opt)
{
	const char *section =
	    strcmp(cfg_name(cfg), "root") == 0 ? "" : cfg_name(cfg);
	const struct conf_row *row = conf_row_find(section, opt->name);
	struct errbuf err;

	for (unsigned i = 0; row != NULL && i < cfg_opt_size(opt); i++) {
		const char *value = cfg_opt_getnstr(opt, i);

		if (value == NULL)
			continue;
		if (conf_row_check(row, value, &err) != 0) {
			cfg_error(cfg, "option '%s': %s", opt->name, err.text);
			return -1;
		}
	}
	if (section[0] == '\0' && strcmp(opt->name, "allow") == 0)
		parse_allow = cfg->line;
	return 0;
}

/* A section is complete: has everything that must be given been given? */
static int
conf_validate_section(cfg_t *cfg, cfg_opt_t *opt)
{
	cfg_t *sec = cfg_opt_getnsec(opt, cfg_opt_size(opt) - 1);

	(void)cfg;
	for (size_t i = 0; i < conf_n_rows; i++) {
		const struct conf_row *row = &conf_rows[i];

		if (strcmp(row->section, opt->name) == 0 && row->dflt == NULL &&
		    cfg_size(sec, row->name) == 0)
			return conf_fail(parse_text,
			    conf_text_begin(parse_text, sec->line), parse_error,
			    "%s \"%s\": option '%s' is missing", opt->name,
			    cfg_title(sec), row->name);
	}
	return 0;
}

static bool
is_roots(const char *path)
{
	struct stat st;

	/* In a sticky directory nobody can replace what is root's. */
	return stat(path, &st) == 0 && st.st_uid == 0 &&
	    ((st.st_mode & 022) == 0 ||
		(S_ISDIR(st.st_mode) && (st.st_mode & S_ISVTX) != 0));
}

/* Can nobody but root change what this path leads to? With all directories up
 * to the root of the tree looked at, nobody can between now and reading it. */
static bool
is_trusted(const char *path)
{
	char *real = realpath(path, NULL), *slash;
	bool good = real != NULL;

	while (good && real[0] != '\0') {
		good = is_roots(real);
		slash = strrchr(real, '/');
		*slash = '\0';
	}
	free(real);
	if (!good)
		errno = EPERM;
	return good && is_roots("/");
}

/* Is it a file? And, where that matters, one that only root can change? */
static bool
is_readable(const char *path)
{
	struct stat st;

	if (stat(path, &st) != 0)
		return false;
	if (!S_ISREG(st.st_mode)) {
		errno = S_ISDIR(st.st_mode) ? EISDIR : EINVAL;
		return false;
	}
	return !parse_trusted || is_trusted(path);
}

/* What is wrong, for errno as is_readable() leaves it. */
static const char *
not_readable(void)
{
	return errno == EPERM && parse_trusted
	    ? "it, and the directories above it, must belong to root and be "
	      "writable by nobody else"
	    : strerror(errno);
}

static const char *
conf_may_read(const char *path)
{
	return is_readable(path) ? NULL : not_readable();
}

/* libconfuse's option array for one section of our table. */
static cfg_opt_t *
conf_opts(const char *section, size_t extra)
{
	cfg_opt_t *opts = x_calloc(conf_n_rows + extra + 1, sizeof(*opts));
	size_t n = 0;

	for (size_t i = 0; i < conf_n_rows; i++) {
		const struct conf_row *row = &conf_rows[i];
		const char *dflt = row->dflt;

		if (strcmp(row->section, section) != 0)
			continue;
		if (row->type == CONF_LIST)
			opts[n++] = (cfg_opt_t)CFG_STR_LIST(row->name,
			    (char *)(uintptr_t)(dflt ? dflt : "{}"), CFGF_NONE);
		else if (dflt == NULL)
			opts[n++] =
			    (cfg_opt_t)CFG_STR(row->name, NULL, CFGF_NODEFAULT);
		else
			opts[n++] =
			    (cfg_opt_t)CFG_STR(row->name, dflt, CFGF_NONE);
	}
	opts[n] = (cfg_opt_t)CFG_END();
	return opts;
}

static void
opts_append(cfg_opt_t *opts, cfg_opt_t one)
{
	size_t n = 0;

	while (opts[n].name != NULL)
		n++;
	opts[n] = one;
	opts[n + 1] = (cfg_opt_t)CFG_END();
}

static const struct {
	const char *name;
	bool titled;
} sections[] = { { "log", true }, { "level", true }, { "rule", true },
	{ "score", false }, { "repeat", false }, { "firewall", false },
	{ "redis", false }, { "notify", false }, { "tune", true } };
#define N_SECTIONS (sizeof(sections) / sizeof(sections[0]))

static cfg_t *
conf_init(void)
{
	cfg_opt_t *top = conf_opts("", N_SECTIONS), *subs[N_SECTIONS];
	cfg_t *cfg;
	char name[128];

	for (size_t i = 0; i < N_SECTIONS; i++) {
		subs[i] = conf_opts(sections[i].name, 0);
		opts_append(top,
		    (cfg_opt_t)CFG_SEC(sections[i].name, subs[i],
			sections[i].titled
			    ? CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES
			    : CFGF_NONE));
	}
	cfg = cfg_init(top, CFGF_NONE); /* copies the arrays */
	free(top);
	for (size_t i = 0; i < N_SECTIONS; i++)
		free(subs[i]);
	if (cfg == NULL)
		log_fatal("out of memory");
	cfg_set_error_function(cfg, conf_error);
	for (size_t i = 0; i < conf_n_rows; i++) {
		snprintf(name, sizeof(name), "%s%s%s", conf_rows[i].section,
		    conf_rows[i].section[0] != '\0' ? "|" : "",
		    conf_rows[i].name);
		cfg_set_validate_func(cfg, name, conf_validate);
	}
	for (size_t i = 0; i < N_SECTIONS; i++)
		if (sections[i].titled)
			cfg_set_validate_func(
			    cfg, sections[i].name, conf_validate_section);
	return cfg;
}

static void *
conf_alloc(struct conf_full *cf, size_t n, size_t size)
{
	cf->allocs =
	    x_reallocarray(cf->allocs, cf->n_allocs + 1, sizeof(void *));
	return cf->allocs[cf->n_allocs++] = x_calloc(n, size);
}

const char *
conf_str(cfg_t *sec, const char *name)
{
	const char *v = cfg_getstr(sec, name);

	return v != NULL ? v : "";
}

const char *const *
conf_list(struct conf_full *cf, cfg_t *sec, const char *name)
{
	unsigned n = cfg_size(sec, name);
	const char **list = conf_alloc(cf, n + 1u, sizeof(char *));

	for (unsigned i = 0; i < n; i++)
		list[i] = cfg_getnstr(sec, name, i);
	return list;
}

static int
allow_add(struct conf_full *cf, struct addr **all, const char *text)
{
	struct addr a;

	if (!addr_parse(text, strlen(text), &a))
		return -1;
	*all = x_reallocarray(*all, cf->pub.n_allow + 1, sizeof(**all));
	(*all)[cf->pub.n_allow++] = a;
	return 0;
}

/* One address or prefix per line; '#' begins a comment. */
static int
allow_file(struct conf_full *cf, struct addr **all, const char *path,
    struct errbuf *err)
{
	FILE *f = is_readable(path) ? fopen(path, "re") : NULL;
	char *line = NULL;
	size_t room = 0;
	int n = 0, rc = 0;

	if (f == NULL)
		return conf_fail(cf->text, parse_allow, err,
		    "option 'allow': %s: %s", path, not_readable());
	while (rc == 0 && getline(&line, &room, f) >= 0) {
		char *s = line + strspn(line, " \t");

		n++;
		s[strcspn(s, "# \t\r\n")] = '\0';
		if (*s != '\0' && allow_add(cf, all, s) != 0)
			rc = errbuf_set(err,
			    "%s:%d: '%s' is not an address or "
			    "a prefix",
			    path, n, s);
	}
	if (rc == 0 && ferror(f))
		rc = errbuf_set(err, "%s: %s", path, strerror(errno));
	free(line);
	fclose(f);
	return rc;
}

static int
conf_fill_allow(struct conf_full *cf, struct errbuf *err)
{
	struct addr *all = NULL;
	int rc = 0;

	for (unsigned i = 0; rc == 0 && i < cfg_size(cf->cfg, "allow"); i++) {
		const char *text = cfg_getnstr(cf->cfg, "allow", i);

		if (strncmp(text, "file:", 5) == 0)
			rc = allow_file(cf, &all, text + 5, err);
		else
			rc = allow_add(cf, &all, text);
	}
	cf->allocs =
	    x_reallocarray(cf->allocs, cf->n_allocs + 1, sizeof(void *));
	cf->allocs[cf->n_allocs++] = all;
	cf->pub.allow = all;
	return rc;
}

static int
conf_fill_logs(struct conf_full *cf, struct errbuf *err)
{
	const char *directory;
	unsigned n = cfg_size(cf->cfg, "log");
	struct conf_log *logs = conf_alloc(cf, n + 1u, sizeof(*logs));

	for (unsigned i = 0; i < n; i++) {
		cfg_t *sec = cfg_getnsec(cf->cfg, "log", i);

		logs[i].path = cfg_title(sec);
		logs[i].sets = conf_list(cf, sec, "rules");
		logs[i].identifiers = conf_list(cf, sec, "identifiers");
		logs[i].matches = conf_list(cf, sec, "match");
		logs[i].beginning =
		    strcmp(conf_str(sec, "start"), "beginning") == 0;
		if (logs[i].path[0] != '/' &&
		    !conf_log_is_journal(&logs[i], &directory))
			return conf_fail_at(cf, sec, err,
			    "log \"%s\": neither an absolute path nor "
			    "\"journal\"",
			    logs[i].path);
	}
	cf->pub.logs = logs;
	cf->pub.n_logs = n;
	return 0;
}

static int
level_compare(const void *a, const void *b)
{
	const struct level *x = a, *y = b;

	return (x->threshold > y->threshold) - (x->threshold < y->threshold);
}

/* The ladder when the configuration has none. */
static const struct level default_levels[] = {
	{ 0, 5, 600,
	    "DEFER 4.7.1 Too many errors from {address}, try again later",
	    false },
	{ 0, 10, 3600, "REJECT 5.7.1 Abuse from {address} ({rule})", false },
	{ 0, 20, 43200, "521 5.7.1 Abuse from {address} ({rule})", true },
};

static int
conf_fill_levels(struct conf_full *cf, struct errbuf *err)
{
	static const char *const names[] = { "defer", "reject", "firewall" };
	unsigned n = cfg_size(cf->cfg, "level");
	struct level *levels = conf_alloc(cf, n + 3u, sizeof(*levels));

	if (n > LEVELS_MAX)
		return conf_fail_at(cf,
		    cfg_getnsec(cf->cfg, "level", LEVELS_MAX), err,
		    "more than %d levels", LEVELS_MAX);
	for (unsigned i = 0; n == 0 && i < 3; i++) {
		levels[i] = default_levels[i];
		levels[i].name = name_intern_str(names[i]);
	}
	for (unsigned i = 0; i < n; i++) {
		cfg_t *sec = cfg_getnsec(cf->cfg, "level", i);
		const char *title = cfg_title(sec);

		if (title[0] == '\0' || strlen(title) > 63 ||
		    strpbrk(title, " \t=") != NULL)
			return conf_fail_at(cf, sec, err,
			    "'%s' cannot be the name of a level", title);
		levels[i] = (struct level){
			.name = name_intern_str(title),
			.threshold = conf_real(cfg_getstr(sec, "threshold")),
			.duration = conf_duration(cfg_getstr(sec, "duration")),
			.action = cfg_getstr(sec, "action"),
			.firewall = conf_bool(cfg_getstr(sec, "firewall")),
		};
		for (unsigned j = 0; j < i; j++)
			if (levels[j].threshold == levels[i].threshold)
				return conf_fail_at(cf, sec, err,
				    "option 'threshold': levels \"%s\" and "
				    "\"%s\" have the same threshold",
				    name_text(levels[j].name), title);
	}
	cf->pub.levels = levels;
	cf->pub.n_levels = n > 0 ? n : 3;
	qsort(levels, cf->pub.n_levels, sizeof(*levels), level_compare);
	return 0;
}

static const char *
conf_host(struct conf_full *cf)
{
	const char *host = conf_str(cf->cfg, "host");
	char *name;

	if (host[0] != '\0')
		return host;
	name = conf_alloc(cf, 256, 1);
	if (gethostname(name, 255) != 0 || name[0] == '\0')
		snprintf(name, 255, "localhost");
	return name;
}

static int
conf_check_firewall(struct conf_full *cf, struct errbuf *err)
{
	cfg_t *fw = cfg_getsec(cf->cfg, "firewall");
	const char *backend = conf_str(fw, "backend");

	if (strcmp(backend, "command") == 0 &&
	    (cfg_size(fw, "add") == 0 || cfg_size(fw, "delete") == 0))
		return conf_fail_at(cf, fw, err,
		    "firewall: backend \"command\" needs `add` and `delete`");
	if (strcmp(backend, "none") != 0 &&
	    (cfg_size(fw, "ports") == 0 || cfg_size(fw, "protocols") == 0))
		return conf_fail_at(
		    cf, fw, err, "firewall: no port, or no protocol");
	if (cfg_size(fw, "ports") > 15)
		return conf_fail_at(
		    cf, fw, err, "firewall: more than 15 ports");
	return 0;
}

static int
conf_fill_notify(struct conf_full *cf, struct errbuf *err)
{
	struct conf *c = &cf->pub;
	cfg_t *sec = cfg_getsec(cf->cfg, "notify");
	const char *level = conf_str(sec, "min_level");

	c->notify.command = conf_list(cf, sec, "command");
	c->notify.timeout = conf_duration(cfg_getstr(sec, "timeout"));
	(void)rate_parse(conf_str(sec, "rate"), &c->notify.rate);
	if (c->notify.command[0] != NULL && c->notify.command[0][0] != '/')
		return conf_fail_at(cf, sec, err,
		    "notify: command: '%s' is not an absolute path; no shell "
		    "looks for it",
		    c->notify.command[0]);
	if (level[0] == '\0')
		return 0;
	for (size_t i = 0; i < c->n_levels; i++) {
		c->notify.min_level = i;
		if (strcmp(name_text(c->levels[i].name), level) == 0)
			return 0;
	}
	return conf_fail_at(
	    cf, sec, err, "notify: min_level: there is no level \"%s\"", level);
}

static void
conf_fill_plain(struct conf_full *cf)
{
	struct conf *c = &cf->pub;
	cfg_t *cfg = cf->cfg, *score = cfg_getsec(cfg, "score");
	cfg_t *repeat = cfg_getsec(cfg, "repeat");
	cfg_t *redis = cfg_getsec(cfg, "redis");
	cfg_t *fw = cfg_getsec(cfg, "firewall");

	c->listen = conf_list(cf, cfg, "listen");
	c->listen_mode = conf_mode(cfg_getstr(cfg, "listen_mode"));
	c->listen_owner = conf_str(cfg, "listen_owner");
	c->control = conf_str(cfg, "control");
	c->control_mode = conf_mode(cfg_getstr(cfg, "control_mode"));
	c->control_group = conf_str(cfg, "control_group");
	c->http = conf_str(cfg, "http");
	c->user = conf_str(cfg, "user");
	c->state_dir = conf_str(cfg, "state_dir");
	c->store = conf_str(cfg, "store");
	c->store_kind = strcmp(c->store, "embedded") == 0 ? CONF_STORE_EMBEDDED
							  : CONF_STORE_REDIS;
	c->host = conf_host(cf);
	c->log_target = conf_str(cfg, "log_target");
	c->log_level =
	    (enum msg_level)conf_log_level(conf_str(cfg, "log_level"));
	c->log_json = strcmp(conf_str(cfg, "log_format"), "json") == 0;
	c->dry_run = conf_bool(cfg_getstr(cfg, "dry_run"));
	c->allow_authenticated =
	    conf_bool(cfg_getstr(cfg, "allow_authenticated"));
	c->snapshot_interval =
	    conf_duration(cfg_getstr(cfg, "snapshot_interval"));
	c->max_addresses =
	    (uint64_t)conf_real(cfg_getstr(cfg, "max_addresses"));
	c->idle_timeout = conf_duration(cfg_getstr(cfg, "idle_timeout"));
	c->window = conf_duration(cfg_getstr(score, "window"));
	c->ipv4_prefix = (unsigned)conf_real(cfg_getstr(score, "ipv4_prefix"));
	c->ipv6_prefix = (unsigned)conf_real(cfg_getstr(score, "ipv6_prefix"));
	c->repeat.factor = conf_real(cfg_getstr(repeat, "factor"));
	c->repeat.max = conf_duration(cfg_getstr(repeat, "max"));
	c->repeat.memory = conf_duration(cfg_getstr(repeat, "memory"));
	c->helper = conf_str(cfg, "helper");
	c->firewall.backend =
	    (enum conf_firewall)conf_backend(conf_str(fw, "backend"));
	c->firewall.ports = conf_list(cf, fw, "ports");
	c->firewall.protocols = conf_list(cf, fw, "protocols");
	c->firewall.reset = strcmp(conf_str(fw, "verdict"), "reset") == 0;
	c->firewall.chain = conf_str(fw, "chain");
	c->firewall.name = conf_str(fw, "name");
	c->firewall.add = conf_list(cf, fw, "add");
	c->firewall.del = conf_list(cf, fw, "delete");
	c->firewall.interval = conf_duration(cfg_getstr(fw, "interval"));
	c->firewall.max_entries =
	    (uint64_t)conf_real(cfg_getstr(fw, "max_entries"));
	c->firewall.widest_ipv4 =
	    (unsigned)conf_real(cfg_getstr(fw, "widest_ipv4"));
	c->firewall.widest_ipv6 =
	    (unsigned)conf_real(cfg_getstr(fw, "widest_ipv6"));
	c->firewall.remove_on_stop =
	    strcmp(conf_str(fw, "on_stop"), "remove") == 0;
	c->firewall.shared = conf_bool(cfg_getstr(fw, "shared"));
	c->redis.prefix = conf_str(redis, "prefix");
	c->redis.user = conf_str(redis, "user");
	c->redis.password_file = conf_str(redis, "password_file");
	c->redis.timeout = conf_duration(cfg_getstr(redis, "timeout"));
}

struct conf *
conf_read_with(const char *path, bool trusted,
    int (*rules)(struct conf_full *, struct errbuf *), struct errbuf *err)
{
	struct conf_text *text;
	struct conf_full *cf;
	struct conf *c;
	int rc;

	err->text[0] = '\0';
	parse_trusted = trusted;
	text = conf_text_read(path, conf_may_read, err);
	if (text == NULL)
		return NULL;
	cf = x_calloc(1, sizeof(*cf));
	c = &cf->pub;
	cf->text = text;
	cf->cfg = conf_init();
	c->file = x_strdup(path);
	parse_error = err;
	parse_text = text;
	parse_allow = 0;
	rc = cfg_parse_buf(cf->cfg, conf_text_str(text));
	parse_error = NULL;
	parse_text = NULL;
	if (rc != CFG_SUCCESS && err->text[0] == '\0')
		errbuf_set(err, "%s: syntax error", path);
	if (rc == CFG_SUCCESS && conf_fill_logs(cf, err) == 0 &&
	    (rules == NULL || rules(cf, err) == 0) &&
	    conf_fill_levels(cf, err) == 0 && conf_fill_allow(cf, err) == 0 &&
	    conf_check_firewall(cf, err) == 0 &&
	    conf_fill_notify(cf, err) == 0) {
		conf_fill_plain(cf);
		return c;
	}
	conf_destroy(&c);
	return NULL;
}

struct conf *
conf_read_trusted(const char *path, struct errbuf *err)
{
	return conf_read_with(path, true, NULL, err);
}

void
conf_destroy(struct conf **cp)
{
	struct conf_full *cf = (struct conf_full *)*cp;

	if (cf == NULL)
		return;
	if (cf->rules != NULL)
		cf->rules_destroy(&cf->rules);
	for (size_t i = 0; i < cf->n_allocs; i++)
		free(cf->allocs[i]);
	free(cf->allocs);
	cfg_free(cf->cfg);
	conf_text_destroy(&cf->text);
	free((char *)(uintptr_t)cf->pub.file);
	free(cf);
	*cp = NULL;
}

/* The section of that name, if there is one of it. */
static cfg_t *
conf_section(const struct conf *c, const char *name)
{
	cfg_t *cfg = ((const struct conf_full *)c)->cfg;

	return name[0] == '\0' ? cfg : cfg_getsec(cfg, name);
}

static bool
conf_same(cfg_t *a, cfg_t *b, const char *name)
{
	unsigned n = cfg_size(a, name);

	if (n != cfg_size(b, name))
		return false;
	for (unsigned i = 0; i < n; i++) {
		const char *x = cfg_getnstr(a, name, i);
		const char *y = cfg_getnstr(b, name, i);

		if ((x == NULL) != (y == NULL) ||
		    (x != NULL && strcmp(x, y) != 0))
			return false;
	}
	return true;
}

void
conf_restart_needed(const struct conf *old, const struct conf *new,
    void (*say)(void *ctx, const char *section, const char *option), void *ctx)
{
	for (size_t i = 0; i < conf_n_rows; i++) {
		const struct conf_row *row = &conf_rows[i];

		if (!row->reloadable &&
		    !conf_same(conf_section(old, row->section),
			conf_section(new, row->section), row->name))
			say(ctx, row->section, row->name);
	}
}
