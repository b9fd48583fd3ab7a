/*
 * agent_loop: the thread that reads every control channel. A guest's bytes become frames, frames become
 * answers, and everything else is a reason to end that guest; one that floods gets its turn and no more.
 */
#include "sandboxd/agent_loop.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "libocu/clock.h"
#include "libocu/err.h"

#define BATCH          64
#define FILLS_A_TURN   8   /* reads of one channel before the others get their turn */
#define TICK_MS        100 /* how late a deadline may be noticed */
#define GUEST_TEXT_MAX 512

/* What a guest may say about its own files and programs, and what it becomes for the caller. */
static const int codes[] = {
    [OCU__AGENT__CODE__IO] = OCU_E_INVALID,
    [OCU__AGENT__CODE__PARAMS] = OCU_E_PARAMS,
    [OCU__AGENT__CODE__NOT_FOUND] = OCU_E_NOT_FOUND,
    [OCU__AGENT__CODE__EXISTS] = OCU_E_EXISTS,
    [OCU__AGENT__CODE__NOT_PERMITTED] = OCU_E_INVALID,
    [OCU__AGENT__CODE__TOO_LARGE] = OCU_E_TOO_LARGE,
    [OCU__AGENT__CODE__NO_SPACE] = OCU_E_NO_SPACE,
    [OCU__AGENT__CODE__NO_MEMORY] = OCU_E_NO_SPACE,
    [OCU__AGENT__CODE__BUSY] = OCU_E_BUSY,
    [OCU__AGENT__CODE__WRONG_STATE] = OCU_E_STATE,
    [OCU__AGENT__CODE__CANCELLED] = OCU_E_CANCELLED,
};

/* Between turns: no event that points to it is left. */
static void let_go(struct agents *as, struct agent *a)
{
	epoll_ctl(as->epoll_fd, EPOLL_CTL_DEL, a->in, NULL);
	epoll_ctl(as->epoll_fd, EPOLL_CTL_DEL, a->out, NULL);
	pthread_mutex_lock(&a->lock);
	agent_hang_up(a);
	a->registered = false;
	pthread_mutex_unlock(&a->lock);
	agent_unref(a);
}

static struct agent *take_dead(struct agents *as)
{
	struct agent *found = NULL;

	pthread_mutex_lock(&as->lock);
	for (struct agent **at = &as->list; *at && !found; at = found ? at : &(*at)->next) {
		pthread_mutex_lock(&(*at)->lock);
		if ((*at)->dead)
			found = *at;
		pthread_mutex_unlock(&(*at)->lock);
		if (found)
			*at = found->next;
	}
	pthread_mutex_unlock(&as->lock);
	return found;
}

static void let_go_of_the_dead(struct agents *as)
{
	struct agent *a;

	if (!atomic_exchange(&as->some_dead, false))
		return;
	while ((a = take_dead(as)))
		let_go(as, a);
}

/* The guest broke the rules, or is gone. */
static void lose(struct agent *a, int code, const char *why)
{
	void (*lost)(void *owner, const char *why);
	struct agent_pending *list;
	void *owner;

	pthread_mutex_lock(&a->lock);
	lost = a->lost;
	owner = a->owner;
	a->lost = NULL;
	a->dead = true;
	list = a->pending;
	a->pending = NULL;
	a->npending = 0;
	pthread_mutex_unlock(&a->lock);
	agent_fail(list, code,
	           code == OCU_E_TIMEOUT ? "the sandbox did not answer in time" : "the sandbox has ended");
	if (lost)
		lost(owner, why);
	atomic_store(&a->loop->some_dead, true);
}

static void guest_error(struct agent_pending *p, const Ocu__Agent__Reply *r)
{
	Ocu__Agent__Reply *none = NULL;
	struct ocu_error err = {0};

	ocu_error_set(&err, codes[r->code], "%.*s", GUEST_TEXT_MAX - 1, r->text);
	p->done(p->arg, &none, &err);
}

/* false: not an answer to this call. */
static bool fits(const struct agent_pending *p, const Ocu__Agent__Reply *r)
{
	if (r->code != OCU__AGENT__CODE__DONE)
		return r->code > 0 && (size_t)r->code < sizeof codes / sizeof *codes && codes[r->code] != 0;
	return r->result_case == p->expect;
}

static const char *take_reply(struct agent *a, const unsigned char *data, size_t len)
{
	Ocu__Agent__Reply *r = (Ocu__Agent__Reply *)frame_unpack(&ocu__agent__reply__descriptor, data, len);
	struct agent_pending *p = NULL;
	const char *bad = NULL;

	if (r) {
		pthread_mutex_lock(&a->lock);
		p = agent_take(a, r->id);
		pthread_mutex_unlock(&a->lock);
	}
	if (!r)
		bad = "sent what is no message";
	else if (!p)
		bad = "answered what it was not asked";
	else if (!fits(p, r) || len > p->reply_max + (size_t)4096)
		bad = "gave an answer of another kind or size";
	if (p && bad) {
		p->next = NULL;
		agent_fail(p, OCU_E_SESSION_GONE, "the sandbox has ended");
		p = NULL;
	}
	if (p && r->code != OCU__AGENT__CODE__DONE)
		guest_error(p, r);
	else if (p)
		p->done(p->arg, &r, NULL);
	free(p);
	if (r)
		protobuf_c_message_free_unpacked(&r->base, NULL);
	return bad;
}

static const char *take_frames(struct agent *a)
{
	const unsigned char *data;
	const char *bad = NULL;
	size_t len;
	int rc;

	do {
		pthread_mutex_lock(&a->lock);
		a->frames.max = agent_reply_max(a);
		pthread_mutex_unlock(&a->lock);
		rc = frame_reader_next(&a->frames, &data, &len);
		if (rc < 0)
			return "sent a frame that is too long";
		if (rc > 0)
			bad = take_reply(a, data, len);
	} while (rc > 0 && !bad);
	return bad;
}

static void read_agent(struct agent *a)
{
	for (int i = 0; i < FILLS_A_TURN; i++) {
		long n = frame_reader_fill(&a->frames, a->in);
		const char *bad;

		if (n == -EAGAIN)
			return;
		if (n <= 0) {
			lose(a, OCU_E_SESSION_GONE, n == 0 ? "ended" : "its control channel failed");
			return;
		}
		bad = take_frames(a);
		if (bad) {
			lose(a, OCU_E_SESSION_GONE, bad);
			return;
		}
	}
}

static bool is_dead(struct agent *a)
{
	pthread_mutex_lock(&a->lock);
	bool dead = a->dead;
	pthread_mutex_unlock(&a->lock);
	return dead;
}

/* Both pipes have the agent as their data: IN and HUP are of the one it answers on, OUT and ERR of the other.
 */
static void serve(struct agent *a, uint32_t events)
{
	if (events & EPOLLOUT) {
		pthread_mutex_lock(&a->lock);
		agent_flush(a);
		pthread_mutex_unlock(&a->lock);
	}
	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR) && !is_dead(a))
		read_agent(a);
	/* It reads nothing any more; what it had to say before has been heard. */
	if (events & EPOLLERR && !is_dead(a))
		lose(a, OCU_E_SESSION_GONE, "ended");
}

static bool overdue(struct agent *a, uint64_t now)
{
	bool late = false;

	pthread_mutex_lock(&a->lock);
	for (const struct agent_pending *p = a->pending; p && !late; p = p->next)
		late = now >= p->deadline;
	pthread_mutex_unlock(&a->lock);
	return late;
}

/* Deadlines are a last resort against a silent guest, not a clock: looked at ten times a second. */
static void check_deadlines(struct agents *as)
{
	uint64_t now = ocu_mono_ms();
	struct agent *late;

	do {
		pthread_mutex_lock(&as->lock);
		for (late = as->list; late && !overdue(late, now); late = late->next) {
		}
		if (late)
			atomic_fetch_add(&late->refs, 1);
		pthread_mutex_unlock(&as->lock);
		if (late) {
			lose(late, OCU_E_TIMEOUT, "did not answer in time");
			agent_unref(late);
		}
	} while (late);
}

static bool end_turn(struct agents *as)
{
	bool go_on;

	pthread_mutex_lock(&as->lock);
	as->turn++;
	pthread_cond_broadcast(&as->round);
	go_on = !as->stopping;
	pthread_mutex_unlock(&as->lock);
	return go_on;
}

static void *run(void *arg)
{
	struct agents *as = arg;
	struct epoll_event ev[BATCH];
	uint64_t checked = 0;

	do {
		int n = epoll_wait(as->epoll_fd, ev, BATCH, TICK_MS);

		for (int i = 0; i < n; i++) {
			eventfd_t drop;

			if (ev[i].data.ptr)
				serve(ev[i].data.ptr, ev[i].events);
			else
				eventfd_read(as->wake, &drop);
		}
		if (ocu_mono_ms() - checked >= TICK_MS) {
			check_deadlines(as);
			checked = ocu_mono_ms();
		}
		let_go_of_the_dead(as);
	} while (end_turn(as));
	pthread_mutex_lock(&as->lock);
	as->over = true;
	pthread_cond_broadcast(&as->round);
	pthread_mutex_unlock(&as->lock);
	return NULL;
}

int agents_add(struct agents *as, struct agent *a)
{
	struct epoll_event in = {.events = EPOLLIN, .data.ptr = a}, out = {.events = 0, .data.ptr = a};
	bool watched;

	atomic_fetch_add(&a->refs, 1);
	a->registered = true;
	watched = epoll_ctl(as->epoll_fd, EPOLL_CTL_ADD, a->out, &out) == 0 &&
	          epoll_ctl(as->epoll_fd, EPOLL_CTL_ADD, a->in, &in) == 0;
	pthread_mutex_lock(&a->lock);
	a->dead |= !watched;
	pthread_mutex_unlock(&a->lock);
	/* The thread may have lost it by now; what is not in the list it does not let go of. */
	pthread_mutex_lock(&as->lock);
	a->next = as->list;
	as->list = a;
	pthread_mutex_unlock(&as->lock);
	agents_wake(as);
	if (!watched)
		agents_forget(as, a);
	return watched ? 0 : -1;
}

void agents_wake(struct agents *as)
{
	atomic_store(&as->some_dead, true);
	eventfd_write(as->wake, 1);
}

static bool is_registered(struct agent *a)
{
	pthread_mutex_lock(&a->lock);
	bool yes = a->registered;
	pthread_mutex_unlock(&a->lock);
	return yes;
}

/* With the lock. */
static void next_turn(struct agents *as)
{
	eventfd_write(as->wake, 1);
	pthread_cond_wait(&as->round, &as->lock);
}

void agents_forget(struct agents *as, struct agent *a)
{
	/* At the end of this turn. */
	if (pthread_equal(pthread_self(), as->thread))
		return;
	pthread_mutex_lock(&as->lock);
	while (!as->over && is_registered(a))
		next_turn(as);
	pthread_mutex_unlock(&as->lock);
}

int agents_start(struct agents **ret, struct ocu_error *err)
{
	struct agents *as = calloc(1, sizeof *as);
	struct epoll_event ev = {.events = EPOLLIN, .data.ptr = NULL};
	int rc;

	if (!as)
		return ocu_error_set(err, OCU_E_NOMEM, "agents");
	pthread_mutex_init(&as->lock, NULL);
	pthread_cond_init(&as->round, NULL);
	as->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	as->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (as->epoll_fd < 0 || as->wake < 0 || epoll_ctl(as->epoll_fd, EPOLL_CTL_ADD, as->wake, &ev) < 0)
		rc = ocu_error_errno(err, OCU_E_IO, errno, "epoll");
	else if ((rc = pthread_create(&as->thread, NULL, run, as)))
		rc = ocu_error_errno(err, OCU_E_NOMEM, rc, "starting a thread");
	if (rc) {
		if (as->epoll_fd >= 0)
			close(as->epoll_fd);
		if (as->wake >= 0)
			close(as->wake);
		free(as);
		return rc;
	}
	*ret = as;
	return 0;
}

void agents_stop(struct agents *as)
{
	if (!as)
		return;
	pthread_mutex_lock(&as->lock);
	as->stopping = true;
	pthread_mutex_unlock(&as->lock);
	eventfd_write(as->wake, 1);
	pthread_join(as->thread, NULL);
	close(as->epoll_fd);
	close(as->wake);
	pthread_cond_destroy(&as->round);
	pthread_mutex_destroy(&as->lock);
	free(as);
}
