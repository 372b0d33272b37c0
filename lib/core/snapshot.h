/*
 * snapshot: the state file. A stream of sections of typed values, little
 * endian, behind a magic line and with a checksum at the end.
 *
 *     "mxwarden-snapshot 1\n"  section...  u8 0  u64 checksum
 *     section = u8 tag, values as the section's owner writes them
 *
 * Between the zero and the checksum may be, for each tag from 0 on, a u32 of
 * how many entries the section has, then the u32 of their number and a u8
 * 0xc5: hints, for which readers make room at once. Without them, as in files
 * of older versions, the last byte before the checksum is zero.
 *
 * The reader checks length and checksum of the whole file before anything is
 * used, so owners may trust the order of values but still check ranges: a
 * file can come from another version. Writing goes to a temporary file, fsync,
 * rename, fsync of the directory.
 */
#ifndef MXW_SNAPSHOT_H
#define MXW_SNAPSHOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/core/addr.h"
#include "lib/core/errbuf.h"
#include "lib/core/names.h"

enum snapshot_section {
	SNAPSHOT_END = 0,
	SNAPSHOT_SOURCES = 1,
	SNAPSHOT_SCORES = 2,
	SNAPSHOT_BLOCKS = 3,
	SNAPSHOT_STRIKES = 4,
	SNAPSHOT_ALLOW = 5,
	SNAPSHOT_PENDING = 6, /* hits on their way (hitqueue.h) */
	SNAPSHOT_HISTORY = 7, /* lines of offences; the last section */
	SNAPSHOT_SECTIONS
};

struct snapshot_writer;
struct snapshot_reader;

/* Opens `path`.tmp beside the path. NULL and a reason on failure. */
struct snapshot_writer *snapshot_writer_create(
    const char *path, struct errbuf *);
/* Checksum, fsync, rename, fsync of the directory. On failure the old file
 * is untouched, the temporary one removed. Frees the writer either way. */
int snapshot_writer_commit(struct snapshot_writer **, struct errbuf *);
/* Removes the temporary file and frees; NULL is fine. */
void snapshot_writer_abort(struct snapshot_writer **);

/* How many entries a section has, for snapshot_count(). */
void snapshot_tell_count(
    struct snapshot_writer *, enum snapshot_section, size_t n);
/* Errors are remembered until commit. */
void snapshot_put_u8(struct snapshot_writer *, uint8_t);
void snapshot_put_u32(struct snapshot_writer *, uint32_t);
void snapshot_put_u64(struct snapshot_writer *, uint64_t);
void snapshot_put_f64(struct snapshot_writer *, double);
void snapshot_put_addr(struct snapshot_writer *, const struct addr *);
void snapshot_put_str(struct snapshot_writer *, const char *s, size_t len);
void snapshot_put_name(struct snapshot_writer *, name_id);

enum snapshot_open { SNAPSHOT_OK, SNAPSHOT_MISSING, SNAPSHOT_BAD };

/* Reads and checks the whole file. On BAD the reason says what is wrong. */
enum snapshot_open snapshot_reader_open(
    const char *path, struct snapshot_reader **reader_r, struct errbuf *);
void snapshot_reader_destroy(struct snapshot_reader **);
/* The next section's tag, SNAPSHOT_END at the end or after an error. */
uint8_t snapshot_next_section(struct snapshot_reader *);
/* How many entries this section may have, or 0: not more than fit into it. */
size_t snapshot_count(const struct snapshot_reader *, enum snapshot_section);
/* Values; zero after an error. Strings are borrowed from the reader. */
uint8_t snapshot_get_u8(struct snapshot_reader *);
uint32_t snapshot_get_u32(struct snapshot_reader *);
uint64_t snapshot_get_u64(struct snapshot_reader *);
double snapshot_get_f64(struct snapshot_reader *);
bool snapshot_get_addr(struct snapshot_reader *, struct addr *out);
const char *snapshot_get_str(struct snapshot_reader *, size_t *len_r);
name_id snapshot_get_name(struct snapshot_reader *);
/* Has anything been read beyond the end, or had a bad form? */
bool snapshot_failed(const struct snapshot_reader *);

#endif
