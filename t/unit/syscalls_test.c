/*
 * syscalls: what the filter forbids ends the process, what we need goes on.
 *
 * Each call is made in a child, with arguments that do no harm where there is
 * no filter.
 */
#include "lib/core/syscalls.h"

#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "t/unit/tap.h"

typedef void child_fn(const void *arg);

/* How a child has ended that does this behind the filter: a signal's number, or
 * 256 + exit status. */
static int
child(bool exec, child_fn *fn, const void *arg)
{
	int status = 0;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		const struct rlimit none = { 0, 0 };
		struct errbuf err;

		setrlimit(RLIMIT_CORE, &none);
		if (syscalls_forbid(exec, &err) != 0)
			_exit(98);
		fn(arg);
		_exit(0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return -1;
	return WIFSIGNALED(status) ? WTERMSIG(status)
				   : 256 + WEXITSTATUS(status);
}

/* The number behind `name` in our status. */
static int
own_status(const char *name)
{
	char buf[8192];
	int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd != -1 ? read(fd, buf, sizeof(buf) - 1) : -1;
	const char *p;

	if (fd != -1)
		close(fd);
	buf[n > 0 ? n : 0] = '\0';
	p = strstr(buf, name);
	return p != NULL ? atoi(p + strlen(name)) : -1;
}

static void
is_filtered(const void *arg)
{
	(void)arg;
	_exit(own_status("\nSeccomp:") == 2 ? 0 : 99);
}

static void
is_without_privileges(const void *arg)
{
	(void)arg;
	_exit(own_status("\nNoNewPrivs:") == 1 ? 0 : 1);
}

static void
ordinary(const void *arg)
{
	int fds[2];
	pid_t pid;
	char c;

	(void)arg;
	if (pipe(fds) != 0 || write(fds[1], "x", 1) != 1 ||
	    read(fds[0], &c, 1) != 1)
		_exit(1);
	pid = fork();
	if (pid == 0)
		_exit(7);
	_exit(waitpid(pid, NULL, 0) == pid ? 0 : 2);
}

static void
run_true(const void *arg)
{
	char *const argv[] = { (char *)(uintptr_t) "sh",
		(char *)(uintptr_t) "-c", (char *)(uintptr_t) "exit 0", NULL };
	char *const env[] = { NULL };

	(void)arg;
	execve("/bin/sh", argv, env);
	_exit(1);
}

/* A filter is handed on to children. */
static void
grandchild(const void *arg)
{
	int status = 0;
	pid_t pid;

	(void)arg;
	pid = fork();
	if (pid == 0) {
		syscall(SYS_unshare, 0);
		_exit(0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		_exit(1);
	_exit(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS ? 0 : 2);
}

struct call {
	const char *name;
	long nr;
	long arg[5];
};

static void
make(const void *arg)
{
	const struct call *c = arg;

	syscall(c->nr, c->arg[0], c->arg[1], c->arg[2], c->arg[3], c->arg[4]);
}

#define TEXT(s) ((long)(intptr_t)(s))

static void
test_forbidden(void)
{
	const struct call calls[] = {
		{ "unshare", SYS_unshare, { 0 } },
		{ "setns", SYS_setns, { -1, 0 } },
		{ "chroot", SYS_chroot, { TEXT("/nonexistent") } },
		{ "pivot_root", SYS_pivot_root,
		    { TEXT("/nonexistent"), TEXT("/nonexistent") } },
		{ "mount", SYS_mount, { 0, 0, 0, 0, 0 } },
		{ "umount2", SYS_umount2, { TEXT("/nonexistent"), 0 } },
		{ "personality", SYS_personality, { 0xffffffff } },
		{ "bpf", SYS_bpf, { -1, 0, 0 } },
		{ "perf_event_open", SYS_perf_event_open, { 0, 0, -1, -1 } },
		{ "userfaultfd", SYS_userfaultfd, { -1 } },
		{ "open_by_handle_at", SYS_open_by_handle_at, { -1, 0, 0 } },
		{ "process_vm_readv", SYS_process_vm_readv, { -1 } },
		{ "process_vm_writev", SYS_process_vm_writev, { -1 } },
		{ "init_module", SYS_init_module, { 0, 0, 0 } },
		{ "finit_module", SYS_finit_module, { -1, 0, 0 } },
		{ "delete_module", SYS_delete_module,
		    { TEXT("mxwarden-none"), 0 } },
		{ "add_key", SYS_add_key, { 0, 0, 0, 0, 0 } },
		{ "request_key", SYS_request_key, { 0, 0, 0, 0 } },
		{ "keyctl", SYS_keyctl, { -1 } },
		{ "swapon", SYS_swapon, { TEXT("/nonexistent"), 0 } },
		{ "swapoff", SYS_swapoff, { TEXT("/nonexistent") } },
		{ "reboot", SYS_reboot, { 0, 0, 0, 0 } },
		{ "settimeofday", SYS_settimeofday, { 0, 0 } },
		{ "clock_settime", SYS_clock_settime, { -1, 0 } },
		{ "sethostname", SYS_sethostname, { 0, -1 } },
#ifndef SYSCALLS_SANITIZED
		{ "ptrace", SYS_ptrace, { -1, -1, 0, 0 } },
#endif
	};

	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		is_int(child(true, make, &calls[i]), SIGSYS, "%s is forbidden",
		    calls[i].name);
	is_int(child(true, grandchild, NULL), 256, "to children as well");
	is_int(child(false, run_true, NULL), SIGSYS,
	    "programs are, where none is needed");
}

int
main(void)
{
	is_int(child(true, ordinary, NULL), 256, "ordinary calls go on");
	is_int(child(false, ordinary, NULL), 256, "also without programs");
	is_int(child(true, run_true, NULL), 256, "programs can be run");
	is_int(child(true, is_without_privileges, NULL), 256,
	    "and have no more privileges than we");
	if (child(true, is_filtered, NULL) == 256)
		test_forbidden();
	else
		printf("# no filters on this machine: nothing is forbidden\n");
	return tap_done();
}
