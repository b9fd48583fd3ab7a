/* files_view: lines of a file, or what is in a folder; see files.h. */
#include "sandboxd/guest/files.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sandboxd/guest/channel.h"
#include "sandboxd/guest/fail.h"

int files_check_path(const char *path, struct fail *f)
{
	if (path[0] != '/')
		return fail_set(f, FAIL_PARAMS, "the path must be absolute");
	if (strlen(path) >= PATH_MAX)
		return fail_set(f, FAIL_PARAMS, "the path is too long");
	return 0;
}

int files_open(const char *path, off_t *size, struct fail *f)
{
	/* O_NONBLOCK: a FIFO must not hold the agent; O_NOCTTY: a terminal must not become its own. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;

	if (fd < 0)
		return fail_errno(f, errno, "cannot open", path);
	if (fstat(fd, &st) < 0) {
		fail_errno(f, errno, "cannot read", path);
	} else if (!S_ISREG(st.st_mode)) {
		fail_set(f, FAIL_PARAMS, "%.400s is not a regular file", path);
	} else {
		*size = st.st_size;
		return fd;
	}
	close(fd);
	return f->code;
}

/* Goes through a file once: counts its lines and keeps those from first to last. */
struct scan {
	uint32_t first, last; /* last 0: to the end */
	uint32_t line;        /* the line the next byte belongs to, from 1 */
	bool at_start;        /* of that line */
	unsigned char *out;
	size_t len, max;
	bool truncated;
};

static void scan_keep(struct scan *s, const unsigned char *p, size_t n)
{
	size_t take = s->max - s->len < n ? s->max - s->len : n;

	if (s->line < s->first || (s->last && s->line > s->last))
		return;
	memcpy(s->out + s->len, p, take);
	s->len += take;
	s->truncated |= take < n;
}

static void scan_feed(struct scan *s, const unsigned char *p, size_t n)
{
	while (n > 0) {
		const unsigned char *nl = memchr(p, '\n', n);
		size_t run = nl ? (size_t)(nl - p) + 1 : n;

		scan_keep(s, p, run);
		s->at_start = nl != NULL;
		s->line += nl != NULL;
		p += run;
		n -= run;
	}
}

/* A cut may fall into a character: what is left of it is dropped. */
static void scan_end_at_character(struct scan *s)
{
	size_t back = 0;

	while (back < 3 && back < s->len && (s->out[s->len - 1 - back] & 0xC0) == 0x80)
		back++;
	if (back < s->len) {
		unsigned char lead = s->out[s->len - 1 - back];
		size_t need = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC0 ? 2 : 1;

		if (need > back + 1)
			s->len -= back + 1;
	}
}

static int scan_file(struct scan *s, int fd, const char *path, struct fail *f)
{
	static unsigned char chunk[64u << 10];
	size_t seen = 0;

	for (;;) {
		ssize_t n = read(fd, chunk, sizeof chunk);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return fail_errno(f, errno, "cannot read", path);
		if (n == 0)
			break;
		scan_feed(s, chunk, (size_t)n);
		seen += (size_t)n;
		if (seen >= FILES_SCAN_MAX) {
			s->truncated = true;
			break;
		}
	}
	if (s->truncated)
		scan_end_at_character(s);
	return 0;
}

static int view_file(Ocu__Agent__ViewResult *res, const Ocu__Agent__View *r, size_t max, struct fail *f)
{
	struct scan s = {
	    .first = r->first_line, .last = r->last_line, .line = 1, .at_start = true, .max = max};
	off_t size = 0;
	int fd, rc;

	fd = files_open(r->path, &size, f);
	if (fd < 0)
		return fd;
	s.out = malloc(max);
	rc = s.out ? scan_file(&s, fd, r->path, f) : fail_set(f, FAIL_NO_MEMORY, "out of memory");
	close(fd);
	res->content.data = s.out;
	res->content.len = s.len;
	res->total_lines = s.line - (s.at_start ? 1 : 0);
	res->size = size > 0 ? (uint64_t)size : 0;
	res->truncated = s.truncated;
	if (rc == 0 && r->first_line > 1 && r->first_line > res->total_lines)
		return fail_set(f, FAIL_PARAMS, "line %u is past the end: the file has %u lines",
		                r->first_line, res->total_lines);
	return rc;
}

int files_view(uint64_t request, const Ocu__Agent__View *r, struct fail *f)
{
	size_t max = r->max_bytes > 0 && r->max_bytes < FILES_VIEW_MAX ? r->max_bytes : FILES_VIEW_MAX;
	Ocu__Agent__Reply reply = OCU__AGENT__REPLY__INIT;
	Ocu__Agent__ViewResult res = OCU__AGENT__VIEW_RESULT__INIT;
	bool truncated = false;
	struct stat st;
	int rc = files_check_path(r->path, f);

	if (rc < 0)
		return rc;
	if (r->last_line && r->last_line < r->first_line)
		return fail_set(f, FAIL_PARAMS, "the last line is before the first");
	if (stat(r->path, &st) < 0)
		return fail_errno(f, errno, "cannot open", r->path);
	if (S_ISDIR(st.st_mode)) {
		res.is_directory = 1;
		rc = files_list(r->path, max, &res.content.data, &res.content.len, &truncated, f);
		res.truncated = truncated;
	} else {
		rc = view_file(&res, r, max, f);
	}
	if (rc == 0) {
		reply.id = request;
		reply.result_case = OCU__AGENT__REPLY__RESULT_VIEW;
		reply.view = &res;
		channel_reply(&reply);
	}
	free(res.content.data);
	return rc;
}
