/*
 * conf_text: see conf_text.h.
 *
 * One pass over each file. Outside of comments and strings it looks for braces
 * (sections) and the word `include` only; everything else is libconfuse's.
 * Files that are being read are a stack of frames: what an include() names is
 * read before the frame below goes on.
 */
#include "lib/core/conf_text.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <libgen.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/core/xalloc.h"

struct line {
	int file; /* index */
	int line;
	int begin; /* line of the text where the section that ends here began */
};

struct conf_text {
	char *text;
	size_t len, room;
	struct line *lines; /* of the text, from 0 */
	size_t n_lines, lines_room;
	int begin; /* of the section that has ended on the line at hand */
	char **files;
	int n_files;
};

/* A file being read, and those that wait until it has been. */
struct frame {
	char *buf, *at; /* NULL at = nothing open */
	int file, line;
	int depth;	/* of braces */
	int begin;	/* where the outermost began: line of the text, */
	int begin_line; /* and of the file */
	glob_t found;	/* what the include() at hand names */
	size_t n_done;	/* of those */
};

struct reader {
	struct conf_text *ct;
	conf_text_check *check;
	struct errbuf *err;
	struct frame frames[CONF_TEXT_DEPTH];
	int n_frames;
};

/* --- The text ---------------------------------------------------------------
 */

static void
text_line(struct conf_text *ct, int file, int line)
{
	if (ct->n_lines == ct->lines_room) {
		ct->lines_room = ct->lines_room ? ct->lines_room * 2 : 256;
		ct->lines = x_reallocarray(
		    ct->lines, ct->lines_room, sizeof(*ct->lines));
	}
	ct->lines[ct->n_lines++] = (struct line){ file, line, ct->begin };
	ct->begin = 0;
}

static void
text_put(struct conf_text *ct, const struct frame *f, char c)
{
	if (ct->len + 1 >= ct->room) {
		ct->room = ct->room ? ct->room * 2 : 4096;
		ct->text = x_reallocarray(ct->text, ct->room, 1);
	}
	ct->text[ct->len++] = c;
	ct->text[ct->len] = '\0';
	if (c == '\n')
		text_line(ct, f->file, f->line);
}

const char *
conf_text_str(const struct conf_text *ct)
{
	return ct->text;
}

const char *
conf_text_where(const struct conf_text *ct, int line, int *line_r)
{
	bool known = line > 0 && (size_t)line <= ct->n_lines;

	*line_r = known ? ct->lines[line - 1].line : 0;
	return ct->files[known ? ct->lines[line - 1].file : 0];
}

int
conf_text_begin(const struct conf_text *ct, int line)
{
	if (line > 0 && (size_t)line <= ct->n_lines &&
	    ct->lines[line - 1].begin > 0)
		return ct->lines[line - 1].begin;
	return line;
}

void
conf_text_destroy(struct conf_text **ctp)
{
	struct conf_text *ct = *ctp;

	if (ct == NULL)
		return;
	for (int i = 0; i < ct->n_files; i++)
		free(ct->files[i]);
	free(ct->files);
	free(ct->lines);
	free(ct->text);
	free(ct);
	*ctp = NULL;
}

/* --- Files -------------------------------------------------------------------
 */

static struct frame *
reader_frame(struct reader *rd)
{
	return &rd->frames[rd->n_frames - 1];
}

static int __attribute__((format(printf, 3, 4)))
reader_fail(struct reader *rd, int line, const char *fmt, ...)
{
	struct errbuf why;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why.text, sizeof(why.text), fmt, ap);
	va_end(ap);
	return errbuf_set(rd->err, "%s:%d: %.800s",
	    rd->ct->files[reader_frame(rd)->file], line, why.text);
}

/* The content, NUL-terminated; NULL and errno. */
static char *
slurp(const char *path, size_t *len_r)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	size_t room = 65536, len = 0;
	char *buf = NULL;
	ssize_t n = -1;

	if (fd < 0)
		return NULL;
	do {
		if (len + 1 >= room || buf == NULL)
			buf = x_reallocarray(buf, room = room * 2, 1);
		n = read(fd, buf + len, room - len - 1);
		if (n > 0)
			len += (size_t)n;
	} while ((n > 0 && len <= CONF_TEXT_SIZE) || (n < 0 && errno == EINTR));
	if (n > 0)
		errno = EFBIG;
	if (n != 0) {
		int saved = errno;

		free(buf);
		close(fd);
		errno = saved;
		return NULL;
	}
	close(fd);
	buf[len] = '\0';
	*len_r = len;
	return buf;
}

/* Begins a file; `from` is the line of the include(), 0 for the first one. */
static int
reader_open(struct reader *rd, const char *path, int from)
{
	struct conf_text *ct = rd->ct;
	const char *why = rd->check(path), *nul;
	struct frame *f;
	size_t len = 0;
	char *buf;

	buf = why == NULL ? slurp(path, &len) : NULL;
	if (buf == NULL && why == NULL)
		why = strerror(errno);
	if (buf == NULL && from == 0)
		return errbuf_set(rd->err, "%s: %s", path, why);
	if (buf == NULL)
		return reader_fail(rd, from, "%s: %s", path, why);
	ct->files = x_reallocarray(
	    ct->files, (size_t)ct->n_files + 1, sizeof(*ct->files));
	ct->files[ct->n_files] = x_strdup(path);
	f = &rd->frames[rd->n_frames++];
	*f = (struct frame){
		.buf = buf, .at = buf, .file = ct->n_files++, .line = 1
	};
	nul = memchr(buf, '\0', len);
	if (nul == NULL)
		return 0;
	for (const char *p = buf; p < nul; p++)
		f->line += *p == '\n';
	return reader_fail(rd, f->line, "a NUL byte");
}

static void
reader_close(struct reader *rd)
{
	struct frame *f = reader_frame(rd);

	free(f->buf);
	if (f->found.gl_pathv != NULL)
		globfree(&f->found);
	rd->n_frames--;
}

/* Goes on with the next file of the include() at hand, if there is one. */
static int
reader_next(struct reader *rd)
{
	struct frame *f = reader_frame(rd);
	const char *path;

	if (f->found.gl_pathv == NULL)
		return 0;
	if (f->n_done == f->found.gl_pathc) {
		globfree(&f->found);
		memset(&f->found, 0, sizeof(f->found));
		return 0;
	}
	path = f->found.gl_pathv[f->n_done++];
	if (rd->n_frames == CONF_TEXT_DEPTH)
		return reader_fail(
		    rd, f->line, "%s: includes nested too deeply", path);
	if (rd->ct->n_files >= CONF_TEXT_FILES)
		return reader_fail(rd, f->line, "%s: more than %d files", path,
		    CONF_TEXT_FILES);
	return reader_open(rd, path, f->line) == 0 ? 1 : -1;
}

/* --- Scanning
 * ---------------------------------------------------------------- */

/* One byte of the file, into the text or (a comment) not; newlines always. */
static void
take(struct reader *rd, bool keep)
{
	struct frame *f = reader_frame(rd);

	if (keep || *f->at == '\n')
		text_put(rd->ct, f, *f->at);
	if (*f->at == '\n')
		f->line++;
	f->at++;
}

static int
skip_comment(struct reader *rd)
{
	struct frame *f = reader_frame(rd);
	int begin = f->line;
	bool block = f->at[0] == '/' && f->at[1] == '*';

	if (!block) {
		while (*f->at != '\0' && *f->at != '\n')
			take(rd, false);
		return 0;
	}
	for (f->at += 2; *f->at != '\0'; take(rd, false)) {
		if (f->at[0] == '*' && f->at[1] == '/') {
			f->at += 2;
			text_put(rd->ct, f, ' ');
			return 0;
		}
	}
	return reader_fail(
	    rd, begin, "the comment that begins here has no end");
}

static bool
is_comment(const char *s)
{
	return *s == '#' || (*s == '/' && (s[1] == '/' || s[1] == '*'));
}

/* What libconfuse does not take for a number behind a backslash; it would
 * stop inside the string. */
static int
check_escape(struct reader *rd, const char *s)
{
	size_t n = strspn(s, "0123456789");

	if (n == 0 ||
	    (n <= 3 && strspn(s, "01234567") == n &&
		strtoul((char[4]){ s[0], n > 1 ? s[1] : '\0',
			    n > 2 ? s[2] : '\0', '\0' },
		    NULL, 8) <= 255))
		return 0;
	return reader_fail(rd, reader_frame(rd)->line,
	    "\\%.*s is no byte; write a backslash as \\\\, or use single "
	    "quotes",
	    (int)n, s);
}

static int
take_string(struct reader *rd)
{
	struct frame *f = reader_frame(rd);
	int begin = f->line;
	char quote = *f->at;

	take(rd, true);
	while (*f->at != quote) {
		if (*f->at == '\0')
			return reader_fail(rd, begin,
			    "the string that begins here has no end");
		if (quote == '"' && f->at[0] == '$' && f->at[1] == '{' &&
		    f->at[strcspn(f->at, "}\"\n")] != '}')
			return reader_fail(
			    rd, f->line, "${ without }; use single quotes");
		if (*f->at == '\\') {
			if (quote == '"' && check_escape(rd, f->at + 1) != 0)
				return -1;
			take(rd, true);
			if (*f->at == '\0')
				continue;
		}
		take(rd, true);
	}
	take(rd, true);
	return 0;
}

static int
skip_blanks(struct reader *rd)
{
	struct frame *f = reader_frame(rd);

	while (*f->at != '\0') {
		if (strchr(" \t\r\n", *f->at) != NULL)
			take(rd, false);
		else if (!is_comment(f->at))
			break;
		else if (skip_comment(rd) != 0)
			return -1;
	}
	return 0;
}

/* The name in quotes, or as it is; NULL if there is none. */
static char *
take_name(struct frame *f)
{
	char quote = *f->at == '"' || *f->at == '\'' ? *f->at++ : '\0';
	size_t n = quote != '\0' ? strcspn(f->at, quote == '"' ? "\"\n" : "'\n")
				 : strcspn(f->at, " \t\r\n,)\"'");
	char *name;

	if (n == 0 || (quote != '\0' && f->at[n] != quote))
		return NULL;
	name = x_strndup(f->at, n);
	f->at += n + (quote != '\0');
	return name;
}

/* ("x.conf") behind the word. */
static int
take_include(struct reader *rd)
{
	struct frame *f = reader_frame(rd);
	char *name = NULL, *copy, *path;
	int line, rc;

	f->at++;
	if (skip_blanks(rd) != 0)
		return -1;
	line = f->line;
	name = take_name(f);
	if (name == NULL || skip_blanks(rd) != 0 || *f->at != ')') {
		free(name);
		return reader_fail(rd, line, "include() takes one file name");
	}
	f->at++;
	copy = x_strdup(rd->ct->files[f->file]);
	path = name[0] == '/' || strchr(copy, '/') == NULL
	    ? x_strdup(name)
	    : x_asprintf("%s/%s", dirname(copy), name);
	rc = glob(path, GLOB_NOCHECK, NULL, &f->found);
	f->n_done = 0;
	if (rc != 0)
		rc = reader_fail(rd, line, "%s: cannot be expanded", path);
	text_put(rd->ct, f, '\n'); /* the included file begins a line */
	free(name);
	free(copy);
	free(path);
	return rc;
}

static bool
is_word(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	    (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '.';
}

/* A word; 1 if it is an include(). */
static int
take_word(struct reader *rd)
{
	struct frame *f = reader_frame(rd);
	size_t n = 0, blanks;

	while (is_word(f->at[n]))
		n++;
	blanks = strspn(f->at + n, " \t");
	if (f->depth == 0 && n == 7 && strncmp(f->at, "include", 7) == 0 &&
	    f->at[n + blanks] == '(') {
		f->at += n + blanks;
		return 1;
	}
	while (n-- > 0)
		take(rd, true);
	return 0;
}

static void
take_brace(struct reader *rd)
{
	struct frame *f = reader_frame(rd);

	if (*f->at == '{' && f->depth++ == 0) {
		f->begin = (int)rd->ct->n_lines + 1;
		f->begin_line = f->line;
	}
	if (*f->at == '}' && f->depth > 0 && --f->depth == 0)
		rd->ct->begin = f->begin;
	take(rd, true);
}

/* Up to the end of the file at hand, or to an include() (1). */
static int
scan(struct reader *rd)
{
	struct frame *f = reader_frame(rd);

	while (*f->at != '\0') {
		int rc = 0;

		if (is_comment(f->at)) {
			rc = skip_comment(rd);
		} else if (*f->at == '"' || *f->at == '\'') {
			rc = take_string(rd);
		} else if (*f->at == '{' || *f->at == '}') {
			take_brace(rd);
		} else if (is_word(*f->at)) {
			rc = take_word(rd);
			if (rc == 1)
				return take_include(rd) == 0 ? 1 : -1;
		} else {
			take(rd, true);
		}
		if (rc < 0)
			return -1;
		if (rd->ct->len > CONF_TEXT_SIZE)
			return reader_fail(
			    rd, f->line, "the configuration is too large");
	}
	if (f->depth > 0)
		return reader_fail(
		    rd, f->begin_line, "the brace that begins here has no end");
	text_put(rd->ct, f, '\n');
	return 0;
}

/* Reads all that there is; -1 when something is wrong. */
static int
reader_run(struct reader *rd, const char *path)
{
	int rc = reader_open(rd, path, 0);

	while (rc >= 0 && rd->n_frames > 0) {
		rc = reader_next(rd);
		if (rc == 0)
			rc = scan(rd);
		if (rc == 0)
			reader_close(rd);
	}
	return rc;
}

struct conf_text *
conf_text_read(const char *path, conf_text_check *check, struct errbuf *err)
{
	struct reader *rd = x_calloc(1, sizeof(*rd));
	struct conf_text *ct;

	rd->ct = x_calloc(1, sizeof(*rd->ct));
	rd->check = check;
	rd->err = err;
	if (reader_run(rd, path) < 0) {
		while (rd->n_frames > 0)
			reader_close(rd);
		conf_text_destroy(&rd->ct);
	}
	ct = rd->ct;
	free(rd);
	return ct;
}
