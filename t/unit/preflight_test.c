/* preflight: what a firewall needs, and what is said when it is not there. */
#include "lib/core/preflight.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/core/program.h"
#include "t/unit/tap.h"

static char dir[] = "/tmp/mxwarden-preflight-XXXXXX";

static const char *
at(const char *name)
{
	static char paths[4][128];
	static unsigned next;
	char *path = paths[next++ % 4];

	snprintf(path, sizeof(paths[0]), "%s/%s", dir, name);
	return path;
}

static void
spew(const char *name, mode_t mode, const char *text)
{
	int fd = open(at(name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (fd == -1 || fchmod(fd, mode) != 0 ||
	    write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		exit(1);
	close(fd);
}

/* Reads a configuration with this firewall section and asks. */
static int
check(const char *firewall, bool tools, struct errbuf *err)
{
	char text[2048];
	struct conf *conf;
	int rc;

	snprintf(text, sizeof(text),
	    "helper = \"%s\"\nstate_dir = \"%s\"\nfirewall { %s }\n",
	    at("helper"), dir, firewall);
	spew("conf", 0644, text);
	err->text[0] = '\0';
	conf = conf_read(at("conf"), err);
	if (conf == NULL) {
		printf("# %s\n", err->text);
		return -2;
	}
	rc = tools ? preflight_tools(conf, err) : preflight_check(conf, err);
	conf_destroy(&conf);
	return rc;
}

static void
test_tools(void)
{
	static const struct {
		const char *backend;
		const char *tools[4];
	} cases[] = {
		{ "iptables", { "iptables", "ip6tables", "ipset" } },
		{ "nftables", { "nft" } },
	};
	struct errbuf err;
	char text[512];

	is_int(check("backend = \"none\"", true, &err), 0, "none needs none");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *absent = NULL;

		for (int j = 0; cases[i].tools[j] != NULL; j++)
			if (absent == NULL &&
			    !program_exists(cases[i].tools[j]))
				absent = cases[i].tools[j];
		snprintf(
		    text, sizeof(text), "backend = \"%s\"", cases[i].backend);
		is_int(check(text, true, &err), absent != NULL ? -1 : 0,
		    "%s: as the system has it", cases[i].backend);
		ok(absent == NULL || strstr(err.text, absent) != NULL,
		    "%s: says what is missing", cases[i].backend);
	}
	snprintf(text, sizeof(text),
	    "backend = \"command\" add = {\"%s\", \"{address}\"} "
	    "delete = {\"/bin/sh\", \"{address}\"}",
	    at("add"));
	is_int(check(text, true, &err), -1, "command: the first is missing");
	is_str(err.text + strlen(err.text) - strlen("which is not installed"),
	    "which is not installed", "says so");
	ok(strstr(err.text, at("add")) != NULL, "and which");
	spew("add", 0755, "#!/bin/sh\n");
	is_int(check(text, true, &err), 0, "command: both are there");
	snprintf(text, sizeof(text),
	    "backend = \"command\" add = {\"/bin/sh\", \"{address}\"} "
	    "delete = {\"%s\", \"{address}\"}",
	    at("delete"));
	is_int(check(text, true, &err), -1, "command: the second is missing");
	ok(strstr(err.text, at("delete")) != NULL, "says which");
}

static void
test_check(void)
{
	const char *command =
	    "backend = \"command\" add = {\"/bin/sh\", \"{address}\"} "
	    "delete = {\"/bin/sh\", \"{address}\"}";
	struct errbuf err;
	struct conf *conf;

	is_int(check("backend = \"none\"", false, &err), 0,
	    "without a firewall no helper is needed");
	is_int(check(command, false, &err), -1, "with one it is");
	ok(strstr(err.text, "option 'helper'") != NULL &&
		strstr(err.text, at("helper")) != NULL,
	    "says so");
	spew("helper", 0644, "x");
	is_int(check(command, false, &err), -1, "a program, that is");
	spew("helper", 0755, "#!/bin/sh\n");
	chmod(at("helper"), 0755);
	is_int(check(command, false, &err), 0, "all is there");
	if (geteuid() != 0) {
		printf("# not root: what root would be told is not tried\n");
		return;
	}
	conf = conf_read(at("conf"), &err);
	chmod(at("conf"), 0666);
	is_int(preflight_check(conf, &err), -1,
	    "root: the helper would not take a file that others can write");
	ok(strstr(err.text, "must belong to root") != NULL, "says so");
	if (seteuid(65534) != 0)
		ok(false, "seteuid");
	is_int(preflight_check(conf, &err), 0,
	    "another user cannot start it, and is not told");
	if (seteuid(0) != 0)
		ok(false, "seteuid");
	conf_destroy(&conf);
}

int
main(void)
{
	static const char *const files[] = { "conf", "add", "helper" };

	if (mkdtemp(dir) == NULL || chmod(dir, 0755) != 0)
		return 1;
	test_tools();
	test_check();
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		unlink(at(files[i]));
	ok(rmdir(dir) == 0, "nothing is left");
	names_destroy();
	return tap_done();
}
