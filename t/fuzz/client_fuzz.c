/*
 * client: what a daemon, or what pretends to be one, says to the admin command.
 * The command's verbs, tables and JSON are the real ones; the system calls of
 * the connection are played here, so nothing waits.
 *
 * An input is a byte that says which verb asks (and whether as JSON, and to a
 * terminal) and then all that the daemon says before it closes.
 *
 * However it goes: the command ends; it succeeds only if the last record of the
 * answer says so; on a terminal nothing arrives but lines of printable UTF-8
 * (and, of ours, colours); JSON is JSON, whatever strings are in it. And what
 * is shown does not depend on the pieces in which it comes.
 */
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/core/log.h"
#include "lib/core/record.h"
#include "lib/core/utf8.h"
#include "policyd/ctl/ctl.h"
#include "t/fuzz/fuzz.h"

#define FD 1000 /* of the played socket */

enum option { VERBS = 15, JSON = 16, TERMINAL = 32 };

static const uint8_t *says;
static size_t says_len, says_at, says_step;
static bool terminal;

/* --- System calls ----------------------------------------------------------
 */

int
socket(int domain, int type, int protocol)
{
	must(domain == AF_UNIX);
	(void)type;
	(void)protocol;
	return FD;
}

int
connect(int fd, __CONST_SOCKADDR_ARG addr, socklen_t len)
{
	(void)addr;
	(void)len;
	must(fd == FD);
	return 0;
}

int
poll(struct pollfd *fds, nfds_t n, int timeout)
{
	must(n == 1 && timeout != 0);
	fds[0].revents = POLLIN | POLLOUT;
	return 1;
}

ssize_t
recv(int fd, void *buf, size_t size, int flags)
{
	size_t n = says_len - says_at;

	(void)flags;
	must(fd == FD && size > 0);
	if (n > size)
		n = size;
	if (n > says_step)
		n = says_step;
	memcpy(buf, says + says_at, n);
	says_at += n;
	return (ssize_t)n;
}

ssize_t
send(int fd, const void *buf, size_t len, int flags)
{
	must(fd == FD && len > 0 && ((const char *)buf)[len - 1] == '\n');
	(void)flags;
	return (ssize_t)len;
}

int
isatty(int fd)
{
	(void)fd;
	return terminal;
}

int
ioctl(int fd, unsigned long request, ...)
{
	(void)fd;
	(void)request;
	errno = ENOTTY;
	return -1;
}

/* What the command's main.c has. */
double
ctl_now(void)
{
	return 1797242400.0;
}

struct conf *
ctl_conf(const struct ctl *ctl)
{
	(void)ctl;
	return NULL;
}

static void
quiet(void *ctx, enum msg_level level, const char *text)
{
	(void)ctx;
	must(level != MSG_FATAL && text != NULL);
}

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	log_set_sink(quiet, NULL);
	setenv("TERM", "vt100", 1);
	setenv("TZ", "UTC", 1);
	unsetenv("NO_COLOR");
	return 0;
}

/* --- JSON (RFC 8259) -------------------------------------------------------
 */

struct text {
	const char *at, *end;
};

static bool
text_next(struct text *t, char c)
{
	if (t->at == t->end || *t->at != c)
		return false;
	t->at++;
	return true;
}

static void
text_blanks(struct text *t)
{
	while (t->at < t->end && (*t->at == ' ' || *t->at == '\n'))
		t->at++;
}

static void
json_check_string(struct text *t)
{
	must(text_next(t, '"'));
	while (t->at < t->end && *t->at != '"') {
		size_t n = utf8_span(t->at, (size_t)(t->end - t->at));

		must(n > 0 && (unsigned char)*t->at >= 0x20);
		t->at += n;
		if (t->at[-1] != '\\' || n != 1)
			continue;
		must(t->at < t->end && strchr("\"\\/bfnrtu", *t->at) != NULL);
		if (*t->at++ != 'u')
			continue;
		must(t->end - t->at >= 4);
		must(strspn(t->at, "0123456789abcdefABCDEF") >= 4);
		t->at += 4;
	}
	must(text_next(t, '"'));
}

static void
json_check_plain(struct text *t)
{
	static const char *const words[] = { "true", "false", "null" };
	const char *from = t->at;

	for (size_t i = 0; i < 3; i++) {
		size_t n = strlen(words[i]);

		if ((size_t)(t->end - t->at) >= n &&
		    memcmp(t->at, words[i], n) == 0) {
			t->at += n;
			return;
		}
	}
	(void)text_next(t, '-');
	must(t->at < t->end && *t->at >= '0' && *t->at <= '9');
	must(!text_next(t, '0') || t->at == t->end || *t->at < '0' ||
	    *t->at > '9');
	t->at += strspn(t->at, "0123456789");
	if (text_next(t, '.')) {
		must(strspn(t->at, "0123456789") > 0);
		t->at += strspn(t->at, "0123456789");
	}
	if (text_next(t, 'e')) {
		if (!text_next(t, '+'))
			(void)text_next(t, '-');
		must(strspn(t->at, "0123456789") > 0);
		t->at += strspn(t->at, "0123456789");
	}
	must(t->at > from);
}

/* One value; as deep as we write them. */
static void
json_check(struct text *t)
{
	char open[8];
	size_t depth = 0;
	bool first = true;

	do {
		text_blanks(t);
		if (depth > 0) {
			char close = open[depth - 1] == '{' ? '}' : ']';

			if (text_next(t, close)) {
				depth--;
				first = false;
				continue;
			}
			must(first || text_next(t, ','));
			text_blanks(t);
			if (close == '}') {
				json_check_string(t);
				must(text_next(t, ':'));
				text_blanks(t);
			}
		}
		first = false;
		must(t->at < t->end);
		if (*t->at == '{' || *t->at == '[') {
			must(depth < sizeof(open));
			open[depth++] = *t->at++;
			first = true;
		} else if (*t->at == '"') {
			json_check_string(t);
		} else {
			json_check_plain(t);
		}
	} while (depth > 0);
}

static void
check_json(const char *out, size_t len, bool stream)
{
	struct text t = { out, out + len };
	size_t n = 0;

	for (; t.at < t.end; n++) {
		json_check(&t);
		must(text_next(&t, '\n'));
	}
	must(stream || n == 1);
}

/* --- Lines -----------------------------------------------------------------
 */

static void
check_lines(const char *out, size_t len, bool colours)
{
	for (size_t i = 0; i < len;) {
		size_t n = utf8_printable(out + i, len - i);

		if (n == 0 && out[i] == '\n')
			n = 1;
		if (n == 0 && colours && out[i] == '\033') {
			n = 1 + strspn(out + i + 1, "[0123456789");
			must(out[i + n] == 'm');
			n++;
		}
		must(n > 0);
		i += n;
	}
	must(len == 0 || out[len - 1] == '\n');
}

/* --- Runs ------------------------------------------------------------------
 */

struct verb {
	ctl_verb *run;
	bool stream; /* JSON: a value for each record */
};

static const struct verb verbs[] = {
	{ verb_status, false },
	{ verb_list, false },
	{ verb_top, false },
	{ verb_show, false },
	{ verb_allow_list, false },
	{ verb_watch, true },
};

/* Prints into a buffer of its own, which the caller frees. */
static enum ctl_status
run(uint8_t options, size_t step, char **out_r, size_t *len_r)
{
	char address[] = "192.0.2.1", *argv[] = { address, NULL };
	struct ctl ctl = { .socket = "/nonexistent/control.sock",
		.json = (options & JSON) != 0,
		.argc = 1,
		.argv = argv };
	const size_t n = sizeof(verbs) / sizeof(verbs[0]);
	FILE *real = stdout;
	enum ctl_status status;

	says_at = 0;
	says_step = step;
	terminal = (options & TERMINAL) != 0;
	stdout = open_memstream(out_r, len_r);
	must(stdout != NULL);
	status = verbs[(options & VERBS) % n].run(&ctl);
	must(fclose(stdout) == 0);
	stdout = real;
	terminal = false;
	return status;
}

/* What the last record of the answer says, CTL_ERROR if there is none. */
static enum ctl_status
expected(void)
{
	static const char greeting[] = "mxwarden 1 ";
	const uint8_t *at = says, *end = says + says_len, *nl;
	enum ctl_status status = CTL_ERROR;
	bool greeted = false;

	while (
	    at < end && (nl = memchr(at, '\n', (size_t)(end - at))) != NULL) {
		size_t len = (size_t)(nl - at);
		char *line = malloc(len + 1);
		struct record r;

		must(line != NULL);
		memcpy(line, at, len);
		line[len] = '\0';
		at = nl + 1;
		if (!greeted) {
			greeted = strncmp(line, greeting, 9) == 0;
		} else if (!record_parse(line, len, &r) ||
		    strcmp(r.kind, "error") == 0) {
			at = end;
		} else if (strcmp(r.kind, "ok") == 0) {
			status = CTL_OK;
			at = end;
		} else if (strcmp(r.kind, "no") == 0) {
			status = CTL_NO;
			at = end;
		}
		free(line);
		if (!greeted)
			break;
	}
	return status;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t options = size > 0 ? data[0] : 0;
	const struct verb *v =
	    &verbs[(options & VERBS) % (sizeof(verbs) / sizeof(verbs[0]))];
	enum ctl_status status;
	char *out, *again;
	size_t len, again_len;

	says = data + (size > 0);
	says_len = size - (size > 0);
	status = run(options, SIZE_MAX, &out, &len);
	must(run(options, 1u + options / 64 * 7, &again, &again_len) == status);
	must(len == again_len && memcmp(out, again, len) == 0);
	must(status == CTL_ERROR || status == expected());
	if ((options & JSON) == 0)
		check_lines(out, len, (options & TERMINAL) != 0 && v->stream);
	else if (status != CTL_ERROR || v->stream)
		check_json(out, len, v->stream || len == 0);
	free(out);
	free(again);
	return 0;
}
