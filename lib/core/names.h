/*
 * names: interned strings (rules, levels, hosts), so that tables hold a small
 * number instead of a pointer, and a name outlives the configuration that
 * brought it.
 *
 * The table is per process and only grows, up to NAMES_MAX: names also come
 * from other hosts (through the store), who must not fill our memory. Id 0 is
 * "" and always exists.
 */
#ifndef MXW_NAMES_H
#define MXW_NAMES_H

#include <stddef.h>
#include <stdint.h>

#define NAMES_MAX 16384
#define NAMES_LEN 255

typedef uint16_t name_id;

/* The id of these bytes. Longer than NAMES_LEN is cut; control characters and
 * blanks become '_'. When the table is full, or without memory: the id of
 * "(other)". */
name_id name_intern(const char *s, size_t len);
name_id name_intern_str(const char *s);
/* The text of an id; borrowed, lives as long as the process. */
const char *name_text(name_id id);
/* Frees the table; every id is invalid then. For exit only. */
void names_destroy(void);

#endif
