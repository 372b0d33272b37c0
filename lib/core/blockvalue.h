/*
 * blockvalue: a block as one line of text, the value of a block key in Redis.
 *
 *     LEVEL score=12 rule=postfix-auth by=mx1 since=T until=T strikes=0
 *
 * Only the level must be there: `SET mxwarden:block:192.0.2.1 reject EX 60`,
 * typed by hand, blocks. Words that are not known are passed over. The end of
 * a block is the key's TTL; the word `until` refines it when both agree to
 * BLOCKVALUE_SKEW seconds, so that all hosts hold the same number.
 *
 * Values come from the network and from hands: everything is checked.
 */
#ifndef MXW_BLOCKVALUE_H
#define MXW_BLOCKVALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/core/blocklist.h"

#define BLOCKVALUE_MAX 1024 /* bytes, with the NUL */
#define BLOCKVALUE_SKEW 2.0
/* `until` of a key without TTL: prints as "never". */
#define BLOCKVALUE_FOREVER 1e12
/* `left_ms` when there is no key: the word `until` says it alone. */
#define BLOCKVALUE_ALONE INT64_MIN

/* The address of a key (what follows the prefix), in its canonical form and
 * not wider than /8 or /16 (IPv6). On failure *why_r says what is wrong. */
bool blockvalue_addr(
    const char *s, size_t len, struct addr *out, const char **why_r);
/* Everything but the address; `left_ms` is the TTL, < 0 = none. */
bool blockvalue_parse(
    const char *s, size_t len, double now, int64_t left_ms, struct block *out);
/* Returns the length. */
size_t blockvalue_format(const struct block *, char buf[BLOCKVALUE_MAX]);

#endif
