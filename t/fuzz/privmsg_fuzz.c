/*
 * privmsg: what a compromised daemon could send to the helper. A request that
 * passes has nothing in it but what privmsg.h allows.
 */
#include <string.h>

#include "lib/core/privmsg.h"
#include "t/fuzz/fuzz.h"

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	return 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct privmsg_request req;
	struct privmsg_reply reply;

	/* Most inputs are short: the rest is zero, as after the magic. */
	memset(&req, 0, sizeof(req));
	req.magic = PRIVMSG_MAGIC;
	memcpy((char *)&req + 4, data,
	    size < sizeof(req) - 4 ? size : sizeof(req) - 4);
	if (privmsg_request_valid(&req, sizeof(req))) {
		must(req.op >= PRIVMSG_OPEN_LOG && req.op <= PRIVMSG_RELOAD);
		must(req.count <= PRIVMSG_ENTRIES);
		for (uint32_t i = 0; i < req.count; i++) {
			struct addr a, b;

			must(privmsg_entry_get(&req.entries[i], &a));
			must(req.entries[i].ttl <= PRIVMSG_TTL_MAX);
			b = addr_mask(&a, a.plen);
			must(addr_equal(&a, &b));
		}
	}
	must(!privmsg_request_valid(&req, sizeof(req) - 1));
	memset(&reply, 0, sizeof(reply));
	memcpy(&reply, data, size < sizeof(reply) ? size : sizeof(reply));
	if (privmsg_reply_valid(&reply, size))
		must(size == sizeof(reply) && reply.magic == PRIVMSG_MAGIC);
	return 0;
}
