/*
 * logname: see logname.h.
 */
#include "lib/core/logname.h"

#include <string.h>

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

int
logname_compare(const char *a, size_t alen, const char *b, size_t blen)
{
	size_t i = 0, j = 0;

	while (i < alen && j < blen) {
		size_t si, sj;

		if (!is_digit(a[i]) || !is_digit(b[j])) {
			if (a[i] != b[j])
				return a[i] < b[j] ? -1 : 1;
			i++;
			j++;
			continue;
		}
		while (i < alen && a[i] == '0')
			i++;
		while (j < blen && b[j] == '0')
			j++;
		for (si = i; i < alen && is_digit(a[i]);)
			i++;
		for (sj = j; j < blen && is_digit(b[j]);)
			j++;
		if (i - si != j - sj)
			return i - si < j - sj ? -1 : 1;
		int c = memcmp(a + si, b + sj, i - si);
		if (c != 0)
			return c;
	}
	return (i < alen) - (j < blen);
}

/* Is name[key..key+len) what a rotation puts there, behind separator `sep`? */
static bool
is_suffix(const char *s, size_t len, char sep, enum logname_kind *kind_r)
{
	size_t digits = 0;

	if (strchr(".-_", sep) == NULL || len == 0)
		return false;
	if (len == 3 &&
	    (memcmp(s, "old", 3) == 0 || memcmp(s, "bak", 3) == 0)) {
		*kind_r = LOGNAME_OTHER;
		return true;
	}
	if (!is_digit(s[0]))
		return false;
	for (size_t i = 0; i < len; i++) {
		if (is_digit(s[i]))
			digits++;
		else if (strchr("-_.:+TZ", s[i]) == NULL)
			return false;
	}
	if (digits < len || len > 4 || (len == 4 && s[0] >= '2'))
		*kind_r = LOGNAME_DATED; /* from the year 2000 on */
	else
		*kind_r = sep == '.' ? LOGNAME_NUMBERED : LOGNAME_OTHER;
	return true;
}

/* mail-20261119.log, when the link points to mail-20261120.log. */
static bool
is_namesake(const char *name, size_t len, const char *base)
{
	size_t digits = 0;

	if (len != strlen(base))
		return false;
	for (size_t i = 0; i < len; i++) {
		if (is_digit(name[i]) && is_digit(base[i]))
			digits++;
		else if (name[i] != base[i])
			return false;
	}
	return digits >= 6 && logname_compare(name, len, base, len) < 0;
}

bool
logname_parse(
    const char *name, size_t len, const char *base, struct logname *out)
{
	size_t blen = strlen(base);
	const char *ext = strrchr(base, '.');
	size_t stem = ext != NULL ? (size_t)(ext - base) : 0;
	size_t elen = blen - stem;

	if (len > blen + 1 && memcmp(name, base, blen) == 0) {
		out->key = blen + 1;
		out->key_len = len - blen - 1;
		if (is_suffix(
			name + out->key, out->key_len, name[blen], &out->kind))
			return true;
	}
	if (stem > 0 && len > blen + 1 && memcmp(name, base, stem) == 0 &&
	    memcmp(name + len - elen, base + stem, elen) == 0) {
		out->key = stem + 1;
		out->key_len = len - blen - 1;
		if (is_suffix(
			name + out->key, out->key_len, name[stem], &out->kind))
			return true;
	}
	out->key = 0;
	out->key_len = len;
	out->kind = LOGNAME_DATED;
	return is_namesake(name, len, base);
}

size_t
logname_packed(const char *name, size_t len)
{
	static const char *const endings[] = { ".gz", ".bz2", ".xz", ".zst",
		".lz4", ".Z" };

	for (size_t i = 0; i < sizeof(endings) / sizeof(endings[0]); i++) {
		size_t n = strlen(endings[i]);

		if (len > n && memcmp(name + len - n, endings[i], n) == 0)
			return n;
	}
	return 0;
}
