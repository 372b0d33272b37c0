/*
 * logname: what log rotation makes of a log's name.
 *
 * Of mail.log that is
 *
 *     mail.log.1 mail.log.0 mail.1.log         numbered: the highest is oldest
 *     mail.log-20261231 mail.log.20261231-235959 mail-2026-12-31.log
 *                                              dated: in natural order
 *     mail.log.old mail.log.bak                neither
 *
 * and of mail-20261231.log, to which a link may point, mail-20261230.log: its
 * namesake of an earlier date. Any of them may be compressed.
 *
 * The daemon, which looks for these files, and its helper, which opens no
 * others, must agree: both ask here.
 */
#ifndef MXW_LOGNAME_H
#define MXW_LOGNAME_H

#include <stdbool.h>
#include <stddef.h>

enum logname_kind { LOGNAME_NUMBERED, LOGNAME_DATED, LOGNAME_OTHER };

struct logname {
	enum logname_kind kind;
	size_t key; /* where the part that orders begins, and its length */
	size_t key_len;
};

/* Is it one of `base`'s? `len` is without the ending of a compressed file. */
bool logname_parse(
    const char *name, size_t len, const char *base, struct logname *out);
/* The length of the ending, ".gz" or the like; 0 = not compressed. */
size_t logname_packed(const char *name, size_t len);
/* The order of keys: runs of digits compare as numbers, all else by bytes. */
int logname_compare(const char *a, size_t alen, const char *b, size_t blen);

#endif
