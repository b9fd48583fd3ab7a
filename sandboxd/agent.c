/* agent: calls and their answers; see agent.h. The thread is in agent_loop.c. */
#include "sandboxd/agent.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "libocu/clock.h"
#include "libocu/err.h"
#include "sandboxd/agent_loop.h"

#define REPLY_OVERHEAD 2048 /* frame fields and the error text beside a result */

/* --- under the lock --- */

static void want_room(struct agent *a, bool writes)
{
	struct epoll_event ev = {.events = writes ? EPOLLOUT : 0, .data.ptr = a};

	if (a->registered && writes != a->writes)
		epoll_ctl(a->loop->epoll_fd, EPOLL_CTL_MOD, a->out, &ev);
	a->writes = writes;
}

void agent_flush(struct agent *a)
{
	while (a->queue && !a->dead) {
		struct agent_out *o = a->queue;
		ssize_t n = write(a->out, o->data + o->off, o->len - o->off);

		if (n < 0 && errno == EINTR)
			continue;
		/* An error other than a full pipe is an event, too, and is handled there. */
		if (n < 0)
			break;
		o->off += (size_t)n;
		a->queued -= (size_t)n;
		if (o->off < o->len)
			continue;
		a->queue = o->next;
		if (!a->queue)
			a->queue_last = &a->queue;
		free(o->data);
		free(o);
	}
	if (!a->dead)
		want_room(a, a->queue != NULL);
}

static int enqueue(struct agent *a, unsigned char *data, size_t len)
{
	struct agent_out *o = malloc(sizeof *o);

	if (!o)
		return -1;
	*o = (struct agent_out){.data = data, .len = len};
	*a->queue_last = o;
	a->queue_last = &o->next;
	a->queued += len;
	return 0;
}

size_t agent_reply_max(const struct agent *a)
{
	size_t most = 0;

	for (const struct agent_pending *p = a->pending; p; p = p->next)
		if (p->reply_max > most)
			most = p->reply_max;
	return most + REPLY_OVERHEAD < FRAME_REPLY_MAX ? most + REPLY_OVERHEAD : FRAME_REPLY_MAX;
}

struct agent_pending *agent_take(struct agent *a, uint64_t id)
{
	for (struct agent_pending **at = &a->pending; *at; at = &(*at)->next) {
		struct agent_pending *p = *at;

		if (p->id == id) {
			*at = p->next;
			a->npending--;
			return p;
		}
	}
	return NULL;
}

static int add_pending(struct agent *a, const struct agent_pending *p)
{
	struct agent_pending *copy = malloc(sizeof *copy);

	if (!copy)
		return -1;
	*copy = *p;
	copy->next = a->pending;
	a->pending = copy;
	a->npending++;
	return 0;
}

/* --- not under it --- */

void agent_fail(struct agent_pending *list, int code, const char *text)
{
	struct ocu_error err = {0};
	Ocu__Agent__Reply *none = NULL;

	ocu_error_set(&err, code, "%s", text);
	while (list) {
		struct agent_pending *p = list;

		list = p->next;
		p->done(p->arg, &none, &err);
		free(p);
	}
}

struct agent *agent_ref(struct agent *a)
{
	if (a)
		atomic_fetch_add(&a->refs, 1);
	return a;
}

void agent_hang_up(struct agent *a)
{
	if (a->in >= 0)
		close(a->in);
	if (a->out >= 0)
		close(a->out);
	a->in = a->out = -1;
}

void agent_unref(struct agent *a)
{
	if (!a || atomic_fetch_sub(&a->refs, 1) != 1)
		return;
	while (a->queue) {
		struct agent_out *o = a->queue;

		a->queue = o->next;
		free(o->data);
		free(o);
	}
	frame_reader_done(&a->frames);
	agent_hang_up(a);
	pthread_mutex_destroy(&a->lock);
	free(a);
}

int agent_open(struct agent **ret, struct agents *as, int in, int out, unsigned hello_ms,
               agent_done_fn *hello, void (*lost)(void *owner, const char *why), void *owner,
               struct ocu_error *err)
{
	struct agent *a = calloc(1, sizeof *a);
	const struct agent_pending first = {.id = 0,
	                                    .expect = OCU__AGENT__REPLY__RESULT_HELLO,
	                                    .deadline = ocu_mono_ms() + hello_ms,
	                                    .done = hello,
	                                    .arg = owner};

	if (!a || add_pending(a, &first) < 0) {
		close(in);
		close(out);
		free(a);
		return ocu_error_set(err, OCU_E_NOMEM, "control channel");
	}
	pthread_mutex_init(&a->lock, NULL);
	a->loop = as;
	a->in = in;
	a->out = out;
	a->lost = lost;
	a->owner = owner;
	a->queue_last = &a->queue;
	a->refs = 1;
	frame_reader_init(&a->frames, REPLY_OVERHEAD);
	if (agents_add(as, a) < 0) {
		int rc = ocu_error_errno(err, OCU_E_IO, errno, "watching a control channel");

		free(a->pending);
		a->pending = NULL;
		agent_unref(a);
		return rc;
	}
	*ret = a;
	return 0;
}

void agent_cut(struct agent *a, int code, const char *text)
{
	struct agent_pending *list;

	pthread_mutex_lock(&a->lock);
	a->dead = true;
	a->lost = NULL;
	list = a->pending;
	a->pending = NULL;
	a->npending = 0;
	pthread_mutex_unlock(&a->lock);
	/* Which hangs up. */
	agents_wake(a->loop);
	agent_fail(list, code, text);
}

void agent_close(struct agent *a)
{
	if (!a)
		return;
	agent_cut(a, OCU_E_SESSION_GONE, "the sandbox has ended");
	agents_forget(a->loop, a);
	agent_unref(a);
}

static int queue_call(struct agent *a, const struct agent_call *c, uint64_t *ret_id, struct ocu_error *err)
{
	struct agent_pending p = {.expect = c->expect,
	                          .reply_max = c->reply_max,
	                          .deadline = ocu_mono_ms() + c->deadline_ms,
	                          .done = c->done,
	                          .arg = c->arg};
	unsigned char *data;
	size_t len;

	if (a->dead)
		return ocu_error_set(err, OCU_E_SESSION_GONE, "the sandbox has ended");
	if (a->npending >= AGENT_CALLS_MAX || a->queued > AGENT_QUEUE_MAX)
		return ocu_error_set(err, OCU_E_BUSY, "too many calls under way");
	p.id = c->request->id = ++a->last_id;
	data = frame_pack(&c->request->base, FRAME_REQUEST_MAX, &len);
	if (!data)
		return ocu_error_set(err, OCU_E_TOO_LARGE, "the request is too large");
	if (add_pending(a, &p) < 0 || enqueue(a, data, len) < 0) {
		free(agent_take(a, p.id));
		free(data);
		return ocu_error_set(err, OCU_E_NOMEM, "control channel");
	}
	if (ret_id)
		*ret_id = p.id;
	agent_flush(a);
	return 0;
}

int agent_call(struct agent *a, const struct agent_call *c, uint64_t *ret_id, struct ocu_error *err)
{
	int rc;

	pthread_mutex_lock(&a->lock);
	rc = queue_call(a, c, ret_id, err);
	pthread_mutex_unlock(&a->lock);
	return rc;
}
