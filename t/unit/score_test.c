/* score: the arithmetic of score.h, levels, durations. */
#include "lib/core/score.h"

#include <float.h>

#include "t/unit/rnd.h"
#include "t/unit/tap.h"

#define W 600.0

static void
test_steps(void)
{
	struct score s = { 99, 98, 97 };

	is_num(score_apply(&s, true, 2, 1000, W), 2, "the first offence");
	is_num(s.first, 1000, "starts the window");
	is_num(s.last, 1000, "and is the newest");
	is_num(score_apply(&s, false, 3, 1100, W), 5, "they add up");
	is_num(s.first, 1000, "in the same window");
	is_num(s.last, 1100, "still so");
	is_num(score_apply(&s, false, 1, 1050, W), 6,
	    "an older one adds its weight");
	is_num(s.last, 1100, "and changes no time");
	is_num(score_apply(&s, false, 1, 900, W), 7, "even from before");
	is_num(s.first, 1000, "still so");
	is_num(score_apply(&s, false, 1, 1600, W), 8,
	    "the window's whole length still counts in full");
	is_num(s.first, 1000, "still so");
	/* 750 s after first: 600/750 of the pile is left. */
	is_num(score_apply(&s, false, 0, 1750, W), 8 * W / 750,
	    "then it decays by rate");
	is_num(s.first, 1150, "the window moves on");
	is_num(score_apply(&s, false, 1, 1750 + W - 0.001, W),
	    8 * W / 750 * W / (1750 + W - 0.001 - 1150) + 1,
	    "just before it is forgotten");
	is_num(score_apply(&s, false, 1, s.last + W, W), 1,
	    "forgotten W after the last");
	is_num(s.first, s.last, "a new window");
	is_num(score_apply(&s, false, -5, s.last + 1, W), 0,
	    "what forgives does not go below 0");
	is_num(score_apply(&s, false, 2, s.last + 1, W), 2, "and leaves none");
	is_num(score_apply(&s, true, -1, 5000, W), 0, "nor as the first");
}

/* score.h once more, in its own words. */
struct model {
	double score, first, last;
	bool known;
};

static double
model_apply(struct model *m, double w, double t, double window)
{
	if (!m->known || t - m->last >= window)
		*m = (struct model){ 0, t, t, true };
	if (t > m->last) {
		if (m->first < t - window) {
			m->score = m->score * window / (t - m->first);
			m->first = t - window;
		}
		m->last = t;
	}
	m->score = m->score + w > 0 ? m->score + w : 0;
	return m->score;
}

static void
test_random(void)
{
	unsigned differ = 0, odd = 0;

	for (int run = 0; run < 2000; run++) {
		double window = run % 3 ? 600 : rnd_real() * 1e5 + 1;
		double t = 1.7e9 + rnd_real(), sum = 0, start = t;
		struct score s = { 0, 0, 0 };
		struct model m = { 0, 0, 0, false };

		for (int i = 0; i < 100; i++) {
			double w = rnd_below(8) == 0 ? -rnd_real() * 3
						     : rnd_below(9) * 0.25;
			double at = t - (rnd_below(5) ? 0 : rnd_real() * 900);
			double before =
			    m.known && at - m.last < window ? m.score : 0;
			double got = score_apply(&s, !m.known, w, at, window);

			differ += got != model_apply(&m, w, at, window) ||
			    s.score != m.score || s.first != m.first ||
			    s.last != m.last;
			/* Never more than before and the weight, never
			 * negative; the window is never longer than W. */
			odd += !(got >= 0) ||
			    got > fmax(0, before + w) + 1e-9 ||
			    s.last - s.first > window * (1 + 1e-9) ||
			    s.last < s.first;
			/* In the first window: exactly the sum. */
			if (i == 0)
				start = at;
			if (w < 0 || at < start)
				sum = NAN;
			sum += w;
			if (!isnan(sum) && s.last - start <= window &&
			    s.first == start)
				odd += got != sum;
			t += rnd_below(4) ? rnd_real() * window / 20
					  : rnd_real() * window * 1.3;
		}
	}
	is_int(differ, 0, "the same numbers, to the last bit");
	is_int(odd, 0, "bounds hold");
}

static void
test_rate(void)
{
	struct score s;
	double got = 0;

	/* A steady stream settles at what falls into one window. */
	for (int i = 0; i < 5000; i++)
		got = score_apply(&s, i == 0, 1, 1e9 + i * 10, W);
	ok(got > 55 && got < 65, "a steady rate scores as one window (%g)",
	    got);
}

static void
test_levels(void)
{
	struct level levels[] = { { .name = name_intern_str("defer"),
				      .threshold = 5 },
		{ .name = name_intern_str("reject"), .threshold = 10 },
		{ .name = name_intern_str("firewall"), .threshold = 20 } };

	is_int(level_reached(levels, 3, 0), -1, "no level");
	is_int(level_reached(levels, 3, 4.999), -1, "not yet");
	is_int(level_reached(levels, 3, 5), 0, "exactly");
	is_int(level_reached(levels, 3, 9.999), 0, "between");
	is_int(level_reached(levels, 3, 10), 1, "the second");
	is_int(level_reached(levels, 3, 1e9), 2, "the last");
	is_int(level_reached(levels, 0, 1e9), -1, "no ladder");
	is_int(level_find(levels, 3, name_intern_str("reject")), 1, "by name");
	is_int(
	    level_find(levels, 3, name_intern_str("Reject")), -1, "by another");
	names_destroy();
}

static void
test_duration(void)
{
	struct level l = { .duration = 600 };
	struct repeat r = { 2, 7 * 86400, 30 * 86400 };
	double last = 0;

	is_num(level_duration(&l, &r, 0), 600, "the first time");
	is_num(level_duration(&l, &r, 1), 1200, "twice as long");
	is_num(level_duration(&l, &r, 5), 19200, "2^5");
	is_num(level_duration(&l, &r, 9), 307200, "below the cap");
	is_num(level_duration(&l, &r, 10), 604800, "the cap");
	is_num(level_duration(&l, &r, 5000), 604800, "without end");
	is_num(level_duration(&l, &r, 4294967295u), 604800, "whatever");
	for (unsigned i = 0; i < 100; i++) {
		double d = level_duration(&l, &r, i);

		if (d < last)
			ok(false, "shorter at %u", i);
		last = d;
	}
	r.factor = 1;
	is_num(level_duration(&l, &r, 1000), 600, "factor 1");
	r.factor = 1.5;
	is_num(level_duration(&l, &r, 2), 1350, "factor 1.5");
	r.factor = 100;
	r.max = 3650 * 86400.0;
	is_num(level_duration(&l, &r, 300), r.max, "a large factor");
	l.duration = 30 * 86400;
	r.max = 7 * 86400;
	is_num(level_duration(&l, &r, 0), l.duration,
	    "the cap does not shorten a level that is longer by itself");
	is_num(level_duration(&l, &r, 3), l.duration, "nor lets it grow");
}

int
main(void)
{
	test_steps();
	test_random();
	test_rate();
	test_levels();
	test_duration();
	return tap_done();
}
