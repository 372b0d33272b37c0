/*
 * wordset: a set of words (domains, user names), matched without regard to
 * case. A word that begins with a dot stands for all names below it:
 * ".example.org" holds mail.example.org, but not example.org.
 */
#ifndef MXW_WORDSET_H
#define MXW_WORDSET_H

#include <stdbool.h>
#include <stddef.h>

struct errbuf;
struct wordset;

struct wordset *wordset_create(void);
void wordset_destroy(struct wordset **);
void wordset_add(struct wordset *, const char *word);
/* Adds the first word of each line; '#' begins a comment. -1 and a reason. */
int wordset_add_file(struct wordset *, const char *path, struct errbuf *);
bool wordset_has(const struct wordset *, const char *word, size_t len);
size_t wordset_count(const struct wordset *);

#endif
