/* ruleskit: rules, lines and decisions for the tests of rules and matcher. */
#ifndef MXW_RULESKIT_H
#define MXW_RULESKIT_H

#include <stdlib.h>

#include "lib/core/conf.h"
#include "lib/core/errbuf.h"
#include "lib/core/rules.h"
#include "t/unit/tap.h"

static const char *const smtpd[] = { "smtpd" };

__attribute__((unused)) static struct rule_def
def(const char *name, const char *pattern)
{
	return (struct rule_def){ .name = name,
		.set = "s",
		.programs = smtpd,
		.n_programs = 1,
		.pattern = pattern,
		.weight = 1 };
}

__attribute__((unused)) static void
add(struct rules *rs, struct rule_def d)
{
	struct errbuf err;

	if (rules_add(rs, &d, &err) != 0)
		ok(false, "rule %s: %s", d.name, err.text);
}

__attribute__((unused)) static struct logline
line_of(const char *program, const char *msg, size_t len)
{
	return (struct logline){ .program = program,
		.program_len = strlen(program),
		.repeat = 1,
		.msg = msg,
		.msg_len = len };
}

/* The name of the rule that decides, "-" for none, "limit". */
__attribute__((unused)) static const char *
decides(struct matcher *m, const char *program, const char *msg,
    struct rule_match *out)
{
	struct logline l = line_of(program, msg, strlen(msg));

	switch (matcher_match(m, &l, out)) {
	case RULES_MATCH:
		return name_text(out->rule->name);
	case RULES_LIMIT:
		return "limit";
	default:
		return "-";
	}
}

/* The configuration that is shipped, or NULL and a failed test. */
__attribute__((unused)) static struct conf *
shipped_conf(void)
{
	const char *src = getenv("MXW_SRC");
	struct errbuf err;
	struct conf *conf;
	char path[1000];

	snprintf(path, sizeof(path), "%s/conf/mxwarden.conf",
	    src != NULL ? src : ".");
	conf = conf_read(path, &err);
	if (conf == NULL)
		ok(false, "%s", err.text);
	return conf;
}

/* $1, $2, $3 in a format. */
__attribute__((unused)) static void
fill(char *out, size_t size, const char *fmt, const char *a, const char *b,
    const char *c)
{
	size_t len = 0;

	for (; *fmt != '\0' && len + 1 < size; fmt++) {
		const char *arg = fmt[1] == '1' ? a : fmt[1] == '2' ? b : c;

		if (*fmt != '$') {
			out[len++] = *fmt;
			continue;
		}
		for (fmt++; *arg != '\0' && len + 1 < size; arg++)
			out[len++] = *arg;
	}
	out[len] = '\0';
}

#endif
