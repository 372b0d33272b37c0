/*
 * matcher: from a line to its rule; see rules.h.
 *
 * Per program: its rules in order, and for each first byte of a message the
 * list of those that can begin so. Literals are numbered over all rules of
 * the matcher; what has been looked for in the current line is remembered by
 * a line counter instead of being cleared.
 */
#include <stdlib.h>
#include <string.h>

#include "lib/core/logpos.h"
#include "lib/core/num.h"
#include "lib/core/pattern.h"
#include "lib/core/rules.h"
#include "lib/core/wordset.h"
#include "lib/core/xalloc.h"

#define PROGRAM_SLOTS 256u
#define NO_LITERAL UINT32_MAX

struct literal {
	const char *text; /* borrowed from a pattern */
	size_t len;
	size_t rare;	/* offset of its rarest byte: what is searched for */
	unsigned users; /* candidates that need it */
	uint64_t line;	/* looked for in this line */
	bool found;
};

struct candidate {
	const struct rule *rule;
	uint32_t n_literals;
	uint32_t literals[8]; /* numbers */
	uint64_t first[4];    /* bytes that it can begin with */
};

struct choice {
	uint32_t candidate; /* number */
	uint32_t literal;   /* its first one, or NO_LITERAL */
	uint32_t skip;	    /* where to go on when that is absent */
};

struct program {
	const char *name; /* of names */
	size_t len;
	struct program *next; /* in its slot */
	struct candidate *rules;
	size_t n_rules;
	struct choice *lists; /* list after list */
	uint32_t start[257];  /* of each first byte's list */
};

struct matcher {
	const struct rules *rules;
	struct program *slots[PROGRAM_SLOTS];
	struct literal *literals;
	size_t n_literals;
	uint64_t line; /* lines seen */
	struct pattern_scratch *scratch;
};

static struct program **
program_slot(struct matcher *m, const char *name, size_t len)
{
	uint32_t h = (uint32_t)len;

	/* Programs have short names; the ends tell them apart. */
	h = h * 31 + (unsigned char)name[0];
	h = h * 31 + (unsigned char)name[len - 1];
	h = h * 31 + (unsigned char)name[len / 2];
	return &m->slots[h % PROGRAM_SLOTS];
}

static struct program *
program_find(struct matcher *m, const char *name, size_t len)
{
	struct program *p = *program_slot(m, name, len);

	while (p != NULL && (p->len != len || memcmp(p->name, name, len) != 0))
		p = p->next;
	return p;
}

/* The bytes of mail logs from the commonest on; others are rarer still. */
static const char common_bytes[] =
    " etoraisn.0123456789cdmlpu=-:<>@fhg[]bx/vy,kwA_TNqSPEMCR;zj";

static size_t
rarest_byte(const char *text)
{
	size_t best = 0, best_rank = 0;

	for (size_t i = 0; text[i] != '\0'; i++) {
		const char *p = strchr(common_bytes, text[i]);
		size_t rank = p != NULL ? (size_t)(p - common_bytes)
					: sizeof(common_bytes);

		if (rank > best_rank) {
			best = i;
			best_rank = rank;
		}
	}
	return best;
}

static uint32_t
literal_number(struct matcher *m, const char *text)
{
	for (size_t i = 0; i < m->n_literals; i++)
		if (strcmp(m->literals[i].text, text) == 0) {
			m->literals[i].users++;
			return (uint32_t)i;
		}
	m->literals = x_reallocarray(
	    m->literals, m->n_literals + 1, sizeof(*m->literals));
	m->literals[m->n_literals] = (struct literal){ .text = text,
		.len = strlen(text),
		.rare = rarest_byte(text),
		.users = 1 };
	return (uint32_t)m->n_literals++;
}

static void
program_add_rule(struct matcher *m, struct program *p, const struct rule *r)
{
	struct candidate *c;
	const char *const *lit = pattern_literals(r->pattern);

	p->rules = x_reallocarray(p->rules, p->n_rules + 1, sizeof(*p->rules));
	c = &p->rules[p->n_rules++];
	memset(c, 0, sizeof(*c));
	c->rule = r;
	pattern_first(r->pattern, c->first);
	for (; *lit != NULL && c->n_literals < 8; lit++)
		c->literals[c->n_literals++] = literal_number(m, *lit);
}

static struct program *
program_create(struct matcher *m, name_id id)
{
	const char *name = name_text(id);
	size_t len = strlen(name);
	struct program *p = program_find(m, name, len), **slot;

	if (p != NULL)
		return p;
	p = x_calloc(1, sizeof(*p));
	p->name = name;
	p->len = len;
	slot = program_slot(m, name, len);
	p->next = *slot;
	*slot = p;
	/* The rule that knows our own refusals comes first. */
	program_add_rule(m, p, rules_nth(m->rules, 0));
	return p;
}

/* What most rules need is looked for first: one search that fails then rules
 * all of them out. */
static void
candidate_sort_literals(const struct matcher *m, struct candidate *c)
{
	for (size_t i = 1; i < c->n_literals; i++) {
		uint32_t l = c->literals[i];
		size_t j = i;

		for (; j > 0 &&
		     m->literals[c->literals[j - 1]].users <
			 m->literals[l].users;
		     j--)
			c->literals[j] = c->literals[j - 1];
		c->literals[j] = l;
	}
}

static bool
first_has(const struct candidate *c, unsigned byte)
{
	return (c->first[byte / 64] >> (byte % 64)) & 1;
}

static struct choice
choice_of(const struct candidate *c, uint32_t number)
{
	return (struct choice){ .candidate = number,
		.literal = c->n_literals > 0 ? c->literals[0] : NO_LITERAL };
}

/* Rules that begin with the same search are ruled out together. */
static void
choices_link(struct choice *list, uint32_t start, uint32_t end)
{
	for (uint32_t i = end; i-- > start;)
		list[i].skip =
		    i + 1 < end && list[i + 1].literal == list[i].literal
		    ? list[i + 1].skip
		    : i + 1;
}

static void
program_build_lists(const struct matcher *m, struct program *p)
{
	uint32_t used = 0;

	for (size_t i = 0; i < p->n_rules; i++)
		candidate_sort_literals(m, &p->rules[i]);

	p->lists = x_calloc(256 * p->n_rules + 1, sizeof(*p->lists));
	for (unsigned byte = 0; byte < 256; byte++) {
		p->start[byte] = used;
		for (size_t i = 0; i < p->n_rules; i++)
			if (first_has(&p->rules[i], byte))
				p->lists[used++] =
				    choice_of(&p->rules[i], (uint32_t)i);
		choices_link(p->lists, p->start[byte], used);
	}
	p->start[256] = used;
	p->lists = x_reallocarray(p->lists, used + 1, sizeof(*p->lists));
}

struct matcher *
matcher_create(const struct rules *rules, uint64_t sets)
{
	struct matcher *m = x_calloc(1, sizeof(*m));

	m->rules = rules;
	m->scratch = pattern_scratch_create();
	if (m->scratch == NULL) {
		matcher_destroy(&m);
		return NULL;
	}
	for (size_t i = 1; i < rules_count(rules); i++) {
		const struct rule *r = rules_nth(rules, i);

		if ((r->set & sets) == 0)
			continue;
		/* Guards are for other servers than this one: see
		 * rules_tune(). */
		if (r->kind == RULE_AMBIGUOUS && r->weight == 0)
			continue;
		for (size_t j = 0; j < r->n_programs; j++)
			program_add_rule(
			    m, program_create(m, r->programs[j]), r);
	}
	for (size_t i = 0; i < PROGRAM_SLOTS; i++)
		for (struct program *p = m->slots[i]; p != NULL; p = p->next)
			program_build_lists(m, p);
	return m;
}

void
matcher_destroy(struct matcher **mp)
{
	struct matcher *m = *mp;

	if (m == NULL)
		return;
	for (size_t i = 0; i < PROGRAM_SLOTS; i++) {
		while (m->slots[i] != NULL) {
			struct program *p = m->slots[i];

			m->slots[i] = p->next;
			free(p->rules);
			free(p->lists);
			free(p);
		}
	}
	free(m->literals);
	pattern_scratch_destroy(&m->scratch);
	free(m);
	*mp = NULL;
}

/* memmem(3), by memchr(3) for the rarest byte: several times as fast on short
 * texts. */
static bool
literal_search(const struct literal *l, const char *msg, size_t len)
{
	const char *p, *end;

	if (len < l->len)
		return false;
	p = msg + l->rare;
	end = p + (len - l->len) + 1;
	while ((p = memchr(p, l->text[l->rare], (size_t)(end - p))) != NULL) {
		if (memcmp(p - l->rare, l->text, l->len) == 0)
			return true;
		if (++p == end)
			break;
	}
	return false;
}

static bool
literal_present(struct matcher *m, uint32_t number, const char *msg, size_t len)
{
	struct literal *l = &m->literals[number];

	if (l->line != m->line) {
		l->line = m->line;
		l->found = literal_search(l, msg, len);
	}
	return l->found;
}

/* The numbers of (?<attempts>) and (?<ok>): failures, at most 10,000. */
static bool
failures_of(const struct pattern_match *pm, unsigned *out)
{
	uint64_t ok = 0, attempts;

	if (!num_parse_u64(pm->attempts.ptr, pm->attempts.len, &attempts))
		return false;
	if (pm->ok.ptr != NULL && !num_parse_u64(pm->ok.ptr, pm->ok.len, &ok))
		return false;
	if (ok >= attempts)
		return false;
	attempts -= ok;
	*out = attempts > 10000 ? 10000 : (unsigned)attempts;
	return true;
}

enum tried {
	TRIED_FIRST,
	TRIED_LITERAL,
	TRIED_PATTERN,
	TRIED_ADDRESS,
	TRIED_LIST,
	TRIED_LIMIT,
	TRIED_MATCH
};

static const char *const tried_names[] = { "first byte", "literal", "pattern",
	"address", "list", "limit", "match" };

/* Is the rule's field in its list, and not in the other? */
static bool
field_allows(const struct matcher *m, const struct rule *r, const char *msg)
{
	struct pattern_span s = pattern_taken(m->scratch, r->field, msg);
	const char *at;

	if (s.ptr != NULL && r->field_domain) {
		at = memrchr(s.ptr, '@', s.len);
		if (at == NULL) {
			s.ptr = NULL;
		} else {
			s.len -= (size_t)(at + 1 - s.ptr);
			s.ptr = at + 1;
		}
	}
	if (s.ptr == NULL)
		return r->in == NULL;
	return (r->in == NULL || wordset_has(r->in, s.ptr, s.len)) &&
	    (r->not_in == NULL || !wordset_has(r->not_in, s.ptr, s.len));
}

/* Are all its literals there, from this one on? */
static inline bool
candidate_possible(struct matcher *m, const struct candidate *c, uint32_t from,
    const char *msg, size_t len)
{
	for (uint32_t i = from; i < c->n_literals; i++)
		if (!literal_present(m, c->literals[i], msg, len))
			return false;
	return true;
}

/* Does the pattern match, and hold what the rule needs? */
static enum tried
candidate_match(struct matcher *m, const struct candidate *c, const char *msg,
    size_t len, struct rule_match *out)
{
	struct pattern_match pm;

	switch (pattern_match(c->rule->pattern, m->scratch, msg, len, &pm)) {
	case PATTERN_NO:
		return TRIED_PATTERN;
	case PATTERN_LIMIT:
		return TRIED_LIMIT;
	case PATTERN_YES:
		break;
	}
	out->has_addr = pm.addr.ptr != NULL;
	if (out->has_addr &&
	    !addr_parse_host(pm.addr.ptr, pm.addr.len, &out->addr))
		return TRIED_ADDRESS;
	if (!out->has_addr && pattern_has_addr(c->rule->pattern))
		return TRIED_ADDRESS;
	out->has_queue = pm.queue.ptr != NULL;
	if (out->has_queue)
		out->queue = logpos_hash(pm.queue.ptr, pm.queue.len);
	if (c->rule->field > 0 && !field_allows(m, c->rule, msg))
		return TRIED_LIST;
	out->attempts = 1;
	if (c->rule->counts == RULE_COUNTS_TOTAL &&
	    (pm.attempts.ptr == NULL || !failures_of(&pm, &out->attempts)))
		return TRIED_PATTERN;
	out->rule = c->rule;
	return TRIED_MATCH;
}

enum rules_result
matcher_match(
    struct matcher *m, const struct logline *line, struct rule_match *out)
{
	struct program *p = program_find(m, line->program, line->program_len);
	size_t len =
	    line->msg_len < RULES_LINE_MAX ? line->msg_len : RULES_LINE_MAX;
	enum rules_result result = RULES_NONE;
	unsigned byte;

	if (p == NULL || len == 0)
		return RULES_NONE;
	byte = (unsigned char)line->msg[0];
	m->line++;
	for (uint32_t i = p->start[byte]; i < p->start[byte + 1];) {
		const struct choice *choice = &p->lists[i];
		const struct candidate *c = &p->rules[choice->candidate];
		enum tried t;

		if (choice->literal != NO_LITERAL &&
		    !literal_present(m, choice->literal, line->msg, len)) {
			i = choice->skip;
			continue;
		}
		i++;
		if (!candidate_possible(m, c, 1, line->msg, len))
			continue;
		t = candidate_match(m, c, line->msg, len, out);
		if (t == TRIED_MATCH)
			return RULES_MATCH;
		if (t == TRIED_LIMIT)
			result = RULES_LIMIT;
		/* What it guards against must not follow. */
		if (t == TRIED_LIMIT && c->rule->kind == RULE_AMBIGUOUS)
			break;
	}
	return result;
}

enum rules_result
matcher_explain(struct matcher *m, const struct logline *line,
    struct rule_match *out, rules_tried *tried, void *ctx)
{
	struct program *p = program_find(m, line->program, line->program_len);
	size_t len =
	    line->msg_len < RULES_LINE_MAX ? line->msg_len : RULES_LINE_MAX;
	enum rules_result result = RULES_NONE;
	bool guarded = false;

	if (p == NULL || len == 0)
		return RULES_NONE;
	m->line++;
	for (size_t i = 0; i < p->n_rules; i++) {
		const struct candidate *c = &p->rules[i];
		struct rule_match match;
		enum tried t = TRIED_FIRST;

		if (first_has(c, (unsigned char)line->msg[0]))
			t = candidate_possible(m, c, 0, line->msg, len)
			    ? candidate_match(m, c, line->msg, len, &match)
			    : TRIED_LITERAL;
		if (tried != NULL)
			tried(ctx, c->rule, tried_names[t]);
		if (t == TRIED_MATCH && result != RULES_MATCH && !guarded) {
			*out = match;
			result = RULES_MATCH;
		} else if (t == TRIED_LIMIT && result == RULES_NONE) {
			result = RULES_LIMIT;
			guarded = c->rule->kind == RULE_AMBIGUOUS;
		}
	}
	return result;
}
