/*
 * tailwatch: tells a tail when to look, through inotify.
 *
 * Watched are the directory of the path, that of its target where it is a
 * symbolic link, the file being read and the next one. A watch on a file needs
 * permission to read it, which a daemon that got its descriptor from a
 * privileged helper does not have: then the directory's watch reports writes
 * as well.
 *
 * inotify only says "look"; what has happened is read from the files. So lost
 * events (the queue has a limit) cost nothing but time: tailwatch_interval()
 * says how often to look anyway. That is once a second, and four times a
 * second where nothing can be watched: no directory, limits reached, no
 * permission, or a file system that does not see what other machines write.
 * Limits and missing permission are said once.
 */
#ifndef MXW_TAILWATCH_H
#define MXW_TAILWATCH_H

#include <stdbool.h>

struct loop;
struct tailwatch;

#define TAILWATCH_SLOW 1.0
#define TAILWATCH_FAST 0.25

/* Look soon. `names`: also at what the path names. Called at the priority of
 * answers, where nothing holds it up; the looking is work. */
typedef void tailwatch_fn(void *ctx, bool names);

/* NULL when there is no memory. `path` is borrowed. */
struct tailwatch *tailwatch_create(
    struct loop *, const char *path, tailwatch_fn *, void *ctx);
void tailwatch_destroy(struct tailwatch **);
/* Watches directories that are new or were replaced. */
void tailwatch_refresh(struct tailwatch *);
/* The open file to watch (-1: none), and whether to watch what the path names
 * now as well. Replaces what was set before. */
void tailwatch_files(struct tailwatch *, int fd, bool path);
/* Look after so many seconds even when nothing is told. */
double tailwatch_interval(const struct tailwatch *);

#endif
