/* evidence: building OCSF events for file operations. */
#include "brokerd/evidence.h"

#include <errno.h>
#include <jansson.h>
#include <stddef.h>
#include <string.h>

#include "brokerd/volume.h"
#include "libocu/err.h"
#include "libocu/json.h"
#include "libocu/ocsf.h"

static const struct {
	const char *action;
	int activity;
	const char *intent;
} ops[FILE_OP_COUNT] = {
#define X(sym, action_, activity_, intent_) [FILE_OP_##sym] = {action_, activity_, intent_},
    FILE_OPS(X)
#undef X
};

static const char *const faces[] = {
    [FACE_MOUNT] = "mount", [FACE_NORTH] = "north", [FACE_CONTROL] = "control"};

const char *evidence_action(enum file_op op)
{
	return ops[op].action;
}

int evidence_code(int sys_errno)
{
	static const struct {
		int sys, code;
	} map[] = {
	    {ENOENT, OCU_E_NOT_FOUND},
	    {ESTALE, OCU_E_NOT_FOUND},
	    {EEXIST, OCU_E_EXISTS},
	    {ENOTEMPTY, OCU_E_STATE},
	    {ENOTDIR, OCU_E_STATE},
	    {EISDIR, OCU_E_STATE},
	    {ELOOP, OCU_E_STATE},
	    {EXDEV, OCU_E_STATE},
	    {EINVAL, OCU_E_INVALID},
	    {EPERM, OCU_E_DENIED},
	    {EACCES, OCU_E_DENIED},
	    {EDQUOT, OCU_E_QUOTA},
	    {ENOSPC, OCU_E_NO_SPACE},
	    {EFBIG, OCU_E_TOO_LARGE},
	    {ENAMETOOLONG, OCU_E_TOO_LARGE},
	    {EMFILE, OCU_E_QUOTA},
	    {ENFILE, OCU_E_BUSY},
	    {ENOMEM, OCU_E_NOMEM},
	    {EOPNOTSUPP, OCU_E_UNSUPPORTED},
	};
	for (size_t i = 0; i < sizeof map / sizeof *map; i++)
		if (map[i].sys == sys_errno)
			return map[i].code;
	return OCU_E_IO;
}

static void put_text(json_t *o, const char *key, const char *value)
{
	if (value)
		json_object_set_new_nocheck(o, key, json_string_nocheck(value));
}

static json_t *detail(const struct file_event *e)
{
	json_t *o = json_object();
	put_text(o, "filesystem_id", e->volume ? e->volume->filesystem_id : e->filesystem_id);
	put_text(o, "operation", strchr(ops[e->op].action, '.') + 1);
	put_text(o, "handle", e->handle);
	put_text(o, "to", e->to);
	put_text(o, "intent", e->intent ? e->intent : ops[e->op].intent);
	put_text(o, "face", faces[e->face]);
	json_object_set_new(o, "downloadable", json_boolean(e->downloadable));
	if (e->bytes >= 0)
		json_object_set_new(o, "bytes", json_integer(e->bytes));
	if (e->bytes_read || e->bytes_written) {
		json_object_set_new(o, "bytes_read", json_integer(e->bytes_read));
		json_object_set_new(o, "bytes_written", json_integer(e->bytes_written));
	}
	if (e->sys_errno)
		json_object_set_new(o, "errno", json_integer(e->sys_errno));
	return o;
}

static struct ocu_event event_of(const struct file_event *e, const json_t *d)
{
	return (struct ocu_event){
	    .class_uid = OCU_OCSF_FILE_ACTIVITY,
	    .activity_id = ops[e->op].activity,
	    .action = ops[e->op].action,
	    .resource = e->handle   ? e->handle
	                : e->volume ? e->volume->filesystem_id
	                            : e->filesystem_id,
	    .actor_id = e->actor    ? e->actor
	                : e->volume ? e->volume->caller
	                            : "system:brokerd",
	    .session_id = e->volume       ? e->volume->session_id
	                  : e->session_id ? e->session_id
	                                  : "",
	    .trace_id = e->trace ? e->trace : "",
	    .outcome = e->outcome,
	    .reason = e->reason,
	    .detail = d,
	};
}

int evidence_commit(struct ocu_audit *a, const struct file_event *e, struct ocu_error *err)
{
	OCU_JSON json_t *d = detail(e);
	struct ocu_event ev = event_of(e, d);
	return ocu_audit_commit(a, &ev, err);
}

int evidence_commit_async(struct ocu_audit *a, const struct file_event *e, ocu_audit_done_fn *done, void *arg,
                          struct ocu_error *err)
{
	OCU_JSON json_t *d = detail(e);
	struct ocu_event ev = event_of(e, d);
	return ocu_audit_commit_async(a, &ev, done, arg, err);
}

void evidence_report(struct ocu_audit *a, const struct file_event *e)
{
	OCU_JSON json_t *d = detail(e);
	struct ocu_event ev = event_of(e, d);
	(e->outcome == OCU_OUTCOME_DENIED ? ocu_audit_refused : ocu_audit_report)(a, &ev);
}
