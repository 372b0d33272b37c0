/*
 * xalloc: see xalloc.h. Exhaustion is reported through log_fatal(), so it
 * reaches the operator by whatever way the log goes.
 */
#include "lib/core/xalloc.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/core/log.h"

void *
x_calloc(size_t n, size_t size)
{
	void *p = calloc(n ? n : 1, size ? size : 1);

	if (p == NULL)
		log_fatal("out of memory (%zu x %zu bytes)", n, size);
	return p;
}

void *
x_reallocarray(void *p, size_t n, size_t size)
{
	void *q = reallocarray(p, n ? n : 1, size ? size : 1);

	if (q == NULL)
		log_fatal("out of memory (%zu x %zu bytes)", n, size);
	return q;
}

char *
x_strndup(const char *s, size_t len)
{
	char *p = x_calloc(1, len + 1);

	memcpy(p, s, len);
	return p;
}

char *
x_strdup(const char *s)
{
	return x_strndup(s, strlen(s));
}

char *
x_asprintf(const char *fmt, ...)
{
	char *s = NULL;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&s, fmt, ap);
	va_end(ap);
	if (n < 0)
		log_fatal("out of memory (formatting)");
	return s;
}
