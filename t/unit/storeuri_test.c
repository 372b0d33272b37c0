/* storeuri: the value of the option `store`. */
#include "lib/core/storeuri.h"

#include <stdlib.h>

#include "t/unit/rnd.h"
#include "t/unit/tap.h"

#define MANY_HOSTS                                                      \
	"sentinel://m@1.1.1.1,1.1.1.2,1.1.1.3,1.1.1.4,1.1.1.5,1.1.1.6," \
	"1.1.1.7,1.1.1.8,1.1.1.9"

static void
test_good(void)
{
	static const struct {
		const char *text;
		enum storeuri_kind kind;
		unsigned hosts, port, db;
		const char *addr, *path, *name, *user, *password;
	} cases[] = {
		{ "embedded", STOREURI_EMBEDDED, 0, 0, 0, "", "", "", "", "" },
		{ "redis://127.0.0.1", STOREURI_TCP, 1, 6379, 0, "127.0.0.1",
		    "", "", "", "" },
		{ "redis://localhost:6380/3", STOREURI_TCP, 1, 6380, 3,
		    "127.0.0.1", "", "", "", "" },
		{ "redis://[2001:db8::1]:1/", STOREURI_TCP, 1, 1, 0,
		    "2001:db8::1", "", "", "", "" },
		{ "redis://[::1]", STOREURI_TCP, 1, 6379, 0, "::1", "", "", "",
		    "" },
		{ "redis://bob:s%40%2fe:c@192.0.2.1", STOREURI_TCP, 1, 6379, 0,
		    "192.0.2.1", "", "", "bob", "s@/e:c" },
		{ "redis://:p@ss/w@192.0.2.1/1", STOREURI_TCP, 1, 6379, 1,
		    "192.0.2.1", "", "", "", "p@ss/w" },
		{ "redis+unix:///run/redis.sock", STOREURI_UNIX, 0, 0, 0, "",
		    "/run/redis.sock", "", "", "" },
		{ "redis+unix://bob:x@/run/r?db=7", STOREURI_UNIX, 0, 0, 7, "",
		    "/run/r", "", "bob", "x" },
		{ "redis+unix:///run/a@b", STOREURI_UNIX, 0, 0, 0, "",
		    "/run/a@b", "", "", "" },
		{ "sentinel://mymaster@192.0.2.1", STOREURI_SENTINEL, 1, 26379,
		    0, "192.0.2.1", "", "mymaster", "", "" },
		{ "sentinel://m@192.0.2.1:1,[::1]:2,localhost/4",
		    STOREURI_SENTINEL, 3, 1, 4, "192.0.2.1", "", "m", "", "" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[ADDR_STRLEN] = "";
		struct errbuf err = { "" };
		struct storeuri u;
		bool good = storeuri_parse(cases[i].text, &u, &err);

		if (!ok(good, "%s %s", cases[i].text, err.text))
			continue;
		if (u.n_hosts > 0)
			addr_format(&u.hosts[0].addr, text);
		ok(u.kind == cases[i].kind && u.n_hosts == cases[i].hosts &&
			u.db == cases[i].db &&
			(u.n_hosts == 0 || u.hosts[0].port == cases[i].port),
		    "kind, hosts, port, database");
		is_str(text, cases[i].addr, "address");
		is_str(u.path, cases[i].path, "path");
		is_str(u.name, cases[i].name, "name");
		is_str(u.user, cases[i].user, "user");
		is_str(u.password, cases[i].password, "password");
	}
}

static void
test_bad(void)
{
	static const char *const bad[] = { "", "Embedded", "embedded ", "redis",
		"redis:", "redis:/192.0.2.1", "redis://",
		"redis://redis.example.org",
		"redis://192.0.2.1:", "redis://192.0.2.1:0",
		"redis://192.0.2.1:65536", "redis://192.0.2.1:x",
		"redis://192.0.2.1/x", "redis://192.0.2.1/-1",
		"redis://192.0.2.1/1/2", "redis://192.0.2.1/1000001",
		"redis://::1", "redis://[::1", "redis://[::1]x", "redis://[]",
		"redis://192.0.2.1,192.0.2.2", "redis://a%4@192.0.2.1",
		"redis://a%zz@192.0.2.1", "redis://a%00@192.0.2.1",
		"redis://a%0a:secret@192.0.2.1", "rediss://192.0.2.1",
		"redis+unix://run/x", "redis+unix://", "redis+unix:///x?y=1",
		"redis+unix:///x?db=", "sentinel://", "sentinel://192.0.2.1",
		"sentinel://@192.0.2.1", "sentinel://m@",
		"sentinel://m@192.0.2.1,", "sentinel://m@,192.0.2.1",
		"sentinel://m@192.0.2.1/x", MANY_HOSTS,
		"redis://secret:secret@nowhere.example" };
	struct storeuri u;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct errbuf err = { "" };

		ok(!storeuri_parse(bad[i], &u, &err), "refused: '%s'", bad[i]);
		ok(err.text[0] != '\0' && strstr(err.text, "secret") == NULL,
		    "%s", err.text);
	}
}

static void
test_lengths(void)
{
	char text[1000];
	struct storeuri u;
	struct errbuf err;

	snprintf(text, sizeof(text), "redis+unix:///%0106d", 0);
	ok(storeuri_parse(text, &u, &err), "the longest path");
	snprintf(text, sizeof(text), "redis+unix:///%0107d", 0);
	ok(!storeuri_parse(text, &u, &err), "a longer one");
	snprintf(text, sizeof(text), "redis://:%0255d@127.0.0.1", 0);
	ok(storeuri_parse(text, &u, &err), "the longest password");
	snprintf(text, sizeof(text), "redis://:%0256d@127.0.0.1", 0);
	ok(!storeuri_parse(text, &u, &err), "a longer one");
}

static void
test_damage(void)
{
	static const char *const good[] = {
		"redis://bob:s%40e@192.0.2.1:6379/3",
		"redis+unix://u:p@/run/x?db=3",
		"sentinel://m@192.0.2.1:1,[::1]:2/4"
	};
	unsigned wrong = 0;

	for (int i = 0; i < 30000; i++) {
		char *p = strdup(good[rnd_below(3)]);
		struct errbuf err = { "" };
		struct storeuri u;

		if (p == NULL)
			exit(1);
		for (unsigned n = 1 + rnd_below(3); n > 0; n--)
			p[rnd_below((unsigned)strlen(p))] =
			    ":/@[]%,?0aF=x.\xff"[rnd_below(15)];
		if (!storeuri_parse(p, &u, &err))
			wrong += err.text[0] == '\0';
		else
			wrong += u.n_hosts > STOREURI_HOSTS ||
			    (u.kind == STOREURI_TCP && u.n_hosts != 1);
		free(p);
	}
	is_int(wrong, 0, "damaged ones");
}

int
main(void)
{
	test_good();
	test_bad();
	test_lengths();
	test_damage();
	return tap_done();
}
