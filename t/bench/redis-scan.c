/*
 * redis-scan: reads all keys of a pattern, and their values, as fast as a
 * client can: SCAN, then MGET of what it has found, with the next SCAN sent
 * before the values are read.
 *
 *     redis-scan ADDRESS:PORT PATTERN
 *
 * Prints how many keys had a value, and seconds.
 */
#include <hiredis.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define CHUNK "1000"
#define KEYS_MAX 4096 /* in one reply; Redis may give more than asked for */

static redisContext *ctx;

static double
monotonic(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static redisReply *
next_reply(void)
{
	void *r;

	if (redisGetReply(ctx, &r) != REDIS_OK ||
	    ((redisReply *)r)->type != REDIS_REPLY_ARRAY) {
		fprintf(stderr, "redis-scan: %s\n",
		    ctx->err ? ctx->errstr : "not an array");
		exit(1);
	}
	return r;
}

static void
ask_values(const redisReply *keys)
{
	const char *argv[KEYS_MAX + 1] = { "MGET" };
	size_t lens[KEYS_MAX + 1] = { 4 };
	size_t n = keys->elements < KEYS_MAX ? keys->elements : KEYS_MAX;

	for (size_t i = 0; i < n; i++) {
		argv[i + 1] = keys->element[i]->str;
		lens[i + 1] = keys->element[i]->len;
	}
	redisAppendCommandArgv(ctx, (int)n + 1, argv, lens);
}

static unsigned long
scan(const char *pattern)
{
	unsigned long n = 0;
	bool more = true;

	redisAppendCommand(ctx, "SCAN 0 MATCH %s COUNT %s", pattern, CHUNK);
	while (more) {
		redisReply *r = next_reply(), *values;
		const redisReply *keys = r->element[1];

		if (keys->elements > 0)
			ask_values(keys);
		more = strcmp(r->element[0]->str, "0") != 0;
		if (more)
			redisAppendCommand(ctx, "SCAN %s MATCH %s COUNT %s",
			    r->element[0]->str, pattern, CHUNK);
		if (keys->elements > 0) {
			values = next_reply();
			for (size_t i = 0; i < values->elements; i++)
				n += values->element[i]->type ==
				    REDIS_REPLY_STRING;
			freeReplyObject(values);
		}
		freeReplyObject(r);
	}
	return n;
}

int
main(int argc, char **argv)
{
	char host[64];
	const char *colon;
	unsigned long n;
	double start;

	if (argc != 3 || (colon = strrchr(argv[1], ':')) == NULL)
		return 2;
	snprintf(host, sizeof(host), "%.*s", (int)(colon - argv[1]), argv[1]);
	ctx = redisConnect(host, atoi(colon + 1));
	if (ctx == NULL || ctx->err) {
		fprintf(stderr, "redis-scan: %s\n",
		    ctx != NULL ? ctx->errstr : "out of memory");
		return 1;
	}
	start = monotonic();
	n = scan(argv[2]);
	printf("%lu %.3f\n", n, monotonic() - start);
	redisFree(ctx);
	return 0;
}
