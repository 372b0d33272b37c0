/*
 * tailseen: see tailseen.h.
 */
#include "lib/io/tailseen.h"

#include <string.h>

static size_t
tailseen_find(const struct tailseen *s, uint64_t dev, uint64_t ino)
{
	size_t i = 0;

	while (i < s->n && (s->files[i].ino != ino || s->files[i].dev != dev))
		i++;
	return i;
}

static void
tailseen_drop(struct tailseen *s, size_t n)
{
	memmove(s->files, s->files + n, (s->n - n) * sizeof(s->files[0]));
	s->n -= n;
}

void
tailseen_note(
    struct tailseen *s, const struct logfile *cur, const struct stat *st)
{
	size_t i = tailseen_find(s, st->st_dev, st->st_ino);

	if (logfile_same(cur, st))
		return;
	if (i == s->n) {
		if (s->n == TAILSEEN_MAX) {
			tailseen_drop(s, 1);
			i--;
		}
		s->files[i].dev = st->st_dev;
		s->files[i].ino = st->st_ino;
		s->n++;
	}
	s->files[i].content = st->st_size > 0;
}

size_t
tailseen_pass(struct tailseen *s, const struct logchain *chain, size_t from,
    size_t at, const struct logfile *next)
{
	size_t i = tailseen_find(s, next->dev, next->ino), gone = 0, packed = 0;

	if (i == s->n) {
		/* Compressed, it is another file than the one that was seen. */
		if (next->gz != NULL && s->n > 0)
			tailseen_drop(s, 1);
		return 0;
	}
	for (size_t k = 0; k < i; k++)
		gone += s->files[k].content &&
		    logchain_index(chain, s->files[k].dev, s->files[k].ino) ==
			logchain_count(chain);
	/* Those are still there in another form, and counted as such. */
	for (; from < at; from++)
		packed += logchain_get(chain, from)->packed;
	tailseen_drop(s, i + 1);
	return gone > packed ? gone - packed : 0;
}
