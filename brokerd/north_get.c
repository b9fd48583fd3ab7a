/* north_get: reading a file through the files API. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "brokerd/broker.h"
#include "brokerd/confine.h"
#include "brokerd/header.h"
#include "brokerd/magic.h"
#include "brokerd/north_job.h"
#include "libocu/cleanup.h"
#include "libocu/err.h"
#include "libocu/httpd.h"

static int open_file(struct job *j, struct stat *st)
{
	struct volume *v = j->volume;
	pthread_rwlock_rdlock(&v->tree);
	int dir = confine_parent(v->disk.data, j->path), fd = dir;
	if (dir >= 0) {
		fd = confine_file(dir, j->path + path_leaf(j->path), O_RDONLY, st);
		close(dir);
	}
	if (fd >= 0)
		reader_enter(&v->readers, &j->reading, st->st_ino);
	pthread_rwlock_unlock(&v->tree);
	return fd;
}

/* Whatever a session wrote, no browser is to run it in this origin. */
static void set_headers(struct job *j, const char *etag)
{
	static const char *const fixed[][2] = {
	    {"Accept-Ranges", "bytes"},
	    {"X-Content-Type-Options", "nosniff"},
	    {"Content-Disposition", "attachment"},
	    {"Content-Security-Policy", "default-src 'none'; sandbox"},
	    {"Cache-Control", "private, no-cache"},
	};
	for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++)
		ocu_http_set_header(j->req, fixed[i][0], fixed[i][1]);
	ocu_http_set_header(j->req, "ETag", etag);
}

/* 0, 304 or 412 (RFC 9110 section 13.2.2). */
static int condition(struct job *j, const char *etag)
{
	const char *match = ocu_http_header(j->req, "If-Match"),
	           *none = ocu_http_header(j->req, "If-None-Match");
	if (match && !header_etag_listed(match, etag, false))
		return 412;
	return none && header_etag_listed(none, etag, true) ? 304 : 0;
}

static enum range_kind range_of(struct job *j, const char *etag, uint64_t size, uint64_t *from, uint64_t *len)
{
	const char *only_if = ocu_http_header(j->req, "If-Range");
	*from = 0;
	*len = size;
	if (only_if && !header_etag_listed(only_if, etag, false))
		return RANGE_NONE;
	return header_range(ocu_http_header(j->req, "Range"), size, from, len);
}

static void send_file(struct job *j, int fd, const struct stat *st, const char *etag)
{
	char sample[MAGIC_BYTES], text[80];
	uint64_t size = (uint64_t)st->st_size, from, len;
	enum range_kind range = range_of(j, etag, size, &from, &len);
	if (range == RANGE_UNSATISFIABLE) {
		close(fd);
		snprintf(text, sizeof text, "bytes */%llu", (unsigned long long)size);
		ocu_http_set_header(j->req, "Content-Range", text);
		job_status(j, 416, OCU_E_PARAMS, "the range is outside of the file");
		return;
	}
	ssize_t n = pread(fd, sample, sizeof sample, 0);
	const char *type = magic_type(sample, n > 0 ? (size_t)n : 0);
	j->bytes = j->op == FILE_OP_HEAD ? 0 : (int64_t)len;
	if (job_record(j) < 0) {
		close(fd);
		return;
	}
	job_spend(j, (uint64_t)j->bytes);
	set_headers(j, etag);
	if (range == RANGE_PART) {
		snprintf(text, sizeof text, "bytes %llu-%llu/%llu", (unsigned long long)from,
		         (unsigned long long)(from + len - 1), (unsigned long long)size);
		ocu_http_set_header(j->req, "Content-Range", text);
	}
	job_send(j);
	ocu_http_reply_fd(j->req, range == RANGE_PART ? 206 : 200, type, fd, from, len);
}

void north_get(struct job *j)
{
	struct stat st;
	char etag[ETAG_SIZE];
	struct ocu_error err = {0};
	if (j->op == FILE_OP_GET && !j->broker->downloadable) {
		ocu_error_set(&err, OCU_E_POLICY, "not downloadable");
		job_refuse(j, &err);
		return;
	}
	/* Before anything is looked at: that the rate is spent says nothing of what is there. */
	if (job_bytes(j, 0) < 0)
		return;
	int fd = open_file(j, &st);
	if (fd < 0) {
		job_failed(j, -fd);
		return;
	}
	header_etag(&st, etag);
	int status = condition(j, etag);
	if (status == 0) {
		send_file(j, fd, &st, etag);
		return;
	}
	close(fd);
	if (status == 412) {
		job_status(j, 412, OCU_E_STATE, "the file is another one");
		return;
	}
	j->bytes = 0;
	if (job_record(j) < 0)
		return;
	set_headers(j, etag);
	ocu_http_reply(j->req, 304, NULL, NULL, 0);
}
