/* op: record, wait without a thread, do, answer. */
#include "brokerd/op.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "brokerd/broker.h"
#include "brokerd/meter.h"
#include "brokerd/mount.h"
#include "brokerd/path.h"
#include "libocu/err.h"

#define RAW_PATH_MAX 8192

static void op_free(struct op *op)
{
	struct mount *m = op->mount;
	node_unref(&m->nodes, op->node);
	node_unref(&m->nodes, op->node2);
	free(op->target);
	free(op->text);
	free(op->text2);
	free(op);
}

static void answer_and_free(struct op *op, int error)
{
	fuse_reply_err(op->req, error);
	op_free(op);
}

static int set_name(char to[NAME_MAX + 1], const char *name)
{
	int e = path_name_error(name);
	if (e == 0)
		memcpy(to, name, strlen(name) + 1);
	return e;
}

struct op *op_new(fuse_req_t req, enum file_op kind, op_run *run, fuse_ino_t ino, const char *name)
{
	struct mount *m = fuse_req_userdata(req);
	struct op *op = calloc(1, sizeof *op);
	if (!op) {
		fuse_reply_err(req, ENOMEM);
		return NULL;
	}
	op->mount = m;
	op->req = req;
	op->kind = kind;
	op->run = run;
	op->node = node_get(&m->nodes, ino);
	int e = !op->node ? ESTALE : name ? set_name(op->name, name) : 0;
	if (e == 0)
		return op;
	answer_and_free(op, e);
	return NULL;
}

bool op_second(struct op *op, fuse_ino_t ino, const char *name)
{
	op->node2 = node_get(&op->mount->nodes, ino);
	int e = op->node2 ? set_name(op->name2, name) : ESTALE;
	if (e == 0)
		return true;
	answer_and_free(op, e);
	return false;
}

static char *path_text(struct nodes *t, struct node *n, const char *leaf)
{
	char raw[RAW_PATH_MAX], text[PATH_HANDLE_MAX];
	path_handle(raw, node_path(t, n, leaf, raw, sizeof raw), text);
	return strdup(text);
}

static struct file_event event_of(const struct op *op)
{
	return (struct file_event){
	    .op = op->kind,
	    .face = FACE_MOUNT,
	    .volume = op->mount->volume,
	    .handle = op->text,
	    .to = op->text2,
	    .intent = op->intent,
	    .trace = op->trace,
	    .bytes = op->kind == FILE_OP_TRUNCATE ? (int64_t)op->attr.st_size : BYTES_UNKNOWN,
	    .downloadable = op->mount->broker->downloadable,
	    .outcome = op->refuse ? OCU_OUTCOME_DENIED : OCU_OUTCOME_SUCCESS,
	    .reason = op->why      ? op->why
	              : op->refuse ? evidence_code(op->refuse)
	                           : 0,
	};
}

/* It was permitted and recorded, and then the system said no: the trail says that, too. */
static void report_failure(const struct op *op, int error)
{
	struct file_event e = event_of(op);
	e.outcome = OCU_OUTCOME_FAILURE;
	e.reason = evidence_code(error);
	e.sys_errno = error;
	evidence_report(op->mount->broker->audit, &e);
}

static void go_on(struct task *t)
{
	struct op *op = (struct op *)((char *)t - offsetof(struct op, task));
	struct mount *m = op->mount;
	int r = 0;
	if (op->audit) {
		meter_audit_refused();
		r = -EIO;
	} else if (op->refuse) {
		meter_denied();
		r = -op->refuse;
	} else if (atomic_load(&m->dead)) {
		r = -ENOTCONN;
	} else {
		r = op->run(op);
		if (r < 0)
			report_failure(op, -r);
	}
	if (r < 0)
		fuse_reply_err(op->req, -r);
	op_free(op);
	lane_release(m->lane);
}

void op_run_now(struct op *op)
{
	int r = mount_deaf(op->mount) ? -EIO : op->run(op);
	if (r < 0)
		fuse_reply_err(op->req, -r);
	op_free(op);
}

/* On a thread of the audit emitter, which must not wait for a disk. */
static void recorded(void *arg, const struct ocu_error *err)
{
	struct op *op = arg;
	op->audit = err ? err->code : 0;
	lane_post(op->mount->lane, &op->task);
}

void op_submit(struct op *op)
{
	struct mount *m = op->mount;
	op->task.run = go_on;
	if (mount_deaf(m)) {
		op->refuse = EIO;
		op->why = OCU_E_STALE_DENYLIST;
	}
	ocu_id_new(OCU_ID_TRACE, op->trace);
	op->text = path_text(&m->nodes, op->node, op->name[0] ? op->name : NULL);
	if (op->node2) {
		op->text2 = path_text(&m->nodes, op->node2, op->name2);
	} else if (op->target) {
		char text[PATH_HANDLE_MAX];
		path_handle(op->target, strlen(op->target), text);
		op->text2 = strdup(text);
	}
	if (!op->text || ((op->node2 || op->target) && !op->text2)) {
		answer_and_free(op, ENOMEM);
		return;
	}
	struct file_event e = event_of(op);
	struct ocu_error err = {0};
	lane_hold(m->lane);
	lane_charge(m->lane);
	if (evidence_commit_async(m->broker->audit, &e, recorded, op, &err) < 0) {
		meter_audit_refused();
		answer_and_free(op, EIO);
		lane_release(m->lane);
	}
}
