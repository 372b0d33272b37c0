/* wordset: case, names below a domain, files, bytes from a log. */
#include "lib/core/wordset.h"

#include <stdlib.h>
#include <unistd.h>

#include "lib/core/errbuf.h"
#include "t/unit/tap.h"

static bool
has(const struct wordset *ws, const char *word)
{
	return wordset_has(ws, word, strlen(word));
}

static void
test_words(void)
{
	struct wordset *ws = wordset_create();
	char *copy;

	ok(!has(ws, "a") && !has(ws, ""), "empty");
	wordset_add(ws, "example.org");
	wordset_add(ws, "EXAMPLE.ORG");
	wordset_add(ws, ".Example.net");
	wordset_add(ws, "bob");
	is_int(wordset_count(ws), 3, "words count once");
	ok(has(ws, "example.org") && has(ws, "Example.Org"), "in any case");
	ok(!has(ws, "mail.example.org"), "not what is below");
	ok(!has(ws, "example.or") && !has(ws, "example.orgx"), "all of it");
	ok(has(ws, "a.example.net") && has(ws, "A.B.EXAMPLE.NET"),
	    "below a domain");
	ok(!has(ws, "example.net"), "not the domain itself");
	ok(!has(ws, "anexample.net"), "not any end");
	ok(!has(ws, "a.example.net."), "nor a root dot");
	ok(!has(ws, "."), "only a dot");
	ok(!has(ws, "..."), "only dots");
	ok(!has(ws, ""), "nothing");
	/* A NUL from the log ends neither the word nor the comparison. */
	copy = malloc(20);
	if (copy != NULL) {
		memcpy(copy, "bob\0xxxxxxxxxxxxxxxx", 20);
		ok(!wordset_has(ws, copy, 20), "a NUL behind a word");
		ok(wordset_has(ws, copy, 3), "without it");
	}
	free(copy);
	wordset_destroy(&ws);
	wordset_destroy(&ws);
	ok(ws == NULL, "destroyed");
}

static void
test_many(void)
{
	struct wordset *ws = wordset_create();
	unsigned wrong = 0;
	char word[32];

	for (int i = 0; i < 20000; i++) {
		snprintf(
		    word, sizeof(word), "%sd%d.example", i % 2 ? "." : "", i);
		wordset_add(ws, word);
	}
	for (int i = 0; i < 20000; i++) {
		snprintf(
		    word, sizeof(word), "%sD%d.example", i % 2 ? "a." : "", i);
		wrong += !has(ws, word);
		snprintf(
		    word, sizeof(word), "%sd%d.example", i % 2 ? "" : "a.", i);
		wrong += has(ws, word);
	}
	is_int(wordset_count(ws), 20000, "many words");
	is_int(wrong, 0, "found, and no others");
	wordset_destroy(&ws);
}

static void
test_file(void)
{
	static const char text[] = "# a list\n\nexample.org\n"
				   "  .example.net # all of them\n"
				   "one two\r\n\tthree\r\nlast";
	char path[] = "/tmp/wordset_test.XXXXXX";
	struct wordset *ws = wordset_create();
	int fd = mkstemp(path);
	struct errbuf err = { "" };

	ok(fd >= 0 &&
		write(fd, text, sizeof(text) - 1) == (ssize_t)sizeof(text) - 1,
	    "a file");
	close(fd);
	is_int(wordset_add_file(ws, path, &err), 0, "is read");
	unlink(path);
	is_int(wordset_count(ws), 5, "five words");
	ok(has(ws, "example.org") && has(ws, "x.example.net") &&
		has(ws, "one") && has(ws, "three") && has(ws, "last") &&
		!has(ws, "two") && !has(ws, "#"),
	    "the first of each line");
	is_int(
	    wordset_add_file(ws, path, &err), -1, "a file that is not there");
	ok(strstr(err.text, path) != NULL, "is named");
	is_int(wordset_add_file(ws, "/tmp", &err), -1, "a directory");
	ok(strstr(err.text, "/tmp: ") != NULL, "is named: %s", err.text);
	wordset_destroy(&ws);
}

int
main(void)
{
	test_words();
	test_many();
	test_file();
	return tap_done();
}
