/*
 * conf_schema: the table of options. What an option is called, its type,
 * default, range and one line of help stand in one place; the parser is built
 * from it and the documents are tested against it.
 */
#ifndef MXW_CONF_SCHEMA_H
#define MXW_CONF_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/core/errbuf.h"

enum conf_type {
	CONF_STRING,
	CONF_LIST, /* of strings */
	CONF_BOOL,
	CONF_NUMBER,   /* whole, min..max */
	CONF_REAL,     /* min..max */
	CONF_DURATION, /* seconds, min..max */
	CONF_MODE,     /* octal file mode */
};

struct conf_row {
	const char *section; /* "" = top level */
	const char *name;
	enum conf_type type;
	const char *dflt; /* the value (of a list: as written); NULL = must be
			     given */
	double min, max;
	bool reloadable;
	/* Further check of one value (of each, for a list); may be NULL. */
	int (*check)(const char *value, struct errbuf *);
	const char *help;
};

/* Checks a rule's pattern; set by whoever links the rules (conf_rules.c), so
 * that programs which do not need them do not link PCRE2. */
extern int (*conf_pattern_check)(const char *value, struct errbuf *);

extern const struct conf_row conf_rows[];
extern const size_t conf_n_rows;

const struct conf_row *conf_row_find(const char *section, const char *name);
/* -1 and what is wrong with this value. */
int conf_row_check(const struct conf_row *, const char *value, struct errbuf *);

/* Values that have been checked. */
bool conf_bool(const char *value);
double conf_real(const char *value);
double conf_duration(const char *value);
unsigned conf_mode(const char *value);

/* An enum conf_firewall. */
int conf_backend(const char *value);
/* Enums rule_counts and rule_kind. */
int conf_counts(const char *value);
int conf_kind(const char *value);
/* An enum msg_level; -1: none. */
int conf_log_level(const char *value);

#endif
