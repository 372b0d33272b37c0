/*
 * output: see output.h.
 */
#include "policyd/daemon/output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "lib/core/json.h"
#include "lib/core/num.h"
#include "lib/core/xalloc.h"
#include "policyd/daemon/identity.h"

#define OUTPUT_LINE \
	16384 /* text is at most 2048 bytes, six each when escaped */

enum output_kind { OUTPUT_SYSLOG, OUTPUT_STDERR, OUTPUT_FILE };

struct output {
	enum output_kind kind;
	bool json;
	bool journal; /* stderr is systemd's */
	char *path;   /* of a file */
	int fd;
	unsigned long lost; /* messages not written */
};

static struct output *output_current;

static const int output_priority[] = { LOG_DEBUG, LOG_INFO, LOG_NOTICE,
	LOG_WARNING, LOG_ERR, LOG_CRIT };

/* Is stderr a stream to the journal? $JOURNAL_STREAM is "DEVICE:INODE". */
static bool
output_is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	char own[64];
	struct stat st;

	if (stream == NULL || fstat(STDERR_FILENO, &st) != 0)
		return false;
	snprintf(own, sizeof(own), "%llu:%llu", (unsigned long long)st.st_dev,
	    (unsigned long long)st.st_ino);
	return strcmp(own, stream) == 0;
}

/* -1 with errno. Only a file that is made here is given to the user: what
 * stands there already may be somebody's. */
static int
output_open_file(const char *path, uid_t uid, gid_t gid)
{
	const int flags = O_WRONLY | O_APPEND | O_CLOEXEC | O_NOFOLLOW |
	    O_NONBLOCK | O_NOCTTY;
	struct stat st;
	int fd = open(path, flags | O_CREAT | O_EXCL, 0640);

	if (fd >= 0) {
		if (uid == (uid_t)-1 || fchown(fd, uid, gid) == 0)
			return fd;
	} else if (errno == EEXIST) {
		fd = open(path, flags);
		if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
			return fd;
		if (fd >= 0)
			errno = EINVAL;
	}
	if (fd >= 0) {
		const int saved = errno;

		close(fd);
		errno = saved;
	}
	return -1;
}

static int
output_start_file(struct output *o, const char *user, struct errbuf *err)
{
	uid_t uid = (uid_t)-1;
	gid_t gid = (gid_t)-1;

	if (geteuid() == 0 && identity_parse(user, &uid, &gid, err) != 0)
		return -1;
	o->fd = output_open_file(o->path, uid, gid);
	if (o->fd < 0)
		return errbuf_set(err, "option 'log_target': %s: %s", o->path,
		    errno == EINVAL ? "not a regular file" : strerror(errno));
	return 0;
}

struct output *
output_open(
    const char *target, bool foreground, const char *user, struct errbuf *err)
{
	struct output *o = x_calloc(1, sizeof(*o));

	o->fd = -1;
	if (strncmp(target, "file:", 5) == 0) {
		o->kind = OUTPUT_FILE;
		o->path = x_strdup(target + 5);
		if (output_start_file(o, user, err) != 0)
			output_close(&o);
	} else if (strcmp(target, "stderr") == 0 ||
	    (foreground && strcmp(target, "auto") == 0)) {
		o->kind = OUTPUT_STDERR;
		o->fd = STDERR_FILENO;
		o->journal = output_is_journal();
	} else {
		o->kind = OUTPUT_SYSLOG;
		openlog("mxwardend", LOG_PID | LOG_NDELAY, LOG_MAIL);
	}
	return o;
}

void
output_close(struct output **op)
{
	struct output *o = *op;

	if (o == NULL)
		return;
	if (output_current == o)
		output_use(NULL);
	if (o->kind == OUTPUT_FILE && o->fd >= 0)
		close(o->fd);
	free(o->path);
	free(o);
	*op = NULL;
}

bool
output_is_stderr(const struct output *o)
{
	return o->kind == OUTPUT_STDERR;
}

void
output_set_json(struct output *o, bool json)
{
	o->json = json;
}

int
output_reopen(struct output *o, struct errbuf *err)
{
	int fd;

	if (o->kind != OUTPUT_FILE)
		return 0;
	fd = output_open_file(o->path, (uid_t)-1, (gid_t)-1);
	if (fd < 0)
		return errbuf_set(err,
		    "%s: cannot be opened again, writing to "
		    "the old file: %s",
		    o->path, strerror(errno));
	close(o->fd);
	o->fd = fd;
	return 0;
}

/* One write(2) for a line: a reader, or another writer, sees whole ones. */
static bool
output_write(struct output *o, const char *line, size_t len)
{
	ssize_t n;

	do
		n = write(o->fd, line, len);
	while (n < 0 && errno == EINTR);
	return n == (ssize_t)len;
}

static double
output_now(void)
{
	struct timespec ts;
	long ms;

	clock_gettime(CLOCK_REALTIME, &ts);
	ms = ts.tv_nsec / 1000000;
	return (double)ts.tv_sec + (double)ms / 1e3;
}

static void
output_stamp(
    const struct output *o, enum msg_level level, char *buf, size_t size)
{
	char stamp[NUM_TIME_LEN];
	time_t now = time(NULL);
	struct tm tm;

	buf[0] = '\0';
	if (o->kind == OUTPUT_FILE)
		snprintf(
		    buf, size, "%s ", num_format_time(output_now(), stamp));
	else if (o->journal)
		snprintf(buf, size, "<%d>", output_priority[level]);
	else if (o->kind == OUTPUT_STDERR && localtime_r(&now, &tm) != NULL)
		strftime(buf, size, "%H:%M:%S ", &tm);
}

static void
output_line(struct output *o, enum msg_level level, const char *body)
{
	char line[OUTPUT_LINE + 128], stamp[64];
	int n;

	if (o->kind == OUTPUT_SYSLOG) {
		syslog(output_priority[level], "%s", body);
		return;
	}
	if (o->json)
		stamp[0] = '\0';
	if (!o->json || o->journal)
		output_stamp(o, level, stamp, sizeof(stamp));
	n = snprintf(line, sizeof(line), "%s%s\n", stamp, body);
	if (n < 0 || (size_t)n >= sizeof(line) ||
	    !output_write(o, line, (size_t)n))
		o->lost++;
}

static void
output_json(struct output *o, enum msg_level level, const char *text,
    void (*fields)(struct json *, const void *), const void *ctx)
{
	char body[OUTPUT_LINE];
	struct json j = { .f = fmemopen(body, sizeof(body), "w") };
	bool good;

	if (j.f == NULL) {
		o->lost++;
		return;
	}
	json_open(&j, NULL, '{');
	json_time(&j, "time", output_now());
	json_str(&j, "severity", log_level_name(level));
	if (fields != NULL)
		fields(&j, ctx);
	json_str(&j, "message", text);
	json_close(&j, '}');
	good = fflush(j.f) == 0 && ftell(j.f) < (long)sizeof(body);
	good = fclose(j.f) == 0 && good;
	if (good)
		output_line(o, level, body);
	else
		o->lost++;
}

static void
output_message(struct output *o, enum msg_level level, const char *text,
    void (*fields)(struct json *, const void *), const void *ctx)
{
	char body[4096];

	if (o->json) {
		output_json(o, level, text, fields, ctx);
		return;
	}
	/* Postfix's way: the words say how bad it is, whatever syslog drops. */
	if (level >= MSG_WARNING)
		snprintf(
		    body, sizeof(body), "%s: %s", log_level_name(level), text);
	else
		snprintf(body, sizeof(body), "%s", text);
	output_line(o, level, body);
}

static void
output_say(struct output *o, enum msg_level level, const char *text,
    void (*fields)(struct json *, const void *), const void *ctx)
{
	const unsigned long lost = o->lost;
	char note[80];

	output_message(o, level, text, fields, ctx);
	if (lost == 0 || o->lost != lost)
		return;
	o->lost = 0;
	snprintf(note, sizeof(note),
	    "%lu messages before this could not be "
	    "written",
	    lost);
	output_message(o, MSG_WARNING, note, NULL, NULL);
}

static void
output_sink(void *ctx, enum msg_level level, const char *text)
{
	output_say(ctx, level, text, NULL, NULL);
}

void
output_use(struct output *o)
{
	output_current = o;
	log_set_sink(o != NULL ? output_sink : NULL, o);
}

void
output_event(enum msg_level level, const char *text,
    void (*fields)(struct json *, const void *ctx), const void *ctx)
{
	/* Text needs its control characters replaced, JSON has escapes. */
	if (output_current == NULL || !output_current->json)
		log_msg(level, "%s", text);
	else if (level >= log_level())
		output_say(output_current, level, text, fields, ctx);
}
