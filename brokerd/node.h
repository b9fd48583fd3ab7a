/*
 * node: what the guest's kernel knows of a volume. A node is one name it has looked up: (parent, name) and
 * the identity of the file that stood there. Nodes hold no descriptor, save folders in a bounded cache and
 * files that were unlinked while the kernel still holds them. Ids are never used twice, so a stale id finds
 * nothing.
 *
 * A node lives while the kernel holds it (lookups), an operation or an open file refers to it (refs), or a
 * child names it as parent. One lock per table; every function here is thread-safe. The tree lock of the
 * volume keeps names and the file system in step: shared to resolve, exclusive to rename or remove.
 */
#ifndef BROKERD_NODE_H
#define BROKERD_NODE_H

#include <limits.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/stat.h>

struct fd_share;

#define NODE_ROOT 1u /* FUSE_ROOT_ID */

struct node {
	uint64_t id;
	struct node *parent; /* NULL: the root; counted */
	char *name;          /* last known name */
	uint64_t ino;        /* of the file behind it */
	mode_t type;         /* S_IFMT bits */
	uint64_t lookups;    /* what the kernel will forget */
	unsigned refs;
	bool linked; /* (parent, name) still leads here */
	/* Content of regular files, guarded by the stripe lock in content.c. */
	unsigned opens;
	unsigned growing; /* calls under way that may make it longer */
	unsigned cutting; /* truncations that wait for those, or are under way */
	bool unsettled;   /* size is what was promised and may be more than there is */
	uint64_t size;
	bool orphan; /* unlinked, and still charged: see nodes.freed */
	/* Descriptor: a folder's from the cache, or the pin of an unlinked node; -1 none. */
	int fd;
	unsigned fd_users;
	bool pinned;
	TAILQ_ENTRY(node) lru;
	struct node *next_id, *next_name; /* hash chains */
};
TAILQ_HEAD(node_lru, node);

struct nodes {
	pthread_mutex_t lock;
	struct node **by_id, **by_name;
	size_t buckets; /* power of two */
	size_t count, max;
	uint64_t next_id;
	uint64_t key[2];
	struct node *root;
	struct node_lru lru; /* folders with a descriptor nobody is using, least recent first */
	unsigned cached, cached_max;
	unsigned pins, pins_max;
	struct fd_share
	    *fds; /* pins are taken out of it, the cache was paid for; NULL: they are not counted */
	/* Called with every node that goes, when nobody can reach it any more; may be NULL. */
	void (*freed)(struct node *n, void *arg);
	void *freed_arg;
};

/* root_fd is borrowed for the life of the table. At most max nodes and cached folder descriptors. */
int nodes_init(struct nodes *t, int root_fd, size_t max, unsigned cached_max, unsigned pins_max);
/* Frees every node, whatever the kernel still holds. */
void nodes_done(struct nodes *t);

struct node *node_get(struct nodes *t, uint64_t id); /* referenced, or NULL */
void node_ref(struct nodes *t, struct node *n);
void node_unref(struct nodes *t, struct node *n); /* NULL is fine */
/* The node at (parent, name) when the table has it: referenced, or NULL. */
struct node *node_child(struct nodes *t, struct node *parent, const char *name);
/* The node for what stands at (parent, name) with these attributes, made when unknown; one that stood there
 * with another identity is unlinked from the table first. Referenced; 0, -ENFILE (table full) or -ENOMEM. */
int node_intern(struct nodes *t, struct node *parent, const char *name, const struct stat *st,
                struct node **ret);
/* The kernel learned of it; the kernel forgot n lookups. */
void node_looked_up(struct nodes *t, struct node *n);
void node_forget(struct nodes *t, uint64_t id, uint64_t n);
/* Where n is found: its parent, referenced, and its name; false when it has been unlinked, or is the root. */
bool node_place(struct nodes *t, struct node *n, struct node **ret_parent, char name[NAME_MAX + 1]);
/* How many names n is below the root. */
unsigned node_depth(struct nodes *t, struct node *n);
/* The name is gone. pin: an O_PATH descriptor kept for the node's remaining life when there is room; taken in
 * every case; -1 for none. */
void node_unlink(struct nodes *t, struct node *n, int pin);
/* (parent, name) is now where n is found. */
void node_move(struct nodes *t, struct node *n, struct node *parent, const char *name);
/* Two nodes trade places. */
void node_exchange(struct nodes *t, struct node *a, struct node *b);
/* Raw path from the root ("" for it), with leaf appended unless NULL; how long it is, cut at size - 1. */
size_t node_path(struct nodes *t, struct node *n, const char *leaf, char *out, size_t size);
/* An O_PATH descriptor of a folder, or -errno; give it back with node_dir_put. The tree lock must be held. */
int node_dir_get(struct nodes *t, struct node *n);
void node_dir_put(struct nodes *t, struct node *n);
/* The pin of an unlinked node, duplicated: a descriptor the caller closes, or -ESTALE. */
int node_pin_dup(struct nodes *t, struct node *n);
size_t nodes_count(struct nodes *t);

#endif
