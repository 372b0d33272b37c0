/*
 * logline: see logline.h.
 */
#include "lib/core/logline.h"

#include <string.h>

#include "lib/core/logtime.h"
#include "lib/core/num.h"

#define TAG_MAX 128

/* "postfix/smtpd[123]" -> tag without pid, pid. */
static bool
logline_tag(const char *s, size_t len, struct logline *out)
{
	const char *open;

	out->pid = 0;
	if (len > 0 && s[len - 1] == ']' &&
	    (open = memrchr(s, '[', len)) != NULL) {
		size_t n = (size_t)(s + len - 1 - (open + 1));

		if (!num_parse_u64(open + 1, n, &out->pid))
			return false;
		len = (size_t)(open - s);
	}
	if (len == 0)
		return false;
	out->tag = s;
	out->tag_len = len;
	out->program = memrchr(s, '/', len);
	out->program = out->program == NULL ? s : out->program + 1;
	out->program_len = (size_t)(s + len - out->program);
	return out->program_len > 0;
}

bool
logline_parse(const char *line, size_t len, struct logline *out)
{
	const char *p = line, *end = line + len, *q;
	size_t n = logtime_span(line, len);

	if (n == 0 || n >= len || line[n] != ' ')
		return false;
	out->time = line;
	out->time_len = n;
	p += n + 1;
	q = memchr(p, ' ', (size_t)(end - p));
	if (q == NULL || q == p)
		return false;
	out->host = p;
	out->host_len = (size_t)(q - p);
	p = q + 1;
	/* The tag ends at the first colon followed by a blank; it has none. */
	n = (size_t)(end - p) < TAG_MAX ? (size_t)(end - p) : TAG_MAX;
	q = memchr(p, ':', n);
	if (q == NULL || q == p || memchr(p, ' ', (size_t)(q - p)) != NULL ||
	    !logline_tag(p, (size_t)(q - p), out))
		return false;
	p = q + 1;
	if (p < end && *p == ' ')
		p++;
	out->msg = p;
	out->msg_len = (size_t)(end - p);
	return true;
}
