/*
 * stream: one output of a program, read as it comes and never left to fill up. A collector keeps the first
 * `max` bytes, a ring the last `max`; what is past that is counted and dropped. A stream whose program's call
 * has been answered goes on being read by nobody, so that what the program left running does not stumble over
 * a closed pipe.
 */
#ifndef OCU_GUEST_STREAM_H
#define OCU_GUEST_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sandboxd/guest/loop.h"

struct stream {
	struct watch watch;
	void (*changed)(void *owner); /* bytes came, or the end did */
	void *owner;
	unsigned char *data;
	size_t len, cap, max;
	uint64_t total; /* bytes the program wrote */
	bool ring, eof;
	struct stream *next; /* in the list of those that nobody owns */
};

/* Takes fd (non-blocking) over, also on failure. NULL when out of memory. */
struct stream *stream_new(int fd, bool ring, size_t max, void (*changed)(void *owner), void *owner);
/* Frees what was kept. Unless the end came, reading goes on without an owner; at most 64 such streams are
 * kept, the one that waited longest is closed. NULL is fine. */
void stream_release(struct stream *s);
/* Closes the descriptor and frees. NULL is fine. */
void stream_free(struct stream *s);
uint64_t stream_dropped(const struct stream *s);
/* Reads what is there right now, up to `most` bytes. */
void stream_drain(struct stream *s, size_t most);
/* From a ring: at most max bytes from *offset on, into out. *offset moves forward when older bytes are gone.
 * Returns the number of bytes. */
size_t stream_read(const struct stream *s, uint64_t *offset, unsigned char *out, size_t max);

#endif
