/*
 * history: the last offences of an address, as the log told them, for `show`.
 *
 * A fixed number of addresses with HISTORY_LINES lines each, whatever the size
 * of the other tables: about 1.1 KiB an address, used only as it fills. When
 * it is full, the address that offended the longest ago goes; those that are
 * blocked ("held") are the last to go, as long as they are not more than three
 * quarters of all.
 *
 * The text of a line is hostile. Control characters become '?' on the way in,
 * so that none reaches a file, Redis or a terminal through here; it may still
 * be any other bytes.
 */
#ifndef MXW_HISTORY_H
#define MXW_HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/core/addr.h"
#include "lib/core/names.h"

#define HISTORY_LINES 5
#define HISTORY_TEXT 200 /* bytes of a line that are kept */
#define HISTORY_ADDRESSES 4096

struct history_line {
	double t;      /* seconds since 1970 */
	double weight; /* of the whole offence */
	name_id rule;
	name_id host; /* that read it */
	name_id log;
	uint8_t len;
	char text[HISTORY_TEXT]; /* no NUL */
};

struct history;
struct snapshot_reader;
struct snapshot_writer;

struct history *history_create(size_t max_addresses);
void history_destroy(struct history **);

/* Puts the text of a line, without time and host, into `line`: cut, and free
 * of control characters. */
void history_set_text(struct history_line *, const char *text, size_t len);
/* Adds a line of this address (a prefix, as it is scored). */
void history_add(struct history *, const struct addr *,
    const struct history_line *, bool held);
/* The address is blocked, or not any more; unknown ones are ignored. */
void history_hold(struct history *, const struct addr *, bool held);
/* Oldest first; how many. */
size_t history_get(const struct history *, const struct addr *,
    struct history_line out[HISTORY_LINES]);
size_t history_count(const struct history *);

/* A line as text, for Redis:
 *
 *     t=T weight=W rule=NAME log=NAME TEXT
 *
 * The host stands elsewhere. Returns the length. */
#define HISTORY_VALUE_MAX 1024
size_t history_format(const struct history_line *, char buf[HISTORY_VALUE_MAX]);
/* From a network: everything is checked. The host is left alone. */
bool history_parse(const char *s, size_t len, struct history_line *out);

/* The content of a snapshot section, the address that offended the longest
 * ago first. `held` tells whether one is blocked. */
void history_save(const struct history *, struct snapshot_writer *);
void history_load(struct history *, struct snapshot_reader *,
    bool (*held)(void *ctx, const struct addr *), void *ctx);

#endif
