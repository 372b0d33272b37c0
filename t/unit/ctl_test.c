/* The admin command's parts: JSON and tables from records, the client's
 * deadlines, the progress bar. */
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "policyd/ctl/client.h"
#include "lib/core/json.h"
#include "policyd/ctl/progress.h"
#include "policyd/ctl/table.h"
#include "t/unit/tap.h"

static char *text;
static size_t text_len;

static FILE *
begin(void)
{
	FILE *f = open_memstream(&text, &text_len);

	if (f == NULL)
		abort();
	return f;
}

/* Checks what was printed since begin(). */
static void
end(FILE *f, const char *want, const char *what)
{
	fclose(f);
	is_str(text, want, "%s", what);
	free(text);
}

static struct record *
record(struct record_out *o, struct record *r)
{
	static char line[RECORD_MAX];
	size_t len;
	const char *s = record_end(o, &len);

	if (s == NULL || len > sizeof(line))
		abort();
	memcpy(line, s, len);
	if (!record_parse(line, len - 1, r))
		abort();
	return r;
}

static void
test_json_strings(void)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
		{ "plain", "\"plain\"" },
		{ "\"\\/", "\"\\\"\\\\/\"" },
		{ "a\tb\nc\x01\x7f", "\"a\\tb\\nc\\u0001\\u007f\"" },
		{ "\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80",
		    "\"\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80\"" },
		{ "\xff", "\"\\ufffd\"" },
		{ "\xc3", "\"\\ufffd\"" },
		{ "\xc3(", "\"\\ufffd(\"" },
		{ "\xc0\x80", "\"\\ufffd\\ufffd\"" }, /* overlong */
		{ "\xe0\x80\x80", "\"\\ufffd\\ufffd\\ufffd\"" },
		{ "\xed\xa0\x80", "\"\\ufffd\\ufffd\\ufffd\"" }, /* surrogate */
		{ "\xf4\x90\x80\x80", "\"\\ufffd\\ufffd\\ufffd\\ufffd\"" },
		{ "\xf0\x9f\x98", "\"\\ufffd\\ufffd\\ufffd\"" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		FILE *f = begin();
		struct json j = { .f = f };

		json_str(&j, NULL, cases[i].in);
		end(f, cases[i].out, "a string");
	}
}

static void
test_json_forms(void)
{
	FILE *f = begin();
	struct json j = { .f = f };

	json_open(&j, NULL, '{');
	json_open(&j, "empty", '[');
	json_close(&j, ']');
	json_num(&j, "n", 5);
	json_num(&j, "inf", INFINITY);
	json_str(&j, "none", NULL);
	json_bool(&j, "yes", true);
	json_time(&j, "t", 1765706317.25);
	json_time(&j, "never", INFINITY);
	json_open(&j, "a", '[');
	json_num(&j, NULL, 1);
	json_num(&j, NULL, 0.1);
	json_close(&j, ']');
	json_close(&j, '}');
	end(f,
	    "{\"empty\": [], \"n\": 5, \"inf\": null, \"none\": null, "
	    "\"yes\": true, \"t\": \"2025-12-14T09:58:37.250Z\", "
	    "\"never\": null, \"a\": [1, 0.1]}",
	    "commas and nesting");

	f = begin();
	j = (struct json){ .f = f, .lines = true };
	json_open(&j, NULL, '[');
	json_num(&j, NULL, 1);
	json_num(&j, NULL, 2);
	json_close(&j, ']');
	end(f, "[\n1,\n2\n]", "an element per line");
	f = begin();
	j = (struct json){ .f = f, .lines = true };
	json_open(&j, NULL, '[');
	json_close(&j, ']');
	end(f, "[]", "or none");
}

static void
test_json_record(void)
{
	struct record_out o = { 0 };
	struct record r;
	FILE *f = begin();
	struct json j = { .f = f };

	record_begin(&o, "x");
	record_strn(&o, "s", "a\0b", 3);
	record_num(&o, "n", 1.5);
	record_time(&o, "t", 0);
	record_duration(&o, "d", 90);
	record_object(&o, "rules");
	record_member_num(&o, "rules", "my.rule", 3);
	record_member_num(&o, "rules", "other", 1);
	record_num(&o, "rulesx", 7);
	record_object(&o, "none");
	record_num(&o, "a.b", 1);
	record_null(&o, "z");
	json_open(&j, NULL, '{');
	json_fields(&j, record(&o, &r));
	json_close(&j, '}');
	end(f,
	    "{\"s\": \"a\\u0000b\", \"n\": 1.5, "
	    "\"t\": \"1970-01-01T00:00:00Z\", \"d\": 90, "
	    "\"rules\": {\"my.rule\": 3, \"other\": 1}, \"rulesx\": 7, "
	    "\"none\": {}, \"a.b\": 1, \"z\": null}",
	    "a record");
	record_free(&o);
}

static void
test_relative(void)
{
	static const struct {
		double t;
		const char *text;
	} cases[] = { { 1000, "now" }, { 1000.4, "now" }, { 1001, "in 1s" },
		{ 1060, "in 1m" }, { 1059.9, "in 1m" }, { 1080, "in 80s" },
		{ 1090, "in 2m" }, { 1540, "in 9m" }, { 820, "3m ago" },
		{ 4600, "in 1h" }, { 1000 + 4800, "in 80m" },
		{ 1000 + 86400, "in 1d" }, { 1000 - 604800, "7d ago" },
		{ 995, "5s ago" }, { 1e300, "in 1000000d" } };
	char buf[TABLE_TIME_LEN];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		is_str(table_relative(cases[i].t, 1000, buf), cases[i].text,
		    "relative time");
}

static const struct table_column columns[] = {
	{ "address", "ADDRESS", false, 0 },
	{ "score", "SCORE", true, 2 },
	{ "since", "SINCE", false, 1 },
	{ "rules", "RULES", false, 0 },
};

static void
add(struct table *t, const char *address, double score, double since,
    const char *rule)
{
	struct record_out o = { 0 };
	struct record r;

	record_begin(&o, "x");
	record_str(&o, "address", address);
	record_num(&o, "score", score);
	record_time(&o, "since", since);
	record_object(&o, "rules");
	record_member_num(&o, "rules", "few", 1);
	if (rule != NULL)
		record_member_num(&o, "rules", rule, 9);
	table_add(t, record(&o, &r));
	record_free(&o);
}

static void
test_table(void)
{
	FILE *f = begin();
	struct table *t = table_create(f, columns, 4, "since", 1000);

	add(t, "192.0.2.1", 5, 400, NULL);
	add(t, "2001:db8::/64", 12.25, 940, "ma\xc3\xafl\n");
	table_finish(&t);
	end(f,
	    "ADDRESS        SCORE  SINCE    RULES\n"
	    "2001:db8::/64  12.25  1m ago   ma\xc3\xafl? +1\n"
	    "192.0.2.1          5  10m ago  few\n",
	    "aligned, newest first, nothing that a terminal would obey");

	f = begin();
	t = table_create(f, columns, 4, NULL, 1000);
	add(t, "2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff", 100, 940,
	    "postfix-recipient-unknown");
	table_finish(&t);
	end(f,
	    "ADDRESS                                 SCORE  "
	    "RULES\n"
	    "2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff    100  "
	    "postfix-recipient-unknown +1\n",
	    "80 columns: the least important one is left out");

	f = begin();
	t = table_create(f, columns, 4, NULL, 1000);
	table_finish(&t);
	end(f, "", "no rows, no titles");

	f = begin();
	t = table_create(f, columns, 4, "since", 1000);
	for (int i = 0; i < TABLE_ROWS_MAX + 5; i++)
		add(t, "192.0.2.1", i, i, NULL);
	table_finish(&t);
	fclose(f);
	size_t lines = 0;

	for (const char *p = text; (p = strchr(p, '\n')) != NULL; p++)
		lines++;
	is_int(lines, TABLE_ROWS_MAX + 6, "more rows than are kept");
	free(text);
}

static void
test_fields(void)
{
	struct record_out o = { 0 };
	struct record r;
	FILE *f = begin();

	record_begin(&o, "blocked");
	record_time(&o, "time", 0);
	record_str(&o, "address", "192.0.2.1");
	record_str(&o, "why", "decided\x1b[31m");
	record_bool(&o, "yes", true);
	record_duration(&o, "left", 90);
	record_object(&o, "rules");
	record_member_num(&o, "rules", "a", 2);
	record_member_num(&o, "rules", "b", 1);
	record_null(&o, "none");
	record(&o, &r);
	table_fields(f, &r, 60);
	end(f,
	    "  time              1970-01-01T00:00:00Z (1m ago)\n"
	    "  address           192.0.2.1\n"
	    "  why               decided?[31m\n"
	    "  yes               yes\n"
	    "  left              1m30s\n"
	    "  rules             a=2 b=1\n"
	    "  none              -\n",
	    "names and values");
	f = begin();
	r.n_fields = 3;
	table_event(f, &r);
	end(f, "1970-01-01T00:00:00Z blocked 192.0.2.1 why=decided?[31m\n",
	    "an event");
	record_free(&o);
}

/* A daemon that greets, sends `text`, and then says nothing until it is
 * killed. */
static pid_t
silent_daemon(const struct sockaddr_un *sun, const char *said)
{
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	pid_t pid;

	if (fd < 0 ||
	    bind(fd, (const struct sockaddr *)sun, sizeof(*sun)) != 0 ||
	    listen(fd, 1) != 0)
		abort();
	pid = fork();
	if (pid == 0) {
		int s = accept(fd, NULL, NULL);

		if (s >= 0 && write(s, said, strlen(said)) > 0)
			pause();
		_exit(0);
	}
	close(fd);
	return pid;
}

static void
test_client_deadline(void)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	char dir[] = "/tmp/mxw-ctl-XXXXXX";
	struct errbuf err = { "" };
	struct record_out req = { 0 };
	struct timespec before, after;
	struct record r;
	struct client *c;
	pid_t pid;

	if (mkdtemp(dir) == NULL)
		abort();
	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s/s", dir);
	pid = silent_daemon(&sun, "mxwarden 1 x\nblock\nha");
	c = client_create(sun.sun_path, &err);
	ok(c != NULL, "connected %s", err.text);
	record_begin(&req, "list");
	ok(c != NULL && client_send(c, &req, &err) == 0, "sent");
	ok(c != NULL && client_next(c, 60, &r, &err) == 0, "a record");
	clock_gettime(CLOCK_MONOTONIC, &before);
	ok(c != NULL && client_next(c, 0.2, &r, &err) < 0, "half a record");
	clock_gettime(CLOCK_MONOTONIC, &after);
	ok(strstr(err.text, "does not answer") != NULL,
	    "it says what is wrong");
	ok((double)(after.tv_sec - before.tv_sec) +
		    (double)(after.tv_nsec - before.tv_nsec) / 1e9 >=
		0.19,
	    "not before the time is up");
	client_destroy(&c);
	ok(c == NULL, "destroyed");
	kill(pid, SIGTERM);
	waitpid(pid, NULL, 0);
	unlink(sun.sun_path);
	rmdir(dir);
}

/* What is written to the terminal that stderr is now. */
static const char *
terminal_text(int master)
{
	static char buf[4096];
	ssize_t n = read(master, buf, sizeof(buf) - 1);

	buf[n > 0 ? n : 0] = '\0';
	return buf;
}

static void
test_progress(void)
{
	int saved = dup(STDERR_FILENO), master, slave;
	struct progress *p;

	slave = open("/dev/null", O_WRONLY);
	dup2(slave, STDERR_FILENO);
	close(slave);
	p = progress_create(1000, 5);
	ok(p == NULL, "no terminal, no bar");
	progress_show(p, 1, 1, 10);
	progress_destroy(&p);

	master = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK);
	if (master < 0 || grantpt(master) != 0 || unlockpt(master) != 0)
		abort();
	slave = open(ptsname(master), O_RDWR | O_NOCTTY);
	dup2(slave, STDERR_FILENO);
	close(slave);
	setvbuf(stderr, NULL, _IONBF, 0);
	p = progress_create(1000, 5);
	ok(p != NULL, "a terminal");
	progress_show(p, 100, 10000, 5.4);
	is_str(terminal_text(master), "", "nothing at first");
	progress_show(p, 500, 1000000, 6);
	is_str(terminal_text(master),
	    "\r[###############...............]  50%  1s left  1000000 lines"
	    "  1.00 M/s\033[K",
	    "the bar");
	progress_show(p, 600, 1000000, 6.05);
	is_str(terminal_text(master), "", "not too often");
	progress_show(p, 2000, 1000000, 7);
	ok(strstr(terminal_text(master), "100%") != NULL,
	    "never more than all");
	progress_destroy(&p);
	is_str(terminal_text(master), "\r\033[K", "wiped away");
	p = progress_create(0, 5);
	progress_show(p, 2000000, 500000, 6);
	is_str(terminal_text(master), "\r2.0 MB  500000 lines  0.50 M/s\033[K",
	    "of unknown length");
	progress_destroy(&p);
	dup2(saved, STDERR_FILENO);
	close(saved);
	close(master);
}

int
main(void)
{
	test_json_strings();
	test_json_forms();
	test_json_record();
	test_relative();
	test_table();
	test_fields();
	test_client_deadline();
	test_progress();
	return tap_done();
}
