/*
 * literals: strings that every match of a regular expression must hold, so
 * that a search for them can tell quickly that it does not match.
 *
 * Found by a scan of the top level of the expression that gives up on what it
 * does not know for certain: a literal too few costs time, one too many would
 * cost matches.
 */
#ifndef MXW_LITERALS_H
#define MXW_LITERALS_H

#define LITERALS_MAX 4
#define LITERALS_MIN_LEN 3 /* shorter ones rule out too little */

struct literals {
	char *text[LITERALS_MAX + 1]; /* longest first; NULL behind the last */
};

/* `expr` is PCRE2's syntax, has been compiled without error, and with no
 * option that changes what the bytes of a pattern mean. Old content of *out is
 * ignored. */
void literals_find(struct literals *out, const char *expr);
void literals_clear(struct literals *);

#endif
