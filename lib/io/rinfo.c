/*
 * rinfo: see rinfo.h.
 */
#include "lib/io/rinfo.h"

#include <hiredis.h>
#include <string.h>

#include "lib/core/num.h"
#include "lib/io/resp.h"

static void
take_field(struct score_info *info, const struct redisReply *field,
    const struct redisReply *value)
{
	uint64_t n;
	double v;

	if (!resp_is_text(field) || !resp_is_text(value) ||
	    !num_parse_double(value->str, (size_t)value->len, &v))
		return;
	if (strcmp(field->str, "score") == 0)
		info->score.score = v;
	else if (strcmp(field->str, "first") == 0)
		info->score.first = v;
	else if (strcmp(field->str, "last") == 0)
		info->score.last = v;
	else if (strncmp(field->str, "rule:", 5) == 0 &&
	    num_parse_u64(value->str, (size_t)value->len, &n) &&
	    n <= UINT32_MAX) {
		info->hits += (unsigned)n;
		if (info->n_rules == STORE_RULES_MAX)
			return;
		info->rules[info->n_rules].rule =
		    name_intern(field->str + 5, (size_t)field->len - 5);
		info->rules[info->n_rules++].count = (unsigned)n;
	}
}

bool
rinfo_parse(const struct redisReply *strikes, const struct redisReply *fields,
    const struct addr *a, struct score_info *info)
{
	memset(info, 0, sizeof(*info));
	info->addr = *a;
	if (strikes->type == REDIS_REPLY_INTEGER && strikes->integer > 0)
		info->strikes = strikes->integer < UINT16_MAX
		    ? (unsigned)strikes->integer
		    : UINT16_MAX;
	if (fields->type == REDIS_REPLY_ARRAY)
		for (size_t i = 0; i + 1 < fields->elements; i += 2)
			take_field(
			    info, fields->element[i], fields->element[i + 1]);
	return info->strikes > 0 || info->hits > 0;
}

size_t
rinfo_insert(
    struct score_info *top, size_t n, size_t max, const struct score_info *info)
{
	size_t i = n;

	for (size_t k = 0; k < n; k++)
		if (addr_equal(&top[k].addr, &info->addr))
			return n;
	while (i > 0 && top[i - 1].score.score < info->score.score)
		i--;
	if (i == max)
		return n;
	if (n < max)
		n++;
	memmove(&top[i + 1], &top[i], (n - 1 - i) * sizeof(*top));
	top[i] = *info;
	return n;
}
