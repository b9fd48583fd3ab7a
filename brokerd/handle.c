/* handle: slots with generations. */
#include "brokerd/handle.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "brokerd/fds.h"

#define SLOTS_FIRST 32

int handles_init(struct handles *t, unsigned files_max, unsigned dirs_max, struct fd_share *fds)
{
	*t = (struct handles){.files_max = files_max, .dirs_max = dirs_max, .fds = fds, .size = SLOTS_FIRST};
	t->slot = calloc(t->size, sizeof *t->slot);
	t->generation = calloc(t->size, sizeof *t->generation);
	if (!t->slot || !t->generation) {
		free(t->slot);
		free(t->generation);
		return -ENOMEM;
	}
	pthread_mutex_init(&t->lock, NULL);
	return 0;
}

void handles_done(struct handles *t)
{
	free(t->slot);
	free(t->generation);
	pthread_mutex_destroy(&t->lock);
}

/* A free slot, or -ENOMEM; the ceilings bound how far this grows. */
static int free_slot(struct handles *t, uint32_t *ret)
{
	for (uint32_t i = 0; i < t->size; i++) {
		uint32_t s = (t->free_hint + i) % t->size;
		if (!t->slot[s]) {
			*ret = s;
			t->free_hint = s + 1;
			return 0;
		}
	}
	if (t->size > UINT32_MAX / 2)
		return -ENOMEM;
	uint32_t size = t->size ? t->size * 2 : SLOTS_FIRST;
	struct handle **slot = realloc(t->slot, size * sizeof *slot);
	if (slot)
		t->slot = slot;
	uint32_t *generation = slot ? realloc(t->generation, size * sizeof *generation) : NULL;
	if (!generation)
		return -ENOMEM;
	t->generation = generation;
	for (uint32_t i = t->size; i < size; i++) {
		t->slot[i] = NULL;
		t->generation[i] = 0;
	}
	*ret = t->size;
	t->free_hint = t->size + 1;
	t->size = size;
	return 0;
}

static int place(struct handles *t, struct handle *h)
{
	unsigned *count = h->kind == HANDLE_FILE ? &t->files : &t->dirs;
	unsigned max = h->kind == HANDLE_FILE ? t->files_max : t->dirs_max;
	if (*count >= max)
		return -EMFILE;
	int r = free_slot(t, &h->slot);
	if (r < 0)
		return r;
	t->slot[h->slot] = h;
	h->generation = ++t->generation[h->slot];
	++*count;
	return 0;
}

int handle_open(struct handles *t, enum handle_kind kind, int fd, struct node *node, uint64_t *ret_number,
                struct handle **ret_handle)
{
	int r = fds_take(t->fds);
	if (r < 0)
		return r;
	struct handle *h = calloc(1, sizeof *h);
	if (!h) {
		fds_give(t->fds);
		return -ENOMEM;
	}
	*h = (struct handle){.kind = kind, .fd = fd, .node = node, .refs = ret_handle ? 2 : 1};
	pthread_mutex_init(&h->lock, NULL);
	pthread_mutex_lock(&t->lock);
	r = place(t, h);
	pthread_mutex_unlock(&t->lock);
	if (r < 0) {
		fds_give(t->fds);
		pthread_mutex_destroy(&h->lock);
		free(h);
		return r;
	}
	*ret_number = (uint64_t)h->generation << 32 | h->slot;
	if (ret_handle)
		*ret_handle = h;
	return 0;
}

static struct handle *find(struct handles *t, enum handle_kind kind, uint64_t number)
{
	uint32_t slot = (uint32_t)number, generation = (uint32_t)(number >> 32);
	struct handle *h = slot < t->size ? t->slot[slot] : NULL;
	return h && h->generation == generation && h->kind == kind ? h : NULL;
}

struct handle *handle_get(struct handles *t, enum handle_kind kind, uint64_t number)
{
	pthread_mutex_lock(&t->lock);
	struct handle *h = find(t, kind, number);
	if (h)
		h->refs++;
	pthread_mutex_unlock(&t->lock);
	return h;
}

void handle_put(struct handles *t, struct handle *h)
{
	if (!h)
		return;
	pthread_mutex_lock(&t->lock);
	bool last = --h->refs == 0;
	pthread_mutex_unlock(&t->lock);
	if (!last)
		return;
	close(h->fd);
	fds_give(t->fds);
	pthread_mutex_destroy(&h->lock);
	free(h->entries);
	free(h);
}

static void take_back(struct handles *t, struct handle *h)
{
	t->slot[h->slot] = NULL;
	t->free_hint = h->slot;
	--*(h->kind == HANDLE_FILE ? &t->files : &t->dirs);
}

struct handle *handle_close(struct handles *t, enum handle_kind kind, uint64_t number)
{
	pthread_mutex_lock(&t->lock);
	struct handle *h = find(t, kind, number);
	if (h)
		take_back(t, h);
	pthread_mutex_unlock(&t->lock);
	return h;
}

struct handle *handle_close_any(struct handles *t)
{
	struct handle *h = NULL;
	pthread_mutex_lock(&t->lock);
	for (uint32_t i = 0; i < t->size && !h; i++)
		h = t->slot[i];
	if (h)
		take_back(t, h);
	pthread_mutex_unlock(&t->lock);
	return h;
}

unsigned handles_files(struct handles *t)
{
	pthread_mutex_lock(&t->lock);
	unsigned n = t->files;
	pthread_mutex_unlock(&t->lock);
	return n;
}
