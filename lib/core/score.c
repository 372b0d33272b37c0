/*
 * score: see score.h. The Lua script of the Redis store mirrors score_apply()
 * and level_duration() operation by operation: change them together.
 */
#include "lib/core/score.h"

#include <math.h>

double
score_apply(struct score *s, bool fresh, double weight, double t, double window)
{
	if (fresh || t - s->last >= window) {
		s->score = 0;
		s->first = t;
		s->last = t;
	}
	if (t > s->last) {
		if (s->first < t - window) {
			s->score = s->score * window / (t - s->first);
			s->first = t - window;
		}
		s->last = t;
	}
	s->score += weight;
	if (s->score < 0)
		s->score = 0;
	return s->score;
}

int
level_reached(const struct level *levels, size_t n, double score)
{
	int found = -1;

	for (size_t i = 0; i < n; i++)
		if (score >= levels[i].threshold)
			found = (int)i;
	return found;
}

int
level_find(const struct level *levels, size_t n, name_id name)
{
	for (size_t i = 0; i < n; i++)
		if (levels[i].name == name)
			return (int)i;
	return -1;
}

double
level_duration(
    const struct level *level, const struct repeat *repeat, unsigned strikes)
{
	double d = level->duration * pow(repeat->factor, strikes);

	/* The cap limits the growth, not a level that is longer by itself. */
	return d > repeat->max ? fmax(repeat->max, level->duration) : d;
}
