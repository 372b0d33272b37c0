/*
 * table: records as text for people: aligned tables, and name-value lists.
 *
 * Times are relative ("in 9m", "3m ago"), because that is what one asks for
 * first; --json has them exactly. Bytes that do not belong on a terminal become
 * '?'. A table is made to fit its width (80 columns, or the terminal's) by
 * leaving out its less important columns; only on a terminal the last column is
 * cut as well.
 *
 * Rows are kept until the table ends, so that columns are as wide as they must
 * be and rows can be sorted. From TABLE_ROWS_MAX rows on, they are printed as
 * they come.
 */
#ifndef MXW_TABLE_H
#define MXW_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "lib/core/record.h"

#define TABLE_ROWS_MAX 10000
#define TABLE_COLUMNS_MAX 8
#define TABLE_WIDTH 80

struct table_column {
	const char *field; /* of the record */
	const char *title;
	bool right; /* numbers */
	int drop;   /* left out when too wide, 1 first; 0 = never */
};

struct table;

/* `sort`: a field by which rows are ordered, largest first; NULL: as they
 * come. `now` is what times are relative to. */
struct table *table_create(FILE *, const struct table_column *, size_t n,
    const char *sort, double now);
void table_add(struct table *, const struct record *);
/* A row that is no record: one text for each column. */
void table_row(struct table *, double key, const char *const *cells);
/* Prints what is left, and frees. */
void table_finish(struct table **);

/* "in 9m", "3m ago", "now". Returns buf. */
#define TABLE_TIME_LEN 24
char *table_relative(double t, double now, char buf[TABLE_TIME_LEN]);
/* `value` without control characters and broken UTF-8, cut to size. */
char *table_clean(const char *value, char *buf, size_t size);

/* One field per line, "  name  value", folded as below; times as
 * "2026-... (in 9m)". */
void table_fields(FILE *, const struct record *, double now);
/* A text that is clean, on lines that begin with so many blanks: the first one,
 * and all others. On a terminal it is folded to its width, elsewhere it is one
 * line. */
void table_fold(FILE *, const char *text, size_t first, size_t others);
/* As much of a clean text as a line of the terminal has room for, without a
 * newline; elsewhere all of it. */
void table_cut(FILE *, const char *text);
/* One line: time, kind, address, then name=value. */
void table_event(FILE *, const struct record *);

#endif
