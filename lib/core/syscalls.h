/*
 * syscalls: a seccomp filter that forbids system calls no part of mxwarden
 * ever makes: those that load code into the kernel, change mounts, trace other
 * processes, change identities. A call of the list ends the process.
 *
 * A list of what is forbidden, because the firewall tools that the helper runs
 * inherit it and their needs are not ours to know.
 */
#ifndef MXW_SYSCALLS_H
#define MXW_SYSCALLS_H

#include <stdbool.h>

#include "lib/core/errbuf.h"

/* A build with AddressSanitizer must be able to trace itself. */
#if defined(__SANITIZE_ADDRESS__)
#define SYSCALLS_SANITIZED
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SYSCALLS_SANITIZED
#endif
#endif

/* Forbids them in this process and its children; `exec`: may programs be run?
 * Sets no_new_privs. Where the kernel has no seccomp, 0 without a filter. */
int syscalls_forbid(bool exec, struct errbuf *);

#endif
