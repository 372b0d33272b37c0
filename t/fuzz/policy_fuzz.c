/*
 * policy: bytes of a policy client, cut into pieces by the input itself. What
 * the parser makes of them must not depend on the cuts, and what the formatter
 * makes of any argument must be one line that Postfix takes as it is meant.
 */
#include <string.h>

#include "lib/core/policy.h"
#include "t/fuzz/fuzz.h"

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	return 0;
}

struct hinted {
	const char *buf, *end; /* what the parser has been given */
	bool client;
};

static void
hint_client(void *ctx, const char *address, size_t len)
{
	struct hinted *h = ctx;

	must(address >= h->buf && address + len < h->end);
	h->client = true;
}

static void
hint_later(void *ctx)
{
	const struct hinted *h = ctx;

	must(h->client);
}

/* Requests found when the bytes come in pieces of `step`; -1 for garbage. */
static int
count(const char *buf, size_t len, size_t step, size_t *used_r)
{
	struct hinted hinted = { buf, buf, false };
	const struct policy_hints hints = { hint_client, hint_later, &hinted };
	struct policy_scan scan = { .hints = &hints };
	size_t at = 0, have = 0;
	int n = 0;

	while (have < len) {
		struct policy_request req;
		const char *reason = NULL;
		size_t used = 0;
		enum policy_status st;

		have = have + step < len ? have + step : len;
		do {
			hinted = (struct hinted){ buf + at, buf + have, false };
			st = policy_parse(
			    &scan, buf + at, have - at, &req, &used, &reason);
			if (st == POLICY_BAD) {
				must(reason != NULL);
				*used_r = at;
				return -1;
			}
			if (st != POLICY_COMPLETE)
				continue;
			must(used > 0 && used <= have - at);
			for (int i = 0; i < POLICY_NATTRS; i++) {
				const struct policy_str *a = &req.attr[i];

				must(a->ptr == NULL ||
				    (a->ptr >= buf + at &&
					a->ptr + a->len <= buf + at + used));
			}
			at += used;
			n++;
		} while (st == POLICY_COMPLETE && at < have);
	}
	*used_r = at;
	return n;
}

static void
format(const char *text, size_t len)
{
	static const char *const templates[] = {
		"REJECT 5.7.1 {address} {rule} {level} {until}", "DEFER {rule}",
		"521 {rule} {rule} {rule}"
	};
	char arg[2000], out[POLICY_ACTION_MAX + 1];
	struct policy_action_args args = { arg, arg, arg, arg };

	len = len < sizeof(arg) - 1 ? len : sizeof(arg) - 1;
	memcpy(arg, text, len);
	arg[len] = '\0';
	for (size_t i = 0; i < 3; i++) {
		size_t n = policy_format_action(templates[i], &args, out);

		must(n <= POLICY_ACTION_MAX && strlen(out) == n);
		must(strchr(out, '\n') == NULL && strchr(out, '\r') == NULL);
		must(strncmp(out, templates[i], 3) == 0);
		must(strcmp(out + n - strlen(POLICY_TAG), POLICY_TAG) == 0);
	}
	policy_check_action(arg, NULL);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *buf = (const char *)data;
	size_t used, used2;
	int whole = count(buf, size, size, &used);

	must(count(buf, size, 1, &used2) == whole && used == used2);
	if (size > 0)
		must(count(buf, size, data[0] % 61 + 2u, &used2) == whole &&
		    used == used2);
	format(buf, size);
	return 0;
}
