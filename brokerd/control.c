/* control: handlers of mount.Register, mount.Release and mount.List. They run on RPC workers and may block.
 */
#include "brokerd/control.h"

#include <stdlib.h>

#include "brokerd/broker.h"
#include "brokerd/mount.h"
#include "brokerd/registry.h"
#include "brokerd/session.h"
#include "libocu/audit.h"
#include "libocu/clock.h"
#include "libocu/err.h"
#include "libocu/log.h"
#include "proto/methods.h"
#include "proto/mount.pb-c.h"

#define RELEASE_MS 2000 /* at most this much removal before the answer: others wait for these workers */
#define ANSWER_MS  500  /* kept of the caller's deadline for the answer itself */

static void answer(struct ocu_rpc_call *call, const ProtobufCMessage *reply, int r,
                   const struct ocu_error *err, const char *event)
{
	if (r == 0) {
		ocu_rpc_reply(call, reply);
		return;
	}
	ocu_log_error(OCU_LOG_WARN, event, ocu_rpc_call_trace(call), err);
	ocu_rpc_fail(call, err);
}

static void handle_register(struct ocu_rpc_call *call, const ProtobufCMessage *req, void *arg)
{
	const Ocu__Mount__RegisterRequest *q = (const Ocu__Mount__RegisterRequest *)req;
	Ocu__Mount__RegisterReply reply = OCU__MOUNT__REGISTER_REPLY__INIT;
	struct ocu_error err = {0};
	struct volume_id id = {
	    .session_id = q->session_id,
	    .filesystem_id = q->filesystem_id,
	    .caller = q->caller,
	    .quota_bytes = q->quota_bytes,
	    .quota_files = q->quota_files,
	};
	int r = session_register(arg, &id, ocu_rpc_call_trace(call), &err);
	answer(call, &reply.base, r, &err, "session.register_failed");
}

static void handle_release(struct ocu_rpc_call *call, const ProtobufCMessage *req, void *arg)
{
	const Ocu__Mount__ReleaseRequest *q = (const Ocu__Mount__ReleaseRequest *)req;
	Ocu__Mount__ReleaseReply reply = OCU__MOUNT__RELEASE_REPLY__INIT;
	struct ocu_error err = {0};
	uint32_t left = ocu_rpc_call_remaining_ms(call);
	left = left > ANSWER_MS ? left - ANSWER_MS : 0;
	uint64_t deadline = ocu_mono_ms() + (left < RELEASE_MS ? left : RELEASE_MS);
	struct session_released done;
	int r =
	    session_release(arg, q->session_id, q->scrub, ocu_rpc_call_trace(call), deadline, &done, &err);
	reply.files_deleted = done.removed;
	reply.scrub_pending = done.pending;
	answer(call, &reply.base, r, &err, "session.release_failed");
}

static void describe(struct volume *v, Ocu__Mount__Mount *ret)
{
	struct mount *m = volume_mount(v);
	ocu__mount__mount__init(ret);
	ret->session_id = v->session_id;
	ret->filesystem_id = v->filesystem_id;
	ret->mounted = m != NULL;
	ret->used_bytes = atomic_load(&v->quota.bytes);
	mount_unref(m);
}

static void handle_list(struct ocu_rpc_call *call, const ProtobufCMessage *req, void *arg)
{
	(void)req;
	struct broker *b = arg;
	Ocu__Mount__ListReply reply = OCU__MOUNT__LIST_REPLY__INIT;
	struct ocu_error err = {0};
	size_t count;
	struct volume **all = registry_all(b->registry, &count);
	Ocu__Mount__Mount *rows = calloc(count + 1, sizeof *rows);
	Ocu__Mount__Mount **list = calloc(count + 1, sizeof(Ocu__Mount__Mount *));
	int r = 0;
	if (!rows || !list)
		r = ocu_error_set(&err, OCU_E_NOMEM, "list");
	for (size_t i = 0; rows && list && i < count; i++) {
		describe(all[i], &rows[i]);
		list[i] = &rows[i];
	}
	reply.boot_id = b->boot_id;
	reply.n_mounts = count;
	reply.mounts = list;
	answer(call, &reply.base, r, &err, "session.list_failed");
	for (size_t i = 0; i < count; i++)
		volume_unref(all[i]);
	free(all);
	free(rows);
	free(list);
}

const struct ocu_rpc_entry control_table[] = {
    {&ocu_m_mount_register, handle_register},
    {&ocu_m_mount_release, handle_release},
    {&ocu_m_mount_list, handle_list},
    {NULL, NULL},
};

void control_refused(const struct ocu_peer *peer, uint32_t method, const struct ocu_error *why, void *arg)
{
	struct broker *b = arg;
	ocu_log_error(OCU_LOG_WARN, "rpc.refused", NULL, why);
	ocu_audit_rpc_refused(b->audit, peer, method, why);
}
