/*
 * rediskit: a private redis-server for a unit test, on a unix socket in a
 * temporary directory; it dies with the test.
 */
#ifndef MXW_REDISKIT_H
#define MXW_REDISKIT_H

#include <hiredis.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char kit_dir[] = "/tmp/mxwarden-redis-XXXXXX";
static char kit_socket[64];
static pid_t kit_pid;
static redisContext *kit_redis;

static double __attribute__((unused)) kit_clock(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void
kit_stop(void)
{
	char cmd[96];

	if (kit_redis != NULL)
		redisFree(kit_redis);
	kit_redis = NULL;
	if (kit_pid > 0) {
		kill(kit_pid, SIGKILL);
		waitpid(kit_pid, NULL, 0);
		kit_pid = 0;
	}
	snprintf(cmd, sizeof(cmd), "rm -rf %s", kit_dir);
	if (system(cmd) != 0)
		fprintf(stderr, "%s: not removed\n", kit_dir);
}

/* False: there is no redis-server here. */
static bool
kit_start(void)
{
	const char *server = "redis-server";
	double end;

	if (system("command -v redis-server >/dev/null 2>&1") != 0) {
		if (system("command -v valkey-server >/dev/null 2>&1") != 0)
			return false;
		server = "valkey-server";
	}
	if (mkdtemp(kit_dir) == NULL)
		return false;
	atexit(kit_stop);
	snprintf(kit_socket, sizeof(kit_socket), "%s/sock", kit_dir);
	kit_pid = fork();
	if (kit_pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (freopen("/dev/null", "w", stdout) == NULL)
			_exit(1);
		execlp(server, server, "--port", "0", "--unixsocket",
		    kit_socket, "--dir", kit_dir, "--save", "", "--appendonly",
		    "no", (char *)NULL);
		_exit(127);
	}
	for (end = kit_clock() + 20; kit_clock() < end; usleep(10000)) {
		kit_redis = redisConnectUnix(kit_socket);
		if (kit_redis != NULL && kit_redis->err == 0)
			return true;
		if (kit_redis != NULL)
			redisFree(kit_redis);
		kit_redis = NULL;
	}
	return false;
}

/* One command; ends the test on a broken connection. */
static __attribute__((format(printf, 1, 2), unused)) redisReply *
kit_cmd(const char *fmt, ...)
{
	redisReply *r;
	va_list ap;

	va_start(ap, fmt);
	r = redisvCommand(kit_redis, fmt, ap);
	va_end(ap);
	if (r == NULL) {
		printf("Bail out! redis: %s\n", kit_redis->errstr);
		exit(1);
	}
	return r;
}

/* An integer reply; -100 for another type. */
static long long __attribute__((format(printf, 1, 2), unused))
kit_int(const char *fmt, ...)
{
	redisReply *r;
	long long v;
	va_list ap;

	va_start(ap, fmt);
	r = redisvCommand(kit_redis, fmt, ap);
	va_end(ap);
	v = r != NULL && r->type == REDIS_REPLY_INTEGER ? r->integer : -100;
	if (r != NULL)
		freeReplyObject(r);
	return v;
}

#endif
