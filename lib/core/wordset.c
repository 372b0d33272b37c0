/*
 * wordset: see wordset.h. A hash table that doubles; read only after the
 * configuration is read.
 */
#include "lib/core/wordset.h"

#include <ctype.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/core/errbuf.h"
#include "lib/core/xalloc.h"

struct wordset {
	char **slots;
	size_t n_slots; /* a power of two */
	size_t count;
};

struct wordset *
wordset_create(void)
{
	struct wordset *ws = x_calloc(1, sizeof(*ws));

	ws->n_slots = 16;
	ws->slots = x_calloc(ws->n_slots, sizeof(*ws->slots));
	return ws;
}

void
wordset_destroy(struct wordset **wsp)
{
	struct wordset *ws = *wsp;

	if (ws == NULL)
		return;
	for (size_t i = 0; i < ws->n_slots; i++)
		free(ws->slots[i]);
	free(ws->slots);
	free(ws);
	*wsp = NULL;
}

static char **
wordset_slot(const struct wordset *ws, const char *word, size_t len)
{
	uint64_t h = 0xcbf29ce484222325u;
	size_t i;

	for (i = 0; i < len; i++)
		h = (h ^ (uint64_t)tolower((unsigned char)word[i])) *
		    0x100000001b3u;
	for (i = h & (ws->n_slots - 1); ws->slots[i] != NULL;
	     i = (i + 1) & (ws->n_slots - 1))
		if (strlen(ws->slots[i]) == len &&
		    strncasecmp(ws->slots[i], word, len) == 0)
			break;
	return &ws->slots[i];
}

static void
wordset_grow(struct wordset *ws)
{
	char **old = ws->slots;
	size_t n = ws->n_slots;

	ws->n_slots *= 2;
	ws->slots = x_calloc(ws->n_slots, sizeof(*ws->slots));
	for (size_t i = 0; i < n; i++)
		if (old[i] != NULL)
			*wordset_slot(ws, old[i], strlen(old[i])) = old[i];
	free(old);
}

void
wordset_add(struct wordset *ws, const char *word)
{
	char **slot = wordset_slot(ws, word, strlen(word));

	if (*slot != NULL)
		return;
	*slot = x_strdup(word);
	if (++ws->count * 2 > ws->n_slots)
		wordset_grow(ws);
}

int
wordset_add_file(struct wordset *ws, const char *path, struct errbuf *err)
{
	FILE *f = fopen(path, "re");
	char *line = NULL;
	size_t room = 0;

	if (f == NULL)
		return errbuf_set(err, "%s: %s", path, strerror(errno));
	errno = 0;
	while (getline(&line, &room, f) >= 0) {
		char *s = line + strspn(line, " \t");

		s[strcspn(s, "# \t\r\n")] = '\0';
		if (*s != '\0')
			wordset_add(ws, s);
	}
	if (ferror(f))
		errbuf_set(err, "%s: %s", path, strerror(errno));
	free(line);
	if (ferror(f)) {
		fclose(f);
		return -1;
	}
	fclose(f);
	return 0;
}

bool
wordset_has(const struct wordset *ws, const char *word, size_t len)
{
	const char *end = word + len;

	if (*wordset_slot(ws, word, len) != NULL)
		return true;
	while ((word = memchr(word, '.', (size_t)(end - word))) != NULL) {
		if (*wordset_slot(ws, word, (size_t)(end - word)) != NULL)
			return true;
		if (++word == end)
			break;
	}
	return false;
}

size_t
wordset_count(const struct wordset *ws)
{
	return ws->count;
}
