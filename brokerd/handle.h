/*
 * handle: what a guest has open. The kernel holds a number, never a pointer: a slot and its generation, so
 * that a number it does not hold, or holds no more, finds nothing. Bounded per session: files and folders
 * apart, and in the session's share of the daemon's descriptors.
 */
#ifndef BROKERD_HANDLE_H
#define BROKERD_HANDLE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct fd_share;
struct node;

enum handle_kind { HANDLE_FILE, HANDLE_DIR };

struct handle {
	enum handle_kind kind;
	int fd;
	struct node *node; /* referenced by the handle; the mount gives it back */
	bool writable;
	_Atomic uint64_t bytes_read, bytes_written;
	/* HANDLE_DIR: entries read ahead, guarded by lock. */
	pthread_mutex_t lock;
	char *entries;
	uint32_t have, at;
	int64_t next; /* offset after the entry at `at` - 1 */
	/* Of the table. */
	uint32_t slot, generation;
	unsigned refs;
};

struct handles {
	pthread_mutex_t lock;
	struct handle **slot;
	uint32_t *generation;
	uint32_t size, free_hint;
	unsigned files, files_max, dirs, dirs_max;
	struct fd_share *fds;
};

int handles_init(struct handles *t, unsigned files_max, unsigned dirs_max, struct fd_share *fds);
void handles_done(struct handles *t); /* every handle must be closed */

/* Takes fd and the caller's reference of node: 0 with the number for the kernel and, unless NULL, a reference
 * in *ret_handle; or -EMFILE (session), -ENFILE (daemon), -ENOMEM with nothing taken. */
int handle_open(struct handles *t, enum handle_kind kind, int fd, struct node *node, uint64_t *ret_number,
                struct handle **ret_handle);
struct handle *handle_get(struct handles *t, enum handle_kind kind,
                          uint64_t number); /* referenced, or NULL */
/* Gives a reference back; the last one closes the descriptor and frees. */
void handle_put(struct handles *t, struct handle *h);
/* Takes the number back: the table's own reference goes to the caller. NULL when there is no such handle. */
struct handle *handle_close(struct handles *t, enum handle_kind kind, uint64_t number);
/* One open handle after the other, taken back; NULL when none is left. */
struct handle *handle_close_any(struct handles *t);
unsigned handles_files(struct handles *t);

#endif
