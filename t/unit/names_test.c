/* names: interning, odd bytes, a full table. */
#include "lib/core/names.h"

#include "t/unit/rnd.h"
#include "t/unit/tap.h"

static void
test_basics(void)
{
	char longest[NAMES_LEN + 10], cut[NAMES_LEN + 1];
	name_id a, b;

	is_int(name_intern_str(""), 0, "\"\" is 0");
	is_str(name_text(0), "", "0 is \"\"");
	a = name_intern_str("postfix-auth");
	ok(a != 0, "a name");
	is_int(name_intern("postfix-auth!", 12), a, "the same bytes");
	ok(name_intern("postfix-auth", 11) != a, "a prefix is another");
	ok(name_intern_str("postfix-authx") != a, "a longer one is another");
	is_str(name_text(a), "postfix-auth", "its text");
	is_str(name_text(name_intern("a b\tc\nd\0e\x7f"
				     "f",
		   11)),
	    "a_b_c_d_e_f", "blanks and control characters");
	b = name_intern_str("caf\xc3\xa9\xff");
	is_str(name_text(b), "caf\xc3\xa9\xff", "other bytes are kept");
	memset(longest, 'x', sizeof(longest));
	memset(cut, 'x', NAMES_LEN);
	cut[NAMES_LEN] = '\0';
	a = name_intern(longest, sizeof(longest));
	is_str(name_text(a), cut, "too long is cut");
	is_int(name_intern(longest, NAMES_LEN), a, "and found as cut");
	ok(name_intern(longest, NAMES_LEN - 1) != a, "one less is another");
	is_str(name_text(NAMES_MAX - 1), "", "an id that is not in use");
}

static void
test_full(void)
{
	unsigned wrong = 0, other = 0;
	name_id ids[1000], full;
	char text[32];

	for (unsigned i = 0; i < NAMES_MAX + 500; i++) {
		name_id id;

		snprintf(text, sizeof(text), "name-%u", i);
		id = name_intern_str(text);
		if (i < 1000)
			ids[i] = id;
		if (strcmp(name_text(id), text) != 0)
			other++;
	}
	ok(other >= 500 && other < 600, "%u names did not fit", other);
	full = name_intern_str("one more");
	is_str(name_text(full), "(other)", "they are all one");
	is_int(name_intern_str("and another"), full, "the same one");
	for (unsigned i = 0; i < 1000; i++) {
		snprintf(text, sizeof(text), "name-%u", i);
		wrong += name_intern_str(text) != ids[i] ||
		    strcmp(name_text(ids[i]), text) != 0;
	}
	is_int(wrong, 0, "those that did fit are as before");
	names_destroy();
	names_destroy();
	is_int(name_intern_str(""), 0, "a new table after the old");
	is_str(name_text(name_intern_str("fresh")), "fresh", "and empty");
	names_destroy();
}

int
main(void)
{
	test_basics();
	test_full();
	return tap_done();
}
