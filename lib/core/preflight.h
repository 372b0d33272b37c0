/*
 * preflight: does this host have what the configuration needs? Asked by
 * `mxwarden check`, by mxwardend before it starts, and by the helper.
 */
#ifndef MXW_PREFLIGHT_H
#define MXW_PREFLIGHT_H

#include "lib/core/conf.h"
#include "lib/core/errbuf.h"

/* The programs of the firewall backend. -1 and which one is missing. */
int preflight_tools(const struct conf *, struct errbuf *);
/* For a firewall: those, the helper, and, asked by root, whether the helper
 * will accept the configuration. */
int preflight_check(const struct conf *, struct errbuf *);

#endif
