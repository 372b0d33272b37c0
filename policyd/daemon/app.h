/*
 * app: the daemon put together: configuration, loop, store, engine, logs,
 * state, policy server, control server; and what happens on signals.
 *
 *   created --app_open--> open (listening, state loaded) --app_run--> running
 *      running --SIGTERM--> draining --all answered, or 2 s--> saved, ended
 */
#ifndef MXW_APP_H
#define MXW_APP_H

#include <stdbool.h>

#include "lib/core/errbuf.h"

struct activation;
struct app;
struct conf;

struct app_options {
	struct conf *conf; /* is taken over */
	const struct activation *activation;
	bool foreground;
	bool verbose; /* info at least, whatever log_level says */
};

struct app *app_create(const struct app_options *);
void app_destroy(struct app **);
/* Listens, becomes `user`, reads the state, opens the logs. -1 and why. */
int app_open(struct app *, struct errbuf *);
/* Are messages for stderr? */
bool app_uses_stderr(const struct app *);
/* Until a signal ends it. Returns the exit status. */
int app_run(struct app *);

#endif
