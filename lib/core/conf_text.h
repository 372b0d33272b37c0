/*
 * conf_text: a configuration file and all that it includes, as one text, and
 * which file and line each line of it comes from.
 *
 * libconfuse could include files itself. But what it keeps about them is in
 * variables of the library: a file of a pattern counts as one more level of
 * nesting (ten at most), a mistake in an included file leaves that level
 * behind for good, so that after ten failed reloads none would succeed, and a
 * comment without an end hides the rest of a file. So comments and include()
 * are gone from the text that it gets to see, and strings are complete.
 *
 *   include("x.conf")
 *
 * stands outside of sections. The name is relative to the file that includes,
 * and may be a pattern (glob(7)): its files come in the order of their names,
 * and that there is none is an error.
 */
#ifndef MXW_CONF_TEXT_H
#define MXW_CONF_TEXT_H

#include <stdbool.h>

#include "lib/core/errbuf.h"

#define CONF_TEXT_DEPTH 10
#define CONF_TEXT_FILES 1000
#define CONF_TEXT_SIZE (16u << 20) /* of one file, and of all together */

struct conf_text;

/* May this file be read? If not, why: a static text. */
typedef const char *conf_text_check(const char *path);

/* NULL and a message "FILE:LINE: ..." on failure. */
struct conf_text *conf_text_read(
    const char *path, conf_text_check *, struct errbuf *);
void conf_text_destroy(struct conf_text **);
/* The text; borrowed. */
const char *conf_text_str(const struct conf_text *);
/* The file and line that a line of the text (from 1) comes from; the first
 * file and 0 for one that it does not have. */
const char *conf_text_where(const struct conf_text *, int line, int *line_r);
/* For the line on which a section ends: the one on which it begins. */
int conf_text_begin(const struct conf_text *, int line);

#endif
