/*
 * shapes: lines that name a client but match no rule, by what they look like:
 * so that somebody can find what his rules do not know.
 *
 * The shape of a line is its program and its message with addresses, numbers,
 * ids, mail addresses and quoted texts replaced by placeholders. Bounded: of
 * more than SHAPES_MAX shapes the later ones are counted together.
 */
#ifndef MXW_SHAPES_H
#define MXW_SHAPES_H

#include <stddef.h>
#include <stdint.h>

#include "lib/core/logline.h"

#define SHAPES_MAX 20000
#define SHAPES_LEN 200 /* bytes of a shape that are kept */

struct shapes;

struct shape {
	char *text;
	char *example; /* the message of the first such line */
	uint64_t count;
};

struct shapes *shapes_create(void);
void shapes_destroy(struct shapes **);
/* Takes the line if it names an address. */
void shapes_add(struct shapes *, const struct logline *);
/* The n commonest, commonest first; returns how many there are. Borrowed until
 * the next call. */
size_t shapes_top(struct shapes *, size_t n, const struct shape **out);
/* Lines that were taken, and those of them whose shape was not kept. */
uint64_t shapes_lines(const struct shapes *);
uint64_t shapes_other(const struct shapes *);

#endif
