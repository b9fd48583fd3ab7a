/*
 * The other side of every connection operatord dials: an auditd, sandboxd, brokerd and egressd in this
 * process, real RPC servers with real certificates, that write down what they are asked in one common order
 * and misbehave on request.
 */
#ifndef OCU_TEST_OPERATORD_FAKE_H
#define OCU_TEST_OPERATORD_FAKE_H

#include <jansson.h>
#include <pthread.h>
#include <stdbool.h>

#include "libocu/id.h"
#include "libocu/json.h"
#include "libocu/rpc.h"
#include "libocu/waiting.h"
#include "proto/audit.pb-c.h"
#include "proto/control.pb-c.h"
#include "proto/edge.pb-c.h"
#include "proto/methods.h"
#include "proto/mount.pb-c.h"
#include "tests/unit/libocu_net_fixture.h"

enum fake_method {
	FAKE_APPEND,
	FAKE_START,
	FAKE_STOP,
	FAKE_TOKEN,
	FAKE_REGISTER_MOUNT,
	FAKE_RELEASE,
	FAKE_REGISTER_EDGE,
	FAKE_DROP,
	FAKE_LIST,
	FAKE_METHODS
};

#define FAKE_LOG_MAX  8192
#define FAKE_HELD_MAX 1024

struct fake_set {
	char id[FAKE_HELD_MAX][OCU_ID_MAX];
	size_t n;
};

struct fake {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	char log[FAKE_LOG_MAX][128];
	size_t n;
	int fail[FAKE_METHODS];              /* answer with this code instead of doing it */
	const char *await[FAKE_METHODS];     /* answer only when the log has a line that starts so */
	const char *fail_action;             /* auditd refuses batches that have this action */
	void (*on[FAKE_METHODS])(void *arg); /* runs inside the request */
	void *on_arg;
	const char *tier;
	const char *instance;
	char session_jwt[4096];
	bool scrubbed, busy; /* busy: every sandbox is */
	bool scrub_pending;  /* brokerd removes files for longer than it is asked */
	bool ended_scrubbed; /* what session.ended said last */
	struct fake_set sandboxes, mounts, edges;
	uint64_t records;
};

static inline bool fake_has_locked(const struct fake *f, const char *prefix)
{
	for (size_t i = 0; i < f->n; i++)
		if (strncmp(f->log[i], prefix, strlen(prefix)) == 0)
			return true;
	return false;
}

static inline void fake_note_locked(struct fake *f, const char *what, const char *session)
{
	if (f->n < FAKE_LOG_MAX)
		snprintf(f->log[f->n++], sizeof f->log[0], "%.60s %.60s", what, session);
	pthread_cond_broadcast(&f->changed);
}

static inline bool fake_wait_locked(struct fake *f, const char *prefix)
{
	struct timespec end = ocu_after_ms(100000);

	while (!fake_has_locked(f, prefix))
		if (!ocu_cond_wait_until(&f->changed, &f->lock, &end))
			return false;
	return true;
}

/* Waits until the log has a line that starts with prefix. */
static inline void fake_wait(struct fake *f, const char *prefix)
{
	pthread_mutex_lock(&f->lock);
	bool came = fake_wait_locked(f, prefix);
	pthread_mutex_unlock(&f->lock);
	ck_assert_msg(came, "never happened: %s", prefix);
}

static inline bool fake_has(struct fake *f, const char *prefix)
{
	pthread_mutex_lock(&f->lock);
	bool has = fake_has_locked(f, prefix);
	pthread_mutex_unlock(&f->lock);
	return has;
}

static inline size_t fake_count(struct fake *f, const char *prefix)
{
	size_t n = 0;

	pthread_mutex_lock(&f->lock);
	for (size_t i = 0; i < f->n; i++)
		n += strncmp(f->log[i], prefix, strlen(prefix)) == 0;
	pthread_mutex_unlock(&f->lock);
	return n;
}

static inline void fake_clear(struct fake *f)
{
	pthread_mutex_lock(&f->lock);
	f->n = 0;
	pthread_mutex_unlock(&f->lock);
}

static inline void fake_set_fail(struct fake *f, enum fake_method m, int code)
{
	pthread_mutex_lock(&f->lock);
	f->fail[m] = code;
	pthread_mutex_unlock(&f->lock);
}

static inline void fake_set_await(struct fake *f, enum fake_method m, const char *prefix)
{
	pthread_mutex_lock(&f->lock);
	f->await[m] = prefix;
	pthread_mutex_unlock(&f->lock);
}

static inline void fake_set_fail_action(struct fake *f, const char *action)
{
	pthread_mutex_lock(&f->lock);
	f->fail_action = action;
	pthread_mutex_unlock(&f->lock);
}

static inline void fake_set_tier(struct fake *f, const char *tier)
{
	pthread_mutex_lock(&f->lock);
	f->tier = tier;
	pthread_mutex_unlock(&f->lock);
}

/* A line of the test's own, for what is awaited. */
static inline void fake_say(struct fake *f, const char *what)
{
	pthread_mutex_lock(&f->lock);
	fake_note_locked(f, what, "");
	pthread_mutex_unlock(&f->lock);
}

/* The lines of one session, or all, in their order, without the session: "a|b|c". Lists are left out. */
static inline const char *fake_order(struct fake *f, const char *session)
{
	static char out[8192];
	size_t at = 0;

	out[0] = '\0';
	pthread_mutex_lock(&f->lock);
	for (size_t i = 0; i < f->n; i++) {
		const char *last = strrchr(f->log[i], ' ');
		if ((session && strcmp(last + 1, session) != 0) || strncmp(f->log[i], "list", 4) == 0)
			continue;
		at += (size_t)snprintf(out + at, sizeof out - at, "%s%.*s", at ? "|" : "",
		                       (int)(last - f->log[i]), f->log[i]);
	}
	pthread_mutex_unlock(&f->lock);
	return out;
}

static inline void fake_add(struct fake_set *s, const char *id)
{
	for (size_t i = 0; i < s->n; i++)
		if (strcmp(s->id[i], id) == 0)
			return;
	if (s->n < FAKE_HELD_MAX)
		snprintf(s->id[s->n++], OCU_ID_MAX, "%s", id);
}

static inline void fake_take(struct fake_set *s, const char *id)
{
	for (size_t i = 0; i < s->n; i++)
		if (strcmp(s->id[i], id) == 0) {
			memmove(s->id[i], s->id[s->n - 1], OCU_ID_MAX);
			s->n--;
			return;
		}
}

static inline void fake_change(struct fake *f, struct fake_set *s, const char *id, bool there)
{
	pthread_mutex_lock(&f->lock);
	if (there)
		fake_add(s, id);
	else
		fake_take(s, id);
	pthread_mutex_unlock(&f->lock);
}

static inline bool fake_holds(struct fake *f, const struct fake_set *s, const char *id)
{
	bool held = false;

	pthread_mutex_lock(&f->lock);
	for (size_t i = 0; i < s->n; i++)
		held |= strcmp(s->id[i], id) == 0;
	pthread_mutex_unlock(&f->lock);
	return held;
}

/* Notes the request, waits and fails as told. true: answered already. */
static inline bool fake_handle(struct fake *f, struct ocu_rpc_call *call, enum fake_method m,
                               const char *what, const char *session)
{
	struct ocu_error err = {0};

	if (f->on[m])
		f->on[m](f->on_arg);
	pthread_mutex_lock(&f->lock);
	fake_note_locked(f, what, session);
	if (f->await[m])
		fake_wait_locked(f, f->await[m]);
	int code = f->fail[m];
	pthread_mutex_unlock(&f->lock);
	if (!code)
		return false;
	ocu_error_set(&err, code, "as told");
	ocu_rpc_fail(call, &err);
	return true;
}

#define FAKE_HANDLER(name)                                                                                   \
	static inline void fake_##name(struct ocu_rpc_call *call, const ProtobufCMessage *req, void *arg)

FAKE_HANDLER(append)
{
	const Ocu__Audit__AppendRequest *q = (const Ocu__Audit__AppendRequest *)req;
	Ocu__Audit__AppendReply reply = OCU__AUDIT__APPEND_REPLY__INIT;
	struct fake *f = arg;
	int code;

	pthread_mutex_lock(&f->lock);
	code = f->fail[FAKE_APPEND];
	for (size_t i = 0; code == 0 && i < q->n_events; i++) {
		OCU_JSON json_t *ev = NULL;
		char line[48];
		ck_assert_int_eq(
		    ocu_json_parse((const char *)q->events[i].data, q->events[i].len, 65536, &ev, NULL), 0);
		const char *action = ocu_json_str(ev, "action", "?");
		if (f->fail_action && strcmp(action, f->fail_action) == 0) {
			code = OCU_E_NO_SPACE;
			break;
		}
		if (strcmp(action, "session.ended") == 0)
			f->ended_scrubbed =
			    json_is_true(json_object_get(json_object_get(ev, "unmapped"), "files_scrubbed"));
		snprintf(line, sizeof line, "audit %s%s", action,
		         strcmp(ocu_json_str(ev, "outcome", ""), "success") == 0 ? "" : "!");
		fake_note_locked(f, line, ocu_json_str(ev, "session_id", ""));
	}
	reply.first = f->records + 1;
	f->records += q->n_events;
	pthread_mutex_unlock(&f->lock);
	if (code) {
		struct ocu_error err = {0};
		ocu_error_set(&err, code, "as told");
		ocu_rpc_fail(call, &err);
	} else {
		ocu_rpc_reply(call, &reply.base);
	}
}

FAKE_HANDLER(head)
{
	Ocu__Audit__HeadReply reply = OCU__AUDIT__HEAD_REPLY__INIT;
	struct fake *f = arg;
	static uint8_t bytes[32] = {0xab, 0xcd};

	(void)req;
	reply.records = f->records;
	reply.head.data = bytes;
	reply.head.len = sizeof bytes;
	ocu_rpc_reply(call, &reply.base);
}

FAKE_HANDLER(start)
{
	const Ocu__Control__StartRequest *q = (const Ocu__Control__StartRequest *)req;
	Ocu__Control__StartReply reply = OCU__CONTROL__START_REPLY__INIT;
	struct fake *f = arg;

	if (fake_handle(f, call, FAKE_START, "control.Start", q->session_id))
		return;
	pthread_mutex_lock(&f->lock);
	snprintf(f->session_jwt, sizeof f->session_jwt, "%s", q->session_jwt);
	pthread_mutex_unlock(&f->lock);
	fake_change(f, &f->sandboxes, q->session_id, true);
	fake_change(f, &f->mounts, q->session_id, true);
	reply.runtime = (char *)"crun";
	pthread_mutex_lock(&f->lock);
	reply.tier = (char *)f->tier;
	pthread_mutex_unlock(&f->lock);
	ocu_rpc_reply(call, &reply.base);
}

FAKE_HANDLER(stop)
{
	const Ocu__Control__StopRequest *q = (const Ocu__Control__StopRequest *)req;
	Ocu__Control__StopReply reply = OCU__CONTROL__STOP_REPLY__INIT;
	struct fake *f = arg;

	if (fake_handle(f, call, FAKE_STOP, "control.Stop", q->session_id))
		return;
	fake_change(f, &f->sandboxes, q->session_id, false);
	ocu_rpc_reply(call, &reply.base);
}

FAKE_HANDLER(token)
{
	const Ocu__Control__TokenRequest *q = (const Ocu__Control__TokenRequest *)req;
	Ocu__Control__TokenReply reply = OCU__CONTROL__TOKEN_REPLY__INIT;
	struct fake *f = arg;

	if (fake_handle(f, call, FAKE_TOKEN, "control.Token", q->session_id))
		return;
	pthread_mutex_lock(&f->lock);
	snprintf(f->session_jwt, sizeof f->session_jwt, "%s", q->session_jwt);
	pthread_mutex_unlock(&f->lock);
	ocu_rpc_reply(call, &reply.base);
}

FAKE_HANDLER(list_sandboxes)
{
	static Ocu__Control__Sandbox item[FAKE_HELD_MAX];
	static Ocu__Control__Sandbox *list[FAKE_HELD_MAX];
	Ocu__Control__ListReply reply = OCU__CONTROL__LIST_REPLY__INIT;
	struct fake *f = arg;

	(void)req;
	if (fake_handle(f, call, FAKE_LIST, "list", "sandboxes"))
		return;
	pthread_mutex_lock(&f->lock);
	for (size_t i = 0; i < f->sandboxes.n; i++) {
		ocu__control__sandbox__init(&item[i]);
		item[i].session_id = f->sandboxes.id[i];
		item[i].running = true;
		item[i].busy = f->busy;
		list[i] = &item[i];
	}
	reply.boot_id = (char *)"boot-1";
	reply.instance = (char *)f->instance;
	reply.tier = (char *)f->tier;
	reply.sandboxes = list;
	reply.n_sandboxes = f->sandboxes.n;
	ocu_rpc_reply(call, &reply.base);
	pthread_mutex_unlock(&f->lock);
}

FAKE_HANDLER(register_mount)
{
	const Ocu__Mount__RegisterRequest *q = (const Ocu__Mount__RegisterRequest *)req;
	Ocu__Mount__RegisterReply reply = OCU__MOUNT__REGISTER_REPLY__INIT;

	if (!fake_handle(arg, call, FAKE_REGISTER_MOUNT, "mount.Register", q->session_id))
		ocu_rpc_reply(call, &reply.base);
}

FAKE_HANDLER(release)
{
	const Ocu__Mount__ReleaseRequest *q = (const Ocu__Mount__ReleaseRequest *)req;
	Ocu__Mount__ReleaseReply reply = OCU__MOUNT__RELEASE_REPLY__INIT;
	struct fake *f = arg;

	if (fake_handle(f, call, FAKE_RELEASE, q->scrub ? "mount.Release(scrub)" : "mount.Release",
	                q->session_id))
		return;
	fake_change(f, &f->mounts, q->session_id, false);
	reply.scrub_pending = f->scrub_pending;
	ocu_rpc_reply(call, &reply.base);
}

FAKE_HANDLER(list_mounts)
{
	static Ocu__Mount__Mount item[FAKE_HELD_MAX];
	static Ocu__Mount__Mount *list[FAKE_HELD_MAX];
	Ocu__Mount__ListReply reply = OCU__MOUNT__LIST_REPLY__INIT;
	struct fake *f = arg;

	(void)req;
	if (fake_handle(f, call, FAKE_LIST, "list", "mounts"))
		return;
	pthread_mutex_lock(&f->lock);
	for (size_t i = 0; i < f->mounts.n; i++) {
		ocu__mount__mount__init(&item[i]);
		item[i].session_id = f->mounts.id[i];
		item[i].mounted = true;
		list[i] = &item[i];
	}
	reply.boot_id = (char *)"boot-2";
	reply.mounts = list;
	reply.n_mounts = f->mounts.n;
	ocu_rpc_reply(call, &reply.base);
	pthread_mutex_unlock(&f->lock);
}

FAKE_HANDLER(register_edge)
{
	const Ocu__Edge__RegisterRequest *q = (const Ocu__Edge__RegisterRequest *)req;
	Ocu__Edge__RegisterReply reply = OCU__EDGE__REGISTER_REPLY__INIT;
	struct fake *f = arg;

	if (fake_handle(f, call, FAKE_REGISTER_EDGE, "edge.Register", q->session_id))
		return;
	fake_change(f, &f->edges, q->session_id, true);
	ocu_rpc_reply(call, &reply.base);
}

FAKE_HANDLER(drop)
{
	const Ocu__Edge__DropRequest *q = (const Ocu__Edge__DropRequest *)req;
	Ocu__Edge__DropReply reply = OCU__EDGE__DROP_REPLY__INIT;
	struct fake *f = arg;

	if (fake_handle(f, call, FAKE_DROP, "edge.Drop", q->session_id))
		return;
	fake_change(f, &f->edges, q->session_id, false);
	ocu_rpc_reply(call, &reply.base);
}

FAKE_HANDLER(list_edges)
{
	static Ocu__Edge__Session item[FAKE_HELD_MAX];
	static Ocu__Edge__Session *list[FAKE_HELD_MAX];
	Ocu__Edge__ListReply reply = OCU__EDGE__LIST_REPLY__INIT;
	struct fake *f = arg;

	(void)req;
	if (fake_handle(f, call, FAKE_LIST, "list", "edges"))
		return;
	pthread_mutex_lock(&f->lock);
	for (size_t i = 0; i < f->edges.n; i++) {
		ocu__edge__session__init(&item[i]);
		item[i].session_id = f->edges.id[i];
		item[i].listening = true;
		list[i] = &item[i];
	}
	reply.boot_id = (char *)"boot-3";
	reply.sessions = list;
	reply.n_sessions = f->edges.n;
	ocu_rpc_reply(call, &reply.base);
	pthread_mutex_unlock(&f->lock);
}

static const struct ocu_rpc_entry fake_auditd[] = {
    {&ocu_m_audit_append, fake_append}, {&ocu_m_audit_head, fake_head}, {NULL, NULL}};
static const struct ocu_rpc_entry fake_sandboxd[] = {{&ocu_m_control_start, fake_start},
                                                     {&ocu_m_control_stop, fake_stop},
                                                     {&ocu_m_control_token, fake_token},
                                                     {&ocu_m_control_list, fake_list_sandboxes},
                                                     {NULL, NULL}};
static const struct ocu_rpc_entry fake_brokerd[] = {{&ocu_m_mount_register, fake_register_mount},
                                                    {&ocu_m_mount_release, fake_release},
                                                    {&ocu_m_mount_list, fake_list_mounts},
                                                    {NULL, NULL}};
static const struct ocu_rpc_entry fake_egressd[] = {{&ocu_m_edge_register, fake_register_edge},
                                                    {&ocu_m_edge_drop, fake_drop},
                                                    {&ocu_m_edge_list, fake_list_edges},
                                                    {NULL, NULL}};

#endif
