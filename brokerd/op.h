/*
 * op: an operation that is recorded before it is done. The request is kept, its event goes to auditd, and
 * when auditd has made it durable a worker goes on; other requests are served meanwhile. Without the record
 * the guest gets EIO and nothing was done (NFR-SEC-79).
 */
#ifndef BROKERD_OP_H
#define BROKERD_OP_H

#include <limits.h>
#include <sys/stat.h>

#include "brokerd/evidence.h"
#include "brokerd/fuse_version.h"
#include "brokerd/pool.h"

struct mount;
struct node;
struct op;

/* Does it and answers: 0, or -errno for the caller to answer with and record. */
typedef int op_run(struct op *op);

struct op {
	struct task task;
	struct mount *mount;
	fuse_req_t req;
	enum file_op kind;
	op_run *run;
	struct node *node, *node2; /* referenced */
	char name[NAME_MAX + 1], name2[NAME_MAX + 1];
	char *target; /* of a symbolic link */
	const char *intent;
	int flags;
	mode_t mode;
	dev_t rdev;
	int to_set; /* FUSE_SET_ATTR_* */
	struct stat attr;
	bool has_handle;
	uint64_t handle;
	int refuse; /* errno to answer with instead of doing it; the event says denied */
	int why;    /* OCU_E code of that; 0: the errno's */
	/* Inside. */
	int audit; /* 0, or why the record failed */
	char trace[OCU_ID_MAX];
	char *text, *text2; /* evidence paths */
};

/* For the request at hand on ino and, for those that have one, a name in it. Answers the request itself and
 * returns NULL when the node is unknown, a name is impossible, or memory is short. */
struct op *op_new(fuse_req_t req, enum file_op kind, op_run *run, fuse_ino_t ino, const char *name);
/* The second place of a rename; false when it answered the request and freed the op. */
bool op_second(struct op *op, fuse_ino_t ino, const char *name);
/* Records, then runs on a worker. Takes op. */
void op_submit(struct op *op);
/* Runs here and now: for what needs no record. Takes op. */
void op_run_now(struct op *op);

#endif
