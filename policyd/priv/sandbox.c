/*
 * sandbox: see sandbox.h. The user id stays 0, because the files and the
 * packet filter's lock are root's, but with one capability: what root can do
 * beyond owning files is gone, also for every program that is run from here.
 */
#include "policyd/priv/sandbox.h"

#include <errno.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/core/syscalls.h"

static int
sandbox_capabilities(unsigned keep, struct errbuf *err)
{
	struct __user_cap_header_struct head = {
		.version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];
	unsigned bit = 1u << (keep % 32);

	memset(data, 0, sizeof(data));
	for (unsigned cap = 0; cap < 64; cap++)
		if (cap != keep && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) != 0 &&
		    errno != EINVAL) /* the kernel has no such capability */
			return errbuf_set(err, "capability %u: %s", cap,
			    strerror(errno));
	data[keep / 32].effective = bit;
	data[keep / 32].permitted = bit;
	data[keep / 32].inheritable = bit;
	if (syscall(SYS_capset, &head, data) != 0)
		return errbuf_set(err, "capabilities: %s", strerror(errno));
	return 0;
}

int
sandbox_enter(enum sandbox_role role, struct errbuf *err)
{
	unsigned cap = role == SANDBOX_LOGS ? CAP_DAC_READ_SEARCH
					    : CAP_NET_ADMIN;

	/* The daemon's end decides when we end, also if it is killed. */
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	if (sandbox_capabilities(cap, err) != 0)
		return -1;
	return syscalls_forbid(role == SANDBOX_FIREWALL, err);
}
