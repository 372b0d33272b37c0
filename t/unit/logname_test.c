/* logname: which names are rotated forms of a log, and in which order. */
#include "lib/core/logname.h"

#include "t/unit/tap.h"

static void
test_names(void)
{
	static const struct {
		const char *name, *base;
		int kind; /* -1: no rotated form */
		const char *key;
	} cases[] = {
		{ "mail.log.1", "mail.log", LOGNAME_NUMBERED, "1" },
		{ "mail.log.0", "mail.log", LOGNAME_NUMBERED, "0" },
		{ "mail.log.1.gz", "mail.log", LOGNAME_NUMBERED, "1" },
		{ "mail.log.12.zst", "mail.log", LOGNAME_NUMBERED, "12" },
		{ "mail.1.log", "mail.log", LOGNAME_NUMBERED, "1" },
		{ "mail.1.log.gz", "mail.log", LOGNAME_NUMBERED, "1" },
		{ "mail.log-20261121", "mail.log", LOGNAME_DATED, "20261121" },
		{ "mail.log.20261121", "mail.log", LOGNAME_DATED, "20261121" },
		{ "mail.log.2026", "mail.log", LOGNAME_DATED, "2026" },
		{ "mail-20261121.log", "mail.log", LOGNAME_DATED, "20261121" },
		{ "mail-2026-11-21.log.xz", "mail.log", LOGNAME_DATED,
		    "2026-11-21" },
		{ "mail.log-20261121-235959", "mail.log", LOGNAME_DATED,
		    "20261121-235959" },
		{ "mail.log-20261121.gz", "mail.log", LOGNAME_DATED,
		    "20261121" },
		{ "mail.log-2026112108", "mail.log", LOGNAME_DATED,
		    "2026112108" },
		{ "mail.log-1795226034", "mail.log", LOGNAME_DATED,
		    "1795226034" },
		{ "mail.log-2026-11-21T08:00:00Z", "mail.log", LOGNAME_DATED,
		    "2026-11-21T08:00:00Z" },
		{ "mail.log.old", "mail.log", LOGNAME_OTHER, "old" },
		{ "mail.log.bak", "mail.log", LOGNAME_OTHER, "bak" },
		{ "mail.old.log", "mail.log", LOGNAME_OTHER, "old" },
		{ "maillog.1", "maillog", LOGNAME_NUMBERED, "1" },
		{ "maillog-20261121", "maillog", LOGNAME_DATED, "20261121" },
		{ "mail-20261120.log", "mail-20261121.log", LOGNAME_DATED,
		    "mail-20261120.log" },
		{ "mail-20261120.log.gz", "mail-20261121.log", LOGNAME_DATED,
		    "mail-20261120.log" },

		{ "mail.log", "mail.log", -1, NULL },
		{ "mail.log.", "mail.log", -1, NULL },
		{ "mail.log.gz", "mail.log", -1, NULL },
		{ "mail.log1", "mail.log", -1, NULL },
		{ "mail.log.1.new", "mail.log", -1, NULL },
		{ "mail.log.1a", "mail.log", -1, NULL },
		{ "mail.log.x", "mail.log", -1, NULL },
		{ "mail.log.older", "mail.log", -1, NULL },
		{ "mail.err.1", "mail.log", -1, NULL },
		{ "mail.err.log", "mail.log", -1, NULL },
		{ "xmail.log.1", "mail.log", -1, NULL },
		{ "mail", "mail.log", -1, NULL },
		{ "1.log", "mail.log", -1, NULL },
		{ "", "mail.log", -1, NULL },
		{ ".1", "mail.log", -1, NULL },
		{ "mail-20261122.log", "mail-20261121.log", -1, NULL },
		{ "mail-20261121.log", "mail-20261121.log", -1, NULL },
		{ "auth-20261120.log", "mail-20261121.log", -1, NULL },
		{ "mail-2.log", "mail-3.log", -1, NULL },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *name = cases[i].name;
		size_t len = strlen(name) - logname_packed(name, strlen(name));
		struct logname out = { LOGNAME_OTHER, 0, 0 };
		bool is = logname_parse(name, len, cases[i].base, &out);

		if (cases[i].kind < 0) {
			ok(!is, "'%s' is none of %s's", name, cases[i].base);
			continue;
		}
		ok(is && (int)out.kind == cases[i].kind &&
			out.key_len == strlen(cases[i].key) &&
			strncmp(name + out.key, cases[i].key, out.key_len) == 0,
		    "'%s' of %s", name, cases[i].base);
	}
}

static void
test_order(void)
{
	static const char *const rising[] = { "", "0", "1", "2", "9", "10",
		"11", "100", "20261121", "20261121-1", "20261122" };
	size_t n = sizeof(rising) / sizeof(rising[0]);
	unsigned wrong = 0;

	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < n; j++) {
			int c = logname_compare(rising[i], strlen(rising[i]),
			    rising[j], strlen(rising[j]));

			wrong += (c > 0) - (c < 0) != (i > j) - (i < j);
		}
	is_int(wrong, 0, "numbers by their value");
	is_int(logname_compare("01", 2, "1", 1), 0, "leading zeros");
	is_int(logname_packed("x.gz", 4), 3, "an ending");
	is_int(logname_packed(".gz", 3), 0, "but not only that");
	is_int(logname_packed("xgz", 3), 0, "nor without a dot");
}

int
main(void)
{
	test_names();
	test_order();
	return tap_done();
}
