/* tool_queue: the order of a session's calls. One at a time, as they came; what steers a running program goes
 * beside. */
#include "sandboxd/tool_queue.h"

#include <string.h>

#include "libocu/clock.h"
#include "sandboxd/agent.h"
#include "sandboxd/session.h"

static uint64_t hash_id(const char *id)
{
	uint64_t h = 14695981039346656037u;

	for (; *id; id++)
		h = (h ^ (unsigned char)*id) * 1099511628211u;
	return h ? h : 1;
}

static bool among(const uint64_t *ids, size_t n, uint64_t h)
{
	for (size_t i = 0; i < n; i++)
		if (ids[i] == h)
			return true;
	return false;
}

/* An id is taken once, and not at all when its cancellation is here already. */
static int take_id(struct session *s, const char *id, struct ocu_error *err)
{
	uint64_t h = hash_id(id);

	if (among(s->call_ids, SESSION_CALL_IDS, h))
		return ocu_error_set(err, OCU_E_EXISTS, "this call_id was used before");
	s->call_ids[s->next_call_id++ % SESSION_CALL_IDS] = h;
	if (among(s->cancelled_ids, SESSION_CANCELLED_IDS, h))
		return ocu_error_set(err, OCU_E_CANCELLED, "%s", ocu_err_text(OCU_E_CANCELLED));
	return 0;
}

/* Requests overtake each other on the way. */
static void expect_cancelled(struct session *s, const char *id)
{
	uint64_t h = hash_id(id);

	if (!among(s->call_ids, SESSION_CALL_IDS, h) && !among(s->cancelled_ids, SESSION_CANCELLED_IDS, h))
		s->cancelled_ids[s->next_cancelled_id++ % SESSION_CANCELLED_IDS] = h;
}

/* With the session's lock. 1: send it now, 0: it waits. */
static int place(struct session *s, struct tool *t, struct ocu_error *err)
{
	if (s->state != SESSION_RUNNING || s->denied) {
		int code = s->denied || s->killed ? OCU_E_SESSION_DENIED : OCU_E_SESSION_GONE;
		return ocu_error_set(err, code, "%s", ocu_err_text(code));
	}
	if (s->queued >= SESSION_QUEUE_MAX && t->kind->takes_turns && s->running)
		return ocu_error_set(err, OCU_E_BUSY, "too many calls are waiting in this session");
	if (t->head.call_id && take_id(s, t->head.call_id, err))
		return err->code;
	if (!t->kind->takes_turns) {
		t->next = s->beside;
		s->beside = t;
		return 1;
	}
	if (!s->running) {
		s->running = t;
		return 1;
	}
	*s->queue_last = t;
	s->queue_last = &t->next;
	s->queued++;
	return 0;
}

/* With the session's lock, so that whoever cancels knows whether, and as what, the agent has it. Once it is
 * sent the call may end at any time, and with it *t. */
static int send_it(struct tool *t, struct ocu_error *err)
{
	int rc;

	t->asked_ns = ocu_mono_ns();
	/* It may have waited for a while. */
	if ((rc = tool_still_allowed(t, err)) || (rc = t->kind->ask(t, err)))
		t->asked_ns = 0;
	return rc;
}

int tool_enter(struct tool *t, struct ocu_error *err)
{
	struct ocu_error failure = {0};
	struct session *s = t->s;
	int rc;

	pthread_mutex_lock(&s->lock);
	rc = place(s, t, err);
	if (rc > 0)
		send_it(t, &failure);
	pthread_mutex_unlock(&s->lock);
	if (failure.code) {
		t->err = failure;
		tool_finish(t);
	}
	return rc < 0 ? rc : 0;
}

static struct tool *take_first(struct session *s)
{
	struct tool *t = s->queue;

	if (!t)
		return NULL;
	s->queue = t->next;
	t->next = NULL;
	s->queued--;
	if (!s->queue)
		s->queue_last = &s->queue;
	return t;
}

static bool unlink_from(struct tool **list, struct tool *t)
{
	for (; *list; list = &(*list)->next) {
		if (*list == t) {
			*list = t->next;
			t->next = NULL;
			return true;
		}
	}
	return false;
}

void tool_leave(struct tool *t)
{
	struct ocu_error failure = {0};
	struct session *s = t->s;
	struct tool *next = NULL;

	pthread_mutex_lock(&s->lock);
	if (s->running == t) {
		s->running = next = take_first(s);
		if (next)
			send_it(next, &failure);
	} else {
		unlink_from(&s->beside, t);
	}
	pthread_mutex_unlock(&s->lock);
	if (failure.code) {
		next->err = failure;
		tool_finish(next);
	}
}

/* Out of the middle of the queue, by id. */
static struct tool *take_waiting(struct session *s, const char *call_id)
{
	for (struct tool **at = &s->queue; *at; at = &(*at)->next) {
		struct tool *t = *at;

		if (strcmp(t->head.call_id, call_id) != 0)
			continue;
		*at = t->next;
		t->next = NULL;
		if (!*at)
			s->queue_last = at;
		s->queued--;
		return t;
	}
	return NULL;
}

static void nothing_more(void *arg, Ocu__Agent__Reply **r, const struct ocu_error *err)
{
	(void)arg;
	(void)r;
	(void)err;
}

/* With the session's lock. */
static void ask_to_cancel(struct session *s, uint64_t request)
{
	Ocu__Agent__Request r = OCU__AGENT__REQUEST__INIT;
	Ocu__Agent__Cancel cancel = OCU__AGENT__CANCEL__INIT;
	struct ocu_error err = {0};

	cancel.request = request;
	r.op_case = OCU__AGENT__REQUEST__OP_CANCEL;
	r.cancel = &cancel;
	agent_call(s->agent, &(struct agent_call){.request = &r, .deadline_ms = 10000, .done = nothing_more},
	           NULL, &err);
}

void tool_cancel(struct session *s, const char *call_id)
{
	struct tool *waiting;

	pthread_mutex_lock(&s->lock);
	waiting = take_waiting(s, call_id);
	if (!waiting && s->running && strcmp(s->running->head.call_id, call_id) == 0) {
		s->running->cancelled = true;
		if (s->agent)
			ask_to_cancel(s, s->running->asked);
	} else if (!waiting) {
		expect_cancelled(s, call_id);
	}
	pthread_mutex_unlock(&s->lock);
	if (waiting) {
		ocu_error_set(&waiting->err, OCU_E_CANCELLED, "%s", ocu_err_text(OCU_E_CANCELLED));
		tool_finish(waiting);
	}
}

void tool_end_all(struct session *s, int code, const char *text)
{
	struct agent *agent;
	struct tool *t;

	/* The state, or `denied`, keeps new ones out by now. */
	do {
		pthread_mutex_lock(&s->lock);
		t = take_first(s);
		pthread_mutex_unlock(&s->lock);
		if (t) {
			ocu_error_set(&t->err, code, "%s", text);
			tool_finish(t);
		}
	} while (t);
	pthread_mutex_lock(&s->lock);
	agent = agent_ref(s->agent);
	pthread_mutex_unlock(&s->lock);
	if (agent)
		agent_cut(agent, code, text);
	agent_unref(agent);
}
