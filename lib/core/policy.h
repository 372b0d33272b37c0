/*
 * policy: the Postfix policy delegation protocol (SMTPD_POLICY_README;
 * src/util/attr_scan_plain.c), as an incremental parser over (ptr, len).
 *
 * A request is `name=value\n` lines and one empty line. Input is hostile:
 * values may hold any byte but newline and NUL, any number of attributes may
 * come in any order, with repeats (the first counts) and unknown names
 * (skipped). Bounds: POLICY_LINE_MAX bytes a line (without its newline),
 * POLICY_REQUEST_MAX a request (with its empty line). A line without '=', a
 * NUL, an empty request or another `request=` than smtpd_access_policy is
 * garbage: the connection is closed without a reply, because any reply would
 * be taken as a verdict.
 */
#ifndef MXW_POLICY_H
#define MXW_POLICY_H

#include <stdbool.h>
#include <stddef.h>

#define POLICY_LINE_MAX 16384
#define POLICY_REQUEST_MAX 65536

/* Bytes of a request, not NUL-terminated. ptr is NULL when it was not sent. */
struct policy_str {
	const char *ptr;
	size_t len;
};

enum policy_attr {
	POLICY_CLIENT_ADDRESS,
	POLICY_CLIENT_NAME,
	POLICY_HELO_NAME,
	POLICY_SENDER,
	POLICY_RECIPIENT,
	POLICY_SASL_USERNAME,
	POLICY_PROTOCOL_STATE,
	POLICY_REQUEST,
	POLICY_NATTRS
};

struct policy_request {
	struct policy_str attr[POLICY_NATTRS];
};

enum policy_status {
	POLICY_MORE,	 /* the bytes do not end a request */
	POLICY_COMPLETE, /* one request; used_r says where it ends */
	POLICY_BAD	 /* garbage; reason_r says why */
};

/*
 * Told while a request is parsed, for an answer that needs what is in no cache
 * of the processor: it can be fetched meanwhile, in two steps of which the
 * second needs what the first has had fetched. Hints and no more: the request
 * may turn out to be bad, and one that came in pieces gives none.
 */
struct policy_hints {
	void (*client)(void *ctx, const char *address, size_t len);
	void (*later)(void *ctx); /* some lines later, after client() */
	void *ctx;
};

/*
 * Where a parse of an incomplete request stopped, so that bytes that came
 * before are not looked at again. Zero-initialised, but for the hints; reset by
 * POLICY_COMPLETE.
 */
struct policy_scan {
	size_t done;	/* bytes of whole lines already checked */
	size_t partial; /* bytes after them known to hold no newline */
	const struct policy_hints *hints; /* NULL = nobody wants any */
};

/*
 * Parses one request from the start of buf. The caller passes the same bytes
 * again, with more behind them, until the request is complete; buf may move
 * between calls. On POLICY_COMPLETE *req points into buf and *used_r is the
 * request's length. On POLICY_BAD *reason_r is a static string.
 */
enum policy_status policy_parse(struct policy_scan *scan, const char *buf,
    size_t len, struct policy_request *req, size_t *used_r,
    const char **reason_r);

/*
 * Action texts. A template may hold {address} {rule} {level} {until}, and {{ or
 * }} for a brace. Postfix reads some actions as permit or as its own
 * configuration error, so they are checked when the configuration is read.
 * What can block: REJECT, DEFER, DEFER_IF_PERMIT, DEFER_IF_REJECT, HOLD (each
 * with or without a text) and 4NN or 5NN with a text, in either case of
 * letters; the text may begin with an enhanced status code of the same class.
 * Angle brackets are refused: rules.c knows our refusals by their absence.
 */
#define POLICY_TAG " [mxw]"
#define POLICY_ACTION_MAX 400 /* after expansion; Postfix cuts at 510 */

struct errbuf;

/* May this template be a level's action? -1 and a reason if Postfix would
 * permit, misread or cut it. */
int policy_check_action(const char *tmpl, struct errbuf *err);

struct policy_action_args {
	const char *address;
	const char *rule;
	const char *level;
	const char *until;
};

/*
 * Writes the action (without "action=" and newlines, with the tag) into buf,
 * NUL-terminated; returns its length, at most POLICY_ACTION_MAX. Arguments may
 * be hostile or NULL: angle brackets and bytes other than printable ASCII
 * become '?', what is too long is cut before the tag, and none can change the
 * verb or the status code. A template that policy_check_action() refuses for
 * its verb gives DUNNO.
 */
size_t policy_format_action(const char *tmpl,
    const struct policy_action_args *args, char buf[POLICY_ACTION_MAX + 1]);

#define POLICY_DUNNO "DUNNO"

#endif
