/*
 * mxwardend: options, configuration, background; the rest is app.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/core/conf.h"
#include "lib/core/log.h"
#include "lib/core/names.h"
#include "lib/core/preflight.h"
#include "lib/io/activation.h"
#include "policyd/daemon/app.h"
#include "policyd/daemon/logs.h"

static const char usage_text[] =
    "usage: mxwardend [-fvtO] [-c FILE]\n"
    "\n"
    "Follows mail logs, scores the clients that offend, and tells Postfix's\n"
    "check_policy_service which of them to refuse.\n"
    "\n"
    "  -c, --config FILE  configuration (default " MXW_SYSCONFDIR
    "/mxwarden.conf)\n"
    "  -f, --foreground   stay in the foreground, log to stderr\n"
    "  -v, --verbose      log each offence\n"
    "  -t, --test         check the configuration and exit\n"
    "  -O, --options      list the options of a configuration and exit: "
    "section,\n"
    "                     name, type, default, \"reload\" or \"restart\", "
    "help,\n"
    "                     separated by tabs; \"-\" = none\n"
    "  -V, --version      print the version and exit\n"
    "  -h, --help         print this and exit\n"
    "\n"
    "Signals: TERM ends, HUP reads the configuration again, USR1 opens the "
    "log\n"
    "file again.\n";

/* A row for each option; what is empty is "-", so that columns stay apart. */
static void
print_options(void)
{
	size_t n;
	const struct conf_option *o = conf_options(&n);

	for (size_t i = 0; i < n; i++, o++)
		printf("%s\t%s\t%s\t%s\t%s\t%s\n",
		    o->section[0] != '\0' ? o->section : "-", o->name, o->type,
		    o->dflt != NULL && o->dflt[0] != '\0' ? o->dflt : "-",
		    o->reloadable ? "reload" : "restart", o->help);
}

struct options {
	const char *config;
	bool foreground, verbose, test;
};

static void
parse_options(int argc, char **argv, struct options *o)
{
	static const struct option longs[] = {
		{ "config", required_argument, NULL, 'c' },
		{ "foreground", no_argument, NULL, 'f' },
		{ "verbose", no_argument, NULL, 'v' },
		{ "test", no_argument, NULL, 't' },
		{ "options", no_argument, NULL, 'O' },
		{ "version", no_argument, NULL, 'V' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "c:fvtOVh", longs, NULL)) != -1) {
		switch (c) {
		case 'c':
			o->config = optarg;
			break;
		case 'f':
			o->foreground = true;
			break;
		case 'v':
			o->verbose = true;
			break;
		case 't':
			o->test = true;
			break;
		case 'O':
			print_options();
			exit(0);
		case 'V':
			puts("mxwardend " PACKAGE_VERSION);
			exit(0);
		case 'h':
			fputs(usage_text, stdout);
			exit(0);
		default:
			fputs("try mxwardend --help\n", stderr);
			exit(2);
		}
	}
	if (optind < argc) {
		fprintf(stderr,
		    "mxwardend: '%s' is not an option; try "
		    "mxwardend --help\n",
		    argv[optind]);
		exit(2);
	}
}

/*
 * Goes into the background. The parent stays until the child is ready, so that
 * whoever started us sees errors and their status; the child gets the
 * descriptor on which it says so.
 */
static int
go_background(void)
{
	int fds[2];
	char ready;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) != 0 || (pid = fork()) < 0)
		log_fatal("cannot go into the background: %s", strerror(errno));
	if (pid > 0) {
		close(fds[1]);
		_exit(read(fds[0], &ready, 1) == 1 ? 0 : 1);
	}
	close(fds[0]);
	setsid();
	return fds[1];
}

static void
say_ready(int fd, bool keep_stderr)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null >= 0) {
		dup2(null, 0);
		dup2(null, 1);
		if (!keep_stderr)
			dup2(null, 2);
		close(null);
	}
	if (write(fd, "", 1) != 1)
		log_warning("whoever started this process is gone");
	close(fd);
}

int
main(int argc, char **argv)
{
	struct options o = { .config = MXW_SYSCONFDIR "/mxwarden.conf" };
	struct activation activation;
	struct app_options ao = { .activation = &activation };
	struct errbuf err;
	struct app *app;
	char *path;
	int ready = -1, rc;

	log_set_prefix("mxwardend");
#ifdef M_MMAP_THRESHOLD
	/* Pools grow by chunks of some 10 kB to some 100 kB, thousands of them:
	 * glibc would map each by itself, and round it up to pages. */
	mallopt(M_MMAP_THRESHOLD, 1 << 20);
	mallopt(M_TRIM_THRESHOLD, 1 << 20);
#endif
	parse_options(argc, argv, &o);
	/* It is read again after the working directory has changed. */
	path = realpath(o.config, NULL);
	ao.conf = conf_read(path != NULL ? path : o.config, &err);
	free(path);
	if (ao.conf == NULL)
		log_fatal("%s", err.text);
	if (logs_check(ao.conf, &err) != 0 ||
	    preflight_check(ao.conf, &err) != 0)
		log_fatal("%s", err.text);
	if (o.test) {
		conf_destroy(&ao.conf);
		names_destroy();
		printf("%s: ok\n", o.config);
		return 0;
	}
	/* The descriptors are for this process, not for one that it forks. */
	if (activation_take(&activation, &err) != 0)
		log_fatal("%s", err.text);
	if (!o.foreground)
		ready = go_background();
	if (chdir("/") != 0)
		log_fatal("/: %s", strerror(errno));
	ao.foreground = o.foreground;
	ao.verbose = o.verbose;
	app = app_create(&ao);
	if (app_open(app, &err) != 0) {
		app_destroy(&app);
		log_fatal("%s", err.text);
	}
	log_notice("mxwardend " PACKAGE_VERSION " is ready");
	if (ready >= 0)
		say_ready(ready, app_uses_stderr(app));
	rc = app_run(app);
	app_destroy(&app);
	names_destroy();
	return rc;
}
