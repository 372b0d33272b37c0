/*
 * rules: log rules and the choice of the one that a line matches.
 *
 * A rule belongs to a set ("postfix"), applies to lines of its programs, and
 * is anchored at the first byte of the message. Kinds:
 *   offence  scores its weight
 *   fault    a trouble of our own server that looks like an offence: counted,
 *            also as evidence, never scored; stands before the rules it guards
 *            against
 *   end      the connection is over: forgets what `attempt` knows about it
 *   join     tells whose message a queue id is: offences of lines that gave
 *            only the queue id are scored now
 *   ambiguous  the line can be read as about one client or about another, both
 *            of them the peer's words: it is nobody's; stands before the rules
 *            that would take one for the client
 * The first rule that matches, in the order of the configuration, decides.
 *
 * Our own refusals come back in the log. A built-in rule before all others
 * knows them by the tag at the end of the reason, in a line whose every field
 * is free of the delimiters that a client would need to forge one; they never
 * score, or a block would feed itself.
 *
 * Most lines never reach a regular expression: rules are found by program and
 * by the first byte of the message, then each one's required literals are
 * looked for, each literal at most once per line. A rule costs lines that
 * cannot match it next to nothing.
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
struct pattern;
struct wordset;

#define RULES_LINE_MAX 8192 /* longer messages are cut for matching */
#define RULES_SETS_MAX 64

enum rule_kind {
	RULE_OFFENCE,
	RULE_FAULT,
	RULE_END,
	RULE_JOIN,
	RULE_AMBIGUOUS,
	RULE_OWN
};

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
	enum rule_kind kind; /* not RULE_OWN */
	bool ends; /* an offence whose line also ends the connection */
	/* The rule holds only if this named group ("user", or "user_domain" for
	 * what stands behind the last '@') is in the one list and not in the
	 * other; NULL = no such limit. Taken over by rules_add() if it
	 * succeeds. */
	const char *field;
	struct wordset *in, *not_in;
};

struct rule {
	name_id name;
	name_id evidence; /* 0 = none */
	double weight;
	enum rule_kind kind;
	enum rule_counts counts;
	bool ends;
	uint64_t set; /* one bit */
	size_t n_programs;
	name_id *programs;
	struct pattern *pattern;
	int field; /* group number, 0 = no limit */
	bool field_domain;
	struct wordset *in, *not_in;
};

struct rules;

struct rules *rules_create(void);
void rules_destroy(struct rules **);
/* Compiles and appends. -1 and a reason. */
int rules_add(struct rules *, const struct rule_def *, struct errbuf *);
size_t rules_count(const struct rules *);
/* NULL if there is none of this name. */
const struct rule *rules_find(const struct rules *, name_id name);
/* Changes a rule: its weight, unless NAN; its limits, unless field is NULL
 * (taken over on success). An ambiguous rule has no weight, but with 0 it is
 * not tried: its lines are what the rules behind make of them. -1 and a
 * reason. */
int rules_tune(struct rules *, const char *name, double weight,
    const char *field, struct wordset *in, struct wordset *not_in,
    struct errbuf *);
size_t rules_set_count(const struct rules *);
const struct rule *rules_nth(const struct rules *, size_t n);
/* The bit of a set by name; 0 when no rule belongs to it. */
uint64_t rules_set_bit(const struct rules *, const char *set);
/* The name of the nth set, or NULL. */
const char *rules_set_name(const struct rules *, size_t n);

/* A matcher holds the dispatch tables for one choice of sets. It borrows the
 * rules, which must outlive it, and is not shared between threads. */
struct matcher;

struct matcher *matcher_create(const struct rules *, uint64_t sets);
void matcher_destroy(struct matcher **);

struct rule_match {
	const struct rule *rule;
	struct addr addr; /* host address, when has_addr */
	bool has_addr;
	bool has_queue;
	uint64_t queue;	   /* hash of the queue id, when has_queue */
	unsigned attempts; /* RULE_COUNTS_TOTAL: failures in this connection;
			      else 1 */
};

enum rules_result {
	RULES_NONE,
	RULES_MATCH,
	RULES_LIMIT, /* nothing matched, and a limit was hit on the way */
};

enum rules_result matcher_match(
    struct matcher *, const struct logline *, struct rule_match *out);

/* explain: as above, and one call for each rule of the line's program, in
 * order, also behind the one that decides. `why` is static: "match", "first
 * byte", "literal", "pattern", "address", "list", "limit". */
typedef void rules_tried(void *ctx, const struct rule *, const char *why);
enum rules_result matcher_explain(struct matcher *, const struct logline *,
    struct rule_match *out, rules_tried *tried, void *ctx);

#endif
