/*
 * pattern: see pattern.h.
 *
 * Compiled twice: anchored with JIT for matching, and without the anchor for
 * what PCRE2 then knows of the first byte.
 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "lib/core/pattern.h"

#include <pcre2.h>
#include <stdlib.h>
#include <string.h>

#include "lib/core/errbuf.h"
#include "lib/core/literals.h"
#include "lib/core/xalloc.h"

#define PATTERN_GROUPS 32
#define PATTERN_ADDRS 8 /* {addr} in so many alternatives */
/* A log line takes a few dozen steps; these end a line made to take more
 * within a fraction of a millisecond. */
#define PATTERN_MATCH_LIMIT 20000
#define PATTERN_DEPTH_LIMIT 500
#define PATTERN_HEAP_LIMIT_KIB 1024

struct pattern {
	pcre2_code *code;
	int addr[PATTERN_ADDRS]; /* group numbers, 0 = no more */
	int ok, attempts, queue;
	uint32_t shortest; /* a match has so many bytes at least */
	uint64_t first[4];
	struct literals literals;
};

struct pattern_scratch {
	pcre2_match_data *data;
	pcre2_match_context *context;
	int taken; /* groups set by the last match, and one */
};

#define ADDR "(?<addr>[0-9A-Fa-f:.]{2,45})"
#define PORT "(?::\\d{1,5})?"
#define QUOTED "\"(?:[^\"\\\\]++|[\\\\].)*+\""
#define WORDS "(?:" QUOTED "|[\\\\].|[^\"()<>@,;:\\\\\\[\\]])*"

static const struct {
	const char *name, *text;
} shorthands[] = {
	{ "{addr}", ADDR },
	{ "{client}", "[^][\\s]{1,255}\\[" ADDR "\\]" PORT },
	{ "{bracketed}", "\\[" ADDR "\\]" PORT },
	{ "{queue}", "(?<queue>[0-9A-Za-z]{5,20})" },
	{ "{queueid}", "(?:NOQUEUE|[0-9A-Za-z]{5,20})" },
	{ "{reply}", "[45]\\d\\d(?: [45]\\.\\d{1,3}\\.\\d{1,3})?" },
	{ "{eximhost}",
	    "(?:[^\\s()\\[\\]=]{1,255} )?"
	    "(?:\\((?:[^()\\[\\]]*+|\\[[0-9A-Za-z:.]{1,60}\\])\\) )?"
	    "\\[" ADDR "\\]" PORT "(?:(?! F=<) [A-Z][A-Za-z]{0,3}="
	    "(?:\"[^\"\\[\\]]{0,300}\"|[^\\s\"()]{1,300})){0,8}" },
	{ "{eximother}",
	    "\\)[ ]\\[[0-9A-Fa-f:.]{2,45}\\]" PORT
	    "(?:(?! F=<) [A-Z][A-Za-z]{0,3}="
	    "(?:\"[^\"]{0,300}\"|[^\\s\"()]{1,300})){0,8}" },
	{ "{eximaddress}",
	    "(?:" QUOTED "|[\\\\].|[^\\s<>()@,;:\"\\\\\\[\\]]++)*+"
	    "(?:@(?:[^\\s<>()@,;:\"\\\\\\[\\]]{1,255}|"
	    "\\[[0-9A-Za-z:.]{2,60}\\]))?" },
	{ "{eximargument}",
	    "(?:.{100}|" WORDS "?(?:<++(?:" QUOTED
	    "|[\\\\].|[^\"(\\\\<>]++)*+>++" WORDS "?|"
	    "@(?:[^\"()<>@,;:\\\\\\[\\]]|\\[[0-9A-Za-z:.]{2,60}\\])*?)?"
	    "(?:\\(.{0,99}?)?)" },
	{ "{eximtext}", "(?:[^<>\"@()\\[\\]]++|\\([^<>\"@()\\[\\]]*+\\))++" },
};

/* Is the byte at s escaped, in the text that begins at `text`? */
static bool
is_escaped(const char *text, const char *s)
{
	bool escaped = false;

	while (s > text && *--s == '\\')
		escaped = !escaped;
	return escaped;
}

/* Replaces the shorthands. A brace before a letter is nothing else in a
 * pattern, but \p{..} and the like, which logs of bytes do not need. */
static char *
pattern_expand(const char *text, struct errbuf *err)
{
	char *out = x_strdup("");

	while (*text != '\0') {
		size_t n = strcspn(text, "{"), i;
		char *more;

		if (text[n] == '{' &&
		    (text[n + 1] < 'a' || text[n + 1] > 'z' ||
			is_escaped(text, text + n))) {
			n++;
			more = x_asprintf("%s%.*s", out, (int)n, text);
		} else if (text[n] == '{') {
			size_t len = strcspn(text + n, "}") + 1;

			for (i = 0;
			     i < sizeof(shorthands) / sizeof(shorthands[0]);
			     i++)
				if (strncmp(text + n, shorthands[i].name,
					len) == 0 &&
				    strlen(shorthands[i].name) == len)
					break;
			if (i == sizeof(shorthands) / sizeof(shorthands[0])) {
				errbuf_set(err, "unknown shorthand %.*s",
				    (int)len, text + n);
				free(out);
				return NULL;
			}
			more = x_asprintf(
			    "%s%.*s%s", out, (int)n, text, shorthands[i].text);
			n += len;
		} else {
			more = x_asprintf("%s%s", out, text);
		}
		free(out);
		out = more;
		text += n;
	}
	return out;
}

static pcre2_code *
pattern_compile(const char *text, uint32_t options, struct errbuf *err)
{
	pcre2_code *code;
	PCRE2_SIZE offset;
	int error;

	code = pcre2_compile((PCRE2_SPTR)text, PCRE2_ZERO_TERMINATED,
	    options | PCRE2_DOTALL | PCRE2_DOLLAR_ENDONLY | PCRE2_DUPNAMES |
		PCRE2_NEVER_UTF | PCRE2_NEVER_BACKSLASH_C,
	    &error, &offset, NULL);
	if (code == NULL) {
		PCRE2_UCHAR why[200];

		pcre2_get_error_message(error, why, sizeof(why));
		errbuf_set(err, "%s near '%.20s'", (const char *)why,
		    text + (offset < strlen(text) ? offset : 0));
	}
	return code;
}

/* What PCRE2 knows of the first byte when the pattern is not anchored. */
static void
pattern_find_first(struct pattern *p, const char *text)
{
	pcre2_code *code = pattern_compile(text, 0, NULL);
	const uint8_t *bitmap = NULL;
	uint32_t type = 0, unit = 0;

	memset(p->first, 0xff, sizeof(p->first));
	if (code == NULL)
		return;
	pcre2_pattern_info(code, PCRE2_INFO_FIRSTCODETYPE, &type);
	pcre2_pattern_info(code, PCRE2_INFO_FIRSTBITMAP, &bitmap);
	if (type == 1) {
		pcre2_pattern_info(code, PCRE2_INFO_FIRSTCODEUNIT, &unit);
		memset(p->first, 0, sizeof(p->first));
		p->first[(unit & 0xff) / 64] |= (uint64_t)1 << (unit % 64);
		/* A caseless first letter is given in one case only. */
		if ((unit | 0x20) >= 'a' && (unit | 0x20) <= 'z')
			p->first[((unit ^ 0x20) & 0xff) / 64] |= (uint64_t)1
			    << ((unit ^ 0x20) % 64);
	} else if (bitmap != NULL) {
		memset(p->first, 0, sizeof(p->first));
		for (unsigned i = 0; i < 256; i++)
			if (bitmap[i / 8] & (1u << (i % 8)))
				p->first[i / 64] |= (uint64_t)1 << (i % 64);
	}
	pcre2_code_free(code);
}

/* The numbers of the groups of this name, at most `max`; 0 behind the last. -1
 * when there are more. */
static int
pattern_groups(const pcre2_code *code, const char *name, int *out, int max)
{
	PCRE2_SPTR entry = NULL;
	uint32_t count = 0, size = 0;
	int n = 0;

	pcre2_pattern_info(code, PCRE2_INFO_NAMECOUNT, &count);
	pcre2_pattern_info(code, PCRE2_INFO_NAMEENTRYSIZE, &size);
	pcre2_pattern_info(code, PCRE2_INFO_NAMETABLE, &entry);
	for (uint32_t i = 0; i < count; i++, entry += size) {
		if (strcmp((const char *)entry + 2, name) != 0)
			continue;
		if (n == max)
			return -1;
		out[n++] = entry[0] << 8 | entry[1];
	}
	return n;
}

struct pattern *
pattern_create(const char *text, struct errbuf *err)
{
	struct pattern *p;
	uint32_t groups = 0;
	char *full;

	if (text[0] != '^') {
		errbuf_set(err, "a pattern must start with '^'");
		return NULL;
	}
	full = pattern_expand(text + 1, err);
	if (full == NULL)
		return NULL;
	p = x_calloc(1, sizeof(*p));
	p->code = pattern_compile(full, PCRE2_ANCHORED, err);
	if (p->code == NULL)
		goto fail;
	pcre2_pattern_info(p->code, PCRE2_INFO_CAPTURECOUNT, &groups);
	if (groups >= PATTERN_GROUPS) {
		errbuf_set(err, "more than %d groups", PATTERN_GROUPS - 1);
		goto fail;
	}
	if (pattern_groups(p->code, "addr", p->addr, PATTERN_ADDRS) < 0 ||
	    pattern_groups(p->code, "ok", &p->ok, 1) < 0 ||
	    pattern_groups(p->code, "attempts", &p->attempts, 1) < 0 ||
	    pattern_groups(p->code, "queue", &p->queue, 1) < 0) {
		errbuf_set(err,
		    "more than %d groups 'addr', or one of 'ok', "
		    "'attempts' and 'queue' twice",
		    PATTERN_ADDRS);
		goto fail;
	}
	pcre2_pattern_info(p->code, PCRE2_INFO_MINLENGTH, &p->shortest);
	/* Where there is no JIT the interpreter does the same, slower. */
	pcre2_jit_compile(p->code, PCRE2_JIT_COMPLETE);
	pattern_find_first(p, full);
	literals_find(&p->literals, full);
	free(full);
	return p;
fail:
	free(full);
	pattern_destroy(&p);
	return NULL;
}

void
pattern_destroy(struct pattern **pp)
{
	if (*pp == NULL)
		return;
	pcre2_code_free((*pp)->code);
	literals_clear(&(*pp)->literals);
	free(*pp);
	*pp = NULL;
}

bool
pattern_has_addr(const struct pattern *p)
{
	return p->addr[0] > 0;
}

bool
pattern_has_attempts(const struct pattern *p)
{
	return p->attempts > 0;
}

bool
pattern_has_queue(const struct pattern *p)
{
	return p->queue > 0;
}

int
pattern_field(const struct pattern *p, const char *name)
{
	int group = 0;

	(void)pattern_groups(p->code, name, &group, 1);
	return group;
}

void
pattern_first(const struct pattern *p, uint64_t bits[4])
{
	memcpy(bits, p->first, sizeof(p->first));
}

const char *const *
pattern_literals(const struct pattern *p)
{
	return (const char *const *)p->literals.text;
}

struct pattern_scratch *
pattern_scratch_create(void)
{
	struct pattern_scratch *s = x_calloc(1, sizeof(*s));

	s->data = pcre2_match_data_create(PATTERN_GROUPS, NULL);
	s->context = pcre2_match_context_create(NULL);
	if (s->data == NULL || s->context == NULL) {
		pattern_scratch_destroy(&s);
		return NULL;
	}
	pcre2_set_match_limit(s->context, PATTERN_MATCH_LIMIT);
	pcre2_set_depth_limit(s->context, PATTERN_DEPTH_LIMIT);
	pcre2_set_heap_limit(s->context, PATTERN_HEAP_LIMIT_KIB);
	return s;
}

void
pattern_scratch_destroy(struct pattern_scratch **sp)
{
	if (*sp == NULL)
		return;
	pcre2_match_data_free((*sp)->data);
	pcre2_match_context_free((*sp)->context);
	free(*sp);
	*sp = NULL;
}

static struct pattern_span
span_of(const char *subject, const PCRE2_SIZE *ovector, int rc, int group)
{
	struct pattern_span s = { NULL, 0 };

	if (group > 0 && group < rc && ovector[2 * group] != PCRE2_UNSET) {
		s.ptr = subject + ovector[2 * group];
		s.len = ovector[2 * group + 1] - ovector[2 * group];
	}
	return s;
}

struct pattern_span
pattern_taken(const struct pattern_scratch *s, int group, const char *subject)
{
	return span_of(
	    subject, pcre2_get_ovector_pointer(s->data), s->taken, group);
}

enum pattern_result
pattern_match(const struct pattern *p, struct pattern_scratch *s,
    const char *subject, size_t len, struct pattern_match *out)
{
	const PCRE2_SIZE *ovector;
	int rc;

	if (len < p->shortest)
		return PATTERN_NO;
	rc = pcre2_match(
	    p->code, (PCRE2_SPTR)subject, len, 0, 0, s->data, s->context);
	if (rc == PCRE2_ERROR_NOMATCH)
		return PATTERN_NO;
	if (rc <= 0)
		return PATTERN_LIMIT;
	ovector = pcre2_get_ovector_pointer(s->data);
	out->addr = span_of(subject, ovector, rc, p->addr[0]);
	for (int i = 1; i < PATTERN_ADDRS && out->addr.ptr == NULL; i++)
		out->addr = span_of(subject, ovector, rc, p->addr[i]);
	out->ok = span_of(subject, ovector, rc, p->ok);
	out->attempts = span_of(subject, ovector, rc, p->attempts);
	out->queue = span_of(subject, ovector, rc, p->queue);
	s->taken = rc;
	return PATTERN_YES;
}
