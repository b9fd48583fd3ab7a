/*
 * http_watch: one thread per server that sees what MHD does not: a client that goes away while its connection
 * is suspended (MHD takes suspended sockets out of its own set), and a request that arrives too slowly (MHD's
 * time-out starts anew with every byte). Only suspended requests are watched, so an answer given at once
 * costs nothing here.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "libocu/clock.h"
#include "libocu/httpd_internal.h"

#define EVENTS_MAX 64
#define SWEEP_MS   1000
#define WAKE_EVENT UINT64_MAX

/* --- suspended requests --- */

static bool grow(struct ocu_httpd *h, size_t fd)
{
	size_t n = h->n_watches ? h->n_watches : 64;
	struct http_watch *w;

	while (n <= fd)
		n *= 2;
	if (n <= h->n_watches)
		return true;
	w = realloc(h->watches, n * sizeof *w);
	if (!w)
		return false;
	memset(w + h->n_watches, 0, (n - h->n_watches) * sizeof *w);
	h->watches = w;
	h->n_watches = n;
	return true;
}

/* A client whose going away cannot be watched is only noticed when it is answered. */
static void watch(struct ocu_http_req *r)
{
	struct ocu_httpd *h = r->h;
	size_t fd = (size_t)r->link->fd;
	struct epoll_event ev = {.events = EPOLLRDHUP | EPOLLONESHOT};

	if (!grow(h, fd))
		return;
	ev.data.u64 = (uint64_t)++h->watches[fd].generation << 32 | fd;
	if (epoll_ctl(h->epoll_fd, EPOLL_CTL_ADD, r->link->fd, &ev) == 0)
		h->watches[fd].req = r;
}

static void unwatch(struct ocu_http_req *r)
{
	struct ocu_httpd *h = r->h;
	size_t fd = (size_t)r->link->fd;

	if (fd >= h->n_watches || h->watches[fd].req != r)
		return;
	h->watches[fd].req = NULL;
	epoll_ctl(h->epoll_fd, EPOLL_CTL_DEL, r->link->fd, NULL);
}

void ocu_http_suspend(struct ocu_http_req *r)
{
	struct ocu_httpd *h = r->h;

	r->phase = HTTP_SUSPENDED;
	MHD_suspend_connection(r->conn);
	pthread_mutex_lock(&h->lock);
	r->prev = NULL;
	r->next = h->suspended;
	if (r->next)
		r->next->prev = r;
	h->suspended = r;
	if (r->on_gone || r->stream.on)
		watch(r);
	pthread_mutex_unlock(&h->lock);
}

void ocu_http_resume(struct ocu_http_req *r)
{
	struct ocu_httpd *h = r->h;

	pthread_mutex_lock(&h->lock);
	unwatch(r);
	if (r->prev)
		r->prev->next = r->next;
	else
		h->suspended = r->next;
	if (r->next)
		r->next->prev = r->prev;
	pthread_mutex_unlock(&h->lock);
	r->phase = HTTP_RUNNING_R;
	MHD_resume_connection(r->conn);
}

void ocu_http_client_gone(struct ocu_http_req *r)
{
	void (*gone)(struct ocu_http_req *, void *) = NULL;

	pthread_mutex_lock(&r->lock);
	if (r->phase == HTTP_SUSPENDED && !r->gone) {
		r->gone = true;
		gone = r->on_gone;
	}
	pthread_mutex_unlock(&r->lock);
	if (gone)
		gone(r, r->user);
	/* A stream is ended by MHD once it sees `gone`; any other request waits for its answer. */
	pthread_mutex_lock(&r->lock);
	if (r->gone && r->stream.on && r->phase == HTTP_SUSPENDED) {
		ocu_http_resume(r);
		r->pinned = false;
		ocu_http_unpin(r->h);
	}
	pthread_mutex_unlock(&r->lock);
}

static void on_event(struct ocu_httpd *h, uint64_t tag)
{
	size_t fd = (size_t)(tag & UINT32_MAX);
	struct ocu_http_req *r = NULL;

	pthread_mutex_lock(&h->lock);
	if (fd < h->n_watches && h->watches[fd].generation == (uint32_t)(tag >> 32))
		r = h->watches[fd].req;
	if (r)
		atomic_fetch_add(&r->refs, 1);
	pthread_mutex_unlock(&h->lock);
	if (!r)
		return;
	ocu_http_client_gone(r);
	ocu_http_req_unref(r, 1);
}

/* --- connections --- */

static void wake_watcher(struct ocu_httpd *h)
{
	const uint64_t one = 1;

	while (write(h->wake_fd, &one, sizeof one) < 0 && errno == EINTR)
		;
}

static struct http_conn *conn_add(struct ocu_httpd *h, int fd)
{
	struct http_conn *c = calloc(1, sizeof *c);
	bool first;

	if (!c)
		return NULL;
	c->fd = fd;
	atomic_init(&c->deadline_ms, ocu_mono_ms() + h->opts.timeout_s * UINT64_C(1000));
	pthread_mutex_lock(&h->lock);
	first = !h->conns;
	c->next = h->conns;
	if (c->next)
		c->next->prev = c;
	h->conns = c;
	pthread_mutex_unlock(&h->lock);
	if (first)
		wake_watcher(h);
	return c;
}

static void conn_remove(struct ocu_httpd *h, struct http_conn *c)
{
	pthread_mutex_lock(&h->lock);
	if (c->prev)
		c->prev->next = c->next;
	else
		h->conns = c->next;
	if (c->next)
		c->next->prev = c->prev;
	pthread_mutex_unlock(&h->lock);
	free(c);
}

void ocu_http_on_connection(void *cls, struct MHD_Connection *conn, void **socket_context,
                            enum MHD_ConnectionNotificationCode code)
{
	const union MHD_ConnectionInfo *info;

	if (code == MHD_CONNECTION_NOTIFY_STARTED) {
		info = MHD_get_connection_info(conn, MHD_CONNECTION_INFO_CONNECTION_FD);
		*socket_context = info ? conn_add(cls, info->connect_fd) : NULL;
	} else if (*socket_context) {
		conn_remove(cls, *socket_context);
		*socket_context = NULL;
	}
}

/* Until on_completed() has set the phase the connection is there. MHD closes a socket that was shut down, and
 * that resets one which must not linger. */
void ocu_http_abort(struct ocu_http_req *r)
{
	const struct linger none = {.l_onoff = 1};

	pthread_mutex_lock(&r->lock);
	if (r->phase != HTTP_DONE) {
		setsockopt(r->link->fd, SOL_SOCKET, SO_LINGER, &none, sizeof none);
		shutdown(r->link->fd, SHUT_RDWR);
	}
	pthread_mutex_unlock(&r->lock);
}

/* MHD closes a descriptor only after conn_remove(), so those in the list are ours to shut down. */
static int sweep(struct ocu_httpd *h)
{
	uint64_t now = ocu_mono_ms();
	int next = -1;

	pthread_mutex_lock(&h->lock);
	for (struct http_conn *c = h->conns; c; c = c->next) {
		uint64_t deadline = atomic_load_explicit(&c->deadline_ms, memory_order_relaxed);
		next = SWEEP_MS;
		if (deadline && now > deadline)
			shutdown(c->fd, SHUT_RDWR);
	}
	pthread_mutex_unlock(&h->lock);
	return next;
}

/* --- the thread --- */

static void *run(void *arg)
{
	struct ocu_httpd *h = arg;
	struct epoll_event ev[EVENTS_MAX];
	uint64_t swept = 0, count;
	int timeout = -1;

	while (atomic_load(&h->stopping) != HTTP_CLOSED) {
		int n = epoll_wait(h->epoll_fd, ev, EVENTS_MAX, timeout);
		for (int i = 0; i < n; i++) {
			if (ev[i].data.u64 != WAKE_EVENT)
				on_event(h, ev[i].data.u64);
			else if (read(h->wake_fd, &count, sizeof count) > 0)
				swept = 0;
		}
		if (ocu_mono_ms() - swept >= SWEEP_MS || timeout < 0) {
			timeout = sweep(h);
			swept = ocu_mono_ms();
		}
	}
	return NULL;
}

int ocu_http_watch_start(struct ocu_httpd *h, struct ocu_error *err)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.u64 = WAKE_EVENT};

	h->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	h->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (h->epoll_fd < 0 || h->wake_fd < 0 || epoll_ctl(h->epoll_fd, EPOLL_CTL_ADD, h->wake_fd, &ev) < 0)
		return ocu_error_errno(err, OCU_E_IO, errno, "watching connections");
	int e = pthread_create(&h->watcher, NULL, run, h);
	if (e)
		return ocu_error_errno(err, OCU_E_IO, e, "starting the watcher");
	return 0;
}

void ocu_http_watch_stop(struct ocu_httpd *h)
{
	atomic_store(&h->stopping, HTTP_CLOSED);
	wake_watcher(h);
	pthread_join(h->watcher, NULL);
}
