/*
 * readers: who reads a file from outside of the mount, for as long as the client likes to take it. A file
 * that loses its name meanwhile keeps its blocks until the last of them is done, and so it stays charged:
 * otherwise one that is slow, and a file removed and written again, would take more disk than the quota says,
 * again and again. Entries are the readers' own memory. Thread-safe.
 */
#ifndef BROKERD_READERS_H
#define BROKERD_READERS_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

struct quota;

struct reader {
	LIST_ENTRY(reader) next;
	uint64_t ino;
	uint64_t owes; /* length of a file that only readers have any more; one of them is charged for it */
	bool in, owing;
};

struct readers {
	pthread_mutex_t lock;
	LIST_HEAD(reader_list, reader) list;
	struct quota *quota;
};

void readers_init(struct readers *r, struct quota *q);
void readers_done(struct readers *r);
/* Before the file can lose its name: with the tree locked. */
void reader_enter(struct readers *r, struct reader *me, uint64_t ino);
/* Its descriptor is closed, or about to be. One that did not enter is fine. */
void reader_leave(struct readers *r, struct reader *me);
/* The file has neither a name nor a node any more: its bytes are given back, now or by the last reader. */
void readers_gone(struct readers *r, uint64_t ino, uint64_t size);

#endif
