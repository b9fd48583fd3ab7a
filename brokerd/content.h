/*
 * content: the bytes of regular files and what they are charged. While a node is open its length is known
 * here, so that a write which makes a file longer is charged before it happens. Calls that may make a file
 * longer run beside each other; a truncation waits for them and keeps new ones out, since what they wrote
 * behind it would be charged to nobody: the guest's kernel truncates in open without its inode's lock. A file
 * without a name stays charged as long as its node lives: an O_PATH descriptor in the guest leads back to it
 * though nobody has it open; and then as long as somebody reads it from outside. Returns 0 or a negative
 * errno.
 */
#ifndef BROKERD_CONTENT_H
#define BROKERD_CONTENT_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct node;
struct quota;
struct readers;

#define CONTENT_STRIPES 64

struct content {
	struct quota *quota;
	struct readers *readers;
	struct content_stripe {
		pthread_mutex_t lock;
		pthread_cond_t still; /* nobody grows a node, or nobody waits to truncate it, any more */
	} stripe[CONTENT_STRIPES];
};

void content_init(struct content *c, struct quota *q, struct readers *readers);
void content_done(struct content *c);

/* fd was opened for the node; every open has its close. */
int content_opened(struct content *c, struct node *n, int fd);
void content_closed(struct content *c, struct node *n);
/* The node's name is gone; size as its attributes said before. */
void content_unlinked(struct content *c, struct node *n, uint64_t size);
/* The node is, too: what it is charged is given back, or left to who still reads it. Nobody else refers to
 * it. */
void content_freed(struct content *c, const struct node *n);
/* pwrite of everything, charged first. Returns bytes written (fewer when the disk filled up) or -errno. */
ssize_t content_write(struct content *c, struct node *n, int fd, const void *data, size_t len,
                      uint64_t offset);
/* Charges growth to `end`, lets act run, and settles on what the file then is: for calls other than write
 * that may make a file longer. Returns what act returned. */
ssize_t content_grow(struct content *c, struct node *n, int fd, uint64_t end, ssize_t (*act)(void *),
                     void *arg);
/* ftruncate. Waits for the growth of the file that is under way. */
int content_truncate(struct content *c, struct node *n, int fd, uint64_t size);

#endif
