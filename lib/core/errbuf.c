/*
 * errbuf: see errbuf.h.
 */
#include "lib/core/errbuf.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int
errbuf_set(struct errbuf *e, const char *fmt, ...)
{
	va_list ap;

	if (e == NULL)
		return -1;
	va_start(ap, fmt);
	vsnprintf(e->text, sizeof(e->text), fmt, ap);
	va_end(ap);
	return -1;
}

int
errbuf_prefix(struct errbuf *e, const char *prefix)
{
	char text[sizeof(e->text)];

	if (e == NULL)
		return -1;
	memcpy(text, e->text, sizeof(text));
	return errbuf_set(e, "%s: %.900s", prefix, text);
}
