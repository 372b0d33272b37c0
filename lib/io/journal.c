/*
 * journal: see journal.h.
 *
 *   missing --open--> reading --no more--> current --new entries--> reading
 *
 * The place is kept in a logpos: dev and head_hash are the two halves of the
 * sequence number's id, ino is the number (entries count from 1), time is the
 * entry's own, offset is how many entries have been read. Files that do not
 * share the id (of another host, or after journald has lost its own) have
 * numbers of their own: among those the time tells what comes after.
 */
#include "lib/io/journal.h"

#include <errno.h>
#include <fnmatch.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-journal.h>
#include <time.h>

#include "lib/core/log.h"
#include "lib/core/xalloc.h"
#include "lib/io/loop.h"

#define JOURNAL_POLL 1.0	/* seconds: some file systems tell nothing */
#define JOURNAL_FIELD_MAX 16384 /* bytes of a message that are looked at */

struct journal {
	struct loop *loop;
	struct tail_events events;
	void *ctx;
	char *directory;
	char **matches, **identifiers;
	bool beginning;
	sd_journal *sd; /* NULL: missing */
	struct loop_watch *readable;
	struct loop_timer *more, *poll;
	struct logpos pos;
	bool current;
	int said; /* error last told */
	struct tail_stats stats;
	char line[JOURNAL_FIELD_MAX + 512];
};

static void journal_step(void *arg);

static char **
strings_copy(const char *const *list)
{
	size_t n = 0;
	char **copy;

	while (list != NULL && list[n] != NULL)
		n++;
	copy = x_calloc(n + 1, sizeof(*copy));
	for (size_t i = 0; i < n; i++)
		copy[i] = x_strdup(list[i]);
	return copy;
}

static void
strings_free(char **list)
{
	for (size_t i = 0; list != NULL && list[i] != NULL; i++)
		free(list[i]);
	free(list);
}

static void
journal_close(struct journal *j)
{
	loop_watch_destroy(&j->readable);
	if (j->sd != NULL)
		sd_journal_close(j->sd);
	j->sd = NULL;
	j->current = false;
}

/* Counts it, and says it once. */
static void
journal_failed(struct journal *j, const char *what, int error)
{
	j->stats.errors++;
	if (j->said == error)
		return;
	j->said = error;
	log_warning("journal%s%s: %s: %s; waiting",
	    j->directory != NULL ? ":" : "",
	    j->directory != NULL ? j->directory : "", what, strerror(-error));
}

/* The place of the current entry. */
static bool
journal_here(struct journal *j, uint64_t id[2], uint64_t *seqnum)
{
	char *cursor = NULL;
	unsigned long long hi, lo, n;
	bool good;

	if (sd_journal_get_cursor(j->sd, &cursor) < 0)
		return false;
	/* systemd's own words: no number in them is too large. */
	/* NOLINTNEXTLINE(cert-err34-c) */
	good = sscanf(cursor, "s=%16llx%16llx;i=%llx", &hi, &lo, &n) == 3;
	free(cursor);
	if (good) {
		id[0] = hi;
		id[1] = lo;
		*seqnum = n;
	}
	return good;
}

/* Goes to behind the saved entry, or to where reading begins. */
static int
journal_seek(struct journal *j)
{
	uint64_t id[2], seqnum;
	char cursor[120];
	int rc;

	if (j->pos.ino == 0) {
		if (j->beginning)
			return sd_journal_seek_head(j->sd);
		rc = sd_journal_seek_tail(j->sd);
		return rc < 0 ? rc : sd_journal_previous(j->sd);
	}
	snprintf(cursor, sizeof(cursor), "s=%016llx%016llx;i=%llx;t=%llx",
	    (unsigned long long)j->pos.dev,
	    (unsigned long long)j->pos.head_hash,
	    (unsigned long long)j->pos.ino, llround(j->pos.time * 1e6));
	rc = sd_journal_seek_cursor(j->sd, cursor);
	if (rc >= 0)
		rc = sd_journal_next(j->sd);
	if (rc <= 0)
		return rc;
	if (journal_here(j, id, &seqnum) && id[0] == j->pos.dev &&
	    id[1] == j->pos.head_hash && seqnum == j->pos.ino)
		return 0;
	/* It is gone: this is the next one that is left. */
	j->stats.lost++;
	log_warning("journal: the entry reached before is gone; entries may be "
		    "lost");
	rc = sd_journal_previous(j->sd);
	return rc < 0 ? rc : rc == 0 ? sd_journal_seek_head(j->sd) : 0;
}

static void
journal_ready(void *arg)
{
	struct journal *j = arg;

	if (sd_journal_process(j->sd) >= 0 && !loop_timer_pending(j->more))
		loop_timer_set(j->more, 0);
}

static int
journal_add_matches(struct journal *j)
{
	int rc = 0;

	for (size_t i = 0; rc >= 0 && j->matches[i] != NULL; i++)
		rc = sd_journal_add_match(j->sd, j->matches[i], 0);
	return rc;
}

static bool
journal_open(struct journal *j)
{
	int rc, fd;

	rc = j->directory != NULL
	    ? sd_journal_open_directory(&j->sd, j->directory, 0)
	    : sd_journal_open(&j->sd, SD_JOURNAL_LOCAL_ONLY);
	if (rc < 0) {
		j->sd = NULL;
		journal_failed(j, "cannot be opened", rc);
		return false;
	}
	sd_journal_set_data_threshold(j->sd, JOURNAL_FIELD_MAX);
	rc = journal_add_matches(j);
	if (rc >= 0)
		rc = journal_seek(j);
	fd = rc < 0 ? rc : sd_journal_get_fd(j->sd);
	if (fd < 0) {
		journal_failed(j, "cannot be read", fd);
		journal_close(j);
		return false;
	}
	j->readable =
	    loop_watch_create(j->loop, fd, LOOP_READ, journal_ready, j);
	if (j->readable == NULL) {
		journal_close(j);
		return false;
	}
	loop_watch_set(j->readable);
	if (j->said != 0)
		log_notice("journal: read again");
	j->said = 0;
	return true;
}

/* A field of the current entry without its "NAME="; NULL if there is none. */
static const char *
journal_field(struct journal *j, const char *name, size_t *len)
{
	const void *data;
	size_t skip = strlen(name) + 1;

	if (sd_journal_get_data(j->sd, name, &data, len) < 0 || *len < skip)
		return NULL;
	*len -= skip;
	return (const char *)data + skip;
}

/* Adds a word to the header: what would end it becomes '_'. */
static size_t
put_word(char *out, const char *s, size_t len, size_t max)
{
	size_t n = 0;

	while (n < len && n < max) {
		char c = s[n];

		out[n++] =
		    c <= ' ' || c == '[' || c == ']' || c == ':' || c == 0x7f
		    ? '_'
		    : c;
	}
	return n;
}

static bool
journal_wanted(const struct journal *j, const char *id, size_t len)
{
	char name[128];

	if (len >= sizeof(name))
		return false;
	memcpy(name, id, len);
	name[len] = '\0';
	for (size_t i = 0; j->identifiers[i] != NULL; i++)
		if (fnmatch(j->identifiers[i], name, 0) == 0)
			return true;
	return j->identifiers[0] == NULL;
}

/* The time of the current entry as text; 0 if there is none. */
static size_t
put_time(struct journal *j, char out[40])
{
	uint64_t usec;
	struct tm tm;
	time_t sec;
	size_t n;

	if (sd_journal_get_realtime_usec(j->sd, &usec) < 0)
		return 0;
	sec = (time_t)(usec / 1000000);
	if (gmtime_r(&sec, &tm) == NULL)
		return 0;
	n = strftime(out, 40, "%Y-%m-%dT%H:%M:%S", &tm);
	return n +
	    (size_t)snprintf(
		out + n, 40 - n, ".%06uZ", (unsigned)(usec % 1000000));
}

/* The current entry as a line; 0 if it is none of ours. */
static size_t
journal_line(struct journal *j)
{
	const char *id, *text;
	size_t n, len;

	id = journal_field(j, "SYSLOG_IDENTIFIER", &len);
	if (id == NULL || !journal_wanted(j, id, len))
		return 0;
	n = put_time(j, j->line);
	if (n == 0)
		return 0;
	j->line[n++] = ' ';
	text = journal_field(j, "_HOSTNAME", &len);
	n += put_word(j->line + n, text != NULL ? text : "-",
	    text != NULL ? len : 1, 100);
	j->line[n++] = ' ';
	/* Data of one field is gone with the next call. */
	id = journal_field(j, "SYSLOG_IDENTIFIER", &len);
	n += id != NULL ? put_word(j->line + n, id, len, 100) : 0;
	text = journal_field(j, "SYSLOG_PID", &len);
	if (text == NULL)
		text = journal_field(j, "_PID", &len);
	if (text != NULL) {
		j->line[n++] = '[';
		n += put_word(j->line + n, text, len, 20);
		j->line[n++] = ']';
	}
	j->line[n++] = ':';
	j->line[n++] = ' ';
	text = journal_field(j, "MESSAGE", &len);
	if (text == NULL)
		return 0;
	len = len < JOURNAL_FIELD_MAX ? len : JOURNAL_FIELD_MAX;
	for (size_t i = 0; i < len; i++)
		j->line[n++] = text[i] == '\n' ? ' ' : text[i];
	return n;
}

static void
journal_entry(struct journal *j)
{
	uint64_t id[2], seqnum, usec = 0;
	size_t len = journal_line(j);

	j->pos.offset++;
	sd_journal_get_realtime_usec(j->sd, &usec);
	if (journal_here(j, id, &seqnum)) {
		j->pos.dev = id[0];
		j->pos.head_hash = id[1];
		j->pos.ino = seqnum;
		j->pos.time = (double)usec / 1e6;
	}
	if (len == 0)
		return;
	j->stats.bytes += len;
	j->events.line(j->ctx, j->line, len, logpos_logical(&j->pos), false,
	    (double)usec / 1e6);
}

static void
journal_step(void *arg)
{
	struct journal *j = arg;
	bool was = j->current;
	int rc = 1;

	if (j->sd == NULL && !journal_open(j))
		return;
	for (int i = 0; i < JOURNAL_TURN && (rc = sd_journal_next(j->sd)) > 0;
	     i++)
		journal_entry(j);
	if (rc < 0) {
		journal_failed(j, "cannot be read", rc);
		journal_close(j);
		return;
	}
	j->current = rc == 0;
	if (!j->current)
		loop_timer_set(j->more, 0);
	if (j->current != was || rc > 0)
		j->events.progress(j->ctx, j->current);
}

static void
journal_look(void *arg)
{
	struct journal *j = arg;

	loop_timer_set(j->poll, JOURNAL_POLL);
	if (j->sd != NULL)
		sd_journal_process(j->sd);
	if (!loop_timer_pending(j->more))
		journal_step(j);
}

struct journal *
journal_create(struct loop *loop, const struct journal_options *options,
    const struct tail_events *events, void *ctx, struct errbuf *err)
{
	struct journal *j = x_calloc(1, sizeof(*j));

	j->loop = loop;
	j->events = *events;
	j->ctx = ctx;
	if (options->directory != NULL)
		j->directory = x_strdup(options->directory);
	j->matches = strings_copy(options->matches);
	j->identifiers = strings_copy(options->identifiers);
	j->beginning = options->beginning;
	if (options->pos != NULL)
		j->pos = *options->pos;
	else
		j->pos.epoch = options->epoch;
	j->more = loop_timer_create(loop, LOOP_WORK, journal_step, j);
	j->poll = loop_timer_create(loop, LOOP_WORK, journal_look, j);
	if (j->more == NULL || j->poll == NULL) {
		errbuf_set(err, "out of memory");
		journal_destroy(&j);
		return NULL;
	}
	loop_timer_set(j->more, 0);
	loop_timer_set(j->poll, JOURNAL_POLL);
	return j;
}

void
journal_destroy(struct journal **jp)
{
	struct journal *j = *jp;

	if (j == NULL)
		return;
	journal_close(j);
	loop_timer_destroy(&j->more);
	loop_timer_destroy(&j->poll);
	strings_free(j->matches);
	strings_free(j->identifiers);
	free(j->directory);
	free(j);
	*jp = NULL;
}

void
journal_position(const struct journal *j, struct logpos *out)
{
	*out = j->pos;
	if (out->ino == 0) /* none was read yet */
		out->time = loop_now(j->loop);
}

void
journal_stats(const struct journal *j, struct tail_stats *out)
{
	*out = j->stats;
	out->state = j->sd == NULL ? "missing"
	    : j->current	   ? "current"
				   : "reading";
}

bool
journal_supported(void)
{
	return true;
}
