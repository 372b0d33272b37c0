/*
 * request: see request.h.
 */
#include "policyd/ctl/request.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/core/conf.h"
#include "lib/core/log.h"
#include "lib/core/xalloc.h"
#include "policyd/ctl/client.h"
#include "lib/core/json.h"
#include "policyd/ctl/table.h"

/* The socket's path; the caller frees it. NULL after an error message. Who may
 * use the socket need not be able to read the configuration. */
static char *
request_socket(const struct ctl *ctl)
{
	struct conf *conf;
	char *path = NULL;

	if (ctl->socket != NULL)
		return x_strdup(ctl->socket);
	if (!ctl->conf_given && access(ctl->conf, R_OK) != 0)
		return x_strdup(MXW_RUNDIR "/control.sock");
	conf = ctl_conf(ctl);
	if (conf == NULL) {
		log_error("with -s SOCKET no configuration is needed");
		return NULL;
	}
	if (conf->control[0] == '\0')
		log_error("%s: there is no control socket", conf->file);
	else
		path = x_strdup(conf->control);
	conf_destroy(&conf);
	return path;
}

static void
request_print_json(const struct record *r)
{
	struct json j = { .f = stdout };

	json_open(&j, NULL, '{');
	json_str(&j, "result", r->kind);
	json_fields(&j, r);
	json_close(&j, '}');
	json_newline(&j);
}

static void
request_print_text(const char *text)
{
	char *copy = x_strdup(text);

	printf("%s\n", table_clean(copy, copy, strlen(copy) + 1));
	free(copy);
}

/* The last record: what it says, and what it means. */
static enum ctl_status
request_end(const struct ctl *ctl, const struct record *r, bool last)
{
	const char *text = record_get_str(r, "text", "");

	if (strcmp(r->kind, "error") == 0) {
		log_error("%s", text);
		return CTL_ERROR;
	}
	if (ctl->json && last)
		request_print_json(r);
	else if (!ctl->json && text[0] != '\0')
		request_print_text(text);
	return strcmp(r->kind, "ok") == 0 ? CTL_OK : CTL_NO;
}

static bool
request_is_last(const struct record *r)
{
	return strcmp(r->kind, "ok") == 0 || strcmp(r->kind, "no") == 0 ||
	    strcmp(r->kind, "error") == 0;
}

enum ctl_status
request_run(const struct ctl *ctl, struct record_out *req, double wait,
    request_record *each, void *ctx, bool last)
{
	struct errbuf err = { "" };
	enum ctl_status status = CTL_ERROR;
	char *path = request_socket(ctl);
	struct client *client = NULL;
	struct record r;

	if (path == NULL)
		goto out;
	client = client_create(path, &err);
	if (client == NULL || client_send(client, req, &err) < 0)
		goto out;
	while (client_next(client, wait, &r, &err) == 0) {
		if (request_is_last(&r)) {
			status = request_end(ctl, &r, last);
			break;
		}
		if (each != NULL)
			each(ctx, &r);
	}
out:
	if (err.text[0] != '\0')
		log_error("%s", err.text);
	client_destroy(&client);
	record_free(req);
	free(path);
	return status;
}
