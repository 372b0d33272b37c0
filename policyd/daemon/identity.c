/*
 * identity: see identity.h.
 */
#include "policyd/daemon/identity.h"

#include <dirent.h>
#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/core/syscalls.h"
#include "lib/core/xalloc.h"

int
identity_parse(
    const char *owner, uid_t *uid_r, gid_t *gid_r, struct errbuf *err)
{
	char *user = x_strdup(owner), *group = strchr(user, ':');
	int rc = 0;

	*uid_r = (uid_t)-1;
	*gid_r = (gid_t)-1;
	if (group != NULL)
		*group++ = '\0';
	if (user[0] != '\0') {
		const struct passwd *pw = getpwnam(user);

		if (pw == NULL) {
			rc = errbuf_set(err, "there is no user '%s'", user);
		} else {
			*uid_r = pw->pw_uid;
			*gid_r = pw->pw_gid;
		}
	}
	if (rc == 0 && group != NULL && group[0] != '\0') {
		const struct group *gr = getgrnam(group);

		if (gr == NULL)
			rc = errbuf_set(err, "there is no group '%s'", group);
		else
			*gid_r = gr->gr_gid;
	}
	free(user);
	return rc;
}

bool
identity_may_pass(unsigned capability)
{
	return geteuid() == 0 ||
	    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, capability, 0, 0) == 1;
}

/* Also those that a service manager or container may have passed on. */
static int
identity_drop_capabilities(struct errbuf *err)
{
	struct __user_cap_header_struct head = {
		.version = _LINUX_CAPABILITY_VERSION_3
	};
	struct __user_cap_data_struct none[2], have[2];

	memset(none, 0, sizeof(none));
	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	/* A filter of system calls need not permit to drop nothing. */
	if (syscall(SYS_capget, &head, have) == 0 &&
	    memcmp(have, none, sizeof(none)) == 0)
		return 0;
	if (syscall(SYS_capset, &head, none) != 0)
		return errbuf_set(err, "capabilities: %s", strerror(errno));
	return 0;
}

int
identity_become(const char *user, struct errbuf *err)
{
	uid_t uid;
	gid_t gid;

	if (geteuid() != 0)
		return identity_drop_capabilities(err);
	if (user[0] == '\0')
		return 0;
	if (identity_parse(user, &uid, &gid, err) != 0)
		return errbuf_set(
		    err, "option 'user': there is no user '%s'", user);
	for (unsigned long cap = 0; cap < 64; cap++)
		prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
	if (initgroups(user, gid) != 0 || setgid(gid) != 0 || setuid(uid) != 0)
		return errbuf_set(
		    err, "cannot become user '%s': %s", user, strerror(errno));
	if (uid != 0 && setuid(0) == 0)
		return errbuf_set(
		    err, "root came back after becoming '%s'", user);
#ifdef SYSCALLS_SANITIZED
	/* LeakSanitizer traces its own process. */
	prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
#endif
	return identity_drop_capabilities(err);
}

static bool
is_empty(const char *path)
{
	DIR *dir = opendir(path);
	const struct dirent *e;
	bool empty = dir != NULL;

	while (empty && (e = readdir(dir)) != NULL)
		empty =
		    strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0;
	if (dir != NULL)
		closedir(dir);
	return empty;
}

int
identity_directory(const char *path, const char *user, struct errbuf *err)
{
	struct stat st;
	uid_t uid;
	gid_t gid;

	bool made = mkdir(path, 0750) == 0;

	if (!made && errno != EEXIST)
		return errbuf_set(err, "%s: %s", path, strerror(errno));
	if (stat(path, &st) != 0 || !S_ISDIR(st.st_mode))
		return errbuf_set(err, "%s: not a directory", path);
	if (user[0] == '\0' || geteuid() != 0 || st.st_uid != 0 ||
	    (!made && !is_empty(path)))
		return 0;
	if (identity_parse(user, &uid, &gid, err) != 0)
		return -1;
	if (chown(path, uid, gid) != 0)
		return errbuf_set(err, "%s: %s", path, strerror(errno));
	return 0;
}
