/*
 * north_put: writing and removing through the files API. A body waits in an unlinked spool file until it is
 * whole, goes to staging, is on disk before it is visible, and becomes visible by one rename.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "brokerd/broker.h"
#include "brokerd/confine.h"
#include "brokerd/header.h"
#include "brokerd/meter.h"
#include "brokerd/north_change.h"
#include "brokerd/north_job.h"
#include "libocu/cleanup.h"
#include "libocu/err.h"
#include "libocu/httpd.h"

#define COPY_STEP (8u << 20)

/* Whether it is still allowed, and If-Match and If-None-Match of the request against what stands at the path.
 */
static int check_change(const struct stat *st, void *arg)
{
	struct job *j = arg;
	const char *match = ocu_http_header(j->req, "If-Match"),
	           *none = ocu_http_header(j->req, "If-None-Match");
	char etag[ETAG_SIZE] = "";
	if (job_allowed(j, NULL) < 0)
		return -EPERM;
	if (st)
		header_etag(st, etag);
	if (match && (!st || !header_etag_listed(match, etag, false)))
		return -ECANCELED;
	return none && st && header_etag_listed(none, etag, true) ? -ECANCELED : 0;
}

static void changed_or_failed(struct job *j, int r)
{
	struct ocu_error denied = {.code = j->denied};
	if (r == -EDQUOT)
		meter_quota();
	if (j->denied) {
		job_refuse(j, &denied);
		return;
	}
	if (r == -ECANCELED)
		job_status(j, 412, OCU_E_STATE, "the condition does not hold");
	else
		job_failed(j, -r);
}

static int copy_plain(int from, int to, uint64_t at, uint64_t size)
{
	char block[64 << 10];
	while (at < size) {
		size_t want = size - at < sizeof block ? (size_t)(size - at) : sizeof block;
		ssize_t n = pread(from, block, want, (off_t)at);
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		ssize_t put = pwrite(to, block, (size_t)n, (off_t)at);
		if (put <= 0)
			return put < 0 ? -errno : -EIO;
		at += (uint64_t)put;
	}
	return 0;
}

static int copy_body(int from, int to, uint64_t size)
{
	off_t in = 0, out = 0;
	while ((uint64_t)in < size) {
		uint64_t left = size - (uint64_t)in;
		ssize_t n = copy_file_range(from, &in, to, &out, left < COPY_STEP ? left : COPY_STEP, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) /* another file system, or one that cannot: by hand */
			return copy_plain(from, to, (uint64_t)in, size);
	}
	return 0;
}

/* The body as a file of staging, on disk. */
static int stage(struct job *j, const char *name, uint64_t size)
{
	uint64_t announced = 0;
	OCU_CLOSE int to = confine_open(j->volume->disk.staging, name, O_WRONLY | O_CREAT | O_EXCL, 0644);
	if (to < 0)
		return to;
	int r = copy_body(ocu_http_body_fd(j->req, &announced), to, size);
	if (r == 0 && fdatasync(to) < 0)
		r = -errno;
	if (r < 0)
		unlinkat(j->volume->disk.staging, name, 0);
	return r;
}

static void answer_put(struct job *j, const struct stat *st, bool replaced)
{
	char etag[ETAG_SIZE];
	header_etag(st, etag);
	ocu_http_set_header(j->req, "ETag", etag);
	job_leave(j);
	ocu_http_reply_json(j->req, replaced ? 200 : 201,
	                    json_pack("{s:s, s:I, s:s, s:b}", "path", j->path, "size",
	                              (json_int_t)st->st_size, "etag", etag, "replaced", replaced));
}

/* Neither the staged file nor its charge stays when it does not become visible. */
static void take_back(struct volume *v, const char *staged, uint64_t size)
{
	unlinkat(v->disk.staging, staged, 0);
	quota_drop_bytes(&v->quota, size);
}

/* v is a reference of our own: the job is gone once it is answered. */
static void put_charged(struct job *j, struct volume *v, uint64_t size)
{
	char name[OCU_ID_MAX];
	struct placed placed;
	ocu_id_new("", name);
	int r = stage(j, name, size);
	if (r < 0) {
		take_back(v, name, size);
		changed_or_failed(j, r);
		return;
	}
	struct ocu_error err = {0};
	if (job_commit(j, &err) < 0) {
		take_back(v, name, size);
		ocu_http_reply_error(j->req, &err);
		return;
	}
	r = change_place(v, name, j->path, check_change, j, &placed);
	if (!placed.there)
		take_back(v, name, size);
	if (r == 0)
		answer_put(j, &placed.st, placed.replaced);
	else
		changed_or_failed(j, r);
}

void north_put(struct job *j)
{
	uint64_t size = 0;
	struct volume *v = volume_ref(j->volume);
	ocu_http_body_fd(j->req, &size);
	j->bytes = (int64_t)size;
	int r = job_bytes(j, size);
	if (r == 0) {
		r = quota_resize(&v->quota, 0, size);
		if (r < 0)
			changed_or_failed(j, r);
		else
			put_charged(j, v, size);
	}
	volume_unref(v);
}

void north_delete(struct job *j)
{
	if (job_record(j) < 0)
		return;
	int r = change_remove(j->volume, j->path, check_change, j);
	if (r < 0) {
		changed_or_failed(j, r);
		return;
	}
	job_leave(j);
	ocu_http_reply(j->req, 204, NULL, NULL, 0);
}
