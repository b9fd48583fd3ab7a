/*
 * quota: how much a volume may hold. Bytes are the lengths of its files, each rounded up to a 4 KiB block
 * (holes count, so a promise once made is never broken by a full quota later); files are everything with a
 * name: files, folders, symbolic links. Counted as things change, never by walking. All functions are
 * lock-free.
 */
#ifndef BROKERD_QUOTA_H
#define BROKERD_QUOTA_H

#include <stdatomic.h>
#include <stdint.h>

#define QUOTA_BLOCK 4096u

struct quota {
	uint64_t max_bytes; /* 0: no bound */
	uint64_t max_files;
	_Atomic uint64_t bytes;
	_Atomic uint64_t files;
};

void quota_init(struct quota *q, uint64_t max_bytes, uint64_t max_files);
/* What a file of this length is charged. Saturates. */
uint64_t quota_charge(uint64_t size);
/* From one length to another: 0, or -EDQUOT with nothing changed. Shrinking always succeeds. */
int quota_resize(struct quota *q, uint64_t from, uint64_t to);
/* One more, or one fewer, name. */
int quota_add_file(struct quota *q);
void quota_drop_file(struct quota *q);
/* Gives back what a file of this length was charged. */
void quota_drop_bytes(struct quota *q, uint64_t size);
uint64_t quota_bytes_left(const struct quota *q); /* UINT64_MAX when unbounded */

#endif
