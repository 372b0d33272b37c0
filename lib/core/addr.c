/*
 * addr: see addr.h.
 */
#include "lib/core/addr.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "lib/core/num.h"

static const uint8_t addr_mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff,
	0xff };

bool
addr_is_v4(const struct addr *a)
{
	return a->plen >= ADDR_V4_BITS && memcmp(a->b, addr_mapped, 12) == 0;
}

bool
addr_is_host(const struct addr *a)
{
	return a->plen == 128;
}

unsigned
addr_prefix_len(const struct addr *a)
{
	return addr_is_v4(a) ? a->plen - ADDR_V4_BITS : a->plen;
}

/* Dotted quad by hand: it is on the path of every log line that matches and
 * every policy request, and inet_pton() wants a copy. Same grammar: four
 * decimal numbers up to 255 without leading zeros. */
static bool
addr_parse_v4(const char *s, size_t len, uint8_t out[4])
{
	size_t i = 0;

	for (int part = 0; part < 4; part++) {
		unsigned n = 0;
		size_t start = i;

		while (i < len && (unsigned char)(s[i] - '0') <= 9) {
			n = n * 10 + (unsigned)(s[i] - '0');
			if (++i - start > 3)
				return false;
		}
		if (i == start || n > 255 || (s[start] == '0' && i - start > 1))
			return false;
		out[part] = (uint8_t)n;
		if (part < 3) {
			if (i >= len || s[i] != '.')
				return false;
			i++;
		}
	}
	return i == len;
}

bool
addr_parse_host(const char *s, size_t len, struct addr *out)
{
	char buf[INET6_ADDRSTRLEN];

	if (len < 2 || len >= sizeof(buf))
		return false;
	if (memchr(s, ':', len) == NULL) {
		memcpy(out->b, addr_mapped, 12);
		if (!addr_parse_v4(s, len, out->b + 12))
			return false;
	} else {
		if (memchr(s, '\0', len) != NULL)
			return false;
		memcpy(buf, s, len);
		buf[len] = '\0';
		if (inet_pton(AF_INET6, buf, out->b) != 1)
			return false;
	}
	out->plen = 128;
	return true;
}

bool
addr_parse(const char *s, size_t len, struct addr *out)
{
	const char *slash = memchr(s, '/', len);
	struct addr host;
	uint64_t plen;
	size_t hlen;

	if (slash == NULL)
		return addr_parse_host(s, len, out);
	hlen = (size_t)(slash - s);
	if (!addr_parse_host(s, hlen, &host) ||
	    !num_parse_u64(slash + 1, len - hlen - 1, &plen))
		return false;
	if (memchr(s, ':', hlen) == NULL) {
		if (plen > 32)
			return false;
		plen += ADDR_V4_BITS;
	} else if (plen > 128 || (addr_is_v4(&host) && plen < ADDR_V4_BITS)) {
		return false;
	}
	*out = addr_mask(&host, (unsigned)plen);
	return true;
}

/* What inet_ntop(3) writes, without its sprintf(3): every refusal has one. */
static void
addr_format_v4(const uint8_t b[4], char *out)
{
	for (int i = 0; i < 4; i++) {
		if (b[i] >= 100)
			*out++ = (char)('0' + b[i] / 100);
		if (b[i] >= 10)
			*out++ = (char)('0' + b[i] / 10 % 10);
		*out++ = (char)('0' + b[i] % 10);
		*out++ = i < 3 ? '.' : '\0';
	}
}

char *
addr_format(const struct addr *a, char buf[ADDR_STRLEN])
{
	if (addr_is_v4(a))
		addr_format_v4(a->b + 12, buf);
	else
		inet_ntop(AF_INET6, a->b, buf, ADDR_STRLEN);
	if (a->plen < 128) {
		size_t n = strlen(buf);

		snprintf(buf + n, ADDR_STRLEN - n, "/%u", addr_prefix_len(a));
	}
	return buf;
}

struct addr
addr_mask(const struct addr *a, unsigned plen)
{
	struct addr r = *a;
	unsigned whole;

	if (plen >= r.plen)
		return r;
	whole = plen / 8;
	if (plen % 8 != 0) {
		r.b[whole] &= (uint8_t)(0xff00u >> (plen % 8));
		whole++;
	}
	memset(r.b + whole, 0, 16 - whole);
	r.plen = (uint8_t)plen;
	return r;
}

bool
addr_contains(const struct addr *prefix, const struct addr *a)
{
	struct addr m;

	if (a->plen < prefix->plen)
		return false;
	m = addr_mask(a, prefix->plen);
	return addr_equal(&m, prefix);
}

bool
addr_equal(const struct addr *a, const struct addr *b)
{
	return a->plen == b->plen && memcmp(a->b, b->b, 16) == 0;
}

int
addr_compare(const struct addr *a, const struct addr *b)
{
	int c = memcmp(a->b, b->b, 16);

	return c != 0 ? c : (int)a->plen - (int)b->plen;
}

/* Two rounds of the finaliser of splitmix64 over the halves. */
static uint64_t
addr_mix(uint64_t x)
{
	x ^= x >> 30;
	x *= 0xbf58476d1ce4e5b9u;
	x ^= x >> 27;
	x *= 0x94d049bb133111ebu;
	return x ^ (x >> 31);
}

uint64_t
addr_hash(const struct addr *a, uint64_t seed)
{
	uint64_t hi, lo;

	memcpy(&hi, a->b, 8);
	memcpy(&lo, a->b + 8, 8);
	return addr_mix(
	    addr_mix(hi ^ seed) + lo + a->plen * 0x9e3779b97f4a7c15u);
}
