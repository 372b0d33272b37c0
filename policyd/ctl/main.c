/*
 * mxwarden: the admin command. This file knows the command line, and nothing
 * of what the verbs do: one row per verb, with its options and its help.
 *
 * Options of the program (-c, -s, --json, --help, --version) may stand before
 * or after the verb; a verb's own options after it.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/core/conf.h"
#include "lib/core/log.h"
#include "lib/core/names.h"
#include "policyd/ctl/ctl.h"

/* Options without a short form. */
enum {
	OPT_JSON = 256,
	OPT_RULES,
	OPT_ALL,
	OPT_DECISIONS,
	OPT_OFFENCES,
	OPT_UNMATCHED
};

static const struct option main_options[] = {
	{ "config", required_argument, NULL, 'c' },
	{ "socket", required_argument, NULL, 's' },
	{ "json", no_argument, NULL, OPT_JSON },
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, 'V' },
	{ "level", required_argument, NULL, 'l' },
	{ "count", required_argument, NULL, 'n' },
	{ "time", required_argument, NULL, 't' },
	{ "reason", required_argument, NULL, 'r' },
	{ "interval", required_argument, NULL, 'i' },
	{ "rules", required_argument, NULL, OPT_RULES },
	{ "all", no_argument, NULL, OPT_ALL },
	{ "decisions", no_argument, NULL, OPT_DECISIONS },
	{ "offences", no_argument, NULL, OPT_OFFENCES },
	{ "unmatched", required_argument, NULL, OPT_UNMATCHED },
	{ NULL, 0, NULL, 0 },
};

struct verb {
	const char *name;
	int min_args, max_args; /* -1 = any number */
	int options[4];		/* of main_options, its own */
	ctl_verb *run;
	const char *synopsis;
	const char *summary;
	const char *help;
};

static const struct verb main_verbs[] = {
	{ "status", 0, 0, { 0 }, verb_status, "",
	    "state of the daemon, its logs and its store", "" },
	{ "list", 0, 0, { 'l' }, verb_list, "[-l LEVEL]", "blocked addresses",
	    "  -l, --level LEVEL  only those blocked at this level\n" },
	{ "top", 0, 0, { 'n', 'i' }, verb_top, "[-n N] [-i TIME]",
	    "highest scores",
	    "  -n, --count N        how many (20; with -i what fits on the "
	    "terminal)\n"
	    "  -i, --interval TIME  again and again, until interrupted: 2, 2s, "
	    "1m\n" },
	{ "show", 1, 1, { 0 }, verb_show, "ADDR",
	    "what is known about an address",
	    "Exit status 0 if it is blocked, 1 if not. An IPv6 address stands "
	    "for the\nprefix under which it is scored.\n" },
	{ "block", 1, 1, { 'l', 't', 'r' }, verb_block,
	    "ADDR[/LEN] [-l LEVEL] [-t DURATION] [-r TEXT]", "block by hand",
	    "  -l, --level LEVEL    the highest one without firewall, if not "
	    "given\n"
	    "  -t, --time DURATION  the level's, if not given; 90s, 10m, 1h, "
	    "7d\n"
	    "  -r, --reason TEXT    shown as the rule (manual)\n" },
	{ "unblock", 0, 1, { OPT_ALL }, verb_unblock, "ADDR[/LEN] | --all",
	    "lift a block and forget its score",
	    "      --all            lift all blocks\n"
	    "Exit status 1 if it was not blocked. Strikes stay: see "
	    "forgive.\n" },
	{ "forgive", 1, 1, { 0 }, verb_forgive, "ADDR[/LEN]",
	    "lift a block, forget score and strikes", "" },
	{ "allow", 1, 2, { 0 }, verb_allow,
	    "add ADDR[/LEN] | del ADDR[/LEN] | list", "the shared allow list",
	    "The list of the configuration is shown too; it is changed in its "
	    "file.\n" },
	{ "watch", 0, 0, { OPT_OFFENCES }, verb_watch, "[--offences]",
	    "blocks as they happen, until interrupted",
	    "      --offences       offences, too\n"
	    "With --json one object per line.\n" },
	{ "firewall", 1, 1, { 0 }, verb_firewall, "check | repair",
	    "are the packet filter's rules and sets there",
	    "  check   look, and change nothing\n"
	    "  repair  make what is missing\n"
	    "Exit status 0 if all was there, 1 if something was missing. The "
	    "daemon does\nthe same by itself, every `interval`.\n" },
	{ "reload", 0, 0, { 0 }, verb_reload, "",
	    "let the daemon read its configuration again", "" },
	{ "ask", 1, -1, { 0 }, verb_ask, "ENDPOINT name=value...",
	    "one policy request; prints the action",
	    "ENDPOINT is inet:127.0.0.1:10040, inet:[::1]:10040 or "
	    "unix:/path, as in\nthe configuration. request= and "
	    "protocol_state=RCPT need not be given:\n\n"
	    "    mxwarden ask inet:127.0.0.1:10040 "
	    "client_address=192.0.2.1\n" },
	{ "check", 0, 0, { 0 }, verb_check, "", "check the configuration", "" },
	{ "explain", 1, 1, { OPT_RULES }, verb_explain,
	    "[--rules SET,...] LINE | -",
	    "how a log line is parsed, which rule matches or why none does",
	    "      --rules SET,...  use these rule sets (all)\n"
	    "With - lines are read from standard input. Exit status 1 if "
	    "LINE is no offence.\n" },
	{ "replay", 1, -1, { OPT_DECISIONS, OPT_RULES, OPT_UNMATCHED, 'n' },
	    verb_replay, "[OPTION]... LOG...",
	    "what these logs would have caused; needs no daemon",
	    "      --decisions      one line per block, nothing else\n"
	    "  -n, --count N        offenders to show (20)\n"
	    "      --rules SET,...  use these rule sets (those of the "
	    "configured log with\n"
	    "                       the same path, else of all logs)\n"
	    "      --unmatched N    the N commonest shapes of lines that name "
	    "an "
	    "address and\n"
	    "                       match no rule\n"
	    "Oldest log first. Logs may be compressed with gzip; - reads "
	    "standard input.\n" },
};

#define MAIN_NVERBS (sizeof(main_verbs) / sizeof(main_verbs[0]))

static const char main_global_help[] =
    "  -c, --config FILE  configuration (" MXW_SYSCONFDIR "/mxwarden.conf)\n"
    "  -s, --socket PATH  the daemon's control socket (the configuration's)\n"
    "      --json         JSON instead of text\n"
    "  -h, --help         this text; after a verb, its own\n"
    "  -V, --version      the version\n";

static void
main_print_help(void)
{
	printf("usage: mxwarden [-c FILE] [-s PATH] [--json] VERB ...\n\n");
	for (size_t i = 0; i < MAIN_NVERBS; i++)
		printf(
		    "  %-8s %s\n", main_verbs[i].name, main_verbs[i].summary);
	printf(
	    "\n%s\nExit status: 0 yes or done, 1 no (not blocked, no match), "
	    "2 error.\n",
	    main_global_help);
}

static void
main_print_verb_help(const struct verb *v)
{
	printf("usage: mxwarden %s%s%s\n\n%c%s.\n", v->name,
	    v->synopsis[0] != '\0' ? " " : "", v->synopsis,
	    v->summary[0] - 'a' + 'A', v->summary + 1);
	if (v->help[0] != '\0')
		printf("\n%s", v->help);
	printf("\n%s", main_global_help);
}

static const struct verb *
main_find_verb(const char *name)
{
	for (size_t i = 0; i < MAIN_NVERBS; i++)
		if (strcmp(main_verbs[i].name, name) == 0)
			return &main_verbs[i];
	return NULL;
}

double
ctl_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

struct conf *
ctl_conf(const struct ctl *ctl)
{
	struct errbuf err = { "" };
	struct conf *conf = conf_read(ctl->conf, &err);

	if (conf == NULL)
		log_error("%s", err.text);
	return conf;
}

static int
main_usage(const struct verb *v)
{
	fprintf(stderr, "mxwarden: try 'mxwarden%s%s --help'\n",
	    v != NULL ? " " : "", v != NULL ? v->name : "");
	return CTL_ERROR;
}

static bool
main_is_global(int opt)
{
	return opt == 'c' || opt == 's' || opt == OPT_JSON || opt == 'h' ||
	    opt == 'V';
}

static const char *
main_option_name(int opt)
{
	for (const struct option *o = main_options; o->name != NULL; o++)
		if (o->val == opt)
			return o->name;
	return "";
}

static bool
main_takes(const struct verb *v, int opt)
{
	if (main_is_global(opt))
		return true;
	for (size_t i = 0; v != NULL && i < sizeof(v->options) / sizeof(int);
	     i++)
		if (v->options[i] == opt)
			return true;
	return false;
}

static void
main_set(struct ctl *ctl, int opt)
{
	switch (opt) {
	case 'c':
		ctl->conf = optarg;
		ctl->conf_given = true;
		break;
	case 's':
		ctl->socket = optarg;
		break;
	case 'l':
		ctl->level = optarg;
		break;
	case 'n':
		ctl->count = optarg;
		break;
	case 't':
		ctl->duration = optarg;
		break;
	case 'r':
		ctl->reason = optarg;
		break;
	case 'i':
		ctl->interval = optarg;
		break;
	case OPT_JSON:
		ctl->json = true;
		break;
	case OPT_RULES:
		ctl->rules = optarg;
		break;
	case OPT_ALL:
		ctl->all = true;
		break;
	case OPT_DECISIONS:
		ctl->decisions = true;
		break;
	case OPT_OFFENCES:
		ctl->offences = true;
		break;
	case OPT_UNMATCHED:
		ctl->unmatched = optarg;
		break;
	}
}

/* Options up to the verb (v NULL), or behind it. -1: go on; else the exit
 * status. */
static int
main_parse(int argc, char **argv, const struct verb *v, struct ctl *ctl)
{
	/* The '+' keeps getopt from looking behind the verb. */
	const char *shorts =
	    v == NULL ? "+c:s:hVl:n:t:r:i:" : "c:s:hVl:n:t:r:i:";
	int opt;

	optind = 0;
	while (
	    (opt = getopt_long(argc, argv, shorts, main_options, NULL)) != -1) {
		if (opt == '?')
			return main_usage(v);
		if (opt == 'V') {
			printf("mxwarden %s\n", PACKAGE_VERSION);
			return CTL_OK;
		}
		if (opt == 'h') {
			if (v == NULL)
				main_print_help();
			else
				main_print_verb_help(v);
			return CTL_OK;
		}
		if (!main_takes(v, opt)) {
			fprintf(stderr, "mxwarden: option --%s %s%s\n",
			    main_option_name(opt),
			    v == NULL ? "belongs behind a verb" : "is not for ",
			    v == NULL ? "" : v->name);
			return main_usage(v);
		}
		main_set(ctl, opt);
	}
	return -1;
}

static int
main_run(int argc, char **argv)
{
	struct ctl ctl = { .conf = MXW_SYSCONFDIR "/mxwarden.conf" };
	const struct verb *v;
	int status = main_parse(argc, argv, NULL, &ctl);

	if (status >= 0)
		return status;
	if (optind >= argc) {
		main_print_help();
		return CTL_ERROR;
	}
	argc -= optind;
	argv += optind;
	v = main_find_verb(argv[0]);
	if (v == NULL && strcmp(argv[0], "help") == 0) {
		main_print_help();
		return CTL_OK;
	}
	if (v == NULL) {
		fprintf(stderr, "mxwarden: '%s' is not a verb\n", argv[0]);
		return main_usage(NULL);
	}
	status = main_parse(argc, argv, v, &ctl);
	if (status >= 0)
		return status;
	ctl.argc = argc - optind;
	ctl.argv = argv + optind;
	if (ctl.argc < v->min_args ||
	    (v->max_args >= 0 && ctl.argc > v->max_args)) {
		fprintf(stderr, "mxwarden: %s: too %s arguments\n", v->name,
		    ctl.argc < v->min_args ? "few" : "many");
		return main_usage(v);
	}
	return (int)v->run(&ctl);
}

int
main(int argc, char **argv)
{
	int status;

	log_set_prefix("mxwarden");
	status = main_run(argc, argv);
	names_destroy();
	/* A full disk is an error, too. */
	if (fflush(stdout) != 0 || ferror(stdout)) {
		log_error("cannot write the output");
		status = CTL_ERROR;
	}
	return status;
}
