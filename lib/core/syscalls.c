/*
 * syscalls: see syscalls.h.
 */
#include "lib/core/syscalls.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#if defined(__x86_64__)
#define SYSCALLS_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define SYSCALLS_ARCH AUDIT_ARCH_AARCH64
#elif defined(__riscv) && __riscv_xlen == 64
#define SYSCALLS_ARCH AUDIT_ARCH_RISCV64
#else
#define SYSCALLS_ARCH 0 /* no filter there */
#endif

#define SYSCALLS_X32 0x40000000u /* x86_64: the other ABI's numbers */

static const int forbidden[] = { SYS_acct, SYS_add_key, SYS_bpf, SYS_chroot,
	SYS_delete_module, SYS_finit_module, SYS_init_module, SYS_kexec_load,
	SYS_keyctl, SYS_mount, SYS_move_mount, SYS_open_by_handle_at,
	SYS_perf_event_open, SYS_personality, SYS_pivot_root,
	SYS_process_vm_readv, SYS_process_vm_writev,
#ifndef SYSCALLS_SANITIZED /* LeakSanitizer traces its own process */
	SYS_ptrace,
#endif
	SYS_quotactl, SYS_reboot, SYS_request_key, SYS_setns, SYS_settimeofday,
	SYS_swapoff, SYS_swapon, SYS_umount2, SYS_unshare, SYS_userfaultfd,
#ifdef SYS_io_uring_setup
	SYS_io_uring_setup,
#endif
#ifdef SYS_kexec_file_load
	SYS_kexec_file_load,
#endif
#ifdef SYS_fsopen
	SYS_fsopen, SYS_fsmount, SYS_fsconfig, SYS_fspick, SYS_open_tree,
#endif
#ifdef SYS_mount_setattr
	SYS_mount_setattr,
#endif
	SYS_clock_settime, SYS_sethostname };
static const int forbidden_exec[] = { SYS_execve, SYS_execveat };

#define N_FORBIDDEN (sizeof(forbidden) / sizeof(forbidden[0]))
#define N_EXEC (sizeof(forbidden_exec) / sizeof(forbidden_exec[0]))

static struct sock_filter
bpf(unsigned short code, unsigned char jt, unsigned char jf, unsigned k)
{
	return (struct sock_filter){ code, jt, jf, k };
}

int
syscalls_forbid(bool exec, struct errbuf *err)
{
	struct sock_filter f[16 + 2 * (N_FORBIDDEN + N_EXEC)];
	struct sock_fprog prog = { .filter = f };
	unsigned short n = 0;
	unsigned end = SECCOMP_RET_KILL_PROCESS;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		return errbuf_set(err, "no_new_privs: %s", strerror(errno));
	if (SYSCALLS_ARCH == 0)
		return 0;
	f[n++] = bpf(BPF_LD | BPF_W | BPF_ABS, 0, 0,
	    offsetof(struct seccomp_data, arch));
	f[n++] = bpf(BPF_JMP | BPF_JEQ | BPF_K, 1, 0, SYSCALLS_ARCH);
	f[n++] = bpf(BPF_RET | BPF_K, 0, 0, end);
	f[n++] = bpf(
	    BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(struct seccomp_data, nr));
	f[n++] = bpf(BPF_JMP | BPF_JGE | BPF_K, 0, 1, SYSCALLS_X32);
	f[n++] = bpf(BPF_RET | BPF_K, 0, 0, end);
	for (size_t i = 0; i < N_FORBIDDEN; i++) {
		f[n++] = bpf(
		    BPF_JMP | BPF_JEQ | BPF_K, 0, 1, (unsigned)forbidden[i]);
		f[n++] = bpf(BPF_RET | BPF_K, 0, 0, end);
	}
	for (size_t i = 0; i < N_EXEC && !exec; i++) {
		f[n++] = bpf(BPF_JMP | BPF_JEQ | BPF_K, 0, 1,
		    (unsigned)forbidden_exec[i]);
		f[n++] = bpf(BPF_RET | BPF_K, 0, 0, end);
	}
	f[n++] = bpf(BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW);
	prog.len = n;
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog, 0, 0) != 0 &&
	    errno != EINVAL && errno != ENOSYS)
		return errbuf_set(err, "seccomp: %s", strerror(errno));
	return 0;
}
