/*
 * hugepage: see hugepage.h.
 *
 * The kernel is told of pages only when all of them is used: a huge page around
 * the end of a table would be memory for nothing. It makes them huge in the
 * background, in a minute or two (khugepaged); MADV_COLLAPSE would do it at
 * once, but an answer would wait while the kernel looks for free ones. What
 * writing after a snapshot's fork(2) takes apart is put together again as well.
 */
#include "lib/core/hugepage.h"

#include <errno.h>
#include <stdint.h>
#include <sys/mman.h>

void *
hugepage_alloc(size_t size)
{
	const size_t room = size + HUGEPAGE_SIZE;
	char *p = mmap(NULL, room, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	size_t before;

	if (p == MAP_FAILED)
		return NULL;
	/* Without what is around the aligned part. */
	before = HUGEPAGE_SIZE - (uintptr_t)p % HUGEPAGE_SIZE;
	munmap(p, before);
	if (before < HUGEPAGE_SIZE)
		munmap(p + before + size, HUGEPAGE_SIZE - before);
	return p + before;
}

void
hugepage_free(void *mem, size_t size)
{
	if (mem != NULL)
		munmap(mem, size);
}

void
hugepage_written(void *mem, size_t from, size_t to)
{
#ifdef MADV_HUGEPAGE
	const size_t begin = from - from % HUGEPAGE_SIZE;
	const size_t end = to - to % HUGEPAGE_SIZE;
	const int saved = errno;

	if (begin < end)
		(void)madvise((char *)mem + begin, end - begin, MADV_HUGEPAGE);
	errno = saved;
#else
	(void)mem;
	(void)from;
	(void)to;
#endif
}
