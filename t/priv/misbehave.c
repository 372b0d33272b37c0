/*
 * misbehave: what happens to a process that does what the filter forbids.
 *
 *     misbehave daemon|helper CALL
 *
 * Prints "alive" if the call did not end it.
 */
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/core/syscalls.h"

static void
misbehave(const char *call)
{
	static char path[] = "/bin/true";
	char *argv[] = { path, NULL };

	if (strcmp(call, "exec") == 0)
		execv(path, argv);
	else if (strcmp(call, "execveat") == 0)
		syscall(SYS_execveat, -1, path, argv, NULL, 0);
	else if (strcmp(call, "ptrace") == 0)
		syscall(SYS_ptrace, PTRACE_TRACEME, 0, 0, 0);
	else if (strcmp(call, "mount") == 0)
		syscall(SYS_mount, 0, 0, 0, 0, 0);
	else if (strcmp(call, "bpf") == 0)
		syscall(SYS_bpf, 0, 0, 0);
	else if (strcmp(call, "unshare") == 0)
		syscall(SYS_unshare, 0);
	else if (strcmp(call, "init_module") == 0)
		syscall(SYS_init_module, 0, 0, 0);
	else if (strcmp(call, "open_by_handle_at") == 0)
		syscall(SYS_open_by_handle_at, -1, 0, 0);
	else
		syscall(SYS_getppid);
}

int
main(int argc, char **argv)
{
	struct errbuf err;

	if (argc != 3)
		return 2;
	if (syscalls_forbid(strcmp(argv[1], "helper") == 0, &err) != 0) {
		fprintf(stderr, "%s\n", err.text);
		return 2;
	}
	misbehave(argv[2]);
	/* _exit: a build with sanitizers does more at the end. */
	if (write(1, "alive\n", 6) != 6)
		return 2;
	_exit(0);
}
