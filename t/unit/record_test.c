/* record: lines of the control protocol, there and back, and hostile ones. */
#include "lib/core/record.h"

#include <stdlib.h>
#include <string.h>

#include "t/unit/tap.h"

/* Parses a copy, so that the sanitizer sees every byte beyond the line. */
static char *copy;

static bool
parse(const char *line, size_t len, struct record *r)
{
	free(copy);
	copy = malloc(len + 1);
	if (copy == NULL)
		abort();
	memcpy(copy, line, len);
	copy[len] = 'x'; /* writable, not a terminator */
	return record_parse(copy, len, r);
}

static void
test_round_trip(void)
{
	static const char odd[] = "a\tb\nc\\d=e\0f\x7f\x01 \xc3\xa9\xff";
	static const double numbers[] = { 0, 1, -1, 0.1, 1.0 / 3, 5.25, 1e15,
		1765706317.123456, 1e300, -2.2250738585072014e-308,
		18446744073709551615.0 };
	struct record_out o = { 0 };
	struct record r;
	const struct record_field *f;
	const char *line;
	size_t len;

	record_begin(&o, "block");
	record_str(&o, "address", "192.0.2.1");
	record_strn(&o, "odd", odd, sizeof(odd) - 1);
	record_str(&o, "empty", "");
	record_str(&o, "none", NULL);
	record_num(&o, "score", 5.25);
	record_bool(&o, "yes", true);
	record_bool(&o, "no", false);
	record_time(&o, "since", 1765706317.25);
	record_duration(&o, "left", 90);
	record_null(&o, "until");
	record_num(&o, "endless", INFINITY);
	record_time(&o, "never", INFINITY);
	record_object(&o, "rules");
	record_member_num(&o, "rules", "a=b.c\t", 3);
	line = record_end(&o, &len);
	ok(line != NULL && line[len - 1] == '\n', "a line");
	ok(memchr(line, '\n', len) == line + len - 1 &&
		memchr(line, '\0', len) == NULL,
	    "one newline, no NUL");
	ok(parse(line, len - 1, &r), "it is read back");
	is_str(r.kind, "block", "kind");
	is_int(r.n_fields, 14, "fields");
	is_str(record_get_str(&r, "address", NULL), "192.0.2.1", "string");
	f = record_get(&r, "odd");
	ok(f != NULL && f->len == sizeof(odd) - 1 &&
		memcmp(f->value, odd, f->len + 1) == 0,
	    "any byte survives, NUL included");
	is_str(record_get_str(&r, "empty", NULL), "", "empty string");
	ok(record_get(&r, "none")->type == RECORD_NULL, "NULL is null");
	is_num(record_get_num(&r, "score", -1), 5.25, "number");
	ok(record_get_num(&r, "yes", -1) == 1 &&
		record_get_num(&r, "no", -1) == 0,
	    "booleans");
	is_num(record_get_num(&r, "since", -1), 1765706317.25, "time");
	ok(record_get(&r, "since")->type == RECORD_TIME, "is a time");
	is_num(record_get_num(&r, "left", -1), 90, "duration");
	ok(record_get(&r, "left")->type == RECORD_DURATION, "is a duration");
	ok(record_get(&r, "until")->type == RECORD_NULL, "null");
	ok(record_get(&r, "endless")->type == RECORD_NULL &&
		record_get(&r, "never")->type == RECORD_NULL,
	    "what is no number is null");
	ok(record_get(&r, "rules")->type == RECORD_OBJECT, "object");
	is_num(
	    record_get_num(&r, "rules.a=b.c\t", -1), 3, "a member of any name");
	is_num(record_get_num(&r, "address", -1), -1, "a string is no number");
	is_str(record_get_str(&r, "score", "x"), "x", "a number is no string");
	ok(record_get(&r, "nothing") == NULL &&
		record_get_num(&r, "nothing", 7) == 7,
	    "a field that is not there");

	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		record_begin(&o, "n");
		record_num(&o, "v", numbers[i]);
		line = record_end(&o, &len);
		ok(line != NULL && parse(line, len - 1, &r) &&
			record_get_num(&r, "v", 0.5) == numbers[i],
		    "%g comes back exactly", numbers[i]);
	}
	record_begin(&o, "n");
	record_num(&o, "v", 0.1);
	line = record_end(&o, &len);
	ok(len == 9 && memcmp(line, "n\tv=n0.1\n", 9) == 0,
	    "a number is written in its shortest form");
	record_free(&o);
	ok(o.buf == NULL, "freed");
}

static void
test_bounds(void)
{
	struct record_out o = { 0 };
	struct record r;
	char *big = calloc(1, RECORD_MAX + 1);
	const char *line;
	char text[2 * RECORD_FIELDS_MAX * 8];
	size_t len, n = 0;

	if (big == NULL)
		abort();
	memset(big, 'a', RECORD_MAX);
	record_begin(&o, "k");
	record_strn(&o, "v", big, RECORD_MAX - 6); /* "k\tv=s" and newline */
	line = record_end(&o, &len);
	ok(line != NULL && len == RECORD_MAX, "the longest record");
	ok(line != NULL && parse(line, len - 1, &r), "is read");
	record_begin(&o, "k");
	record_strn(&o, "v", big, RECORD_MAX - 5);
	ok(record_end(&o, &len) == NULL, "one byte more is an error");
	memset(big, '\n', RECORD_MAX / 4);
	record_begin(&o, "k");
	record_strn(&o, "v", big, RECORD_MAX / 4);
	ok(record_end(&o, &len) == NULL, "escapes count as they are written");
	record_begin(&o, "k");
	line = record_end(&o, &len);
	ok(line != NULL && len == 2, "the next record is not spoilt");
	memset(big, 'a', RECORD_MAX);
	ok(!parse(big, RECORD_MAX, &r), "an overlong line is refused");
	ok(parse(big, RECORD_MAX - 1, &r), "a long kind is not");
	record_free(&o);
	ok(record_end(&o, &len) == NULL, "nothing begun, nothing ended");

	text[n++] = 'k';
	for (int i = 0; i < RECORD_FIELDS_MAX; i++) {
		memcpy(text + n, "\ta=n1", 5);
		n += 5;
	}
	ok(parse(text, n, &r) && r.n_fields == RECORD_FIELDS_MAX,
	    "as many fields as there is room for");
	memcpy(text + n, "\ta=n1", 5);
	ok(!parse(text, n + 5, &r), "one more is refused");
	free(big);
}

static void
test_bad(void)
{
	static const struct {
		const char *line;
		size_t len;
		bool good;
	} cases[] = {
#define CASE(s, good) { s, sizeof(s) - 1, good }
		CASE("k", true),
		CASE("k\ta=s", true),
		CASE("k\ta=s=\\x5c\\x5C", true),
		CASE("k\x20k\ta b=sx", true),
		CASE("k\ta.b=n1\ta.=n1\t.b=n1", true),
		CASE("k\ta=n-1.5e3\tb=b0\tc=b1\td=z\te=o\tf=t0\tg=d1", true),
		CASE("", false),
		CASE("\ta=s", false),
		CASE("k\t", false),
		CASE("k\t\ta=s", false),
		CASE("k\ta", false),
		CASE("k\ta=", false),
		CASE("k\t=s", false),
		CASE("k\ta=x1", false),
		CASE("k\ta=S1", false),
		CASE("k\ta=\\x731", false),
		CASE("k\ta=n", false),
		CASE("k\ta=n1x", false),
		CASE("k\ta=n 1", false),
		CASE("k\ta=ninf", false),
		CASE("k\ta=nnan", false),
		CASE("k\ta=n0x10", false),
		CASE("k\ta=n1\\x00", false),
		CASE("k\ta=t", false),
		CASE("k\ta=dx", false),
		CASE("k\ta=b", false),
		CASE("k\ta=b2", false),
		CASE("k\ta=b10", false),
		CASE("k\ta=b1\\x00", false),
		CASE("k\ta=z0", false),
		CASE("k\ta=o{}", false),
		CASE("k\ta=s\\", false),
		CASE("k\ta=s\\x", false),
		CASE("k\ta=s\\x4", false),
		CASE("k\ta=s\\x4g", false),
		CASE("k\ta=s\\y41", false),
		CASE("k\ta=s\\n", false),
		CASE("k\ta=sx\ny", false),
		CASE("k\ta=sx\ry", false),
		CASE("k\ta=s\0", false),
		CASE("k\ta=s\x7f", false),
		CASE("k\0\ta=s", false),
		CASE("k\\x00\ta=s", false),
		CASE("k\ta\\x00b=s", false),
		CASE("k\n", false),
#undef CASE
	};
	struct record r;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		ok(parse(cases[i].line, cases[i].len, &r) == cases[i].good,
		    "%s record %zu", cases[i].good ? "good" : "bad", i);
}

/* A line cut anywhere, and with any one byte changed: read or refused, never
 * read beyond (the sanitizers watch), and what is read is well-formed. */
static void
test_damage(void)
{
	static const char line[] =
	    "block\taddress=s192.0.2.1\tscore=n5.25\tuntil=t1765706317.25"
	    "\tleft=d90\tyes=b1\tnone=z\trules=o\trules.x\\x3Dy=n3"
	    "\todd=s\\x5C\\x0A";
	struct record r;
	size_t len = sizeof(line) - 1, cut_good = 0, bad = 0;
	char *changed = malloc(len);
	bool sound = true;

	if (changed == NULL)
		abort();
	for (size_t n = 0; n <= len; n++)
		if (parse(line, n, &r))
			cut_good++;
	ok(cut_good > 0 && cut_good < len, "cut lines: some are records");
	for (size_t i = 0; i < len; i++) {
		for (int c = 0; c < 256; c++) {
			memcpy(changed, line, len);
			changed[i] = (char)c;
			if (!parse(changed, len, &r)) {
				bad++;
				continue;
			}
			for (size_t f = 0; f < r.n_fields; f++)
				if (r.fields[f].value[r.fields[f].len] != 0 ||
				    r.fields[f].name[0] == '\0')
					sound = false;
		}
	}
	ok(sound, "what is read is terminated and named");
	ok(bad > 256, "damaged lines are refused");
	free(changed);
}

int
main(void)
{
	test_round_trip();
	test_bounds();
	test_bad();
	test_damage();
	free(copy);
	return tap_done();
}
