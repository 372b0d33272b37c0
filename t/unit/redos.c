/*
 * redos: how long the matcher takes for lines that are made to take long.
 * Driven by t/55-redos.t, which makes them.
 *
 *   redos CONF <LINES       each line: RULE <tab> PROGRAM <tab> MESSAGE
 *
 * Every line goes through all rules of CONF, as in a log with all sets; RULE
 * says for which one it was made. Time is this thread's processor time, the
 * least of five runs: other work on the machine can only add to it. Prints for
 * each RULE: lines, how many matched, how many hit a limit of PCRE2, the worst
 * time in microseconds, and the message that took it.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/core/conf.h"
#include "lib/core/errbuf.h"
#include "lib/core/logline.h"
#include "lib/core/rules.h"
#include "lib/core/xalloc.h"

#define RUNS 5
#define ENOUGH 100e-6 /* seconds: a run below that need not be repeated */

struct result {
	char *rule;
	unsigned lines, matches, limits;
	double worst;
	char *worst_msg;
	size_t worst_len;
};

static double
cpu_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* The least time of some runs; the outcome is always the same. */
static double
line_time(struct matcher *m, const struct logline *l, enum rules_result *out)
{
	double best = 1e9;

	for (int i = 0; i < RUNS && best > ENOUGH; i++) {
		struct rule_match match;
		double start = cpu_now(), took;

		*out = matcher_match(m, l, &match);
		took = cpu_now() - start;
		if (took < best)
			best = took;
	}
	return best;
}

static void
result_add(struct result *r, const struct logline *l, enum rules_result outcome,
    double took)
{
	r->lines++;
	if (outcome == RULES_MATCH)
		r->matches++;
	else if (outcome == RULES_LIMIT)
		r->limits++;
	if (took <= r->worst)
		return;
	r->worst = took;
	free(r->worst_msg);
	r->worst_msg = x_calloc(1, l->msg_len + 1);
	memcpy(r->worst_msg, l->msg, l->msg_len);
	r->worst_len = l->msg_len;
}

static void
result_print(struct result *r)
{
	if (r->rule != NULL) {
		printf("%s %u %u %u %.1f ", r->rule, r->lines, r->matches,
		    r->limits, r->worst * 1e6);
		fwrite(r->worst_msg, 1, r->worst_len, stdout);
		putchar('\n');
	}
	free(r->rule);
	free(r->worst_msg);
	*r = (struct result){ 0 };
}

/* Lines of one rule stand together. */
static void
redos_run(struct matcher *m)
{
	struct result r = { 0 };
	char *line = NULL;
	size_t size = 0;
	ssize_t len;

	while ((len = getline(&line, &size, stdin)) > 0) {
		char *program = memchr(line, '\t', (size_t)len), *msg;
		struct logline l = { .repeat = 1 };
		enum rules_result outcome = RULES_NONE;
		double took;

		if (line[len - 1] == '\n')
			len--;
		if (program == NULL)
			continue;
		*program++ = '\0';
		msg = memchr(program, '\t', (size_t)(line + len - program));
		if (msg == NULL)
			continue;
		l.program = program;
		l.program_len = (size_t)(msg - program);
		l.msg = msg + 1;
		l.msg_len = (size_t)(line + len - l.msg);
		if (r.rule == NULL || strcmp(r.rule, line) != 0) {
			result_print(&r);
			r.rule = x_strdup(line);
		}
		took = line_time(m, &l, &outcome);
		result_add(&r, &l, outcome, took);
	}
	result_print(&r);
	free(line);
}

int
main(int argc, char **argv)
{
	struct errbuf err;
	struct conf *conf;
	struct matcher *m;

	if (argc != 2) {
		fprintf(stderr, "usage: redos CONF\n");
		return 2;
	}
	conf = conf_read(argv[1], &err);
	if (conf == NULL) {
		fprintf(stderr, "%s\n", err.text);
		return 2;
	}
	m = matcher_create(conf->rules, UINT64_MAX);
	if (m == NULL)
		return 2;
	redos_run(m);
	matcher_destroy(&m);
	conf_destroy(&conf);
	return 0;
}
