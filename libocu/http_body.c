/*
 * http_body: the request body as it arrives, into memory or into an unlinked file. The route's limit holds
 * whatever the client announced; past it nothing is kept.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libocu/httpd_internal.h"

#define FIRST_CAP 4096

static int open_spool(const char *dir)
{
	char path[512];
	int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != ENOENT))
		return fd;
	/* A file system without O_TMPFILE: the name is gone before a byte is written. */
	if (snprintf(path, sizeof path, "%s/.body-XXXXXX", dir) >= (int)sizeof path)
		return -1;
	fd = mkostemp(path, O_CLOEXEC);
	if (fd >= 0)
		unlink(path);
	return fd;
}

int ocu_http_body_open(struct ocu_http_req *r, struct ocu_error *err)
{
	if (!(r->match.route->flags & OCU_HTTP_BODY_FILE))
		return 0;
	r->body_fd = open_spool(r->h->opts.spool_dir);
	return r->body_fd >= 0 ? 0 : ocu_error_errno(err, OCU_E_IO, errno, "opening a spool file");
}

static int add_file(struct ocu_http_req *r, const char *data, size_t len)
{
	while (len > 0) {
		ssize_t n = write(r->body_fd, data, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == ENOSPC || errno == EDQUOT ? OCU_E_NO_SPACE : OCU_E_IO;
		data += n;
		len -= (size_t)n;
		r->body_len += (uint64_t)n;
	}
	return 0;
}

static int add_memory(struct ocu_http_req *r, const char *data, size_t len)
{
	size_t need = (size_t)r->body_len + len + 1;
	size_t cap = r->body_cap ? r->body_cap : FIRST_CAP;

	while (cap < need)
		cap *= 2;
	if (cap > r->body_max + 1)
		cap = (size_t)r->body_max + 1;
	if (cap != r->body_cap) {
		char *p = realloc(r->body, cap);
		if (!p)
			return OCU_E_NOMEM;
		r->body = p;
		r->body_cap = cap;
	}
	memcpy(r->body + r->body_len, data, len);
	r->body_len += len;
	r->body[r->body_len] = '\0';
	return 0;
}

int ocu_http_body_add(struct ocu_http_req *r, const char *data, size_t len)
{
	if (len > r->body_max || r->body_len > r->body_max - len)
		return r->body_over;
	return r->body_fd >= 0 ? add_file(r, data, len) : add_memory(r, data, len);
}

void ocu_http_body_limit(struct ocu_http_req *r, uint64_t max, int code)
{
	if (max >= r->body_max)
		return;
	r->body_max = max;
	r->body_over = code;
}

void ocu_http_body(const struct ocu_http_req *r, const char **data, size_t *len)
{
	*data = r->body ? r->body : "";
	*len = r->body_fd >= 0 ? 0 : (size_t)r->body_len;
}

int ocu_http_body_fd(const struct ocu_http_req *r, uint64_t *size)
{
	if (size)
		*size = r->body_fd >= 0 ? r->body_len : 0;
	return r->body_fd;
}
