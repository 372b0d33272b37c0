/*
 * gunzip: what a gzip file holds, a piece at a time, from its beginning.
 *
 * Rotated logs are files that others have written: a piece has a bound in what
 * it takes and in what it gives, whatever they hold. Several members behind
 * each other are one content, as gzip(1) has it; what is no member behind the
 * last one is passed over.
 */
#ifndef MXW_GUNZIP_H
#define MXW_GUNZIP_H

#include <stddef.h>
#include <sys/types.h>

struct gunzip;

/* `fd` is borrowed, and its offset left alone. NULL and errno: EINVAL when it
 * does not begin like a gzip file. */
struct gunzip *gunzip_create(int fd);
void gunzip_destroy(struct gunzip **);
/* From the beginning again. */
void gunzip_rewind(struct gunzip *);

#define GUNZIP_AGAIN ((ssize_t)-2) /* nothing yet; there is more to take */

/* The next bytes, at most `cap`; 0 at the end, -1 and errno: EBADMSG when the
 * file is damaged or cut off. After that it is at its end. */
ssize_t gunzip_read(struct gunzip *, char *buf, size_t cap);

#endif
