/*
 * store_redis_lines: the log lines that led to a block, for the other hosts.
 *
 * Each host keeps the last lines of an address by itself (history.h). When the
 * address becomes blocked, whoever decided it, a host that has lines adds them
 * to the stream of events, next to the block that they explain; a host that is
 * asked about the address looks there. So a hit stays small, and what Redis
 * holds of lines is bounded by the stream's length, not by the number of
 * attackers.
 *
 *     what lines addr 192.0.2.1 host mx1 line "t=... weight=... ..." line ...
 *
 * Of a flood of blocks only TELL_RATE are told of. What another host has
 * written is hostile: history_parse() bounds it.
 */
#include <string.h>

#include "lib/core/history.h"
#include "lib/io/loop.h"
#include "lib/io/store_redis_int.h"

void
store_redis_tell(struct store_redis *sr, const struct addr *a)
{
	struct history_line lines[HISTORY_LINES];
	char addr[ADDR_STRLEN], value[HISTORY_VALUE_MAX];
	struct resp *r;
	size_t n;

	if (sr->store.history == NULL || !rlink_is_up(sr->link))
		return;
	n = history_get(sr->store.history, a, lines);
	if (n == 0 || !rate_pass(&sr->telling, loop_mono(sr->loop)))
		return;
	r = rlink_call(sr->link, RSCRIPT_TELL, 3 + n);
	resp_arg_str(r, sr->prefix);
	resp_arg_str(r, addr_format(a, addr));
	resp_arg_str(r, name_text(sr->params->host));
	for (size_t i = 0; i < n; i++)
		resp_arg(r, value, history_format(&lines[i], value));
	resp_end(r, NULL, NULL);
}

bool
store_redis_take_lines(struct store_redis *sr, uint64_t ticket,
    const struct redisReply *r, char *from_r, size_t from_size)
{
	const struct store_sink *sink = sr->store.sink;

	if (r->type != REDIS_REPLY_ARRAY || r->elements < 1 ||
	    !resp_is_text(r->element[0]) ||
	    (size_t)r->element[0]->len >= from_size)
		return false;
	memcpy(from_r, r->element[0]->str, (size_t)r->element[0]->len + 1);
	for (size_t i = 1; i + 1 < r->elements; i += 2) {
		const struct redisReply *host = r->element[i];
		const struct redisReply *value = r->element[i + 1];
		struct history_line line;

		if (!resp_is_text(host) || !resp_is_text(value) ||
		    !history_parse(value->str, (size_t)value->len, &line))
			continue;
		line.host = name_intern(host->str, (size_t)host->len);
		if (sink->line != NULL)
			sink->line(sr->store.sink_ctx, ticket, &line);
	}
	return true;
}
