/*
 * sandbox: see sandbox.h.
 *
 * Programs that an unprivileged user runs have no capabilities but ambient
 * ones; those that root runs have all that the bounding set leaves.
 */
#include "policyd/priv/sandbox.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/core/syscalls.h"

#define BIT(cap) (UINT64_C(1) << (cap))

static int
set_capabilities(uint64_t keep, struct errbuf *err)
{
	struct __user_cap_header_struct head = {
		.version = _LINUX_CAPABILITY_VERSION_3
	};
	struct __user_cap_data_struct data[2];

	memset(data, 0, sizeof(data));
	for (unsigned i = 0; i < 2; i++)
		data[i].effective = data[i].permitted = data[i].inheritable =
		    (uint32_t)(keep >> (32 * i));
	if (syscall(SYS_capset, &head, data) != 0)
		return errbuf_set(err, "capabilities: %s", strerror(errno));
	return 0;
}

static int
bound_capabilities(uint64_t keep, struct errbuf *err)
{
	for (unsigned cap = 0; cap < 64; cap++)
		if ((keep & BIT(cap)) == 0 &&
		    prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) != 0 &&
		    errno != EINVAL) /* the kernel has no such capability */
			return errbuf_set(
			    err, "capability %u: %s", cap, strerror(errno));
	return 0;
}

/* Capabilities stay permitted over this. */
static int
become(const char *user, struct errbuf *err)
{
	const struct passwd *pw = getpwnam(user);

	if (pw == NULL)
		return errbuf_set(
		    err, "option 'user': there is no user '%s'", user);
	if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) != 0 ||
	    setgroups(0, NULL) != 0 ||
	    setresgid(pw->pw_gid, pw->pw_gid, pw->pw_gid) != 0 ||
	    setresuid(pw->pw_uid, pw->pw_uid, pw->pw_uid) != 0)
		return errbuf_set(
		    err, "cannot become user '%s': %s", user, strerror(errno));
	return 0;
}

static int
become_root_only(struct errbuf *err)
{
	if (setgroups(0, NULL) != 0 || setresgid(0, 0, 0) != 0 ||
	    setresuid(0, 0, 0) != 0)
		return errbuf_set(err, "groups: %s", strerror(errno));
	return 0;
}

int
sandbox_enter(
    enum sandbox_role role, const struct conf *conf, struct errbuf *err)
{
	bool programs = role == SANDBOX_FIREWALL;
	bool root =
	    programs && conf->firewall.backend != CONF_FIREWALL_NFTABLES;
	uint64_t keep = !programs ? BIT(CAP_DAC_READ_SEARCH)
	    : root		  ? BIT(CAP_NET_ADMIN) | BIT(CAP_NET_RAW)
				  : BIT(CAP_NET_ADMIN);
	bool changed = !root && conf->user[0] != '\0';

	if (geteuid() == 0) {
		if (bound_capabilities(keep, err) != 0 ||
		    (changed ? become(conf->user, err)
			     : become_root_only(err)) != 0)
			return -1;
	} else if (root) {
		return errbuf_set(err,
		    "option 'backend': \"%s\" needs a start as root "
		    "(systemd: root.conf)",
		    conf->firewall.backend == CONF_FIREWALL_IPTABLES
			? "iptables"
			: "command");
	} else {
		/* The bounding set cannot be made smaller without root, but
		 * then nothing more is had from it either: no_new_privs. */
		changed = true;
		prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	}
	if (set_capabilities(keep, err) != 0)
		return -1;
	for (unsigned cap = 0; changed && programs && cap < 64; cap++)
		if ((keep & BIT(cap)) != 0 &&
		    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0) != 0)
			return errbuf_set(err, "ambient capability %u: %s", cap,
			    strerror(errno));
#ifndef SYSCALLS_SANITIZED
	/* LeakSanitizer traces its own process. */
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
#else
	prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
#endif
	return syscalls_forbid(programs, err);
}
