/*
 * rscript: the Lua scripts that run inside Redis, and their names.
 *
 * Each is loaded with SCRIPT LOAD when a connection is made, and called with
 * EVALSHA ... 0. Keys are built in the scripts from the prefix: this store
 * does not run on Redis Cluster, where blocks and scores of an address would
 * have to lie in one slot.
 *
 * Arguments (A) and replies (R); P is the prefix of all keys, PAT the same
 * with glob characters escaped; numbers travel as %.17g, so nothing is lost:
 *
 *  HITS    A: P now window factor max memory host n (name threshold duration)*n
 *             (addr t weight rule epoch offset)*
 *          R: [flags, value...]: one flag for each hit: 0 applied before,
 *             1 applied, b blocked, r raised, e not applied, because the key
 *             has another type; for each b and r the value of the block key
 *  READ    A: key*                       R: [value|nil, ttl ms]* ("" = another
 *             type)
 *  SCAN    A: cursor PAT count           R: [cursor, (key, value, ttl ms)*]
 *  ALLOW_SCAN  A: P cursor count         R: [cursor, entry*]
 *  BLOCK   A: P addr value ms            R: 1
 *  LIFT    A: P addr forgive(0|1) host   R: [block, score, strikes]: what there
 *             was
 *  LIFT_ALL    A: P PAT cursor count host  R: [cursor, addr*]
 *  ALLOW   A: P addr present(0|1) host   R: 1 = it changed
 *  FETCH   A: P addr                     R: [strikes, [field, value]*]
 *  TELL    A: P addr host line*          R: 1
 *  LINES   A: P addr from count          R: [from|"", (host, line)*] of at most
 *             LINES_MAX lines, and where to go on
 *  TOP     A: P PAT cursor count least   R: [cursor, (addr, strikes, [field,
 *             value]*)*] of the scores >= least
 */
#ifndef MXW_RSCRIPT_H
#define MXW_RSCRIPT_H

#define RSCRIPT_LINES_MAX 20

enum rscript {
	RSCRIPT_HITS,
	RSCRIPT_READ,
	RSCRIPT_SCAN,
	RSCRIPT_ALLOW_SCAN,
	RSCRIPT_BLOCK,
	RSCRIPT_LIFT,
	RSCRIPT_LIFT_ALL,
	RSCRIPT_ALLOW,
	RSCRIPT_FETCH,
	RSCRIPT_TELL,
	RSCRIPT_LINES,
	RSCRIPT_TOP,
	RSCRIPT_COUNT,
};

const char *rscript_text(enum rscript);

#endif
