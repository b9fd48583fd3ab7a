/*
 * trail_segment: segment files as a reader sees them: which there are, their head slots, their lines. Reading
 * is by pread into one fixed buffer, so that a file that grows or shrinks meanwhile cannot hurt. Files are
 * opened without following links.
 */
#ifndef OCU_TRAIL_SEGMENT_H
#define OCU_TRAIL_SEGMENT_H

#include <stddef.h>
#include <stdint.h>

#include "libocu/err.h"
#include "libocu/trail_format.h"

#define OCU_TRAIL_NAME_MAX 40

void ocu_trail_segment_name(uint64_t number, char out[OCU_TRAIL_NAME_MAX]);
int ocu_trail_dir_open(const char *dir, struct ocu_error *err); /* fd; OCU_E_NOT_FOUND, OCU_E_IO */
/* The numbers of the first and the last segment of the folder, 0 when it has none. One missing between them
 * is OCU_E_CHAIN_BROKEN. Whether the first may be what it is says ocu_trail_span(). */
int ocu_trail_list(int dirfd, uint64_t *ret_first, uint64_t *ret_last, struct ocu_error *err);
/* Descriptor for reading; a missing file is OCU_E_CHAIN_BROKEN. */
int ocu_trail_segment_open(int dirfd, uint64_t number, struct ocu_error *err);
/* Reads exactly len bytes: OCU_E_IO, or OCU_E_CHAIN_BROKEN when the file is shorter. */
int ocu_trail_read_at(int fd, void *buf, size_t len, uint64_t offset, struct ocu_error *err);

/* Both head slots. A slot that is torn or not signed with a known key is not `valid`; `why` says what is
 * wrong with the first such. At rest both are valid and their generations follow each other. */
struct ocu_trail_slots {
	struct ocu_trail_head head[2];
	bool valid[2];
	struct ocu_error why;
};
int ocu_trail_slots_read(int fd, const struct ocu_jwks *keys, struct ocu_trail_slots *ret,
                         struct ocu_error *err);
/* The same without keys: form only. */
int ocu_trail_slots_peek(int fd, struct ocu_trail_slots *ret, struct ocu_error *err);
/* The newest valid head, or NULL. */
const struct ocu_trail_head *ocu_trail_slots_newest(const struct ocu_trail_slots *s);
/* Both valid, each in its place, one generation apart. */
bool ocu_trail_slots_settled(const struct ocu_trail_slots *s);

/* Lines of one file between two offsets. */
struct ocu_trail_lines {
	int fd;          /* borrowed */
	uint64_t offset; /* of the next line */
	uint64_t limit;
	char *buf;
	size_t start, end;
};
int ocu_trail_lines_init(struct ocu_trail_lines *l, struct ocu_error *err);
void ocu_trail_lines_done(struct ocu_trail_lines *l);
void ocu_trail_lines_seek(struct ocu_trail_lines *l, int fd, uint64_t offset, uint64_t limit);
/* 1 and the line without its newline (valid until the next call), 0 at the limit, OCU_E_CHAIN_BROKEN when the
 * limit or the file's end is inside a line or a line is too long, OCU_E_IO. */
int ocu_trail_lines_next(struct ocu_trail_lines *l, const char **line, size_t *len, struct ocu_error *err);

#endif
