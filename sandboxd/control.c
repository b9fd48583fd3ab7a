/* control: see control.h. */
#include "sandboxd/control.h"

#include <stdlib.h>
#include <string.h>

#include "libocu/clock.h"
#include "libocu/err.h"
#include "libocu/metrics.h"
#include "proto/control.pb-c.h"
#include "proto/methods.h"
#include "sandboxd/agent.h"
#include "sandboxd/ending.h"
#include "sandboxd/jobs.h"
#include "sandboxd/node.h"
#include "sandboxd/session.h"
#include "sandboxd/start.h"

#define TOKEN_MS 5000
#define JWT_MAX  4096

/* --- Start --- */

struct start_job {
	struct node *node;
	struct ocu_rpc_call *call;
	const Ocu__Control__StartRequest *req;
};

/* It waited for its turn until nobody waits for it: operatord has given the session up, and what is started
 * now would be no one's. */
static int is_late(const struct ocu_rpc_call *call, struct ocu_error *err)
{
	if (ocu_rpc_call_remaining_ms(call) > 0)
		return 0;
	ocu_counter_add(ocu_counter("ocu_sandboxd_starts_total", "outcome=\"late\"", "Sandbox starts"), 1);
	return ocu_error_set(err, OCU_E_TIMEOUT, "its turn to start came too late");
}

static void start_job(void *arg)
{
	struct start_job *j = arg;
	Ocu__Control__StartReply reply = OCU__CONTROL__START_REPLY__INIT;
	uint64_t begin = ocu_mono_ns();
	struct ocu_error err = {0};

	if (is_late(j->call, &err) || start_sandbox(j->node, j->req, ocu_rpc_call_trace(j->call), &err)) {
		ocu_rpc_fail(j->call, &err);
	} else {
		reply.runtime = j->node->runtime.name;
		reply.tier = (char *)NODE_TIER;
		reply.duration_us = (ocu_mono_ns() - begin) / 1000;
		ocu_rpc_reply(j->call, &reply.base);
	}
	free(j);
}

static int queue_start(struct node *n, struct ocu_rpc_call *call, const ProtobufCMessage *req,
                       struct ocu_error *err)
{
	const Ocu__Control__StartRequest *q = (const Ocu__Control__StartRequest *)req;
	struct start_job *j;
	int rc = start_check(n, q, err);

	if (rc)
		return rc;
	j = malloc(sizeof *j);
	if (!j)
		return ocu_error_set(err, OCU_E_NOMEM, "start");
	*j = (struct start_job){n, call, q};
	rc = jobs_add(n->starts, start_job, j, err);
	if (rc)
		free(j);
	return rc;
}

static void start(struct ocu_rpc_call *call, const ProtobufCMessage *req, void *arg)
{
	struct ocu_error err = {0};

	if (queue_start(arg, call, req, &err))
		ocu_rpc_fail(call, &err);
}

/* --- Stop --- */

static void stop(struct ocu_rpc_call *call, const ProtobufCMessage *req, void *arg)
{
	const Ocu__Control__StopRequest *q = (const Ocu__Control__StopRequest *)req;
	Ocu__Control__StopReply reply = OCU__CONTROL__STOP_REPLY__INIT;
	uint64_t begin = ocu_mono_ns();
	struct ocu_error err = {0};

	if (ending_stop(arg, q->session_id, q->reason, q->killed, ocu_rpc_call_trace(call), &err)) {
		ocu_rpc_fail(call, &err);
		return;
	}
	reply.duration_us = (ocu_mono_ns() - begin) / 1000;
	ocu_rpc_reply(call, &reply.base);
}

/* --- Token --- */

static void token_taken(void *arg, Ocu__Agent__Reply **r, const struct ocu_error *err)
{
	Ocu__Control__TokenReply reply = OCU__CONTROL__TOKEN_REPLY__INIT;

	(void)r;
	if (err)
		ocu_rpc_fail(arg, err);
	else
		ocu_rpc_reply(arg, &reply.base);
}

static int send_token(struct session *s, const char *jwt, struct ocu_rpc_call *call, struct ocu_error *err)
{
	Ocu__Agent__Request r = OCU__AGENT__REQUEST__INIT;
	Ocu__Agent__Token token = OCU__AGENT__TOKEN__INIT;
	int rc;

	token.session_jwt = (char *)jwt;
	r.op_case = OCU__AGENT__REQUEST__OP_TOKEN;
	r.token = &token;
	pthread_mutex_lock(&s->lock);
	if (s->state != SESSION_RUNNING || !s->agent)
		rc = ocu_error_set(err, OCU_E_SESSION_GONE, "%s", ocu_err_text(OCU_E_SESSION_GONE));
	else
		rc = agent_call(s->agent,
		                &(struct agent_call){
		                    .request = &r, .deadline_ms = TOKEN_MS, .done = token_taken, .arg = call},
		                NULL, err);
	pthread_mutex_unlock(&s->lock);
	return rc;
}

static void token(struct ocu_rpc_call *call, const ProtobufCMessage *req, void *arg)
{
	const Ocu__Control__TokenRequest *q = (const Ocu__Control__TokenRequest *)req;
	struct session *s = session_find(((struct node *)arg)->sessions, q->session_id);
	struct ocu_error err = {0};
	int rc;

	if (!s)
		rc = ocu_error_set(&err, OCU_E_SESSION_GONE, "%s", ocu_err_text(OCU_E_SESSION_GONE));
	else if (strlen(q->session_jwt) > JWT_MAX)
		rc = ocu_error_set(&err, OCU_E_PARAMS, "session_jwt is too long");
	else
		rc = send_token(s, q->session_jwt, call, &err);
	if (rc)
		ocu_rpc_fail(call, &err);
	session_unref(s);
}

/* --- List --- */

struct listing {
	Ocu__Control__Sandbox *items;
	Ocu__Control__Sandbox **pointers;
	struct session **held;
	char (*why)[128];
	size_t n, max;
};

static int add_sandbox(void *arg, struct session *s)
{
	struct listing *l = arg;
	Ocu__Control__Sandbox *item = &l->items[l->n];

	if (l->n == l->max)
		return 0;
	ocu__control__sandbox__init(item);
	pthread_mutex_lock(&s->lock);
	item->running = s->state != SESSION_ENDED;
	item->busy = s->running != NULL;
	memcpy(l->why[l->n], s->why, sizeof s->why);
	pthread_mutex_unlock(&s->lock);
	item->session_id = s->id;
	item->container_name = s->container;
	item->why = l->why[l->n];
	l->held[l->n] = session_ref(s);
	l->pointers[l->n++] = item;
	return 0;
}

static void list(struct ocu_rpc_call *call, const ProtobufCMessage *req, void *arg)
{
	Ocu__Control__ListReply reply = OCU__CONTROL__LIST_REPLY__INIT;
	size_t max = SESSION_SLOTS_MAX + SESSION_ENDED_MAX;
	struct ocu_error err = {0};
	struct node *n = arg;
	struct listing l = {.max = max,
	                    .items = calloc(max, sizeof *l.items),
	                    .pointers = calloc(max, sizeof(Ocu__Control__Sandbox *)),
	                    .held = calloc(max, sizeof(struct session *)),
	                    .why = calloc(max, sizeof *l.why)};

	(void)req;
	if (!l.items || !l.pointers || !l.held || !l.why) {
		ocu_error_set(&err, OCU_E_NOMEM, "list");
		ocu_rpc_fail(call, &err);
	} else {
		sessions_each(n->sessions, add_sandbox, &l);
		reply.boot_id = n->boot_id;
		reply.instance = (char *)ocu_conf_str(n->daemon.conf, "instance");
		reply.tier = (char *)NODE_TIER;
		reply.n_sandboxes = l.n;
		reply.sandboxes = l.pointers;
		ocu_rpc_reply(call, &reply.base);
	}
	while (l.n > 0)
		session_unref(l.held[--l.n]);
	free(l.items);
	free(l.pointers);
	free(l.held);
	free(l.why);
}

const struct ocu_rpc_entry control_table[] = {
    {&ocu_m_control_start, start},
    {&ocu_m_control_stop, stop},
    {&ocu_m_control_token, token},
    {&ocu_m_control_list, list},
    {NULL, NULL},
};
