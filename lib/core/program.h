/*
 * program: finds programs in the system's directories, whatever PATH says.
 */
#ifndef MXW_PROGRAM_H
#define MXW_PROGRAM_H

#include <stdbool.h>

/* PATH of all programs that mxwarden starts, "PATH=..." */
#define PROGRAM_PATH "PATH=/usr/sbin:/usr/bin:/sbin:/bin"

/* The path of an executable file, or NULL. A name with a slash is taken as it
 * is. The caller frees the result. */
char *program_find(const char *name);
bool program_exists(const char *name);

#endif
