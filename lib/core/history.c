/*
 * history: see history.h.
 *
 * One array of entries, in two lists ordered by last offence: those that are
 * blocked, and all others.
 */
#include "lib/core/history.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/core/num.h"
#include "lib/core/prefixmap.h"
#include "lib/core/snapshot.h"
#include "lib/core/xalloc.h"

#define NONE UINT32_MAX
#define WORD_MAX 400 /* of a value in Redis */

struct entry {
	uint32_t older, newer;
	bool held;
	uint8_t n, next; /* lines; where the next one goes */
};

struct list {
	uint32_t oldest, newest;
	size_t n;
};

struct history {
	struct prefixmap *map; /* its ids are indices of entries[] */
	struct entry *entries;
	struct history_line *lines; /* see line_at() */
	size_t max;
	struct list lists[2]; /* by `held` */
};

struct history *
history_create(size_t max)
{
	struct history *h = x_calloc(1, sizeof(*h));

	h->map = prefixmap_create();
	h->max = max > 0 ? max : 1;
	/* Pages are the kernel's until they are written to. */
	h->entries = x_calloc(h->max, sizeof(*h->entries));
	h->lines = x_calloc(h->max * HISTORY_LINES, sizeof(*h->lines));
	for (int i = 0; i < 2; i++)
		h->lists[i] = (struct list){ NONE, NONE, 0 };
	return h;
}

void
history_destroy(struct history **hp)
{
	if (*hp == NULL)
		return;
	prefixmap_destroy(&(*hp)->map);
	free((*hp)->entries);
	free((*hp)->lines);
	free(*hp);
	*hp = NULL;
}

/* The nth lines of all addresses are beside each other: few have more than one,
 * and the pages of what is never written take no memory. */
static struct history_line *
line_at(const struct history *h, uint32_t id, size_t n)
{
	return &h->lines[n * h->max + id];
}

static void
entry_unlink(struct history *h, struct entry *e)
{
	struct list *l = &h->lists[e->held];

	if (e->older != NONE)
		h->entries[e->older].newer = e->newer;
	else
		l->oldest = e->newer;
	if (e->newer != NONE)
		h->entries[e->newer].older = e->older;
	else
		l->newest = e->older;
	l->n--;
}

/* As the newest of its list. */
static void
entry_link(struct history *h, struct entry *e, bool held)
{
	struct list *l = &h->lists[held];
	uint32_t id = (uint32_t)(e - h->entries);

	e->held = held;
	e->older = l->newest;
	e->newer = NONE;
	if (l->newest != NONE)
		h->entries[l->newest].newer = id;
	else
		l->oldest = id;
	l->newest = id;
	l->n++;
}

static void
make_room(struct history *h)
{
	struct addr key;
	uint32_t id;

	if (prefixmap_count(h->map) < h->max)
		return;
	/* One that is not blocked, unless they are few. */
	id = h->lists[0].n > h->max / 4 || h->lists[1].n == 0
	    ? h->lists[0].oldest
	    : h->lists[1].oldest;
	key = prefixmap_key(h->map, id);
	entry_unlink(h, &h->entries[id]);
	prefixmap_del(h->map, &key);
}

void
history_set_text(struct history_line *line, const char *text, size_t len)
{
	static const char more[] = "...";
	size_t n = len;

	if (n > HISTORY_TEXT) {
		n = HISTORY_TEXT - (sizeof(more) - 1);
		/* Not in the middle of a character. */
		while (n > 0 && ((unsigned char)text[n] & 0xc0) == 0x80)
			n--;
	}
	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)text[i];

		line->text[i] = c < 0x20 || c == 0x7f ? '?' : text[i];
	}
	if (n < len) {
		memcpy(line->text + n, more, sizeof(more) - 1);
		n += sizeof(more) - 1;
	}
	line->len = (uint8_t)n;
}

void
history_add(struct history *h, const struct addr *a,
    const struct history_line *line, bool held)
{
	uint32_t id = prefixmap_get(h->map, a);
	struct entry *e;

	if (id == PREFIXMAP_NONE) {
		make_room(h);
		id = prefixmap_add(h->map, a);
		if (id == PREFIXMAP_NONE)
			return;
		e = &h->entries[id];
		e->n = e->next = 0;
	} else {
		e = &h->entries[id];
		entry_unlink(h, e);
	}
	entry_link(h, e, held);
	*line_at(h, id, e->next) = *line;
	e->next = (uint8_t)((e->next + 1) % HISTORY_LINES);
	if (e->n < HISTORY_LINES)
		e->n++;
}

void
history_hold(struct history *h, const struct addr *a, bool held)
{
	uint32_t id = prefixmap_get(h->map, a);

	if (id == PREFIXMAP_NONE || h->entries[id].held == held)
		return;
	entry_unlink(h, &h->entries[id]);
	entry_link(h, &h->entries[id], held);
}

static size_t
entry_lines(const struct history *h, uint32_t id,
    struct history_line out[HISTORY_LINES])
{
	const struct entry *e = &h->entries[id];

	for (size_t i = 0; i < e->n; i++)
		out[i] = *line_at(h, id,
		    (e->next + HISTORY_LINES - e->n + i) % HISTORY_LINES);
	return e->n;
}

size_t
history_get(const struct history *h, const struct addr *a,
    struct history_line out[HISTORY_LINES])
{
	uint32_t id = prefixmap_get(h->map, a);

	return id == PREFIXMAP_NONE ? 0 : entry_lines(h, id, out);
}

size_t
history_count(const struct history *h)
{
	return prefixmap_count(h->map);
}

/* --- For Redis
 * --------------------------------------------------------------- */

size_t
history_format(const struct history_line *line, char buf[HISTORY_VALUE_MAX])
{
	char t[NUM_DOUBLE_LEN], weight[NUM_DOUBLE_LEN];
	int n = snprintf(buf, HISTORY_VALUE_MAX,
	    "t=%s weight=%s rule=%s log=%s ", num_format_double(line->t, t),
	    num_format_double(line->weight, weight), name_text(line->rule),
	    name_text(line->log));

	memcpy(buf + n, line->text, line->len);
	return (size_t)n + line->len;
}

/* The value of the word KEY= at *at, which moves behind the blank after it. */
static const char *
take_word(const char **at, const char *end, const char *key, size_t *len_r)
{
	size_t n = strlen(key), left = (size_t)(end - *at);
	const char *value = *at + n, *blank;

	if (left < n || memcmp(*at, key, n) != 0)
		return NULL;
	left -= n;
	blank = memchr(value, ' ', left < WORD_MAX ? left : WORD_MAX);
	if (blank == NULL)
		return NULL;
	*len_r = (size_t)(blank - value);
	*at = blank + 1;
	return value;
}

bool
history_parse(const char *s, size_t len, struct history_line *out)
{
	const char *end = s + len, *v;
	size_t n;

	v = take_word(&s, end, "t=", &n);
	if (v == NULL || !num_parse_double(v, n, &out->t))
		return false;
	v = take_word(&s, end, "weight=", &n);
	if (v == NULL || !num_parse_double(v, n, &out->weight))
		return false;
	v = take_word(&s, end, "rule=", &n);
	if (v == NULL)
		return false;
	out->rule = name_intern(v, n);
	v = take_word(&s, end, "log=", &n);
	if (v == NULL)
		return false;
	out->log = name_intern(v, n);
	history_set_text(out, s, (size_t)(end - s));
	return true;
}

/* --- Snapshot
 * ---------------------------------------------------------------- */

static void
entry_save(const struct history *h, uint32_t id, struct snapshot_writer *w)
{
	struct history_line lines[HISTORY_LINES];
	size_t n = entry_lines(h, id, lines);
	struct addr key = prefixmap_key(h->map, id);

	for (size_t i = 0; i < n; i++) {
		snapshot_put_u8(w, 1);
		snapshot_put_addr(w, &key);
		snapshot_put_f64(w, lines[i].t);
		snapshot_put_f64(w, lines[i].weight);
		snapshot_put_name(w, lines[i].rule);
		snapshot_put_name(w, lines[i].host);
		snapshot_put_name(w, lines[i].log);
		snapshot_put_str(w, lines[i].text, lines[i].len);
	}
}

void
history_save(const struct history *h, struct snapshot_writer *w)
{
	for (int i = 0; i < 2; i++)
		for (uint32_t id = h->lists[i].oldest; id != NONE;
		     id = h->entries[id].newer)
			entry_save(h, id, w);
	snapshot_put_u8(w, 0);
}

void
history_load(struct history *h, struct snapshot_reader *r,
    bool (*held)(void *ctx, const struct addr *), void *ctx)
{
	while (!snapshot_failed(r) && snapshot_get_u8(r) == 1) {
		struct history_line line;
		const char *text;
		struct addr a;
		size_t len;

		if (!snapshot_get_addr(r, &a))
			return;
		line.t = snapshot_get_f64(r);
		line.weight = snapshot_get_f64(r);
		line.rule = snapshot_get_name(r);
		line.host = snapshot_get_name(r);
		line.log = snapshot_get_name(r);
		text = snapshot_get_str(r, &len);
		if (snapshot_failed(r))
			return;
		history_set_text(&line, text, len);
		if (isfinite(line.t) && isfinite(line.weight))
			history_add(h, &a, &line, held(ctx, &a));
	}
}
