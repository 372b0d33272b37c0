/*
 * utf8: what of a hostile text may go to a terminal or into JSON.
 */
#ifndef MXW_UTF8_H
#define MXW_UTF8_H

#include <stddef.h>

/* Length of the UTF-8 sequence at the start of s, 0 if it is not one (RFC
 * 3629: no overlong forms, no surrogates, nothing above U+10FFFF). len > 0. */
size_t utf8_span(const char *s, size_t len);
/* The same, and 0 also for what drives a terminal or turns text around:
 * control characters (C0, DEL, C1), separators of lines and paragraphs,
 * directional marks, overrides and isolates. */
size_t utf8_printable(const char *s, size_t len);
/* Puts '?' for every byte that is not part of something printable; at most
 * size - 1 bytes, and no half character, into buf, which may be `s`. Returns
 * the length. */
size_t utf8_clean(const char *s, size_t len, char *buf, size_t size);

#endif
