/*
 * table: see table.h.
 */
#include "policyd/ctl/table.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "lib/core/log.h"
#include "lib/core/num.h"
#include "lib/core/utf8.h"
#include "lib/core/xalloc.h"

#define TABLE_CELL 256
#define TABLE_GAP 2

struct table_row {
	double key;
	size_t serial; /* rows with equal keys stay in order */
	char *cells[TABLE_COLUMNS_MAX];
};

struct table {
	FILE *f;
	const struct table_column *columns;
	size_t n_columns;
	const char *sort;
	double now;
	size_t width;
	bool cut; /* the last column may be cut */
	bool streaming;
	size_t widths[TABLE_COLUMNS_MAX];
	bool shown[TABLE_COLUMNS_MAX];
	struct table_row *rows;
	size_t n_rows, size;
};

char *
table_relative(double t, double now, char buf[TABLE_TIME_LEN])
{
	static const struct {
		double seconds;
		char unit;
	} units[] = { { 86400, 'd' }, { 3600, 'h' }, { 60, 'm' }, { 1, 's' } };
	double d = fabs(t - now), n = floor(d + 0.5);
	char unit = 's';

	if (n < 1) {
		snprintf(buf, TABLE_TIME_LEN, "now");
		return buf;
	}
	/* A unit that it is one of, or at least one and a half: 59m50s is 1h,
	 * 80m is not. */
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		double ratio = d / units[i].seconds;

		if (ratio >= 1.5 || (ratio >= 0.99 && ratio <= 1.05)) {
			n = floor(ratio + 0.5);
			unit = units[i].unit;
			break;
		}
	}
	snprintf(buf, TABLE_TIME_LEN, t > now ? "in %.0f%c" : "%.0f%c ago",
	    fmin(n, 1e6), unit);
	return buf;
}

char *
table_clean(const char *value, char *buf, size_t size)
{
	utf8_clean(value, strlen(value), buf, size);
	return buf;
}

/* Characters, not bytes: continuation bytes of UTF-8 take no room. */
static size_t
table_text_width(const char *s)
{
	size_t n = 0;

	for (; *s != '\0'; s++)
		n += ((unsigned char)*s & 0xc0) != 0x80;
	return n;
}

static void
table_value(const struct record_field *f, char buf[TABLE_CELL])
{
	double d = 0;

	switch (f->type) {
	case RECORD_STRING:
		table_clean(f->len > 0 ? f->value : "-", buf, TABLE_CELL);
		return;
	case RECORD_NUMBER:
		num_parse_double(f->value, f->len, &d);
		num_format_score(d, buf);
		return;
	case RECORD_DURATION:
		num_parse_double(f->value, f->len, &d);
		num_format_duration(d, buf);
		return;
	case RECORD_TIME:
		num_parse_double(f->value, f->len, &d);
		num_format_time(d, buf);
		return;
	case RECORD_BOOL:
		snprintf(
		    buf, TABLE_CELL, "%s", f->value[0] == '1' ? "yes" : "no");
		return;
	case RECORD_NULL:
	case RECORD_OBJECT:
		snprintf(buf, TABLE_CELL, "-");
		return;
	}
}

/* The most frequent member of an object, and how many others there are. */
static void
table_summary(const struct record *r, const struct record_field *object,
    char buf[TABLE_CELL])
{
	const struct record_field *best = NULL;
	size_t len = strlen(object->name);
	unsigned others = 0;
	double most = 0, d;
	char name[TABLE_CELL - 32];

	for (const struct record_field *f = object + 1;
	     f < r->fields + r->n_fields &&
	     strncmp(f->name, object->name, len) == 0 && f->name[len] == '.';
	     f++) {
		d = record_get_num(r, f->name, 0);
		if (best != NULL)
			others++;
		if (best == NULL || d > most) {
			best = f;
			most = d;
		}
	}
	if (best == NULL)
		snprintf(buf, TABLE_CELL, "-");
	else if (others == 0)
		table_clean(best->name + len + 1, buf, TABLE_CELL);
	else
		snprintf(buf, TABLE_CELL, "%s +%u",
		    table_clean(best->name + len + 1, name, sizeof(name)),
		    others);
}

static void
table_cell(const struct table *t, const struct record *r, const char *name,
    char buf[TABLE_CELL])
{
	const struct record_field *f = record_get(r, name);

	if (f == NULL)
		snprintf(buf, TABLE_CELL, "-");
	else if (f->type == RECORD_TIME)
		table_relative(record_get_num(r, name, 0), t->now, buf);
	else if (f->type == RECORD_OBJECT)
		table_summary(r, f, buf);
	else
		table_value(f, buf);
}

/* Columns of a terminal, 0 if it is none. */
static size_t
table_terminal(FILE *f)
{
	struct winsize ws;

	if (!isatty(fileno(f)))
		return 0;
	if (ioctl(fileno(f), TIOCGWINSZ, &ws) != 0 || ws.ws_col < 20)
		return TABLE_WIDTH;
	return ws.ws_col;
}

/* Bytes of the first n characters. */
static size_t
table_characters(const char *s, size_t n)
{
	size_t at = 0;

	while (
	    s[at] != '\0' && (n > 0 || ((unsigned char)s[at] & 0xc0) == 0x80))
		n -= ((unsigned char)s[at++] & 0xc0) != 0x80;
	return at;
}

void
table_fold(FILE *f, const char *text, size_t first, size_t others)
{
	size_t width = table_terminal(f), indent = first;

	do {
		size_t len = strlen(text), cut = len;

		if (width > 0)
			cut = table_characters(text, width - indent);
		if (cut < len) {
			/* At the last blank, if there is a late one. */
			const char *blank = memrchr(text, ' ', cut);

			len = cut;
			if (blank != NULL && blank >= text + cut / 4)
				len = (size_t)(blank - text);
		}
		cut = len;
		while (cut > 0 && text[cut - 1] == ' ' && text[len] != '\0')
			cut--;
		fprintf(f, "%*s%.*s\n", (int)indent, "", (int)cut, text);
		text += len;
		text += *text == ' ';
		indent = others;
	} while (*text != '\0');
}

void
table_cut(FILE *f, const char *text)
{
	size_t width = table_terminal(f), len = strlen(text);

	if (width > 0)
		len = table_characters(text, width);
	fprintf(f, "%.*s", (int)len, text);
}

struct table *
table_create(FILE *f, const struct table_column *columns, size_t n,
    const char *sort, double now)
{
	struct table *t = x_calloc(1, sizeof(*t));
	size_t terminal = table_terminal(f);

	t->f = f;
	t->columns = columns;
	t->n_columns = n;
	t->sort = sort;
	t->now = now;
	t->cut = terminal > 0;
	t->width = t->cut ? terminal : TABLE_WIDTH;
	return t;
}

static void
table_print_row(const struct table *t, const char *const *cells)
{
	size_t at = 0, last = 0;

	for (size_t i = 0; i < t->n_columns; i++)
		if (t->shown[i])
			last = i;
	for (size_t i = 0; i < t->n_columns && i <= last; i++) {
		size_t w, len;

		if (!t->shown[i])
			continue;
		w = table_text_width(cells[i]);
		len = strlen(cells[i]);
		if (i == last && t->cut && at + w > t->width && t->width > at) {
			/* Bytes for columns: cuts a little more than needed
			 * where there is UTF-8, never in its middle. */
			len = t->width - at;
			while (len > 0 &&
			    ((unsigned char)cells[i][len] & 0xc0) == 0x80)
				len--;
		}
		if (t->columns[i].right && w < t->widths[i])
			fprintf(t->f, "%*s", (int)(t->widths[i] - w), "");
		fprintf(t->f, "%.*s", (int)len, cells[i]);
		if (i == last)
			break;
		if (!t->columns[i].right && w < t->widths[i])
			fprintf(t->f, "%*s", (int)(t->widths[i] - w), "");
		fprintf(t->f, "%*s", TABLE_GAP, "");
		at += (w > t->widths[i] ? w : t->widths[i]) + TABLE_GAP;
	}
	putc('\n', t->f);
}

/* Which columns are shown, and how wide. */
static void
table_layout(struct table *t)
{
	size_t sum = 0;
	int drop;

	for (size_t i = 0; i < t->n_columns; i++) {
		t->shown[i] = true;
		t->widths[i] = strlen(t->columns[i].title);
		for (size_t r = 0; r < t->n_rows; r++) {
			size_t w = table_text_width(t->rows[r].cells[i]);

			if (w > t->widths[i])
				t->widths[i] = w;
		}
		sum += t->widths[i] + (i > 0 ? TABLE_GAP : 0);
	}
	for (drop = 1; drop <= TABLE_COLUMNS_MAX && sum > t->width; drop++) {
		for (size_t i = 0; i < t->n_columns; i++) {
			if (t->columns[i].drop != drop)
				continue;
			t->shown[i] = false;
			sum -= t->widths[i] + TABLE_GAP;
		}
	}
}

static int
table_compare(const void *a, const void *b)
{
	const struct table_row *x = a, *y = b;

	if (x->key != y->key)
		return x->key < y->key ? 1 : -1;
	return x->serial < y->serial ? -1 : 1;
}

static void
table_free_row(const struct table *t, struct table_row *row)
{
	for (size_t i = 0; i < t->n_columns; i++)
		free(row->cells[i]);
}

static void
table_flush(struct table *t)
{
	const char *titles[TABLE_COLUMNS_MAX];

	if (t->n_rows == 0)
		return;
	if (!t->streaming) {
		table_layout(t);
		for (size_t i = 0; i < t->n_columns; i++)
			titles[i] = t->columns[i].title;
		table_print_row(t, titles);
		if (t->sort != NULL)
			qsort(t->rows, t->n_rows, sizeof(*t->rows),
			    table_compare);
	}
	for (size_t r = 0; r < t->n_rows; r++) {
		table_print_row(t, (const char *const *)t->rows[r].cells);
		table_free_row(t, &t->rows[r]);
	}
	t->n_rows = 0;
}

void
table_row(struct table *t, double key, const char *const *cells)
{
	struct table_row *row;

	if (t->n_rows == t->size) {
		t->size = t->size == 0 ? 64 : t->size * 2;
		t->rows = x_reallocarray(t->rows, t->size, sizeof(*t->rows));
	}
	row = &t->rows[t->n_rows];
	memset(row, 0, sizeof(*row));
	row->serial = t->n_rows++;
	row->key = key;
	for (size_t i = 0; i < t->n_columns; i++)
		row->cells[i] = x_strdup(cells[i]);
	if (t->streaming || t->n_rows == TABLE_ROWS_MAX) {
		table_flush(t);
		t->streaming = true;
	}
}

void
table_add(struct table *t, const struct record *r)
{
	char text[TABLE_COLUMNS_MAX][TABLE_CELL];
	const char *cells[TABLE_COLUMNS_MAX];

	for (size_t i = 0; i < t->n_columns; i++) {
		table_cell(t, r, t->columns[i].field, text[i]);
		cells[i] = text[i];
	}
	table_row(
	    t, t->sort != NULL ? record_get_num(r, t->sort, 0) : 0, cells);
}

void
table_finish(struct table **tp)
{
	struct table *t = *tp;

	table_flush(t);
	free(t->rows);
	free(t);
	*tp = NULL;
}

static void
table_members(FILE *f, const struct record *r, size_t *i)
{
	const char *object = r->fields[*i].name;
	size_t len = strlen(object);
	char value[TABLE_CELL], name[TABLE_CELL];
	bool some = false;

	while (*i + 1 < r->n_fields) {
		const struct record_field *m = &r->fields[*i + 1];

		if (strncmp(m->name, object, len) != 0 || m->name[len] != '.')
			break;
		table_value(m, value);
		fprintf(f, "%s%s=%s", some ? " " : "",
		    table_clean(m->name + len + 1, name, sizeof(name)), value);
		some = true;
		++*i;
	}
	fputs(some ? "" : "-", f);
}

void
table_fields(FILE *f, const struct record *r, double now)
{
	char value[TABLE_CELL], rel[TABLE_TIME_LEN], name[TABLE_CELL];
	char *text = NULL;
	size_t len;

	for (size_t i = 0; i < r->n_fields; i++) {
		const struct record_field *field = &r->fields[i];
		FILE *line = open_memstream(&text, &len);

		if (line == NULL)
			log_fatal("out of memory");
		fprintf(line, "%-16s  ",
		    table_clean(field->name, name, sizeof(name)));
		if (field->type == RECORD_OBJECT) {
			table_members(line, r, &i);
		} else {
			table_value(field, value);
			fputs(value, line);
		}
		if (field->type == RECORD_TIME)
			fprintf(line, " (%s)",
			    table_relative(
				record_get_num(r, field->name, 0), now, rel));
		if (fclose(line) != 0)
			log_fatal("out of memory");
		table_fold(f, text, 2, 20);
		free(text);
	}
}

void
table_event(FILE *f, const struct record *r)
{
	const struct record_field *t = record_get(r, "time");
	const struct record_field *a = record_get(r, "address");
	char value[TABLE_CELL], name[TABLE_CELL];

	if (t != NULL) {
		table_value(t, value);
		fprintf(f, "%s ", value);
	}
	fputs(table_clean(r->kind, name, sizeof(name)), f);
	if (a != NULL) {
		table_value(a, value);
		fprintf(f, " %s", value);
	}
	for (size_t i = 0; i < r->n_fields; i++) {
		if (&r->fields[i] == t || &r->fields[i] == a)
			continue;
		table_value(&r->fields[i], value);
		fprintf(f, " %s=%s",
		    table_clean(r->fields[i].name, name, sizeof(name)), value);
	}
	putc('\n', f);
}
