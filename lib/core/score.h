/*
 * score: the arithmetic of scoring, without any table.
 *
 * An offence of weight w at time t, window W, on a state (score, first, last):
 *
 *     if t - last >= W: start anew (score 0, first = last = t)
 *     if t > last:
 *         if first < t - W: score = score * W / (t - first); first = t - W
 *         last = t
 *     score = max(0, score + w)
 *
 * Within a window the score is the sum of the weights; beyond it decays by
 * rate; the state is O(1). The Redis script repeats these operations in this
 * order, so both give the same numbers.
 *
 * Levels form a ladder by threshold. Reaching one blocks for its duration
 * times factor ^ strikes, capped at max (a duration that is longer by itself
 * stays as it is), where strikes counts earlier blocks not older than `memory`.
 * While a block is active, offences only raise it to a higher level: that is
 * the same block, so it adds no strike, and its end never comes nearer. Only a
 * hit of positive weight blocks or raises: what forgives does not, however high
 * the score still is.
 */
#ifndef MXW_SCORE_H
#define MXW_SCORE_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/core/names.h"

struct score {
	double score;
	double first; /* start of the current window */
	double last;  /* time of the newest offence */
};

/* `fresh`: nothing is known yet. Returns the new score. */
double score_apply(
    struct score *, bool fresh, double weight, double t, double window);

#define LEVELS_MAX 16

struct level {
	name_id name;
	double threshold;
	double duration; /* seconds */
	const char *action;
	bool firewall;
};

struct repeat {
	double factor; /* >= 1 */
	double max;    /* seconds */
	double memory; /* seconds */
};

/* Highest level whose threshold the score reaches, or -1. Levels are sorted by
 * threshold, ascending. */
int level_reached(const struct level *levels, size_t n, double score);
/* Index of a level by name, or -1. */
int level_find(const struct level *levels, size_t n, name_id name);
/* Seconds to block for. */
double level_duration(
    const struct level *, const struct repeat *, unsigned strikes);

#endif
