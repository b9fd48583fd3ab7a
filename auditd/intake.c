/* intake: the request table and the checking of events. */
#include "auditd/intake.h"

#include <stdbool.h>
#include <stdlib.h>

#include "auditd/committer.h"
#include "auditd/event.h"
#include "auditd/lane.h"
#include "auditd/own.h"
#include "auditd/request.h"
#include "auditd/store.h"
#include "libocu/clock.h"
#include "libocu/err.h"
#include "proto/audit.pb-c.h"
#include "proto/methods.h"

int intake_check(struct request *r, size_t *ret_bad, struct ocu_error *err)
{
	for (size_t i = 0; i < r->n; i++) {
		struct request_event *e = &r->events[i];
		int rc = event_accept(&e->data, &e->len, &e->owned, err);
		if (rc) {
			*ret_bad = i;
			return ocu_error_add(err, "event %zu", i);
		}
	}
	return 0;
}

static void check_one(struct intake *in, struct request *r)
{
	struct ocu_error err = {0};
	size_t bad = 0;
	if (intake_check(r, &bad, &err) == 0) {
		committer_put(in->committer, r);
		return;
	}
	own_append_refused(in->own, r->lane, ocu_rpc_call_trace(r->call), (long)bad, &err);
	request_finish(r, &err);
}

/* The worker that put a request in also takes requests out, whoever's turn it is, unless enough workers are
 * at that already: then one of them will come to it. So a source with large requests cannot occupy every
 * worker. */
static void check_in_turn(struct intake *in)
{
	struct request *r = NULL;
	pthread_mutex_lock(&in->lanes->lock);
	bool mine = in->checkers < in->checkers_max;
	in->checkers += mine;
	pthread_mutex_unlock(&in->lanes->lock);
	while (mine) {
		while ((r = lanes_take(in->lanes)))
			check_one(in, r);
		/* Something may have come between the last look and this one. */
		pthread_mutex_lock(&in->lanes->lock);
		if (in->lanes->waiting == 0) {
			in->checkers--;
			mine = false;
		}
		pthread_mutex_unlock(&in->lanes->lock);
	}
}

static int measure(const Ocu__Audit__AppendRequest *req, size_t *ret_bytes, struct ocu_error *err)
{
	size_t bytes = 0;
	if (req->n_events == 0 || req->n_events > INTAKE_EVENTS_MAX)
		return ocu_error_set(err, OCU_E_INVALID, "an Append holds 1 to %d events", INTAKE_EVENTS_MAX);
	for (size_t i = 0; i < req->n_events; i++)
		bytes += req->events[i].len;
	if (bytes > INTAKE_REQUEST_MAX)
		return ocu_error_set(err, OCU_E_TOO_LARGE, "an Append holds at most %u bytes",
		                     INTAKE_REQUEST_MAX);
	*ret_bytes = bytes;
	return 0;
}

static struct request *from_call(struct ocu_rpc_call *call, const Ocu__Audit__AppendRequest *req,
                                 struct lane *lane, size_t bytes)
{
	struct request *r = request_new(req->n_events);
	if (!r)
		return NULL;
	r->call = call;
	r->lane = lane;
	r->wall_ms = ocu_wall_ms();
	r->bytes = bytes;
	for (size_t i = 0; i < r->n; i++) {
		r->events[i].data = (const char *)req->events[i].data;
		r->events[i].len = req->events[i].len;
	}
	return r;
}

static void append(struct ocu_rpc_call *call, const ProtobufCMessage *msg, void *arg)
{
	struct intake *in = arg;
	const Ocu__Audit__AppendRequest *req = (const Ocu__Audit__AppendRequest *)msg;
	const struct ocu_peer *peer = ocu_rpc_call_peer(call);
	struct ocu_error err = {0};
	struct lane *lane = NULL;
	size_t bytes = 0;
	if (peer->component == OCU_COMP_AUDITD)
		ocu_error_set(&err, OCU_E_PEER_DENIED, "auditd takes no events in its own name");
	else
		lanes_get(in->lanes, peer, &lane, &err);
	if (!lane) {
		intake_refused(peer, ocu_m_audit_append.id, &err, in);
		ocu_rpc_fail(call, &err);
		return;
	}
	if (measure(req, &bytes, &err)) {
		own_append_refused(in->own, lane, ocu_rpc_call_trace(call), -1, &err);
		ocu_rpc_fail(call, &err);
		return;
	}
	struct request *r = from_call(call, req, lane, bytes);
	if (!r) {
		ocu_error_set(&err, OCU_E_NOMEM, "append");
		ocu_rpc_fail(call, &err);
		return;
	}
	bool shaped = false;
	int rc = lanes_put(in->lanes, r, &shaped, &err);
	if (rc || shaped)
		own_source_shaped(in->own, lane, rc != 0);
	if (rc) {
		request_finish(r, &err);
		return;
	}
	check_in_turn(in);
}

static void head(struct ocu_rpc_call *call, const ProtobufCMessage *msg, void *arg)
{
	struct intake *in = arg;
	Ocu__Audit__HeadReply reply = OCU__AUDIT__HEAD_REPLY__INIT;
	reply.version = (char *)OCU_VERSION;
	struct store_head h;
	(void)msg;
	store_head(in->store, &h);
	reply.records = h.records;
	reply.head.data = h.hash;
	reply.head.len = sizeof h.hash;
	ocu_rpc_reply(call, &reply.base);
}

const struct ocu_rpc_entry intake_table[] = {
    {&ocu_m_audit_append, append},
    {&ocu_m_audit_head, head},
    {NULL, NULL},
};

void intake_refused(const struct ocu_peer *peer, uint32_t method, const struct ocu_error *why, void *arg)
{
	struct intake *in = arg;
	own_rpc_refused(in->own, peer, method, why);
}
