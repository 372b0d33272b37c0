/*
 * rnd: random numbers for tests, the same in each run. MXW_TEST_SEED in the
 * environment gives another sequence; a test that fails says with which.
 */
#ifndef MXW_RND_H
#define MXW_RND_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static uint64_t rnd_state;

/* xorshift64*. */
static uint64_t __attribute__((unused)) rnd(void)
{
	if (rnd_state == 0) {
		const char *seed = getenv("MXW_TEST_SEED");

		rnd_state = seed != NULL ? strtoull(seed, NULL, 0) : 1;
		printf("# MXW_TEST_SEED=%llu\n", (unsigned long long)rnd_state);
		rnd_state = rnd_state * 0x9e3779b97f4a7c15u | 1;
	}
	rnd_state ^= rnd_state >> 12;
	rnd_state ^= rnd_state << 25;
	rnd_state ^= rnd_state >> 27;
	return rnd_state * 0x2545f4914f6cdd1du;
}

/* 0 .. n-1 */
static unsigned __attribute__((unused)) rnd_below(unsigned n)
{
	return (unsigned)(rnd() >> 32) % n;
}

/* 0 <= x < 1 */
static double __attribute__((unused)) rnd_real(void)
{
	return (double)(rnd() >> 11) / 9007199254740992.0;
}

#endif
