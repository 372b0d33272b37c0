/*
 * addr: IPv4 and IPv6 addresses and prefixes, as values.
 *
 * Both families share one form: 16 bytes in network order, IPv4 as the mapped
 * range ::ffff:0:0/96, and a prefix length counted in those 128 bits. So
 * "::ffff:192.0.2.1" and "192.0.2.1" are the same value, and one table holds
 * both. Bits beyond the prefix length are always zero, so that equality is
 * memcmp. Text is parsed by inet_pton(3): no octal, no short forms, no scope
 * ids, no names.
 */
#ifndef MXW_ADDR_H
#define MXW_ADDR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct addr {
	uint8_t b[16];
	uint8_t plen; /* 0..128; IPv4 /n is 96 + n */
};

#define ADDR_STRLEN 52 /* longest text, with "/128" and the NUL */
#define ADDR_V4_BITS 96

/* A host address of either family. `s` need not be NUL-terminated. */
bool addr_parse_host(const char *s, size_t len, struct addr *out);
/* A host address, or `address/len`; bits beyond the length are cleared. A
 * length that reaches above the IPv4 range (::ffff:192.0.2.0/80) is refused. */
bool addr_parse(const char *s, size_t len, struct addr *out);

/* Canonical text: dotted quad or RFC 5952, "/len" only when it is wider than
 * a host. Returns buf. */
char *addr_format(const struct addr *a, char buf[ADDR_STRLEN]);

bool addr_is_v4(const struct addr *a);
bool addr_is_host(const struct addr *a);
/* Prefix length as written: 0..32 or 0..128. */
unsigned addr_prefix_len(const struct addr *a);
/* The enclosing prefix of at most `plen` bits (128-bit count); never longer
 * than `a` itself. */
struct addr addr_mask(const struct addr *a, unsigned plen);
/* Does `prefix` hold all of `a`? */
bool addr_contains(const struct addr *prefix, const struct addr *a);
bool addr_equal(const struct addr *a, const struct addr *b);
/* Total order: by address bytes, then by prefix length. */
int addr_compare(const struct addr *a, const struct addr *b);
/* A 64-bit hash of the value; the seed makes collisions unpredictable for
 * those who choose their addresses. */
uint64_t addr_hash(const struct addr *a, uint64_t seed);

#endif
