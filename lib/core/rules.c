/*
 * rules: the table of compiled rules; see rules.h. Choosing among them is in
 * matcher.c.
 */
#include "lib/core/rules.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/core/errbuf.h"
#include "lib/core/pattern.h"
#include "lib/core/wordset.h"
#include "lib/core/xalloc.h"

struct rules {
	struct rule **rules;
	size_t count;
	name_id sets[RULES_SETS_MAX];
	size_t n_sets;
};

static void
rule_destroy(struct rule *r)
{
	pattern_destroy(&r->pattern);
	wordset_destroy(&r->in);
	wordset_destroy(&r->not_in);
	free(r->programs);
	free(r);
}

/*
 * Our own refusal, as smtpd logs it, and as Exim does whose ACL asks us: its
 * reason ends with our tag. No client can forge one. All that a client says and
 * that a reason of somebody else's may quote (an address, a HELO name) is in
 * the line's own fields as well, so the tag would be there twice; and a line so
 * long that a field may have been cut off (Postfix: 2,000 bytes; Exim: a
 * recipient of 100) is not taken for ours, or must be free of what makes a
 * tag. Postfix's reason ends where its fields begin, for the first time; and
 * where all of them are free of angle brackets nothing can be out of its place.
 */
#define ONE_TAG "(?!.*\\[mxw\\].*\\[mxw\\])"

static const char own_refusal[] =
    "^(?!.{1800})(?:"
    "(?:{queueid}: )?reject(?:_warning)?: [A-Z-]+ from {client}: {reply} <(?:"
    "(?=[^<>]*>: [^<>]* \\[mxw\\](?:;(?: from=<[^<>]*>)?(?: to=<[^<>]*>)?"
    " proto=E?SMTP(?: helo=<[^<>]*>)?(?: sasl_[a-z]+=[^<>]*)?)?$)|" ONE_TAG
    "(?=[^;]*+(?:;(?! (?:from|to|proto)=)[^;]*+)*+(?<= \\[mxw\\])"
    "(?:$|; (?!.*; (?:from|to|proto)=))))"
    ".*>: [A-Z][A-Za-z -]{2,40} rejected: |"
    "H=" ONE_TAG "{eximhost}(?: F=<{eximaddress}>)?(?: A=\\S{1,200})? "
    "(?:temporarily )?rejected (?:connection in \"[a-z]+\" ACL|"
    "RCPT (?:<[^<>\\s\"\\[\\]]{99}|<?{eximaddress}>?)): (?!.*\"))"
    "[^<>]* \\[mxw\\](?:;(?: from=<.*>| to=<.*>)* proto=E?SMTP(?: .*)?)?$";

struct rules *
rules_create(void)
{
	struct rules *rs = x_calloc(1, sizeof(*rs));
	struct rule *own = x_calloc(1, sizeof(*own));
	struct errbuf err;

	own->name = name_intern_str("own-refusal");
	own->kind = RULE_OWN;
	own->set = UINT64_MAX;
	own->pattern = pattern_create(own_refusal, &err);
	rs->rules = x_calloc(1, sizeof(struct rule *));
	rs->rules[rs->count++] = own;
	return rs;
}

void
rules_destroy(struct rules **rsp)
{
	struct rules *rs = *rsp;

	if (rs == NULL)
		return;
	for (size_t i = 0; i < rs->count; i++)
		rule_destroy(rs->rules[i]);
	free(rs->rules);
	free(rs);
	*rsp = NULL;
}

uint64_t
rules_set_bit(const struct rules *rs, const char *set)
{
	name_id id = name_intern_str(set);

	for (size_t i = 0; i < rs->n_sets; i++)
		if (rs->sets[i] == id)
			return (uint64_t)1 << i;
	return 0;
}

const char *
rules_set_name(const struct rules *rs, size_t n)
{
	return n < rs->n_sets ? name_text(rs->sets[n]) : NULL;
}

size_t
rules_set_count(const struct rules *rs)
{
	return rs->n_sets;
}

static int
rules_check(
    const struct rules *rs, const struct rule_def *def, struct errbuf *err)
{
	name_id name = name_intern_str(def->name);

	if (def->name[0] == '\0' || strlen(def->name) > 63)
		return errbuf_set(err, "a rule's name has 1 to 63 bytes");
	if (strspn(def->name,
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRST"
		"UVWXYZ0123456789-_.") != strlen(def->name))
		return errbuf_set(err,
		    "a rule's name has letters, digits and "
		    "'-', '_', '.' only");
	for (size_t i = 0; i < rs->count; i++)
		if (rs->rules[i]->name == name)
			return errbuf_set(err, "a rule of this name exists");
	if (def->set == NULL || def->set[0] == '\0')
		return errbuf_set(err, "no set");
	if (def->n_programs == 0)
		return errbuf_set(err, "no program");
	for (size_t i = 0; i < def->n_programs; i++)
		if (def->programs[i][0] == '\0' ||
		    strpbrk(def->programs[i], "/[]: \t") != NULL)
			return errbuf_set(err,
			    "'%s' is not a program: the "
			    "last component of a tag, "
			    "without the pid",
			    def->programs[i]);
	if (!isfinite(def->weight) || fabs(def->weight) > 1e6)
		return errbuf_set(err, "weight out of range");
	if (rules_set_bit(rs, def->set) == 0 && rs->n_sets == RULES_SETS_MAX)
		return errbuf_set(err, "more than %d sets", RULES_SETS_MAX);
	return 0;
}

/* What the pattern must capture for this kind of rule. */
static int
rule_check_groups(const struct rule *r, struct errbuf *err)
{
	bool addr = pattern_has_addr(r->pattern);
	bool queue = pattern_has_queue(r->pattern);

	if (r->kind == RULE_JOIN && !(addr && queue))
		return errbuf_set(err,
		    "a join needs both an address and "
		    "{queue}");
	if (r->kind == RULE_OFFENCE && queue && !addr &&
	    (r->evidence != 0 || r->counts != RULE_COUNTS_EACH))
		return errbuf_set(err,
		    "a rule that captures a queue id instead "
		    "of an address has no evidence");
	if (r->kind != RULE_FAULT && r->kind != RULE_AMBIGUOUS && !addr &&
	    !(r->kind == RULE_OFFENCE && queue))
		return errbuf_set(err,
		    "the pattern captures no address "
		    "({client}, {bracketed} or {addr})");
	if (r->counts == RULE_COUNTS_TOTAL && !pattern_has_attempts(r->pattern))
		return errbuf_set(err,
		    "counts = \"total\" needs the group "
		    "(?<attempts>\\d+), and may have "
		    "(?<ok>\\d+)");
	if (r->counts != RULE_COUNTS_EACH && r->evidence == 0 &&
	    r->kind == RULE_OFFENCE && r->counts == RULE_COUNTS_ONCE)
		return errbuf_set(err, "counts = \"once\" needs evidence");
	return 0;
}

/* Limits the rule to what its field is, or is not. */
static int
rule_limit(struct rule *r, const char *field, struct wordset *in,
    struct wordset *not_in, struct errbuf *err)
{
	static const char domain[] = "_domain";
	size_t len = strlen(field), d = sizeof(domain) - 1;
	bool of_domain = len > d && strcmp(field + len - d, domain) == 0;
	char *name = x_strndup(field, of_domain ? len - d : len);
	int group = pattern_field(r->pattern, name);

	free(name);
	if (group == 0)
		return errbuf_set(err, "the pattern has no field '%s'", field);
	if (in == NULL && not_in == NULL)
		return errbuf_set(err, "a field needs `in` or `not_in`");
	wordset_destroy(&r->in);
	wordset_destroy(&r->not_in);
	r->field = group;
	r->field_domain = of_domain;
	r->in = in;
	r->not_in = not_in;
	return 0;
}

int
rules_tune(struct rules *rs, const char *name, double weight, const char *field,
    struct wordset *in, struct wordset *not_in, struct errbuf *err)
{
	name_id id = name_intern_str(name);
	struct rule *r = NULL;

	for (size_t i = 1; i < rs->count && r == NULL; i++)
		if (rs->rules[i]->name == id)
			r = rs->rules[i];
	if (r == NULL)
		return errbuf_set(err, "there is no rule of this name");
	if (field == NULL && (in != NULL || not_in != NULL))
		return errbuf_set(err, "`in` and `not_in` need a field");
	if (field != NULL && rule_limit(r, field, in, not_in, err) != 0)
		return -1;
	if (!isnan(weight))
		r->weight = weight;
	return 0;
}

const struct rule *
rules_find(const struct rules *rs, name_id name)
{
	for (size_t i = 1; i < rs->count; i++)
		if (rs->rules[i]->name == name)
			return rs->rules[i];
	return NULL;
}

int
rules_add(struct rules *rs, const struct rule_def *def, struct errbuf *err)
{
	struct rule *r;

	if (rules_check(rs, def, err) != 0)
		return -1;
	if (def->field == NULL && (def->in != NULL || def->not_in != NULL))
		return errbuf_set(err, "`in` and `not_in` need a field");
	r = x_calloc(1, sizeof(*r));
	r->name = name_intern_str(def->name);
	r->evidence = def->evidence ? name_intern_str(def->evidence) : 0;
	r->weight = def->weight;
	r->kind = def->kind;
	r->counts = def->counts;
	r->ends = def->ends;
	r->n_programs = def->n_programs;
	r->programs = x_calloc(def->n_programs, sizeof(*r->programs));
	for (size_t i = 0; i < def->n_programs; i++)
		r->programs[i] = name_intern_str(def->programs[i]);
	r->pattern = pattern_create(def->pattern, err);
	if (r->pattern == NULL || rule_check_groups(r, err) != 0 ||
	    (def->field != NULL &&
		rule_limit(r, def->field, def->in, def->not_in, err) != 0)) {
		rule_destroy(r);
		return -1;
	}
	if (rules_set_bit(rs, def->set) == 0)
		rs->sets[rs->n_sets++] = name_intern_str(def->set);
	r->set = rules_set_bit(rs, def->set);
	rs->rules =
	    x_reallocarray(rs->rules, rs->count + 1, sizeof(struct rule *));
	rs->rules[rs->count++] = r;
	return 0;
}

size_t
rules_count(const struct rules *rs)
{
	return rs->count;
}

const struct rule *
rules_nth(const struct rules *rs, size_t n)
{
	return n < rs->count ? rs->rules[n] : NULL;
}
