/*
 * conf, conf_schema, conf_text: every mistake is told with file, line and
 * option; includes; defaults.
 */
#include "lib/core/conf.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/core/conf_schema.h"
#include "lib/core/names.h"
#include "t/unit/rnd.h"
#include "t/unit/tap.h"

static char dir[] = "/tmp/conf_test.XXXXXX";

/* The path of a file of the test; borrowed for a few calls. */
static const char *
at(const char *name)
{
	static char paths[4][200];
	static unsigned n;

	n = (n + 1) % 4;
	snprintf(paths[n], sizeof(paths[n]), "%s/%s", dir, name);
	return paths[n];
}

static void
put(const char *name, const char *text)
{
	FILE *f = fopen(at(name), "w");

	if (f == NULL || fputs(text, f) < 0)
		exit(1);
	fclose(f);
}

static struct conf *
parse(const char *text, struct errbuf *err)
{
	put("c", text);
	memset(err, 0, sizeof(*err));
	return conf_read(at("c"), err);
}

/* Taken; the caller looks at it and destroys it. */
static struct conf *
taken(const char *text, const char *what)
{
	struct errbuf err;
	struct conf *c = parse(text, &err);

	if (!ok(c != NULL, "%s", what))
		printf("#   %s\n", err.text);
	return c;
}

/* Refused with a message that begins with the file and ends as given. */
static void
refused(const char *text, const char *want)
{
	struct errbuf err;
	struct conf *c = parse(text, &err);
	char full[1200];

	snprintf(full, sizeof(full), "%s%s", at("c"), want);
	ok(c == NULL, "refused:%s", want);
	is_str(err.text, full, "and said so");
	conf_destroy(&c);
}

#define RULE                                                     \
	"rule \"r\" {\n\tset = \"s\"\n\tprogram = {\"smtpd\"}\n" \
	"\tpattern = \"^x {client}\"\n}\n"

static void
test_defaults(void)
{
	struct conf *c = taken("", "an empty file");

	if (c == NULL)
		return;
	is_str(c->file, at("c"), "where it was read from");
	is_str(c->listen[0], "inet:127.0.0.1:10040", "listen");
	ok(c->listen[1] == NULL, "only that");
	is_int(c->listen_mode, 0666, "listen_mode");
	is_str(c->control, "/run/mxwarden/control.sock", "control");
	is_int(c->control_mode, 0660, "control_mode");
	is_str(c->user, "mxwarden", "user");
	is_str(c->state_dir, "/var/lib/mxwarden", "state_dir");
	is_str(c->store, "embedded", "store");
	is_int(c->store_kind, CONF_STORE_EMBEDDED, "its kind");
	ok(c->host[0] != '\0', "host is that of the machine");
	ok(!c->dry_run && c->allow_authenticated, "booleans");
	is_int(c->n_allow, 2, "allow");
	ok(addr_is_v4(&c->allow[0]) && addr_prefix_len(&c->allow[0]) == 8,
	    "127.0.0.0/8");
	is_num(c->snapshot_interval, 10, "snapshot_interval");
	is_int(c->max_addresses, 1000000, "max_addresses");
	is_num(c->idle_timeout, 3600, "idle_timeout");
	is_int(c->n_logs, 0, "no logs");
	is_num(c->window, 600, "window");
	is_int(c->ipv4_prefix, 32, "ipv4_prefix");
	is_int(c->ipv6_prefix, 64, "ipv6_prefix");
	is_num(c->repeat.factor, 2, "repeat.factor");
	is_num(c->repeat.max, 604800, "repeat.max");
	is_num(c->repeat.memory, 2592000, "repeat.memory");
	is_int(c->n_levels, 3, "the ladder");
	is_str(name_text(c->levels[0].name), "defer", "defer");
	is_num(c->levels[0].threshold, 5, "at 5");
	is_str(name_text(c->levels[2].name), "firewall", "firewall");
	ok(c->levels[2].firewall && !c->levels[1].firewall, "drops");
	is_num(c->levels[2].duration, 43200, "for 12 hours");
	is_str(c->redis.prefix, "mxwarden:", "redis.prefix");
	is_num(c->redis.timeout, 0.5, "redis.timeout");
	is_int(rules_count(c->rules), 1, "no rule but the built-in one");
	conf_destroy(&c);
	conf_destroy(&c);
	ok(c == NULL, "destroyed");
}

/* The ladder that is built in is the one that the sample shows. */
static void
test_sample(void)
{
	const char *src = getenv("MXW_SRC");
	struct conf *a = taken("", "no configuration"), *b;
	struct errbuf err;
	char path[1000];

	snprintf(path, sizeof(path), "%s/conf/mxwarden.conf",
	    src != NULL ? src : ".");
	b = conf_read(path, &err);
	ok(b != NULL, "the sample %s", b != NULL ? "" : err.text);
	if (a != NULL && b != NULL) {
		is_int(a->n_levels, b->n_levels, "levels");
		for (size_t i = 0; i < a->n_levels; i++) {
			const struct level *x = &a->levels[i];
			const struct level *y = &b->levels[i];

			is_str(name_text(x->name), name_text(y->name), "name");
			is_num(x->threshold, y->threshold, "threshold");
			is_num(x->duration, y->duration, "duration");
			is_str(x->action, y->action, "action");
			is_int(x->firewall, y->firewall, "firewall");
		}
		ok(rules_count(b->rules) > 40, "the shipped rules");
	}
	conf_destroy(&a);
	conf_destroy(&b);
}

static void
test_values(void)
{
	struct conf *c =
	    taken("listen = {\"unix:/run/x\", \"inet:[::1]:10040\"}\n"
		  "listen_mode = 0600\n"
		  "dry_run = yes\nallow_authenticated = \"off\"\n"
		  "allow = {\"192.0.2.0/24\"}\nallow += {\"2001:db8::/32\"}\n"
		  "host = \"a\" host = \"b\"\n"
		  "store = \"redis://[::1]:6380/3\"\n"
		  "score { window = \"1h30m\" }\nscore { ipv6_prefix = 56 }\n"
		  "level \"z\" { threshold = 9.5 action = \"REJECT x\" "
		  "duration = \"7d\" firewall = true }\n"
		  "level \"a\" { threshold = 20 action = '521 5.7.1 a' "
		  "duration = \"1500ms\" }\n"
		  "level \"m\" { threshold = 2 action = \"DEFER\" "
		  "duration = \"1s\" }\n" RULE
		  "log \"/var/log/mail.log\" { rules = {\"s\"} "
		  "start = \"beginning\" }\n",
		"all kinds of values");

	if (c == NULL)
		return;
	ok(strcmp(c->listen[0], "unix:/run/x") == 0 &&
		strcmp(c->listen[1], "inet:[::1]:10040") == 0 &&
		c->listen[2] == NULL,
	    "a list");
	is_int(c->listen_mode, 0600, "a mode");
	ok(c->dry_run && !c->allow_authenticated, "booleans");
	is_int(c->n_allow, 2, "a list that is added to");
	is_str(c->host, "b", "the last of two");
	is_int(c->store_kind, CONF_STORE_REDIS, "a store");
	is_num(c->window, 5400, "a duration");
	is_int(c->ipv6_prefix, 56, "of a section that comes twice");
	ok(c->n_levels == 3 && c->levels[0].threshold == 2 &&
		c->levels[1].threshold == 9.5 && c->levels[2].threshold == 20,
	    "levels in the order of their thresholds");
	is_str(name_text(c->levels[1].name), "z", "with their names");
	ok(c->levels[1].firewall && c->levels[1].duration == 604800,
	    "and what belongs to them");
	is_num(c->levels[2].duration, 1.5, "milliseconds");
	is_str(c->levels[2].action, "521 5.7.1 a", "an action");
	is_int(c->n_logs, 1, "a log");
	ok(c->logs[0].beginning && strcmp(c->logs[0].sets[0], "s") == 0 &&
		c->logs[0].sets[1] == NULL,
	    "and how it is read");
	conf_destroy(&c);
}

static void
test_options(void)
{
	static const char *const sections[] = { "score", "repeat", "firewall",
		"redis", "log \"/x\"", "level \"x\"", "rule \"x\"",
		"tune \"x\"" };
	char text[300];

	refused("\n\nnonsense = 1\n", ":3: no such option 'nonsense'");
	refused("Listen = {}\n", ":1: no such option 'Listen'");
	for (size_t i = 0; i < sizeof(sections) / sizeof(sections[0]); i++) {
		snprintf(text, sizeof(text), "%s {\n\n\tnonsense = 1\n}\n",
		    sections[i]);
		refused(text, ":3: no such option 'nonsense'");
	}
	refused("user \"x\"\n", ":1: missing equal sign after option 'user'");
	refused(
	    "level \"a\" }\n", ":1: missing opening brace for section 'level'");
	refused("dry_run = \"maybe\"\n",
	    ":1: option 'dry_run': 'maybe' is neither true nor false");
	refused("max_addresses = \"-5\"\n",
	    ":1: option 'max_addresses': '-5' is not a whole number");
	refused("max_addresses = 1e6\n",
	    ":1: option 'max_addresses': '1e6' is not a whole number");
	refused("max_addresses = 99\n",
	    ":1: option 'max_addresses': 99 is out of range (100 to "
	    "100000000)");
	refused("score {\n ipv4_prefix = 33 }\n",
	    ":2: option 'ipv4_prefix': 33 is out of range (8 to 32)");
	refused("repeat { factor = \"x2\" }\n",
	    ":1: option 'factor': 'x2' is not a number");
	refused("repeat { factor = nan }\n",
	    ":1: option 'factor': 'nan' is not a number");
	refused("repeat { factor = 0.5 }\n",
	    ":1: option 'factor': 0.5 is out of range (1 to 100)");
	refused("score {\n\twindow = \"10 m\"\n}\n",
	    ":2: option 'window': '10 m' is not a duration (like 500ms, 10m, "
	    "1h30m, 7d)");
	refused("score { window = 600 }\n",
	    ":1: option 'window': '600' is not a duration (like 500ms, 10m, "
	    "1h30m, 7d)");
	refused("idle_timeout = \"299s\"\n",
	    ":1: option 'idle_timeout': 299s is out of range (5m to 7d)");
	refused("listen_mode = 0888\n",
	    ":1: option 'listen_mode': '0888' is not a file mode (like "
	    "0660)");
	refused("listen_mode = 01777\n",
	    ":1: option 'listen_mode': '01777' is not a file mode (like "
	    "0660)");
	refused("listen = {\"inet:127.0.0.1:1\",\n\"127.0.0.1:2\"}\n",
	    ":2: option 'listen': '127.0.0.1:2' is neither "
	    "inet:ADDRESS:PORT nor unix:/path");
	refused("allow = {\"192.0.2.0/33\"}\n",
	    ":1: option 'allow': '192.0.2.0/33' is not an address, a prefix "
	    "or file:/path");
	refused("allow = {\"file:relative\"}\n",
	    ":1: option 'allow': 'relative' is not an absolute path");
	refused("state_dir = \"x\"\n",
	    ":1: option 'state_dir': 'x' is not an absolute path");
	refused("log \"/x\" {\n rules = {\"s\"}\n start = \"middle\"\n}\n",
	    ":3: option 'start': 'middle' is neither \"end\" nor "
	    "\"beginning\"");
	refused("\nlevel \"a\" {\n threshold = 1\n duration = \"1m\"\n"
		" action = \"421\"\n}\n",
	    ":5: option 'action': action \"421\" is a bare number, which "
	    "Postfix reads as permit; add a text");
	refused("\nlevel \"a\" {\n threshold = 1\n\n action = \"DEFER\"\n}\n",
	    ":2: level \"a\": option 'duration' is missing");
	refused("log \"/x\" { rules = {} }\n",
	    ":1: log \"/x\": option 'rules' is missing");
	refused("rule \"r\" {\n set = \"s\"\n program = {\"x\"}\n}\n",
	    ":1: rule \"r\": option 'pattern' is missing");
}

static void
test_sections(void)
{
	char text[4000] = "";

	refused("level \"a b\" { threshold = 1 duration = \"1m\" "
		"action = \"DEFER\" }\n",
	    ":1: 'a b' cannot be the name of a level");
	refused("level \"a\" { threshold = 5 duration = \"1m\" "
		"action = \"DEFER\" }\n\nlevel \"b\" {\n threshold = 5.0\n"
		" duration = \"1h\"\n action = \"REJECT\"\n}\n",
	    ":3: option 'threshold': levels \"a\" and \"b\" have the same "
	    "threshold");
	refused("level \"a\" { threshold = 5 duration = \"1m\" "
		"action = \"DEFER\" }\n\nlevel \"a\" {\n threshold = 6\n"
		" duration = \"1h\"\n action = \"REJECT\"\n}\n",
	    ":3: found duplicate title 'a'");
	refused(RULE RULE, ":6: found duplicate title 'r'");
	refused("log \"/x\" { rules = {\"s\"} }\nlog \"/x\" {"
		" rules = {\"s\"} }\n" RULE,
	    ":2: found duplicate title '/x'");
	for (int i = 0; i < 17; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text),
		    "level \"l%d\" { threshold = %d duration = \"1m\" "
		    "action = \"DEFER\" }\n",
		    i, i + 1);
	refused(text, ":17: more than 16 levels");
	refused(
	    "\nlog \"/var/log/mail.log\" {\n rules = {\"s\", \"t\"}\n}\n" RULE,
	    ":2: log \"/var/log/mail.log\": no rule belongs to set \"t\"; is "
	    "its file included?");
	refused("log \"mail.log\" { rules = {\"s\"} }\n" RULE,
	    ":1: log \"mail.log\": neither an absolute path nor \"journal\"");
	refused("rule \"bad name\" { set = \"s\" program = {\"x\"} "
		"pattern = \"^{client}\" }\n",
	    ":1: rule \"bad name\": a rule's name has letters, digits and "
	    "'-', '_', '.' only");
	refused("\nrule \"r\" {\n set = \"s\"\n program = {\"a/b\"}\n"
		" pattern = \"^{client}\"\n}\n",
	    ":2: rule \"r\": 'a/b' is not a program: the last component of a "
	    "tag, without the pid");
	refused("rule \"r\" {\n set = \"s\"\n program = {\"x\"}\n"
		" pattern = '^('\n}\n",
	    ":4: option 'pattern': missing closing parenthesis near '('");
	refused("rule \"r\" {\n set = \"s\"\n program = {\"x\"}\n"
		" pattern = 'x {client}'\n}\n",
	    ":4: option 'pattern': a pattern must start with '^'");
	refused("rule \"r\" {\n set = \"s\"\n program = {\"x\"}\n"
		" pattern = '^{client}'\n weight = \"much\"\n}\n",
	    ":5: option 'weight': 'much' is not a number");
	refused("rule \"r\" {\n set = \"s\"\n program = {\"x\"}\n"
		" pattern = '^{client}'\n in = {\"x\"}\n}\n",
	    ":1: rule \"r\": `in` and `not_in` need a field");
	refused(RULE "tune \"q\" { weight = 3 }\n",
	    ":6: tune \"q\": there is no rule of this name");
	refused(RULE "tune \"r\" {\n in = {\"x\"}\n}\n",
	    ":6: tune \"r\": `in` and `not_in` need a field");
}

static void
test_text(void)
{
	static const struct {
		const char *text, *want;
	} cases[] = {
		{ "user = \"x\nuser = \"y\"\n",
		    ":2: the string that begins here has no end" },
		{ "\nuser = \"x\n\n",
		    ":2: the string that begins here has no end" },
		{ "user = 'x\n", ":1: the string that begins here has no end" },
		{ "user = 'x\\'\n",
		    ":1: the string that begins here has no end" },
		{ "user = \"x\\",
		    ":1: the string that begins here has no end" },
		{ "\n/* user = \"x\"\n",
		    ":2: the comment that begins here has no end" },
		{ "user = \"a\\9\"\n",
		    ":1: \\9 is no byte; write a backslash as \\\\, or use "
		    "single quotes" },
		{ "user = \"a\\400\"\n",
		    ":1: \\400 is no byte; write a backslash as \\\\, or use "
		    "single quotes" },
		{ "user = \"${HOME\"\n",
		    ":1: ${ without }; use single quotes" },
		{ "\nlevel \"x\" {\n",
		    ":2: the brace that begins here has no "
		    "end" },
		{ "/* a\n b */ x = 1\n", ":2: no such option 'x'" },
		{ "/* a */ /* b */\n// c\n# d\nx = 1\n",
		    ":4: no such option 'x'" },
		{ "user = 'a\nb'\nx = 1\n", ":3: no such option 'x'" },
		{ "user = \"a\\\nb\"\nx = 1\n", ":3: no such option 'x'" },
		{ "user = '# // /* {'\nx = 1\n", ":2: no such option 'x'" },
		{ "user = \"'\" # \"\nx = 1\n", ":2: no such option 'x'" },
		{ "\r\nx = 1\r\n", ":2: no such option 'x'" },
	};
	struct errbuf err;
	struct conf *c;
	FILE *f;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		refused(cases[i].text, cases[i].want);
		/* Whatever was wrong, the next one is read as if nothing had
		 * been. */
		c = taken("user = \"good\"\n", "the next file");
		if (c != NULL)
			is_str(c->user, "good", "is read");
		conf_destroy(&c);
	}
	f = fopen(at("c"), "w");
	if (f == NULL || fwrite("user = \"x\"\n\n\0\n", 1, 14, f) != 14)
		exit(1);
	fclose(f);
	ok(conf_read(at("c"), &err) == NULL, "a NUL byte");
	ok(strstr(err.text, "c:3: a NUL byte") != NULL, "%s", err.text);
	setenv("MXW_CONF_TEST", "from-the-environment", 1);
	c = taken("user = \"${MXW_CONF_TEST}\"\nhost = '${MXW_CONF_TEST}'\n",
	    "the environment");
	if (c != NULL) {
		is_str(c->user, "from-the-environment", "in double quotes");
		is_str(c->host, "${MXW_CONF_TEST}", "not in single ones");
	}
	conf_destroy(&c);
	c = taken("user = \"\\x41\\102\\\\\\\"c\"\nhost = 'a\\d\\'\\\\'\n",
	    "escapes");
	if (c != NULL) {
		is_str(c->user, "AB\\\"c", "in double quotes");
		is_str(c->host, "a\\d'\\", "in single ones");
	}
	conf_destroy(&c);
	c = taken("user=\"a\"#b\nhost=x//y\nstate_dir=/var/lib/x\n",
	    "comments behind values");
	if (c != NULL)
		ok(strcmp(c->user, "a") == 0 && strcmp(c->host, "x") == 0 &&
			strcmp(c->state_dir, "/var/lib/x") == 0,
		    "and values without quotes");
	conf_destroy(&c);
}

static void
put_rule(const char *file, const char *name)
{
	char text[1000];

	snprintf(text, sizeof(text),
	    "rule \"%s\" { set = \"s\" program = {\"x\"} "
	    "pattern = \"^%s {client}\" }",
	    name, name);
	put(file, text);
}

/* The names of the rules in their order. */
static const char *
rules_of(const struct conf *c)
{
	static char names[2000];

	names[0] = '\0';
	for (size_t i = 1; i < rules_count(c->rules); i++)
		snprintf(names + strlen(names), sizeof(names) - strlen(names),
		    "%s%s", i > 1 ? " " : "",
		    name_text(rules_nth(c->rules, i)->name));
	return names;
}

static void
test_include(void)
{
	struct conf *c;
	char file[40], text[300];

	mkdir(at("d"), 0700);
	mkdir(at("d/e"), 0700);
	put_rule("d/one", "one");
	put("d/two", "# nothing\n\ninclude(\"e/three\") include('one')\n");
	put_rule("d/e/three", "three");
	c = taken("rule \"zero\" { set = \"s\" program = {\"x\"} "
		  "pattern = \"^0 {client}\" }\n"
		  "include(\"d/two\")\n" RULE,
	    "included, relative to the file that includes");
	if (c != NULL)
		is_str(rules_of(c), "zero three one r", "in their places");
	conf_destroy(&c);
	snprintf(text, sizeof(text), "include ( %s ) # x\n", at("d/one"));
	c = taken(text, "an absolute name, without quotes");
	if (c != NULL)
		is_str(rules_of(c), "one", "is included");
	conf_destroy(&c);
	/* More files than libconfuse can nest, in the order of their names. */
	mkdir(at("r"), 0700);
	for (int i = 0; i < 40; i++) {
		snprintf(file, sizeof(file), "r/%02d.conf", i);
		snprintf(text, sizeof(text), "r%02d", i);
		put_rule(file, text);
	}
	c = taken("include(\"r/*.conf\")\n" RULE, "a pattern");
	if (c != NULL) {
		is_int(rules_count(c->rules), 42, "all of them");
		ok(strncmp(rules_of(c), "r00 r01 r02 ", 12) == 0 &&
			strcmp(rules_of(c) + strlen(rules_of(c)) - 5,
			    "r39 r") == 0,
		    "in their order");
	}
	conf_destroy(&c);
	refused("include(\"x\", \"y\")\n", ":1: include() takes one file name");
	refused("\ninclude()\n", ":2: include() takes one file name");
	refused("include(\"\")\n", ":1: include() takes one file name");
	refused("include(\"x\n\")\n", ":1: include() takes one file name");
	refused(
	    "score { include(\"d/one\") }\n", ":1: no such option 'include'");
}

static void
include_refused(const char *text, const char *file, const char *want)
{
	struct errbuf err;
	struct conf *c = parse(text, &err);
	char full[1200];

	snprintf(full, sizeof(full), "%s%s", at(file), want);
	ok(c == NULL, "refused:%s", want);
	is_str(err.text, full, "and said so");
	conf_destroy(&c);
}

static void
test_include_errors(void)
{
	struct conf *c;
	struct errbuf err;
	char want[600], name[30], text[300];
	unsigned failed = 0;

	snprintf(want, sizeof(want), ":2: %s: No such file or directory",
	    at("none"));
	include_refused("\ninclude(\"none\")\n", "c", want);
	snprintf(want, sizeof(want), ":1: %s: No such file or directory",
	    at("none/*.conf"));
	include_refused("include(\"none/*.conf\")\n", "c", want);
	snprintf(want, sizeof(want), ":1: %s: Is a directory", at("d"));
	include_refused("include(\"d\")\n", "c", want);
	put("bad", "\n\n\nnonsense = 1\n");
	include_refused("# 1\ninclude(\"bad\")\n# 3\n", "bad",
	    ":4: no such option 'nonsense'");
	include_refused("include(\"d/one\") nonsense = 1\n", "c",
	    ":1: no such option 'nonsense'");
	include_refused("\n\ninclude(\"d/one\")\n\nnonsense = 1\n", "c",
	    ":5: no such option 'nonsense'");
	put("open", "\nlevel \"x\" {\n");
	include_refused("include(\"open\")\n}\n", "open",
	    ":2: the brace that begins here has no end");
	put("level", "\nlevel \"x\" {\n threshold = 1\n}\n");
	include_refused("include(\"level\")\n", "level",
	    ":2: level \"x\": option 'action' is missing");
	/* A file that includes itself, by a pattern with others, too. */
	put("loop", "\ninclude(\"loop\")\n");
	snprintf(want, sizeof(want), ":2: %s: includes nested too deeply",
	    at("loop"));
	include_refused("include(\"loop\")\n", "loop", want);
	mkdir(at("many"), 0700);
	for (int i = 0; i < 5; i++) {
		snprintf(name, sizeof(name), "many/%d", i);
		put(name, i < 4 ? "# nothing\n" : "include(\"*\")\n");
	}
	c = parse("include(\"many/*\")\n", &err);
	ok(c == NULL && strstr(err.text, "nested too deeply") != NULL,
	    "a pattern that holds itself: %s", err.text);
	/* As deep as may be. */
	for (int i = 2; i <= 9; i++) {
		snprintf(name, sizeof(name), "n%d", i);
		snprintf(text, sizeof(text), "include(\"n%d\")\n", i + 1);
		put(name, text);
	}
	put_rule("n10", "deep");
	c = taken("include(\"n2\")\n", "ten files deep");
	conf_destroy(&c);
	put("n10", "include(\"n11\")\n");
	put_rule("n11", "deeper");
	c = parse("include(\"n2\")\n", &err);
	ok(c == NULL && strstr(err.text, "n10:1: ") != NULL, "eleven are not");
	/* A reload that fails a hundred times leaves nothing behind. */
	for (int i = 0; i < 100; i++) {
		c = parse("include(\"bad\")\n", &err);
		failed +=
		    c == NULL && strstr(err.text, "no such option") != NULL;
		conf_destroy(&c);
	}
	is_int(failed, 100, "a mistake in an included file, a hundred times");
	c = taken("include(\"d/one\")\n", "then it is mended");
	conf_destroy(&c);
	ok(conf_read(at("nowhere"), &err) == NULL, "no file at all");
	snprintf(
	    want, sizeof(want), "%s: No such file or directory", at("nowhere"));
	is_str(err.text, want, "is told");
	ok(conf_read(dir, &err) == NULL, "a directory");
	ok(strstr(err.text, ": Is a directory") != NULL, "%s", err.text);
}

static void
test_allow(void)
{
	char text[3000], comment[1000], want[600];
	struct errbuf err;
	struct conf *c;

	memset(comment, 'x', sizeof(comment) - 1);
	comment[sizeof(comment) - 1] = '\0';
	snprintf(text, sizeof(text),
	    "# %s 192.0.2.1\n\n192.0.2.0/24\t# ours\r\n  2001:db8::/32\n"
	    "::ffff:198.51.100.7 and more words\n%*s203.0.113.9",
	    comment, 600, "");
	put("allow", text);
	snprintf(text, sizeof(text), "allow = {\"10.0.0.0/8\", \"file:%s\"}\n",
	    at("allow"));
	c = taken(text, "a file of addresses");
	if (c != NULL) {
		is_int(c->n_allow, 5, "five of them");
		ok(addr_is_v4(&c->allow[3]) && addr_is_v4(&c->allow[4]) &&
			c->allow[4].b[15] == 9,
		    "long lines and all");
	}
	conf_destroy(&c);
	put("allow", "192.0.2.1\n\nexample.org # no names\n");
	snprintf(want, sizeof(want),
	    "%s:3: 'example.org' is not an address or a prefix", at("allow"));
	ok(parse(text, &err) == NULL, "a name in it");
	is_str(err.text, want, "is told with file and line");
	unlink(at("allow"));
	snprintf(
	    text, sizeof(text), "\n\nallow = {\"file:%s\"}\n", at("allow"));
	snprintf(want, sizeof(want),
	    ":3: option 'allow': %s: No such file or directory", at("allow"));
	refused(text, want);
	snprintf(text, sizeof(text), "allow = {\"file:%s\"}\n", dir);
	snprintf(
	    want, sizeof(want), ":1: option 'allow': %s: Is a directory", dir);
	refused(text, want);
}

static void
test_endpoints(void)
{
	static const struct {
		const char *text;
		int port; /* -1 refused, 0..65535, -2 a path */
	} cases[] = { { "inet:127.0.0.1:10040", 10040 },
		{ "inet:[::1]:10040", 10040 }, { "inet:[2001:db8::1]:0", 0 },
		{ "inet:0.0.0.0:65535", 65535 }, { "unix:/run/x", -2 },
		{ "inet:127.0.0.1", -1 }, { "inet:127.0.0.1:", -1 },
		{ "inet:127.0.0.1:65536", -1 }, { "inet:127.0.0.1:-1", -1 },
		{ "inet:127.0.0.1:1x", -1 }, { "inet::1:10040", -1 },
		{ "inet:::1:10040", -1 }, { "inet:localhost:10040", -1 },
		{ "inet::10040", -1 }, { "inet:[]:1", -1 }, { "inet:[:1", -1 },
		{ "inet:[127.0.0.1]:7", 7 }, { "unix:x", -1 }, { "unix:", -1 },
		{ "tcp:1.2.3.4:5", -1 }, { "", -1 } };
	struct conf_endpoint ep;
	struct errbuf err;
	char text[200];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		bool parsed = conf_parse_endpoint(cases[i].text, &ep, &err);

		ok(parsed == (cases[i].port != -1) &&
			(!parsed || ep.is_unix == (cases[i].port == -2)) &&
			(!parsed || ep.is_unix || ep.port == cases[i].port),
		    "endpoint '%s'", cases[i].text);
	}
	snprintf(text, sizeof(text), "unix:/%0106d", 0);
	ok(conf_parse_endpoint(text, &ep, &err), "the longest path");
	snprintf(text, sizeof(text), "unix:/%0107d", 0);
	ok(!conf_parse_endpoint(text, &ep, &err), "and one that is longer");
}

static void
test_log_names(void)
{
	static const struct {
		const char *log, *path;
		bool covers;
	} cases[] = { { "/var/log/mail.log", "/var/log/mail.log", true },
		{ "/var/log/mail.log", "/var/log/mail.log.1", false },
		{ "/var/log/*log", "/var/log/mail.log", true },
		{ "/var/log/*log", "/var/log/mainlog", true },
		{ "/var/log/*log", "/var/log/x/mainlog", false },
		{ "/var/log/*", "/var/log/.hidden", false },
		{ "/var/log/*", "/var/log/mail.log.1", false },
		{ "/var/log/*", "/var/log/mail.log.2.gz", false },
		{ "/var/log/*", "/var/log/mail.log-20261231", false },
		{ "/var/log/*", "/var/log/mail.log-20261231.xz", false },
		{ "/var/log/*", "/var/log/mail-2", true },
		{ "/var/log/*", "/var/log/mx1", true },
		{ "/var/log/*", "/var/log/20261231", true },
		{ "/var/log/mail.log.[1]", "/var/log/mail.log.1", false },
		{ "/var/log/m?il", "/var/log/mail", true },
		{ "/var/log/m[a-c]il", "/var/log/mail", true } };
	struct conf_log log = { .path = "journal" };
	const char *directory;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		log.path = cases[i].log;
		ok(conf_log_covers(&log, cases[i].path) == cases[i].covers,
		    "%s and %s", cases[i].log, cases[i].path);
	}
	log.path = "/var/log/mail.log";
	ok(!conf_log_is_pattern(&log) && !conf_log_is_journal(&log, &directory),
	    "a file");
	log.path = "/var/log/*log";
	ok(conf_log_is_pattern(&log), "a pattern");
	log.path = "journal";
	ok(conf_log_is_journal(&log, &directory) && directory == NULL,
	    "the journal");
	log.path = "journal:/x";
	ok(conf_log_is_journal(&log, &directory), "one of another host");
	is_str(directory, "/x", "its directory");
	log.path = "journal:x";
	ok(!conf_log_is_journal(&log, &directory), "not a relative one");
}

/* Each row of the table is complete, and its default passes its own check. */
static void
test_schema(void)
{
	size_t n;
	const struct conf_option *o = conf_options(&n);
	unsigned wrong = 0;
	struct errbuf err;

	is_int(n, conf_n_rows, "all options");
	for (size_t i = 0; i < n; i++) {
		const struct conf_row *row = &conf_rows[i];

		wrong += strcmp(o[i].name, row->name) != 0 ||
		    strcmp(o[i].section, row->section) != 0 ||
		    o[i].type == NULL || o[i].help == NULL ||
		    o[i].help[0] == '\0' || strchr(o[i].help, '\n') != NULL ||
		    (o[i].dflt == NULL) != (row->dflt == NULL);
		if (conf_row_find(row->section, row->name) != row) {
			ok(false, "%s %s is there twice", row->section,
			    row->name);
		}
		if (row->dflt == NULL || row->dflt[0] == '\0' ||
		    row->type == CONF_LIST)
			continue;
		if (conf_row_check(row, row->dflt, &err) != 0)
			ok(false, "%s %s: %s", row->section, row->name,
			    err.text);
	}
	is_int(wrong, 0, "are complete");
}

/* Damaged configurations are taken or refused with a message. */
static void
test_noise(void)
{
	static const char good[] =
	    "# c\nuser = \"a\\\"b\" /* x\n */ host = 'q'\n"
	    "allow = {\"192.0.2.1\", \"::1\"}\nscore { window = \"5m\" }\n"
	    "level \"x\" {\n threshold = 5 # five\n duration = 10m\n"
	    " action = 'REJECT x'\n}\n" RULE "tune \"r\" { weight = 3 }\n"
	    "log \"/x\" { rules = {\"s\"} }\n// end\n";
	unsigned wrong = 0, good_n = 0;
	struct conf *c;

	for (int i = 0; i < 1500; i++) {
		char text[sizeof(good)];
		struct errbuf err;

		memcpy(text, good, sizeof(good));
		for (unsigned n = 1 + rnd_below(3); n > 0; n--)
			text[rnd_below(sizeof(good) - 1)] =
			    "\"'{}()=#/*\\\n ,$9x"[rnd_below(18)];
		c = parse(text, &err);
		good_n += c != NULL;
		wrong += c == NULL && strncmp(err.text, dir, strlen(dir)) != 0;
		conf_destroy(&c);
	}
	is_int(wrong, 0, "every message begins with the file");
	ok(good_n > 40, "%u were taken", good_n);
	c = taken(good, "and the good one still is");
	if (c != NULL)
		ok(strcmp(c->user, "a\"b") == 0 && c->n_levels == 1,
		    "as if nothing had been");
	conf_destroy(&c);
}

static char changed[1000];

static void
say(void *ctx, const char *section, const char *option)
{
	(void)ctx;
	snprintf(changed + strlen(changed), sizeof(changed) - strlen(changed),
	    "%s%s%s ", section, section[0] != '\0' ? "." : "", option);
}

static void
test_restart(void)
{
	struct conf *a = taken("user = \"a\"\nredis { prefix = \"x:\" }\n"
			       "score { window = \"5m\" }\n",
	    "one configuration");
	struct conf *b =
	    taken("user = \"b\"\nscore { window = \"6m\" }\n", "another");

	if (a != NULL && b != NULL) {
		conf_restart_needed(a, b, say, NULL);
		is_str(changed, "user redis.prefix ",
		    "what a reload does not change");
		changed[0] = '\0';
		conf_restart_needed(a, a, say, NULL);
		is_str(changed, "", "nothing");
	}
	conf_destroy(&a);
	conf_destroy(&b);
}

int
main(void)
{
	char cmd[100];

	if (mkdtemp(dir) == NULL)
		return 1;
	test_defaults();
	test_sample();
	test_values();
	test_options();
	test_sections();
	test_text();
	test_include();
	test_include_errors();
	test_allow();
	test_endpoints();
	test_log_names();
	test_schema();
	test_noise();
	test_restart();
	names_destroy();
	snprintf(cmd, sizeof(cmd), "rm -rf %s", dir);
	if (system(cmd) != 0)
		printf("# %s is not removed\n", dir);
	return tap_done();
}
