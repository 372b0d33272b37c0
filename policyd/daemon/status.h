/*
 * status: the records of `mxwarden status`.
 */
#ifndef MXW_STATUS_H
#define MXW_STATUS_H

struct conf;
struct control;
struct control_client;
struct engine;
struct firewall;
struct hook;
struct logs;
struct policysrv;
struct state;
struct store;

struct status_parts {
	const struct conf *conf;
	const struct engine *engine;
	const struct store *store;
	const struct logs *logs;
	const struct firewall *firewall; /* may be NULL */
	const struct state *state;
	const struct policysrv *policy;
	const struct control *control;
	const struct hook *hook;
	double started, now;
};

void status_write(const struct status_parts *, struct control_client *);

#endif
