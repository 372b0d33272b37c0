/*
 * errbuf: one error message on its way up to the caller who logs it.
 *
 * Functions that can fail for a reason the user should read take a
 * `struct errbuf *`, write the reason once, and return -1 or false. Only the
 * caller that knows the context logs it.
 */
#ifndef MXW_ERRBUF_H
#define MXW_ERRBUF_H

struct errbuf {
	char text[1024]; /* NUL-terminated, no newline; "" = no error */
};

/* Replaces the message. `e` may be NULL: then nothing is kept. Returns -1. */
int errbuf_set(struct errbuf *e, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* "PREFIX: what it says". Returns -1. */
int errbuf_prefix(struct errbuf *e, const char *prefix);

#endif
