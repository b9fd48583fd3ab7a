/* worker: the loop. */
#include "egressd/worker.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "egressd/edge.h"
#include "egressd/egress.h"
#include "egressd/lookup.h"
#include "libocu/clock.h"
#include "libocu/err.h"

/* Events a round: small, so that the inbox (and with it a kill), read once in each, is read often. */
#define ROUND_EVENTS 64
#define ROUND_MAX_MS 1000

int worker_watch(struct worker *w, struct watch *x, uint32_t events)
{
	if (events == x->events)
		return 0;
	int op = x->events == 0 ? EPOLL_CTL_ADD : events == 0 ? EPOLL_CTL_DEL : EPOLL_CTL_MOD;
	struct epoll_event ev = {.events = events, .data.ptr = x};
	if (epoll_ctl(w->epoll, op, x->fd, &ev) < 0)
		return -1;
	x->events = events;
	return 0;
}

void worker_unwatch(struct worker *w, struct watch *x)
{
	if (x->fd < 0)
		return;
	worker_watch(w, x, 0);
	close(x->fd);
	x->fd = -1;
}

void worker_bury(struct worker *w, struct grave *g)
{
	g->next = w->graves;
	w->graves = g;
}

static void empty_graves(struct worker *w)
{
	while (w->graves) {
		struct grave *g = w->graves;
		w->graves = g->next;
		g->free(g);
	}
}

/* Callers hold the lock. A write that finds the counter full has nothing to add. */
static void wake_up(struct worker *w)
{
	if (eventfd_write(w->wake.fd, 1) < 0 && errno != EAGAIN)
		abort();
}

/* False: the worker has ended and only_live was asked for. Checked with the lock that ending takes, so that
 * no call slips in behind the last look at the inbox. */
static bool post(struct worker *w, struct task *t, bool only_live)
{
	pthread_mutex_lock(&w->lock);
	bool take = !only_live || !w->stopped;
	if (take) {
		t->next = NULL;
		*w->inbox_end = t;
		w->inbox_end = &t->next;
		wake_up(w);
	}
	pthread_mutex_unlock(&w->lock);
	return take;
}

void worker_post(struct worker *w, struct task *t)
{
	post(w, t, false);
}

static void run_inbox(struct worker *w)
{
	pthread_mutex_lock(&w->lock);
	struct task *t = w->inbox;
	w->inbox = NULL;
	w->inbox_end = &w->inbox;
	pthread_mutex_unlock(&w->lock);
	while (t) {
		struct task *next = t->next;
		t->run(w, t);
		t = next;
	}
}

static void on_wake(struct watch *x, uint32_t events)
{
	struct worker *w = (struct worker *)((char *)x - offsetof(struct worker, wake));
	eventfd_t n;

	(void)events;
	if (eventfd_read(w->wake.fd, &n) == 0)
		run_inbox(w);
}

struct call {
	struct task task;
	int (*fn)(struct worker *w, void *arg);
	void *arg;
	int result;
	bool posted, done;
	pthread_mutex_t lock;
	pthread_cond_t cond;
};

static void run_call(struct worker *w, struct task *t)
{
	struct call *c = (struct call *)t;
	int result = w->stopped ? OCU_E_CANCELLED : c->fn(w, c->arg);

	pthread_mutex_lock(&c->lock);
	c->result = result;
	c->done = true;
	pthread_cond_signal(&c->cond);
	pthread_mutex_unlock(&c->lock);
}

static void call_begin(struct call *c, struct worker *w, int (*fn)(struct worker *w, void *arg), void *arg)
{
	*c = (struct call){.task.run = run_call, .fn = fn, .arg = arg, .result = OCU_E_CANCELLED};
	pthread_mutex_init(&c->lock, NULL);
	pthread_cond_init(&c->cond, NULL);
	c->posted = post(w, &c->task, true);
}

static int call_wait(struct call *c)
{
	pthread_mutex_lock(&c->lock);
	while (c->posted && !c->done)
		pthread_cond_wait(&c->cond, &c->lock);
	pthread_mutex_unlock(&c->lock);
	pthread_mutex_destroy(&c->lock);
	pthread_cond_destroy(&c->cond);
	return c->result;
}

int worker_call(struct worker *w, int (*fn)(struct worker *w, void *arg), void *arg)
{
	struct call c;

	call_begin(&c, w, fn, arg);
	return call_wait(&c);
}

void worker_call_all(struct worker *const *workers, unsigned n, int (*fn)(struct worker *w, void *arg),
                     void *arg)
{
	struct call calls[EGRESS_WORKERS_MAX];

	for (unsigned i = 0; i < n; i++)
		call_begin(&calls[i], workers[i], fn, arg);
	for (unsigned i = 0; i < n; i++)
		call_wait(&calls[i]);
}

static bool drained(struct worker *w)
{
	if (!w->stopping)
		return false;
	if (w->now_ms < w->stop_ms && edges_connections(w))
		return false;
	edges_close(w);
	return true;
}

static void *loop(void *arg)
{
	struct worker *w = arg;
	struct epoll_event events[ROUND_EVENTS];

	for (;;) {
		int wait = timers_wait(&w->timers, ocu_mono_ms(), w->stopping ? 20 : ROUND_MAX_MS);
		int n = epoll_wait(w->epoll, events, ROUND_EVENTS, wait);
		w->now_ms = ocu_mono_ms();
		/* Not only at the eventfd's turn, rounds away when many descriptors are ready. */
		run_inbox(w);
		for (int i = 0; i < n; i++) {
			struct watch *x = events[i].data.ptr;
			/* An earlier event of this round may have closed it or lost interest. */
			if (x->events)
				x->ready(x, events[i].events);
		}
		timers_run(&w->timers, w->now_ms);
		empty_graves(w);
		if (drained(w))
			break;
	}
	pthread_mutex_lock(&w->lock);
	w->stopped = true;
	pthread_mutex_unlock(&w->lock);
	/* A call posted before that waits for its answer. */
	run_inbox(w);
	empty_graves(w);
	return NULL;
}

int worker_new(struct worker **ret, struct egress *e, struct ocu_error *err)
{
	struct worker *w = calloc(1, sizeof *w);

	if (!w)
		return ocu_error_set(err, OCU_E_NOMEM, "worker");
	w->egress = e;
	w->inbox_end = &w->inbox;
	w->now_ms = ocu_mono_ms();
	pthread_mutex_init(&w->lock, NULL);
	w->epoll = epoll_create1(EPOLL_CLOEXEC);
	w->wake = (struct watch){.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), .ready = on_wake};
	w->scratch = malloc(WORKER_SCRATCH);
	if (w->epoll < 0 || w->wake.fd < 0 || !w->scratch || worker_watch(w, &w->wake, EPOLLIN)) {
		worker_free(w);
		return ocu_error_errno(err, OCU_E_IO, errno, "worker");
	}
	int rc = lookups_new(&w->lookups, w, err);
	if (rc) {
		worker_free(w);
		return rc;
	}
	*ret = w;
	return 0;
}

int worker_start(struct worker *w, struct ocu_error *err)
{
	int rc = pthread_create(&w->thread, NULL, loop, w);

	if (rc)
		return ocu_error_errno(err, OCU_E_IO, rc, "worker thread");
	w->started = true;
	return 0;
}

struct stop {
	struct task task;
	unsigned drain_ms;
};

static void run_stop(struct worker *w, struct task *t)
{
	w->stopping = true;
	w->stop_ms = w->now_ms + ((struct stop *)t)->drain_ms;
	edges_stop_listening(w);
	free(t);
}

void worker_stop_begin(struct worker *w, unsigned drain_ms)
{
	struct stop *s = calloc(1, sizeof *s);

	if (!s)
		abort();
	s->task.run = run_stop;
	s->drain_ms = drain_ms;
	worker_post(w, &s->task);
}

void worker_stop_wait(struct worker *w)
{
	if (w->started)
		pthread_join(w->thread, NULL);
	w->started = false;
}

void worker_free(struct worker *w)
{
	if (!w)
		return;
	pthread_mutex_lock(&w->lock);
	w->stopped = true;
	pthread_mutex_unlock(&w->lock);
	run_inbox(w);
	edges_close(w);
	lookups_free(w->lookups);
	empty_graves(w);
	timers_done(&w->timers);
	if (w->epoll >= 0)
		close(w->epoll);
	if (w->wake.fd >= 0)
		close(w->wake.fd);
	pthread_mutex_destroy(&w->lock);
	free(w->scratch);
	free(w);
}
