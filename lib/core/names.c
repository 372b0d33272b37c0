/*
 * names: see names.h. An array of texts and an open-addressing index; both
 * have a fixed upper bound, so hostile names cost at most a few megabytes.
 */
#include "lib/core/names.h"

#include <stdlib.h>
#include <string.h>

#include "lib/core/log.h"
#include "lib/core/logpos.h"
#include "lib/core/xalloc.h"

#define NAMES_SLOTS (NAMES_MAX * 2)

struct names {
	char *text[NAMES_MAX];
	size_t count;
	uint16_t slot[NAMES_SLOTS]; /* id + 1, 0 = free */
};

static struct names *names;

#define NAMES_OTHER 1 /* "(other)" */

static name_id
names_add(size_t slot, const char *s, size_t len)
{
	size_t id = names->count;
	char *copy = strndup(s, len);

	if (copy ==
	    NULL) /* names come from other hosts, too: no reason to end */
		return NAMES_OTHER;
	names->text[id] = copy;
	names->count++;
	names->slot[slot] = (uint16_t)(id + 1);
	return (name_id)id;
}

static name_id
names_find(const char *s, size_t len)
{
	size_t i = logpos_hash(s, len) % NAMES_SLOTS;

	for (;; i = (i + 1) % NAMES_SLOTS) {
		const char *have;

		if (names->slot[i] == 0)
			break;
		have = names->text[names->slot[i] - 1];
		if (strncmp(have, s, len) == 0 && have[len] == '\0')
			return (name_id)(names->slot[i] - 1);
	}
	if (names->count >= NAMES_MAX)
		return NAMES_OTHER;
	return names_add(i, s, len);
}

static void
names_init(void)
{
	if (names != NULL)
		return;
	names = x_calloc(1, sizeof(*names));
	names_find("", 0);
	names_find("(other)", 7);
	if (names->count != NAMES_OTHER + 1)
		log_fatal("out of memory");
}

name_id
name_intern(const char *s, size_t len)
{
	char buf[NAMES_LEN + 1];

	names_init();
	if (len > NAMES_LEN)
		len = NAMES_LEN;
	for (size_t i = 0; i < len; i++)
		buf[i] =
		    (unsigned char)s[i] <= ' ' || s[i] == 0x7f ? '_' : s[i];
	return names_find(buf, len);
}

name_id
name_intern_str(const char *s)
{
	return name_intern(s, strlen(s));
}

const char *
name_text(name_id id)
{
	names_init();
	return id < names->count ? names->text[id] : "";
}

void
names_destroy(void)
{
	if (names == NULL)
		return;
	for (size_t i = 0; i < names->count; i++)
		free(names->text[i]);
	free(names);
	names = NULL;
}
