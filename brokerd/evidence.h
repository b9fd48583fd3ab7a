/*
 * evidence: file events (NFR-SEC-79). One table names every operation of both faces, its OCSF activity and
 * its intent. An operation's event is committed before the operation is done; when the operation then fails,
 * a second event with the same trace id says so. Removing a volume may take long and outlive the daemon: that
 * it was begun is one event (scrub, expire), that nothing is left on disk another (scrubbed).
 */
#ifndef BROKERD_EVIDENCE_H
#define BROKERD_EVIDENCE_H

#include <stdbool.h>
#include <stdint.h>

#include "libocu/audit.h"
#include "libocu/id.h"

struct ocu_error;
struct volume;

/* OCSF File System Activity: 1 create, 2 read, 3 update, 4 delete, 5 rename, 6 set attributes, 12 mount, 13
 * unmount, 14 open, 99 other. */
/*       symbol    action          activity intent */
#define FILE_OPS(X)                                                                                          \
	X(OPEN, "file.open", 14, "read")                                                                     \
	X(CREATE, "file.create", 1, "write")                                                                 \
	X(CLOSE, "file.close", 99, "read")                                                                   \
	X(MKDIR, "file.mkdir", 1, "write")                                                                   \
	X(UNLINK, "file.unlink", 4, "write")                                                                 \
	X(RMDIR, "file.rmdir", 4, "write")                                                                   \
	X(RENAME, "file.rename", 5, "write")                                                                 \
	X(SYMLINK, "file.symlink", 1, "write")                                                               \
	X(LINK, "file.link", 1, "write")                                                                     \
	X(MKNOD, "file.mknod", 1, "write")                                                                   \
	X(TRUNCATE, "file.truncate", 3, "write")                                                             \
	X(CHMOD, "file.chmod", 6, "write")                                                                   \
	X(CHOWN, "file.chown", 6, "write")                                                                   \
	X(GET, "file.get", 2, "read")                                                                        \
	X(HEAD, "file.head", 8, "read")                                                                      \
	X(PUT, "file.put", 1, "write")                                                                       \
	X(DELETE, "file.delete", 4, "write")                                                                 \
	X(LIST, "file.list", 2, "read")                                                                      \
	X(FILESYSTEMS, "filesystem.list", 2, "read")                                                         \
	X(REGISTER, "filesystem.register", 1, "write")                                                       \
	X(ATTACH, "filesystem.attach", 12, "write")                                                          \
	X(DETACH, "filesystem.detach", 13, "write")                                                          \
	X(RELEASE, "filesystem.release", 13, "write")                                                        \
	X(SCRUB, "filesystem.scrub", 4, "write")                                                             \
	X(SCRUBBED, "filesystem.scrubbed", 4, "write")                                                       \
	X(EXPIRE, "filesystem.expire", 4, "write")

enum file_op {
#define X(sym, action, activity, intent) FILE_OP_##sym,
	FILE_OPS(X)
#undef X
	    FILE_OP_COUNT
};

enum file_face { FACE_MOUNT, FACE_NORTH, FACE_CONTROL };

#define BYTES_UNKNOWN (-1)

struct file_event {
	enum file_op op;
	enum file_face face;
	const struct volume *volume; /* NULL: then the three texts */
	const char *session_id, *filesystem_id, *actor;
	const char *handle; /* path_handle() text of what it is done to; NULL: the file system itself */
	const char *to;     /* the other path of a rename, the target of a link; may be NULL */
	const char *intent; /* NULL: the table's */
	const char *trace;  /* NULL: one is made */
	int64_t bytes;      /* BYTES_UNKNOWN: left out */
	int64_t bytes_read, bytes_written; /* of a close; both 0: left out */
	bool downloadable;
	enum ocu_outcome outcome;
	int reason;    /* OCU_E code */
	int sys_errno; /* of a failed operation */
};

int evidence_commit(struct ocu_audit *a, const struct file_event *e, struct ocu_error *err);
int evidence_commit_async(struct ocu_audit *a, const struct file_event *e, ocu_audit_done_fn *done, void *arg,
                          struct ocu_error *err);
/* For what cannot be refused any more; never blocks. */
void evidence_report(struct ocu_audit *a, const struct file_event *e);
const char *evidence_action(enum file_op op);
/* The code a failed system call is recorded and answered under. */
int evidence_code(int sys_errno);

#endif
