/*
 * literals: see literals.h. The functions return where to go on, or NULL for
 * what makes the scan give up: alternatives on the top level; verbs, options,
 * comments and subroutines, wherever they stand; escapes that are more than
 * one letter, or may be.
 */
#include "lib/core/literals.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "lib/core/xalloc.h"

static bool
is_alnum(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
	    (c >= 'A' && c <= 'Z');
}

/* s[0] == '\\'. Outside of classes an escape is a byte that is no letter, or
 * one letter with a meaning of its own. */
static const char *
skip_escape(const char *s)
{
	if (s[1] == '\0' ||
	    (is_alnum(s[1]) &&
		strchr("dDwWsShHvVNRbBAzZGtnrfea", s[1]) == NULL))
		return NULL;
	return s + 2;
}

/* "[:alpha:]" at s, as PCRE2 recognises it: the byte behind it, or NULL. */
static const char *
skip_posix(const char *s)
{
	if (s[1] != ':')
		return NULL;
	for (s += 2; *s != '\0' && *s != ']'; s++) {
		if (*s == '\\' || *s == '[')
			return NULL; /* a false one is just bytes */
		if (*s == ':' && s[1] == ']')
			return s + 2;
	}
	return NULL;
}

/* s[0] == '['. */
static const char *
skip_class(const char *s)
{
	s += s[1] == '^' ? 2 : 1;
	if (*s == ']')
		s++;
	while (*s != ']') {
		const char *posix = *s == '[' ? skip_posix(s) : NULL;

		if (*s == '\0')
			return NULL;
		if (*s == '\\') {
			/* \c takes the next byte, \Q more than that. */
			if (s[1] == '\0' || strchr("cQE", s[1]) != NULL)
				return NULL;
			s++;
		}
		s = posix != NULL ? posix : s + 1;
	}
	return s + 1;
}

/* Behind "(", if it begins a group of a plain kind. */
static const char *
skip_open(const char *s)
{
	if (s[1] == '*' ||
	    (s[1] == '?' && (s[2] == '\0' || strchr(":<=!>", s[2]) == NULL)))
		return NULL;
	return s + 1;
}

/* s[0] == '('. */
static const char *
skip_group(const char *s)
{
	int depth = 0;

	do {
		switch (*s) {
		case '\0':
			return NULL;
		case '\\':
			s = skip_escape(s);
			break;
		case '[':
			s = skip_class(s);
			break;
		case '(':
			depth++;
			s = skip_open(s);
			break;
		case ')':
			depth--;
			s++;
			break;
		default:
			s++;
		}
	} while (s != NULL && depth > 0);
	return s;
}

/* "{2,5}" at s, in any form that some version of PCRE2 takes for a repeat:
 * the byte behind it, else NULL. */
static const char *
skip_braces(const char *s)
{
	size_t n = strspn(s + 1, "0123456789, ");

	return s[1 + n] == '}' ? s + n + 2 : NULL;
}

static void
literals_keep(struct literals *l, const char *run, size_t len)
{
	size_t i, n = 0;

	if (len < LITERALS_MIN_LEN)
		return;
	while (n < LITERALS_MAX && l->text[n] != NULL)
		n++;
	for (i = 0; i < n && strlen(l->text[i]) >= len; i++)
		;
	if (i == LITERALS_MAX)
		return;
	if (n == LITERALS_MAX)
		free(l->text[--n]);
	memmove(&l->text[i + 1], &l->text[i], (n - i) * sizeof(l->text[0]));
	l->text[i] = x_strndup(run, len);
}

/* One element of the top level. *byte_r is the byte that it stands for, or -1;
 * *optional_r says that the element before it may be missing. */
static const char *
literals_step(const char *s, int *byte_r, bool *optional_r)
{
	*byte_r = -1;
	*optional_r = *s == '*' || *s == '?';
	switch (*s) {
	case '|':
		return NULL;
	case '(':
		return skip_group(s);
	case '[':
		return skip_class(s);
	case '\\':
		if (!is_alnum(s[1]))
			*byte_r = (unsigned char)s[1];
		return skip_escape(s);
	case '{':
		*optional_r = skip_braces(s) != NULL;
		if (*optional_r)
			return skip_braces(s);
		break;
	case '.':
	case '^':
	case '$':
	case '+':
	case '*':
	case '?':
		return s + 1;
	default:
		break;
	}
	*byte_r = (unsigned char)*s;
	return s + 1;
}

void
literals_find(struct literals *out, const char *expr)
{
	char *run = x_calloc(1, strlen(expr) + 1);
	size_t len = 0;

	memset(out, 0, sizeof(*out));
	while (*expr != '\0') {
		bool optional;
		int byte;

		expr = literals_step(expr, &byte, &optional);
		if (expr == NULL) {
			literals_clear(out);
			free(run);
			return;
		}
		if (byte >= 0) {
			run[len++] = (char)byte;
			continue;
		}
		if (optional && len > 0)
			len--;
		literals_keep(out, run, len);
		len = 0;
	}
	literals_keep(out, run, len);
	free(run);
}

void
literals_clear(struct literals *l)
{
	for (size_t i = 0; i < LITERALS_MAX; i++)
		free(l->text[i]);
	memset(l, 0, sizeof(*l));
}
