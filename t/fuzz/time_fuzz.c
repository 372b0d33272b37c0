/*
 * time: timestamps. A span is never longer than the text; the cache gives what
 * a conversion without it gives; no time lies more than a day ahead of its
 * reference where the year is ours to choose.
 */
#include <math.h>
#include <string.h>

#include "lib/core/logline.h"
#include "lib/core/logtime.h"
#include "t/fuzz/fuzz.h"

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	setenv("TZ", "Europe/Berlin", 1);
	return 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct logtime cached;
	const char *s = (const char *)data;
	size_t n = logtime_span(s, size);
	struct logline line;
	double ref = 1795000000;

	must(n <= size);
	if (logline_parse(s, size, &line)) {
		must(line.msg >= s && line.msg + line.msg_len <= s + size);
		must(line.repeat >= 1 && line.repeat <= LOGLINE_REPEAT_MAX);
	}
	for (int i = 0; n > 0 && i < 3; i++, ref += 86400 * 200.0) {
		struct logtime fresh;
		double a = 0, b = 0;
		bool got;

		memset(&fresh, 0, sizeof(fresh));
		got = logtime_parse(&fresh, s, n, ref, &a);
		must(logtime_parse(&cached, s, n, ref, &b) == got);
		if (!got)
			continue;
		must(isfinite(a) && a == b);
		if (n == 15)
			must(a <= ref + 86400 + 61);
	}
	return 0;
}
