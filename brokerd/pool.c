/*
 * pool: one epoll set, one-shot. A descriptor with a request wakes one worker, which reads that request, arms
 * the descriptor again (it then stands behind the other ready ones) and serves. Operations that waited for
 * auditd come back as tasks; lanes with tasks stand in a ring and give one task at a time.
 */
#include "brokerd/pool.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/queue.h>
#include <time.h>
#include <unistd.h>

#include "libocu/clock.h"
#include "libocu/err.h"

#define WAKE     UINT64_MAX
#define CREDIT_S 60 /* of the rate are saved up */

struct lane {
	struct pool *pool;
	TAILQ_ENTRY(lane) ring; /* in pool->ready while it has tasks */
	struct task *head, *tail;
	uint32_t slot, generation;
	int fd;
	unsigned active;        /* workers inside */
	unsigned pending;       /* holds */
	int64_t credit;         /* thousandths of an operation, as of credit_ms; below 0 it is not read */
	uint64_t credit_ms;     /* ocu_mono_ms */
	uint64_t resume_ms;     /* when it is read again; 0: it is not in pool->paused */
	TAILQ_ENTRY(lane) rest; /* there */
	bool armed, closing, ended;
	const struct lane_ops *ops;
	void *arg;
};
TAILQ_HEAD(ring, lane);

struct pool {
	struct pool_opts o;
	int epoll, wake;
	pthread_mutex_t lock;
	pthread_cond_t idle; /* a lane has nothing under way */
	struct ring ready, paused;
	_Atomic uint64_t resume_ms; /* of the first that is paused; 0: none is */
	struct lane **slot;
	uint32_t *generation;
	unsigned threads;
	pthread_t *thread;
	bool stop;
};

static uint64_t lane_key(const struct lane *l)
{
	return (uint64_t)l->generation << 32 | l->slot;
}

static void wake_one(struct pool *p)
{
	uint64_t one = 1;
	ssize_t n = write(p->wake, &one, sizeof one); /* fails only at 2^64 - 1 */
	(void)n;
}

/* With the lock. A lane at its ceiling stays unarmed; whoever leaves it arms it. */
static void arm(struct lane *l)
{
	const struct pool_opts *o = &l->pool->o;
	if (l->armed || l->closing || l->resume_ms || l->active >= o->lane_workers ||
	    l->pending >= o->lane_inflight)
		return;
	struct epoll_event ev = {.events = EPOLLIN | EPOLLONESHOT, .data.u64 = lane_key(l)};
	l->armed = epoll_ctl(l->pool->epoll, EPOLL_CTL_MOD, l->fd, &ev) == 0;
}

static void end(struct lane *l)
{
	if (l->closing)
		return;
	l->closing = true;
	if (l->resume_ms)
		TAILQ_REMOVE(&l->pool->paused, l, rest);
	l->resume_ms = 0;
	epoll_ctl(l->pool->epoll, EPOLL_CTL_DEL, l->fd, NULL);
}

/* With the lock. */
static void pause_lane(struct lane *l, uint64_t until_ms)
{
	struct pool *p = l->pool;
	if (l->resume_ms)
		TAILQ_REMOVE(&p->paused, l, rest);
	l->resume_ms = until_ms;
	TAILQ_INSERT_TAIL(&p->paused, l, rest);
	if (!p->resume_ms || until_ms < p->resume_ms)
		p->resume_ms = until_ms;
}

void lane_charge(struct lane *l)
{
	struct pool *p = l->pool;
	int64_t full = (int64_t)p->o.lane_rate * CREDIT_S * 1000;
	uint64_t now = ocu_mono_ms();
	if (!full)
		return;
	pthread_mutex_lock(&p->lock);
	/* A rate a second is as many thousandths a millisecond. */
	int64_t earned = (int64_t)(now - l->credit_ms) * p->o.lane_rate;
	l->credit = l->credit + earned < full ? l->credit + earned : full;
	l->credit_ms = now;
	l->credit -= 1000;
	bool broke = l->credit < 0 && !l->closing;
	if (broke)
		pause_lane(l, now + 1 + (uint64_t)(-l->credit) / p->o.lane_rate);
	pthread_mutex_unlock(&p->lock);
	if (broke)
		wake_one(p); /* somebody waits no longer than until then */
}

/* Lets paused lanes go on whose time has come; milliseconds until the next, -1 for none. */
static int resume_lanes(struct pool *p)
{
	uint64_t first = p->resume_ms, now = first ? ocu_mono_ms() : 0;
	if (!first || now < first)
		return first ? (int)(first - now) : -1;
	pthread_mutex_lock(&p->lock);
	first = 0;
	for (struct lane *l = TAILQ_FIRST(&p->paused), *next; l; l = next) {
		next = TAILQ_NEXT(l, rest);
		if (l->resume_ms <= now) {
			TAILQ_REMOVE(&p->paused, l, rest);
			l->resume_ms = 0;
			arm(l);
		} else if (!first || l->resume_ms < first) {
			first = l->resume_ms;
		}
	}
	p->resume_ms = first;
	pthread_mutex_unlock(&p->lock);
	return first ? (int)(first - now) : -1;
}

/* With the lock, which it releases: arms the lane again, or buries it. */
static void settle_and_unlock(struct lane *l)
{
	struct pool *p = l->pool;
	bool idle = l->active == 0 && l->pending == 0;
	bool over = idle && l->closing && !l->ended;
	if (idle)
		pthread_cond_broadcast(&p->idle);
	if (over) {
		l->ended = true;
		p->slot[l->slot] = NULL;
	} else {
		arm(l);
	}
	pthread_mutex_unlock(&p->lock);
	if (over)
		l->ops->closed(l->arg);
}

static struct task *pop_task(struct lane *l)
{
	struct task *t = l->head;
	l->head = t->next;
	TAILQ_REMOVE(&l->pool->ready, l, ring);
	if (l->head)
		TAILQ_INSERT_TAIL(&l->pool->ready, l, ring);
	else
		l->tail = NULL;
	return t;
}

static struct lane *lane_in_turn(struct pool *p)
{
	for (struct lane *l = TAILQ_FIRST(&p->ready); l; l = TAILQ_NEXT(l, ring))
		if (l->active < p->o.lane_workers)
			return l;
	return NULL;
}

/* The next task of the next lane in turn that has a worker to spare. */
static void run_task(struct pool *p)
{
	pthread_mutex_lock(&p->lock);
	struct lane *l = lane_in_turn(p);
	if (!l) {
		pthread_mutex_unlock(&p->lock);
		return;
	}
	struct task *t = pop_task(l);
	bool more = !TAILQ_EMPTY(&p->ready);
	l->active++;
	pthread_mutex_unlock(&p->lock);
	if (more)
		wake_one(p);
	t->run(t);
	pthread_mutex_lock(&p->lock);
	l->active--;
	more = l->head != NULL;
	settle_and_unlock(l);
	if (more)
		wake_one(p); /* its tasks may have been passed over while it was full */
}

/* The lane an event names, entered; NULL when it is gone or full. */
static struct lane *enter(struct pool *p, uint64_t key)
{
	uint32_t slot = (uint32_t)key;
	pthread_mutex_lock(&p->lock);
	struct lane *l = slot < p->o.lanes ? p->slot[slot] : NULL;
	if (l && (lane_key(l) != key || l->closing))
		l = NULL;
	if (l) {
		l->armed = false;
		l->active++;
	}
	pthread_mutex_unlock(&p->lock);
	return l;
}

static void serve_lane(struct pool *p, uint64_t key, struct pool_buffer *b)
{
	struct lane *l = enter(p, key);
	if (!l)
		return;
	ssize_t n = l->ops->read(l->arg, b);
	pthread_mutex_lock(&p->lock);
	if (n < 0 && n != -EAGAIN)
		end(l);
	arm(l);
	pthread_mutex_unlock(&p->lock);
	if (n > 0)
		l->ops->serve(l->arg, b, (size_t)n);
	pthread_mutex_lock(&p->lock);
	l->active--;
	bool tasks = l->head != NULL;
	settle_and_unlock(l);
	if (tasks)
		wake_one(p);
}

static void *worker(void *arg)
{
	struct pool *p = arg;
	struct pool_buffer b = {.in_size = p->o.in_size, .out_size = p->o.out_size};
	size_t all = b.in_size + b.out_size;
	b.in = mmap(NULL, all, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (b.in == MAP_FAILED)
		return NULL;
	b.out = b.in + b.in_size;
	while (!__atomic_load_n(&p->stop, __ATOMIC_ACQUIRE)) {
		struct epoll_event ev;
		if (epoll_wait(p->epoll, &ev, 1, resume_lanes(p)) != 1)
			continue;
		if (ev.data.u64 == WAKE)
			run_task(p);
		else
			serve_lane(p, ev.data.u64, &b);
	}
	wake_one(p); /* the next one wakes, and stops */
	munmap(b.in, all);
	return NULL;
}

static void pool_free(struct pool *p)
{
	if (p->epoll >= 0)
		close(p->epoll);
	if (p->wake >= 0)
		close(p->wake);
	pthread_mutex_destroy(&p->lock);
	pthread_cond_destroy(&p->idle);
	free(p->slot);
	free(p->generation);
	free(p->thread);
	free(p);
}

int pool_start(struct pool **ret, const struct pool_opts *o, struct ocu_error *err)
{
	struct pool *p = calloc(1, sizeof *p);
	if (!p)
		return ocu_error_set(err, OCU_E_NOMEM, "worker pool");
	p->o = *o;
	pthread_condattr_t monotonic;
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->idle, &monotonic);
	pthread_condattr_destroy(&monotonic);
	TAILQ_INIT(&p->ready);
	TAILQ_INIT(&p->paused);
	p->epoll = epoll_create1(EPOLL_CLOEXEC);
	p->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	p->slot = calloc(o->lanes, sizeof *p->slot);
	p->generation = calloc(o->lanes, sizeof *p->generation);
	p->thread = calloc(o->workers, sizeof *p->thread);
	/* Edge-triggered: every write wakes one worker, and nobody has to read the counter. */
	struct epoll_event ev = {.events = EPOLLIN | EPOLLET, .data.u64 = WAKE};
	if (p->epoll < 0 || p->wake < 0 || !p->slot || !p->generation || !p->thread ||
	    epoll_ctl(p->epoll, EPOLL_CTL_ADD, p->wake, &ev) < 0) {
		int e = errno;
		pool_free(p);
		return ocu_error_errno(err, OCU_E_IO, e, "worker pool");
	}
	for (; p->threads < o->workers; p->threads++) {
		int e = pthread_create(&p->thread[p->threads], NULL, worker, p);
		if (e) {
			pool_stop(p);
			return ocu_error_errno(err, OCU_E_NOMEM, e, "worker thread");
		}
	}
	*ret = p;
	return 0;
}

void pool_stop(struct pool *p)
{
	if (!p)
		return;
	__atomic_store_n(&p->stop, true, __ATOMIC_RELEASE);
	wake_one(p);
	for (unsigned i = 0; i < p->threads; i++)
		pthread_join(p->thread[i], NULL);
	/* A lane that hangs in the kernel still refers to the pool; the process is about to end. */
	for (unsigned i = 0; i < p->o.lanes; i++)
		if (p->slot[i])
			return;
	pool_free(p);
}

int lane_new(struct pool *p, int fd, const struct lane_ops *ops, void *arg, struct lane **ret,
             struct ocu_error *err)
{
	struct lane *l = calloc(1, sizeof *l);
	if (!l)
		return ocu_error_set(err, OCU_E_NOMEM, "lane");
	*l = (struct lane){.pool = p,
	                   .fd = fd,
	                   .ops = ops,
	                   .arg = arg,
	                   .credit = (int64_t)p->o.lane_rate * CREDIT_S * 1000,
	                   .credit_ms = ocu_mono_ms()};
	pthread_mutex_lock(&p->lock);
	while (l->slot < p->o.lanes && p->slot[l->slot])
		l->slot++;
	bool room = l->slot < p->o.lanes;
	if (room) {
		l->generation = ++p->generation[l->slot];
		p->slot[l->slot] = l;
	}
	pthread_mutex_unlock(&p->lock);
	if (!room) {
		free(l);
		return ocu_error_set(err, OCU_E_QUOTA, "%u mounts are served already", p->o.lanes);
	}
	*ret = l;
	return 0;
}

int lane_start(struct lane *l, struct ocu_error *err)
{
	struct pool *p = l->pool;
	struct epoll_event ev = {.events = EPOLLIN | EPOLLONESHOT, .data.u64 = lane_key(l)};
	pthread_mutex_lock(&p->lock);
	int e = l->closing ? ECANCELED : epoll_ctl(p->epoll, EPOLL_CTL_ADD, l->fd, &ev) < 0 ? errno : 0;
	l->armed = e == 0;
	pthread_mutex_unlock(&p->lock);
	return e ? ocu_error_errno(err, e == ECANCELED ? OCU_E_CANCELLED : OCU_E_IO, e, "serving a mount")
	         : 0;
}

void lane_close(struct lane *l)
{
	pthread_mutex_lock(&l->pool->lock);
	end(l);
	settle_and_unlock(l);
}

int lane_hold(struct lane *l)
{
	pthread_mutex_lock(&l->pool->lock);
	int r = l->ended ? -1 : 0;
	if (r == 0)
		l->pending++;
	pthread_mutex_unlock(&l->pool->lock);
	return r;
}

void lane_free(struct lane *l)
{
	free(l);
}

void lane_release(struct lane *l)
{
	pthread_mutex_lock(&l->pool->lock);
	l->pending--;
	settle_and_unlock(l);
}

void lane_post(struct lane *l, struct task *t)
{
	struct pool *p = l->pool;
	t->next = NULL;
	pthread_mutex_lock(&p->lock);
	if (l->tail)
		l->tail->next = t;
	else
		l->head = t;
	if (!l->tail)
		TAILQ_INSERT_TAIL(&p->ready, l, ring);
	l->tail = t;
	pthread_mutex_unlock(&p->lock);
	wake_one(p);
}

int lane_wait_idle(struct lane *l, unsigned ms)
{
	struct pool *p = l->pool;
	struct timespec until;
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += ms / 1000;
	until.tv_nsec += (long)(ms % 1000) * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	pthread_mutex_lock(&p->lock);
	int r = 0;
	while ((l->active > 0 || l->pending > 0) && r == 0)
		r = pthread_cond_timedwait(&p->idle, &p->lock, &until);
	pthread_mutex_unlock(&p->lock);
	return r == 0;
}
