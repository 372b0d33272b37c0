/*
 * errbuf: see errbuf.h.
 */
#include "lib/core/errbuf.h"

#include <stdarg.h>
#include <stdio.h>

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
