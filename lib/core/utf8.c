/*
 * utf8: see utf8.h.
 */
#include "lib/core/utf8.h"

#include <stdint.h>
#include <string.h>

size_t
utf8_span(const char *text, size_t len)
{
	const unsigned char *s = (const unsigned char *)text;
	unsigned char lead = s[0], low = 0x80, high = 0xbf;
	size_t n;

	if (lead < 0x80)
		return 1;
	if (lead >= 0xc2 && lead <= 0xdf)
		n = 2;
	else if (lead >= 0xe0 && lead <= 0xef)
		n = 3;
	else if (lead >= 0xf0 && lead <= 0xf4)
		n = 4;
	else
		return 0;
	if (lead == 0xe0)
		low = 0xa0;
	else if (lead == 0xed)
		high = 0x9f;
	else if (lead == 0xf0)
		low = 0x90;
	else if (lead == 0xf4)
		high = 0x8f;
	if (len < n || s[1] < low || s[1] > high)
		return 0;
	for (size_t i = 2; i < n; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	return n;
}

size_t
utf8_printable(const char *text, size_t len)
{
	const unsigned char *s = (const unsigned char *)text;
	size_t n = utf8_span(text, len);
	uint32_t c;

	if (n == 1)
		return s[0] >= 0x20 && s[0] != 0x7f;
	if (n == 2) {
		c = (uint32_t)(s[0] & 0x1f) << 6 | (s[1] & 0x3f);
		return c >= 0xa0 && c != 0x061c ? n : 0;
	}
	if (n == 3) {
		c = (uint32_t)(s[0] & 0x0f) << 12 |
		    (uint32_t)(s[1] & 0x3f) << 6 | (s[2] & 0x3f);
		if ((c >= 0x200e && c <= 0x200f) ||
		    (c >= 0x2028 && c <= 0x202e) ||
		    (c >= 0x2066 && c <= 0x2069))
			return 0;
	}
	return n;
}

size_t
utf8_clean(const char *s, size_t len, char *buf, size_t size)
{
	size_t at = 0;

	while (len > 0) {
		size_t n = utf8_printable(s, len);
		size_t step = n > 0 ? n : 1;

		if (at + step >= size)
			break;
		if (n > 0)
			memmove(buf + at, s, n);
		else
			buf[at] = '?';
		at += step;
		s += step;
		len -= step;
	}
	buf[at] = '\0';
	return at;
}
