/* node: the two hash tables and the life of a node. */
#include "brokerd/node.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "brokerd/fds.h"
#include "brokerd/path.h"
#include "brokerd/siphash.h"

#define BUCKETS_FIRST 1024

static size_t id_bucket(const struct nodes *t, uint64_t id)
{
	return id & (t->buckets - 1); /* ids are consecutive */
}

static size_t name_bucket(const struct nodes *t, uint64_t parent, const char *name)
{
	struct {
		uint64_t parent;
		char name[PATH_COMPONENT_MAX + 1];
	} key;
	size_t len = strnlen(name, sizeof key.name - 1);
	key.parent = parent;
	memcpy(key.name, name, len);
	return siphash(t->key, &key, sizeof key.parent + len) & (t->buckets - 1);
}

static void insert_id(struct nodes *t, struct node *n)
{
	struct node **head = &t->by_id[id_bucket(t, n->id)];
	n->next_id = *head;
	*head = n;
}

static void insert_name(struct nodes *t, struct node *n)
{
	struct node **head = &t->by_name[name_bucket(t, n->parent->id, n->name)];
	n->next_name = *head;
	*head = n;
	n->linked = true;
}

static void remove_name(struct nodes *t, struct node *n)
{
	if (!n->linked || !n->parent)
		return;
	struct node **p = &t->by_name[name_bucket(t, n->parent->id, n->name)];
	while (*p != n)
		p = &(*p)->next_name;
	*p = n->next_name;
	n->linked = false;
}

/* Doubles both tables; staying small when memory is short only costs time. */
static void grow(struct nodes *t)
{
	size_t old = t->buckets;
	struct node **ids = calloc(old * 2, sizeof *ids), **names = calloc(old * 2, sizeof *names);
	if (!ids || !names) {
		free(ids);
		free(names);
		return;
	}
	struct node **was = t->by_id;
	free(t->by_name);
	t->by_id = ids;
	t->by_name = names;
	t->buckets = old * 2;
	for (size_t i = 0; i < old; i++) {
		for (struct node *n = was[i], *next; n; n = next) {
			next = n->next_id;
			insert_id(t, n);
			if (n->linked && n->parent)
				insert_name(t, n);
		}
	}
	free(was);
}

static struct node *find_id(struct nodes *t, uint64_t id)
{
	struct node *n = t->by_id[id_bucket(t, id)];
	while (n && n->id != id)
		n = n->next_id;
	return n;
}

static struct node *find_name(struct nodes *t, const struct node *parent, const char *name)
{
	struct node *n = t->by_name[name_bucket(t, parent->id, name)];
	while (n && (n->parent != parent || strcmp(n->name, name) != 0))
		n = n->next_name;
	return n;
}

static bool take_pin(struct nodes *t)
{
	if (t->pins >= t->pins_max || (t->fds && fds_take(t->fds) < 0))
		return false;
	t->pins++;
	return true;
}

static void drop_pin(struct nodes *t)
{
	t->pins--;
	if (t->fds)
		fds_give(t->fds);
}

static void drop_fd(struct nodes *t, struct node *n)
{
	if (n->fd < 0 || n == t->root)
		return;
	close(n->fd);
	n->fd = -1;
	if (n->pinned) {
		drop_pin(t);
	} else {
		t->cached--;
		if (n->fd_users == 0)
			TAILQ_REMOVE(&t->lru, n, lru);
	}
	n->pinned = false;
}

static void free_node(struct nodes *t, struct node *n)
{
	if (t->freed)
		t->freed(n, t->freed_arg);
	free(n->name);
	free(n);
}

/* Frees n when nothing holds it, and then the parents that were held by it alone. */
static void reap(struct nodes *t, struct node *n)
{
	while (n != t->root && n->refs == 0 && n->lookups == 0) {
		struct node *parent = n->parent;
		remove_name(t, n);
		struct node **p = &t->by_id[id_bucket(t, n->id)];
		while (*p != n)
			p = &(*p)->next_id;
		*p = n->next_id;
		drop_fd(t, n);
		free_node(t, n);
		t->count--;
		parent->refs--;
		n = parent;
	}
}

static struct node *make(struct nodes *t, struct node *parent, const char *name, const struct stat *st)
{
	struct node *n = calloc(1, sizeof *n);
	char *copy = strdup(name);
	if (!n || !copy) {
		free(n);
		free(copy);
		return NULL;
	}
	*n = (struct node){
	    .id = t->next_id++,
	    .parent = parent,
	    .name = copy,
	    .ino = st->st_ino,
	    .type = st->st_mode & S_IFMT,
	    .fd = -1,
	};
	if (t->count >= t->buckets)
		grow(t);
	insert_id(t, n);
	t->count++;
	if (parent) {
		parent->refs++;
		insert_name(t, n);
	}
	return n;
}

int nodes_init(struct nodes *t, int root_fd, size_t max, unsigned cached_max, unsigned pins_max)
{
	struct stat st;
	*t = (struct nodes){
	    .buckets = BUCKETS_FIRST,
	    .max = max,
	    .next_id = NODE_ROOT,
	    .cached_max = cached_max,
	    .pins_max = pins_max,
	};
	if (fstat(root_fd, &st) < 0 || getrandom(t->key, sizeof t->key, 0) != sizeof t->key)
		return -errno;
	t->by_id = calloc(t->buckets, sizeof *t->by_id);
	t->by_name = calloc(t->buckets, sizeof *t->by_name);
	if (t->by_id && t->by_name)
		t->root = make(t, NULL, "", &st);
	if (!t->root) {
		free(t->by_id);
		free(t->by_name);
		return -ENOMEM;
	}
	t->root->fd = root_fd;
	t->root->linked = true;
	TAILQ_INIT(&t->lru);
	pthread_mutex_init(&t->lock, NULL);
	return 0;
}

void nodes_done(struct nodes *t)
{
	for (size_t i = 0; i < t->buckets; i++) {
		for (struct node *n = t->by_id[i], *next; n; n = next) {
			next = n->next_id;
			if (n->fd >= 0 && n != t->root)
				close(n->fd);
			if (n->pinned)
				drop_pin(t);
			free_node(t, n);
		}
	}
	free(t->by_id);
	free(t->by_name);
	pthread_mutex_destroy(&t->lock);
}

struct node *node_get(struct nodes *t, uint64_t id)
{
	pthread_mutex_lock(&t->lock);
	struct node *n = find_id(t, id);
	if (n)
		n->refs++;
	pthread_mutex_unlock(&t->lock);
	return n;
}

void node_ref(struct nodes *t, struct node *n)
{
	pthread_mutex_lock(&t->lock);
	n->refs++;
	pthread_mutex_unlock(&t->lock);
}

void node_unref(struct nodes *t, struct node *n)
{
	if (!n)
		return;
	pthread_mutex_lock(&t->lock);
	n->refs--;
	reap(t, n);
	pthread_mutex_unlock(&t->lock);
}

struct node *node_child(struct nodes *t, struct node *parent, const char *name)
{
	pthread_mutex_lock(&t->lock);
	struct node *n = find_name(t, parent, name);
	if (n)
		n->refs++;
	pthread_mutex_unlock(&t->lock);
	return n;
}

int node_intern(struct nodes *t, struct node *parent, const char *name, const struct stat *st,
                struct node **ret)
{
	int r = 0;
	pthread_mutex_lock(&t->lock);
	struct node *n = find_name(t, parent, name);
	if (n && (n->ino != st->st_ino || n->type != (st->st_mode & S_IFMT))) {
		remove_name(t, n);
		reap(t, n);
		n = NULL;
	}
	if (!n && t->count >= t->max)
		r = -ENFILE;
	else if (!n && !(n = make(t, parent, name, st)))
		r = -ENOMEM;
	if (r == 0) {
		n->refs++;
		*ret = n;
	}
	pthread_mutex_unlock(&t->lock);
	return r;
}

void node_looked_up(struct nodes *t, struct node *n)
{
	pthread_mutex_lock(&t->lock);
	n->lookups++;
	pthread_mutex_unlock(&t->lock);
}

void node_forget(struct nodes *t, uint64_t id, uint64_t count)
{
	pthread_mutex_lock(&t->lock);
	struct node *n = find_id(t, id);
	if (n) {
		n->lookups -= count < n->lookups ? count : n->lookups;
		reap(t, n);
	}
	pthread_mutex_unlock(&t->lock);
}

bool node_place(struct nodes *t, struct node *n, struct node **ret_parent, char name[NAME_MAX + 1])
{
	pthread_mutex_lock(&t->lock);
	bool placed = n->linked && n->parent;
	if (placed) {
		n->parent->refs++;
		*ret_parent = n->parent;
		memcpy(name, n->name, strlen(n->name) + 1); /* path_name_ok: never longer than NAME_MAX */
	}
	pthread_mutex_unlock(&t->lock);
	return placed;
}

unsigned node_depth(struct nodes *t, struct node *n)
{
	unsigned depth = 0;
	pthread_mutex_lock(&t->lock);
	for (; n->parent; n = n->parent)
		depth++;
	pthread_mutex_unlock(&t->lock);
	return depth;
}

void node_unlink(struct nodes *t, struct node *n, int pin)
{
	pthread_mutex_lock(&t->lock);
	remove_name(t, n);
	if (n->fd < 0 && pin >= 0 && n->lookups > 0 && take_pin(t)) {
		n->fd = pin;
		n->pinned = true;
		pin = -1;
	}
	pthread_mutex_unlock(&t->lock);
	if (pin >= 0)
		close(pin);
}

/* Gives n another place; false, with n left without a name, when there is no memory for it. */
static bool replace_name(struct nodes *t, struct node *n, struct node *parent, const char *name)
{
	char *copy = strdup(name);
	remove_name(t, n);
	if (!copy)
		return false;
	free(n->name);
	n->name = copy;
	parent->refs++;
	n->parent->refs--;
	struct node *was = n->parent;
	n->parent = parent;
	insert_name(t, n);
	reap(t, was);
	return true;
}

void node_move(struct nodes *t, struct node *n, struct node *parent, const char *name)
{
	pthread_mutex_lock(&t->lock);
	struct node *there = find_name(t, parent, name);
	if (there && there != n)
		remove_name(t, there);
	replace_name(t, n, parent, name);
	pthread_mutex_unlock(&t->lock);
}

void node_exchange(struct nodes *t, struct node *a, struct node *b)
{
	pthread_mutex_lock(&t->lock);
	remove_name(t, a);
	remove_name(t, b);
	/* Each parent gives one child away and takes one in: nobody's count changes. */
	struct node *parent = a->parent;
	char *name = a->name;
	a->parent = b->parent;
	a->name = b->name;
	b->parent = parent;
	b->name = name;
	insert_name(t, a);
	insert_name(t, b);
	pthread_mutex_unlock(&t->lock);
}

size_t node_path(struct nodes *t, struct node *n, const char *leaf, char *out, size_t size)
{
	/* Filled from the end, so that the walk to the root needs no second pass. */
	size_t at = size - 1;
	out[at] = 0;
	pthread_mutex_lock(&t->lock);
	for (const char *name = leaf; n && at > 0; name = NULL) {
		if (!name) {
			if (n == t->root)
				break;
			name = n->name;
			n = n->parent;
		}
		size_t len = strlen(name);
		if (out[at] != 0 && at > 0)
			out[--at] = '/';
		len = len < at ? len : at;
		at -= len;
		memcpy(out + at, name + strlen(name) - len, len);
	}
	pthread_mutex_unlock(&t->lock);
	size_t len = size - 1 - at;
	memmove(out, out + at, len + 1);
	return len;
}

size_t nodes_count(struct nodes *t)
{
	pthread_mutex_lock(&t->lock);
	size_t n = t->count;
	pthread_mutex_unlock(&t->lock);
	return n;
}
