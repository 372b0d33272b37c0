/*
 * ctl: what the verbs of the admin command share.
 *
 * Exit status: CTL_OK yes or done, CTL_NO no (not blocked, no match), CTL_ERROR
 * with a message on stderr. What a verb is asked for goes to stdout, and
 * nothing else does.
 */
#ifndef MXW_CTL_H
#define MXW_CTL_H

#include <stdbool.h>

struct conf;

enum ctl_status { CTL_OK = 0, CTL_NO = 1, CTL_ERROR = 2 };

/* The command line, taken apart. */
struct ctl {
	const char *conf; /* -c, or the default */
	bool conf_given;
	const char *socket; /* -s, or NULL */
	bool json;
	const char *level; /* options of verbs; NULL or false: not given */
	const char *count;
	const char *duration;
	const char *interval;
	const char *reason;
	const char *rules;
	const char *unmatched;
	bool all;
	bool decisions;
	bool offences;
	int argc; /* the verb's arguments */
	char **argv;
};

typedef enum ctl_status ctl_verb(const struct ctl *);

ctl_verb verb_status, verb_list, verb_top, verb_show; /* verbs_show.c */
ctl_verb verb_allow_list, verb_watch;
ctl_verb verb_block, verb_unblock, verb_forgive; /* verbs_change.c */
ctl_verb verb_allow, verb_reload, verb_firewall;
ctl_verb verb_ask;     /* ask.c */
ctl_verb verb_check;   /* check.c */
ctl_verb verb_explain; /* explain.c */
ctl_verb verb_replay;  /* replay.c */

/* The configuration, or NULL after an error message. */
struct conf *ctl_conf(const struct ctl *);
/* Seconds since 1970, read now. */
double ctl_now(void);

#endif
