/*
 * node_dir: folder descriptors. A node is found by opening its name in its parent, so the way to a folder is
 * walked from the nearest ancestor that has a descriptor. Descriptors nobody is using are kept, least
 * recently used first out, up to the table's bound.
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "brokerd/confine.h"
#include "brokerd/node.h"
#include "brokerd/path.h"

/* Takes the descriptor the node has, or returns -1. With the table's lock. */
static int use(struct nodes *t, struct node *n)
{
	if (n->fd < 0)
		return -1;
	if (n->fd_users++ == 0 && n != t->root && !n->pinned)
		TAILQ_REMOVE(&t->lru, n, lru);
	return n->fd;
}

static void trim(struct nodes *t)
{
	while (t->cached > t->cached_max && !TAILQ_EMPTY(&t->lru)) {
		struct node *old = TAILQ_FIRST(&t->lru);
		TAILQ_REMOVE(&t->lru, old, lru);
		close(old->fd);
		old->fd = -1;
		t->cached--;
	}
}

static void unuse(struct nodes *t, struct node *n)
{
	if (--n->fd_users == 0 && n != t->root && !n->pinned) {
		TAILQ_INSERT_TAIL(&t->lru, n, lru);
		trim(t);
	}
}

/* Opens n inside the descriptor of its parent and makes sure it is what the table believes it is. */
static int open_checked(int parent, const struct node *n)
{
	struct stat st;
	int fd = confine_dir(parent, n->name);
	if (fd < 0)
		return fd == -ELOOP || fd == -ENOENT || fd == -ENOTDIR ? -ESTALE : fd;
	if (fstat(fd, &st) == 0 && st.st_ino == n->ino)
		return fd;
	close(fd);
	return -ESTALE;
}

/* From n up to the nearest ancestor with a descriptor, which is put in use and returned; chain gets the nodes
 * between, referenced, nearest to n first. */
static struct node *climb(struct nodes *t, struct node *n, struct node **chain, size_t *ret_len)
{
	size_t len = 0;
	for (; n->fd < 0; n = n->parent) {
		if (!n->linked || len == PATH_DEPTH_MAX) {
			while (len > 0)
				chain[--len]->refs--;
			errno = n->linked ? ENAMETOOLONG : ESTALE;
			return NULL;
		}
		n->refs++;
		chain[len++] = n;
	}
	use(t, n);
	*ret_len = len;
	return n;
}

/* Gives a freshly opened descriptor to its node, unless another thread was faster. */
static void adopt(struct nodes *t, struct node *n, int fd)
{
	pthread_mutex_lock(&t->lock);
	if (n->fd < 0) {
		n->fd = fd;
		n->fd_users = 1;
		t->cached++;
	} else {
		close(fd);
		use(t, n);
	}
	pthread_mutex_unlock(&t->lock);
}

int node_dir_get(struct nodes *t, struct node *n)
{
	struct node *chain[PATH_DEPTH_MAX];
	size_t len = 0;
	if (n->type != S_IFDIR)
		return -ENOTDIR;
	pthread_mutex_lock(&t->lock);
	struct node *at = climb(t, n, chain, &len);
	int r = at ? at->fd : -errno;
	pthread_mutex_unlock(&t->lock);
	if (!at || len == 0)
		return r;
	while (len > 0 && r >= 0) {
		struct node *next = chain[len - 1];
		r = open_checked(at->fd, next);
		if (r < 0)
			break;
		adopt(t, next, r);
		node_dir_put(t, at);
		at = next;
		len--;
		r = at->fd;
		node_unref(t, next); /* in use now; the caller's reference to n keeps the chain of parents */
	}
	while (len > 0)
		node_unref(t, chain[--len]);
	if (r < 0)
		node_dir_put(t, at);
	return r;
}

void node_dir_put(struct nodes *t, struct node *n)
{
	pthread_mutex_lock(&t->lock);
	unuse(t, n);
	pthread_mutex_unlock(&t->lock);
}

int node_pin_dup(struct nodes *t, struct node *n)
{
	pthread_mutex_lock(&t->lock);
	int fd = n->fd >= 0 && n != t->root ? fcntl(n->fd, F_DUPFD_CLOEXEC, 3) : -1;
	pthread_mutex_unlock(&t->lock);
	return fd < 0 ? -ESTALE : fd;
}
