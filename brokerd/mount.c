/* mount: adopting the descriptor, feeding libfuse from the pool, cutting and freeing. */
#include "brokerd/mount.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "brokerd/broker.h"
#include "brokerd/evidence.h"
#include "brokerd/fuse_version.h"
#include "brokerd/notify.h"
#include "brokerd/serve.h"
#include "brokerd/volume.h"
#include "libocu/denylist.h"
#include "libocu/err.h"
#include "libocu/log.h"

#define FUSE_DEVICE makedev(10, 229) /* misc, FUSE_MINOR */

static _Thread_local struct pool_buffer *buffer;

struct pool_buffer *mount_buffer(void)
{
	return buffer;
}

struct mount *mount_ref(struct mount *m)
{
	atomic_fetch_add(&m->refs, 1);
	return m;
}

void mount_unref(struct mount *m)
{
	if (!m || atomic_fetch_sub(&m->refs, 1) != 1)
		return;
	if (m->lane)
		lane_free(m->lane);
	handles_done(&m->handles);
	nodes_done(&m->nodes);
	content_done(&m->content);
	volume_unref(m->volume);
	free(m);
}

/* Nonblocking, so that a worker that finds the request already taken goes on. */
static ssize_t read_request(void *arg, struct pool_buffer *b)
{
	struct mount *m = arg;
	for (;;) {
		ssize_t n = read(m->fd, b->in, b->in_size);
		if (n > 0)
			return n;
		if (n == 0)
			return -ENODEV; /* only what stands in for a cut descriptor reads as empty */
		if (errno == ENOENT || errno == EINTR)
			continue; /* that request was interrupted before it reached us */
		return -errno;
	}
}

bool mount_deaf(const struct mount *m)
{
	return !ocu_denylist_fresh(m->broker->denylist);
}

static bool moves_content(uint32_t opcode)
{
	return opcode == FUSE_READ || opcode == FUSE_WRITE || opcode == FUSE_FALLOCATE ||
	       opcode == FUSE_COPY_FILE_RANGE || opcode == FUSE_READDIR || opcode == FUSE_READDIRPLUS;
}

/* The errno that is all the answer, or 0. What a deaf mount refuses with a record is not here: op_submit().
 */
static int refusal(const struct mount *m, uint32_t opcode)
{
	if (atomic_load(&m->dead))
		return ENOTCONN;
	return moves_content(opcode) && mount_deaf(m) ? EIO : 0;
}

static void refuse(struct mount *m, const struct fuse_in_header *in, int error)
{
	if (in->opcode == FUSE_FORGET || in->opcode == FUSE_BATCH_FORGET || in->opcode == FUSE_INTERRUPT ||
	    in->opcode == FUSE_NOTIFY_REPLY)
		return; /* these have no answer */
	const struct fuse_out_header out = {.len = sizeof out, .error = -error, .unique = in->unique};
	ssize_t n = write(m->fd, &out, sizeof out); /* fails when nobody waits for it any more */
	(void)n;
}

static void serve_request(void *arg, struct pool_buffer *b, size_t len)
{
	struct mount *m = arg;
	struct fuse_buf buf = {.mem = b->in, .size = len};
	const struct fuse_in_header *in = (const void *)b->in;
	int error = len < sizeof *in ? 0 : refusal(m, in->opcode);
	if (error) {
		refuse(m, in, error);
		return;
	}
	buffer = b;
	fuse_session_process_buf(m->session, &buf);
	buffer = NULL;
}

/* Nothing is under way any more: what the guest still had open is closed on its behalf. */
static void connection_ended(void *arg)
{
	struct mount *m = arg;
	struct handle *h;
	atomic_store(&m->dead, true);
	while ((h = handle_close_any(&m->handles)))
		serve_close(m, h);
	fuse_session_destroy(m->session);
	evidence_report(
	    m->broker->audit,
	    &(struct file_event){.op = FILE_OP_DETACH, .face = FACE_MOUNT, .volume = m->volume, .bytes = -1});
	notify_stop(m);
	struct mount *attached = volume_detach(m->volume, m);
	mount_unref(attached);
	mount_unref(m);
}

static const struct lane_ops lane_ops = {
    .read = read_request,
    .serve = serve_request,
    .closed = connection_ended,
};

void mount_cut(struct mount *m)
{
	lane_close(m->lane);
	/* The last descriptor of the connection goes here and now, though workers may still be inside: they
	 * answer into the void. The number stays taken until the session is destroyed. */
	if (dup3(m->broker->null_fd, m->fd, O_CLOEXEC) < 0)
		ocu_log(OCU_LOG_ERROR, "mount.abort_failed", NULL, NULL);
}

void mount_abort(struct mount *m)
{
	if (atomic_exchange(&m->dead, true) || lane_hold(m->lane) < 0)
		return;
	if (!notify_stop(m))
		mount_cut(m);
	lane_release(m->lane);
}

void mount_wait(struct mount *m, unsigned ms)
{
	lane_wait_idle(m->lane, ms);
}

static int check_descriptor(int fd, struct ocu_error *err)
{
	struct stat st;
	if (fstat(fd, &st) < 0 || !S_ISCHR(st.st_mode) || st.st_rdev != FUSE_DEVICE)
		return ocu_error_set(err, OCU_E_PARAMS, "not a /dev/fuse descriptor");
	int flags = fcntl(fd, F_GETFL);
	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return ocu_error_errno(err, OCU_E_IO, errno, "/dev/fuse descriptor");
	return 0;
}

/* A libfuse session on the descriptor; the session owns it from here. */
static int make_session(struct mount *m, int fd, struct ocu_error *err)
{
	char name[] = "ocu-brokerd", path[32];
	char *argv[] = {name, NULL};
	struct fuse_args args = FUSE_ARGS_INIT(1, argv);
	snprintf(path, sizeof path, "/dev/fd/%d", fd);
	m->session = fuse_session_new(&args, &serve_ops, sizeof serve_ops, m);
	fuse_opt_free_args(&args);
	if (!m->session)
		return ocu_error_set(err, OCU_E_INTERNAL, "fuse session");
	if (fuse_session_mount(m->session, path) != 0) {
		fuse_session_destroy(m->session);
		return ocu_error_set(err, OCU_E_INTERNAL, "fuse session does not take the descriptor");
	}
	m->fd = fuse_session_fd(m->session);
	return 0;
}

static void node_freed(struct node *n, void *arg)
{
	content_freed(arg, n);
}

static struct mount *make(struct broker *b, struct volume *v, uid_t uid)
{
	const struct limits *l = &b->limits;
	struct mount *m = calloc(1, sizeof *m);
	if (!m)
		return NULL;
	if (nodes_init(&m->nodes, v->disk.data, l->nodes, fds_folders(&b->fds), l->open_files) < 0) {
		free(m);
		return NULL;
	}
	if (handles_init(&m->handles, l->open_files, l->open_dirs, &v->fds) < 0) {
		nodes_done(&m->nodes);
		free(m);
		return NULL;
	}
	content_init(&m->content, &v->quota, &v->readers);
	m->nodes.fds = &v->fds;
	m->nodes.freed = node_freed;
	m->nodes.freed_arg = &m->content;
	m->broker = b;
	m->volume = volume_ref(v);
	m->uid = uid;
	atomic_init(&m->refs, 1);
	return m;
}

int mount_start(struct broker *b, struct volume *v, int fd, uid_t guest_uid, struct ocu_error *err)
{
	int r = check_descriptor(fd, err);
	struct mount *m = r == 0 ? make(b, v, guest_uid) : NULL;
	if (!m) {
		close(fd);
		return r < 0 ? r : ocu_error_set(err, OCU_E_NOMEM, "mount");
	}
	r = make_session(m, fd, err);
	if (r < 0) {
		close(fd);
		mount_unref(m);
		return r;
	}
	r = lane_new(b->pool, m->fd, &lane_ops, m, &m->lane, err);
	if (r < 0) {
		fuse_session_destroy(m->session);
		mount_unref(m);
		return r;
	}
	mount_ref(m); /* the first one now is the lane's: connection_ended() gives it back */
	r = volume_attach(v, m, err);
	if (r == 0)
		r = lane_start(m->lane, err);
	if (r < 0)
		mount_abort(m);
	mount_unref(m);
	return r;
}
