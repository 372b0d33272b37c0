/*
 * pattern: one anchored regular expression over the message of a log line. The
 * only user of PCRE2.
 *
 * The subject is bytes, never UTF-8. Match, depth and heap limits are set, so
 * a hostile line costs a bounded time. Shorthands:
 *
 *   {addr}       (?<addr>[0-9A-Fa-f:.]{2,45})
 *   {client}     name[{addr}] or name[{addr}]:port, as Postfix writes it
 *   {bracketed}  [{addr}] or [{addr}]:port, as postscreen writes it
 *   {queueid}    NOQUEUE or a queue id
 *   {queue}      (?<queue>...): a queue id that joins lines
 *   {reply}      a 4xx or 5xx code, with or without an enhanced status code
 *   {eximhost}   NAME (HELO) [{addr}]:PORT FIELD=..., as Exim writes a client
 *   {eximother}  ) [ADDRESS]:PORT FIELD=...: the end of one, not captured
 *   {eximaddress}   an address as Exim takes it, quotes and all; or none
 *   {eximargument}  what may stand behind RCPT, or 100 bytes of it
 *   {eximtext}   a reason in words alone: nothing in it can be an address
 *
 * Named groups with a meaning: addr (the first that took part, where several
 * alternatives have one); attempts and ok (numbers, ok may be left out); queue.
 * Others are fields that a rule may restrict to lists.
 */
#ifndef MXW_PATTERN_H
#define MXW_PATTERN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct errbuf;
struct pattern;
struct pattern_scratch;

struct pattern_span {
	const char *ptr; /* into the subject; NULL = the group took no part */
	size_t len;
};

struct pattern_match {
	struct pattern_span addr, ok, attempts, queue;
};

enum pattern_result { PATTERN_NO, PATTERN_YES, PATTERN_LIMIT };

/* `text` must start with '^'. NULL and a reason with the offset. */
struct pattern *pattern_create(const char *text, struct errbuf *);
void pattern_destroy(struct pattern **);
bool pattern_has_addr(const struct pattern *);
/* Is there (?<attempts>)? (?<ok>) may be missing: nothing went well. */
bool pattern_has_attempts(const struct pattern *);
bool pattern_has_queue(const struct pattern *);
/* The number of a named group, 0 if there is none of this name. */
int pattern_field(const struct pattern *, const char *name);
/* Which bytes can be the first of a match: 256 bits. */
void pattern_first(const struct pattern *, uint64_t bits[4]);
/* Literal strings that every match holds, longest first; NULL behind the
 * last. May be empty. Borrowed. */
const char *const *pattern_literals(const struct pattern *);

/* Working memory of matches; one per thread, for any pattern. */
struct pattern_scratch *pattern_scratch_create(void);
void pattern_scratch_destroy(struct pattern_scratch **);

/* What a group (of pattern_field()) took in the last match. */
struct pattern_span pattern_taken(
    const struct pattern_scratch *, int group, const char *subject);

enum pattern_result pattern_match(const struct pattern *,
    struct pattern_scratch *, const char *subject, size_t len,
    struct pattern_match *out);

#endif
