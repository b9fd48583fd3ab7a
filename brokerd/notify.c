/* notify: a queue and its thread. */
#include "brokerd/notify.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "brokerd/fuse_version.h"
#include "brokerd/mount.h"
#include "brokerd/volume.h"

struct change {
	uint64_t parent;
	char name[NAME_MAX + 1];
};

struct notifier {
	struct mount *mount; /* used only while its lane is held */
	atomic_uint refs;    /* the mount's and the thread's */
	pthread_mutex_t lock;
	pthread_cond_t work, done;
	struct change queue[NOTIFY_QUEUE];
	uint64_t put, got, told; /* counts of changes */
	bool telling;            /* the thread is in the kernel */
	bool stop;
};

static void notifier_free(struct notifier *n)
{
	pthread_mutex_destroy(&n->lock);
	pthread_cond_destroy(&n->work);
	pthread_cond_destroy(&n->done);
	free(n);
}

static void unref(struct notifier *n)
{
	if (atomic_fetch_sub(&n->refs, 1) == 1)
		notifier_free(n);
}

/* With the lock, which it lets go of meanwhile. */
static void tell(struct notifier *n, const struct change *c)
{
	struct mount *m = n->mount;
	n->telling = true;
	pthread_mutex_unlock(&n->lock);
	bool held = lane_hold(m->lane) == 0; /* not: it has ended by itself, and nobody has to cut it */
	if (held)
		fuse_lowlevel_notify_inval_entry(m->session, c->parent, c->name, strlen(c->name));
	pthread_mutex_lock(&n->lock);
	n->telling = false;
	n->told++;
	pthread_cond_broadcast(&n->done);
	bool cut = n->stop;
	pthread_mutex_unlock(&n->lock);
	if (held && cut)
		mount_cut(m);
	if (held)
		lane_release(m->lane);
	pthread_mutex_lock(&n->lock);
}

static void *run(void *arg)
{
	struct notifier *n = arg;
	struct mount *m = n->mount;
	pthread_mutex_lock(&n->lock);
	for (;;) {
		while (n->got == n->put && !n->stop)
			pthread_cond_wait(&n->work, &n->lock);
		if (n->stop)
			break;
		struct change c = n->queue[n->got++ % NOTIFY_QUEUE];
		tell(n, &c);
	}
	pthread_cond_broadcast(&n->done);
	pthread_mutex_unlock(&n->lock);
	mount_unref(m);
	unref(n);
	return NULL;
}

static struct notifier *start(struct mount *m)
{
	struct notifier *n = calloc(1, sizeof *n);
	pthread_t thread;
	pthread_condattr_t monotonic;
	if (!n)
		return NULL;
	n->mount = mount_ref(m);
	atomic_init(&n->refs, 2);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_mutex_init(&n->lock, NULL);
	pthread_cond_init(&n->work, NULL);
	pthread_cond_init(&n->done, &monotonic);
	pthread_condattr_destroy(&monotonic);
	if (pthread_create(&thread, NULL, run, n) != 0) {
		mount_unref(m);
		notifier_free(n);
		return NULL;
	}
	pthread_detach(thread);
	return n;
}

/* The mount's notifier, referenced. */
static struct notifier *get(struct mount *m)
{
	pthread_mutex_lock(&m->volume->lock);
	if (!m->notifier && !atomic_load(&m->dead))
		m->notifier = start(m);
	struct notifier *n = m->notifier;
	if (n)
		atomic_fetch_add(&n->refs, 1);
	pthread_mutex_unlock(&m->volume->lock);
	return n;
}

void notify_entry(struct mount *m, uint64_t parent, const char *name, unsigned wait_ms)
{
	struct notifier *n = get(m);
	struct timespec until;
	if (!n)
		return;
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += (long)wait_ms * 1000000;
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	pthread_mutex_lock(&n->lock);
	if (n->put - n->got < NOTIFY_QUEUE && !n->stop) {
		struct change *c = &n->queue[n->put++ % NOTIFY_QUEUE];
		uint64_t mine = n->put;
		c->parent = parent;
		memcpy(c->name, name, strlen(name) + 1); /* path_name_ok: never longer than NAME_MAX */
		pthread_cond_signal(&n->work);
		for (int r = 0; n->told < mine && !n->stop && r == 0;)
			r = pthread_cond_timedwait(&n->done, &n->lock, &until);
	}
	pthread_mutex_unlock(&n->lock);
	unref(n);
}

bool notify_stop(struct mount *m)
{
	pthread_mutex_lock(&m->volume->lock);
	struct notifier *n = m->notifier;
	m->notifier = NULL;
	pthread_mutex_unlock(&m->volume->lock);
	if (!n)
		return false;
	pthread_mutex_lock(&n->lock);
	bool telling = n->telling;
	n->stop = true;
	pthread_cond_broadcast(&n->work);
	pthread_cond_broadcast(&n->done);
	pthread_mutex_unlock(&n->lock);
	unref(n);
	return telling;
}
