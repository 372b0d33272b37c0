/*
 * rules: log rules, compiled and matched. The only user of PCRE2.
 *
 * A rule belongs to a set ("postfix"), applies to lines of its programs, and
 * is anchored at the first byte of the message. Kinds:
 *   offence  scores its weight
 *   fault    a trouble of our own server that looks like an offence: counted,
 *            never scored; stands before the rules it guards against
 *   end      the connection is over: forgets what `attempt` knows about it
 * The first rule that matches, in the order of the configuration, decides.
 *
 * Most lines never reach a regular expression: rules are found by program and
 * by the first byte of the message, then each one's required literals are
 * looked for, each literal at most once per line. A rule costs lines that
 * cannot match it next to nothing.
 *
 * Matching is hostile ground: the subject is bytes, never UTF-8; match, depth
 * and heap limits are set; a limit that is hit counts as no match and is
 * reported by RULES_LIMIT.
 */
#ifndef MXW_RULES_H
#define MXW_RULES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/core/addr.h"
#include "lib/core/logline.h"
#include "lib/core/names.h"

struct errbuf;

#define RULES_LINE_MAX 8192 /* longer messages are cut for matching */
#define RULES_SETS_MAX 64

enum rule_kind { RULE_OFFENCE, RULE_FAULT, RULE_END };

/* How lines of one connection with the same evidence add up; see attempt.h. */
enum rule_counts { RULE_COUNTS_EACH, RULE_COUNTS_ONCE, RULE_COUNTS_TOTAL };

/* A rule as the configuration gives it; all strings borrowed. */
struct rule_def {
	const char *name;
	const char *set;
	const char *const *programs; /* n_programs strings */
	size_t n_programs;
	const char *pattern;
	double weight;	      /* may be negative: forgives */
	const char *evidence; /* NULL or "": lines stand alone */
	enum rule_counts counts;
	enum rule_kind kind;
	bool ends; /* an offence whose line also ends the connection */
};

/* A compiled rule; opaque but for what reports show. */
struct rule {
	name_id name;
	name_id evidence; /* 0 = none */
	double weight;
	enum rule_kind kind;
	enum rule_counts counts;
	bool ends;
	struct rule_code *code;
};

struct rules;

struct rules *rules_create(void);
void rules_destroy(struct rules **);
/* Compiles and appends. -1 and a reason (with the offset in the pattern). */
int rules_add(struct rules *, const struct rule_def *, struct errbuf *);
/* Would rules_add() take this pattern? For errors with the right line. */
int rules_check_pattern(const char *pattern, struct errbuf *);
size_t rules_count(const struct rules *);
const struct rule *rules_nth(const struct rules *, size_t n);
/* The bit of a set by name; 0 when no rule belongs to it. */
uint64_t rules_set_bit(const struct rules *, const char *set);

/* A matcher holds the dispatch tables for one choice of sets. It borrows the
 * rules, which must outlive it, and is not shared between threads. */
struct matcher;

struct matcher *matcher_create(const struct rules *, uint64_t sets);
void matcher_destroy(struct matcher **);

struct rule_match {
	const struct rule *rule;
	struct addr addr;  /* host address; unset for a rule without {addr} */
	bool has_addr;
	unsigned attempts; /* RULE_COUNTS_TOTAL: failures in this connection;
			      else 1 */
	bool own_refusal;  /* the line quotes our own refusal */
};

enum rules_result {
	RULES_NONE,
	RULES_MATCH,
	RULES_LIMIT, /* a limit was hit; the line passes as unmatched */
};

enum rules_result matcher_match(struct matcher *, const struct logline *,
    struct rule_match *out);

/* explain: one call per rule of the line's program, in order. `why` is static:
 * "match", "first byte", "literal: ...", "pattern", "address". */
typedef void rules_tried(void *ctx, const struct rule *, const char *why);
enum rules_result matcher_explain(struct matcher *, const struct logline *,
    struct rule_match *out, rules_tried *tried, void *ctx);

#endif
