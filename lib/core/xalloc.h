/*
 * xalloc: memory that is either there or ends the program.
 *
 * For start-up and configuration only, where there is nothing to degrade to.
 * What a peer can make grow (connections, tables) uses malloc() and has a
 * defined answer to NULL instead: nothing a peer sends may stop the daemon.
 */
#ifndef MXW_XALLOC_H
#define MXW_XALLOC_H

#include <stddef.h>

/* Never NULL, zero-filled. The caller owns the result and calls free(). */
void *x_calloc(size_t n, size_t size);
/* Never NULL. `p` may be NULL; `n * size` is checked for overflow. */
void *x_reallocarray(void *p, size_t n, size_t size);
/* Never NULL; a copy of `s`, or of its first `len` bytes and a NUL. */
char *x_strdup(const char *s);
char *x_strndup(const char *s, size_t len);
/* printf into a new string; never NULL. */
char *x_asprintf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
