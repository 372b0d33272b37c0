/*
 * hugepage: memory for tables of many MiB that are looked at in any order.
 *
 * With pages of 4 KiB each look at a table of a million entries misses the
 * processor's TLB; with pages of 2 MiB none does. The kernel is asked for them
 * and may decline (no such pages, none free, an old kernel): nothing depends on
 * it but speed.
 */
#ifndef MXW_HUGEPAGE_H
#define MXW_HUGEPAGE_H

#include <stddef.h>

#define HUGEPAGE_SIZE ((size_t)2 << 20) /* of x86_64 and most others */

/* Zero-filled memory that begins where a huge page can; NULL without memory.
 * What is not used takes none. */
void *hugepage_alloc(size_t size);
/* NULL is allowed. */
void hugepage_free(void *, size_t size);
/* The bytes from..to of such memory have been written, as those before them:
 * pages of which all has been may become huge. */
void hugepage_written(void *mem, size_t from, size_t to);

#endif
