/* files_edit: storing whole files and replacing one piece of text; see files.h. */
#include "sandboxd/guest/files.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sandboxd/guest/channel.h"
#include "sandboxd/guest/fail.h"

static int write_all(int fd, const unsigned char *p, size_t n)
{
	while (n > 0) {
		ssize_t w = write(fd, p, n);

		if (w < 0 && errno == EINTR)
			continue;
		if (w < 0)
			return -errno;
		p += w;
		n -= (size_t)w;
	}
	return 0;
}

/* Makes the folders above the last component. */
static int make_parents(const char *path, struct fail *f)
{
	char dir[PATH_MAX];
	int depth = 0;

	for (const char *p = path + 1; (p = strchr(p, '/')); p++) {
		size_t n = (size_t)(p - path);

		if (p[-1] == '/')
			continue;
		if (++depth > FILES_DEPTH_MAX)
			return fail_set(f, FAIL_PARAMS, "the path has too many folders");
		memcpy(dir, path, n);
		dir[n] = 0;
		if (mkdir(dir, 0755) < 0 && errno != EEXIST)
			return fail_errno(f, errno, "cannot make folder", dir);
	}
	return 0;
}

/* In the file itself: when its folder lets nothing be renamed, or it is a mount of its own. */
static int store_in_place(const char *path, const void *data, size_t len, struct fail *f)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0644);
	struct stat st;
	int rc = 0;

	if (fd < 0)
		return fail_errno(f, errno, "cannot write", path);
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		rc = fail_set(f, FAIL_PARAMS, "%.400s is not a regular file", path);
	else if (ftruncate(fd, 0) < 0 || (rc = write_all(fd, data, len)) < 0)
		rc = fail_errno(f, rc < 0 ? -rc : errno, "cannot write", path);
	if (close(fd) < 0 && rc == 0)
		rc = fail_errno(f, errno, "cannot write", path);
	return rc;
}

/* A temporary file beside path with the bytes in it; negative errno when it cannot be made or filled. */
static int make_beside(const char *path, char *temp, size_t size, mode_t mode, const void *data, size_t len)
{
	static unsigned counter;
	int n = snprintf(temp, size, "%.*s/.ocu-%u-%u.tmp", (int)(strrchr(path, '/') - path), path,
	                 (unsigned)getpid(), ++counter);
	int fd, rc;

	if (n < 0 || (size_t)n >= size)
		return -ENAMETOOLONG;
	fd = open(temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
	if (fd < 0)
		return -errno;
	rc = write_all(fd, data, len);
	/* The mode of what is replaced survives, past the file mode mask. */
	if (rc == 0 && fchmod(fd, mode) < 0)
		rc = -errno;
	if (close(fd) < 0 && rc == 0)
		rc = -errno;
	if (rc < 0)
		unlink(temp);
	return rc;
}

int files_store(const char *path, const void *data, size_t len, bool *replaced, struct fail *f)
{
	char real[PATH_MAX], temp[PATH_MAX];
	struct stat st;
	mode_t mode = 0644;
	int rc;

	*replaced = false;
	if (lstat(path, &st) == 0) {
		/* Through a link to the file it names: a rename would replace the link. */
		if (S_ISLNK(st.st_mode)) {
			if (!realpath(path, real))
				return fail_errno(f, errno, "cannot follow the link", path);
			path = real;
			if (stat(path, &st) < 0)
				return fail_errno(f, errno, "cannot write", path);
		}
		if (!S_ISREG(st.st_mode))
			return fail_set(f, FAIL_PARAMS, "%.400s is not a regular file", path);
		*replaced = true;
		mode = st.st_mode & 0777;
	} else if (errno != ENOENT) {
		return fail_errno(f, errno, "cannot write", path);
	}
	rc = make_beside(path, temp, sizeof temp, mode, data, len);
	if (rc == 0) {
		if (rename(temp, path) == 0)
			return 0;
		rc = -errno;
		unlink(temp);
	}
	if (rc == -ENOSPC || rc == -EDQUOT || rc == -EIO || rc == -ENOTCONN)
		return fail_errno(f, -rc, "cannot write", path);
	return store_in_place(path, data, len, f);
}

int files_create(uint64_t request, const Ocu__Agent__CreateFile *r, struct fail *f)
{
	Ocu__Agent__Reply reply = OCU__AGENT__REPLY__INIT;
	Ocu__Agent__CreateFileResult res = OCU__AGENT__CREATE_FILE_RESULT__INIT;
	bool replaced = false;
	int rc = files_check_path(r->path, f);

	if (rc < 0)
		return rc;
	if (r->path[strlen(r->path) - 1] == '/')
		return fail_set(f, FAIL_PARAMS, "the path names a folder");
	rc = make_parents(r->path, f);
	if (rc == 0)
		rc = files_store(r->path, r->content.data, r->content.len, &replaced, f);
	if (rc < 0)
		return rc;
	res.size = r->content.len;
	res.replaced = replaced;
	reply.id = request;
	reply.result_case = OCU__AGENT__REPLY__RESULT_CREATE_FILE;
	reply.create_file = &res;
	channel_reply(&reply);
	return 0;
}

static int read_whole(const char *path, unsigned char **ret, size_t *len, struct fail *f)
{
	off_t size = 0;
	int fd = files_open(path, &size, f);
	unsigned char *p;
	size_t n = 0;
	int rc = 0;

	if (fd < 0)
		return fd;
	p = size <= (off_t)FILES_EDIT_MAX ? malloc((size_t)size + 1) : NULL;
	if (!p) {
		close(fd);
		return size > (off_t)FILES_EDIT_MAX
		           ? fail_set(f, FAIL_TOO_LARGE, "the file is larger than 8 MiB")
		           : fail_set(f, FAIL_NO_MEMORY, "out of memory");
	}
	while (rc == 0 && n < (size_t)size) {
		ssize_t r = read(fd, p + n, (size_t)size - n);

		if (r < 0 && errno != EINTR)
			rc = fail_errno(f, errno, "cannot read", path);
		if (r == 0)
			break;
		n += r > 0 ? (size_t)r : 0;
	}
	close(fd);
	if (rc < 0) {
		free(p);
		return rc;
	}
	*ret = p;
	*len = n;
	return 0;
}

static uint32_t line_at(const unsigned char *p, size_t at)
{
	uint32_t line = 1;

	for (size_t i = 0; i < at; i++)
		line += p[i] == '\n';
	return line;
}

/* Where the text stands when it stands there exactly once. */
static int find_once(const unsigned char *p, size_t len, const ProtobufCBinaryData *what, size_t *at,
                     struct fail *f)
{
	char lines[160];
	size_t used = 0, count = 0;

	for (size_t from = 0; from + what->len <= len;) {
		const unsigned char *hit = memmem(p + from, len - from, what->data, what->len);

		if (!hit)
			break;
		if (count++ == 0)
			*at = (size_t)(hit - p);
		if (used < sizeof lines - 16)
			used += (size_t)snprintf(lines + used, sizeof lines - used, "%s%u",
			                         count > 1 ? ", " : "", line_at(p, (size_t)(hit - p)));
		from = (size_t)(hit - p) + 1;
		if (count == 1000)
			break;
	}
	if (count == 0)
		return fail_set(f, FAIL_NOT_FOUND, "old_str does not occur in the file");
	if (count > 1)
		return fail_set(
		    f, FAIL_PARAMS, "old_str occurs %s%zu times, in lines %s%s; it must occur exactly once",
		    count == 1000 ? "at least " : "", count, lines, used < sizeof lines - 16 ? "" : " ...");
	return 0;
}

/* The bytes of old with what stands at `at` replaced; the caller frees. NULL when out of memory. */
static unsigned char *with_replaced(const unsigned char *old, size_t len, size_t at,
                                    const Ocu__Agent__StrReplace *r)
{
	size_t after = at + r->old_str.len;
	unsigned char *new = malloc(len - r->old_str.len + r->new_str.len + 1);

	if (!new)
		return NULL;
	memcpy(new, old, at);
	if (r->new_str.len > 0)
		memcpy(new + at, r->new_str.data, r->new_str.len);
	memcpy(new + at + r->new_str.len, old + after, len - after);
	return new;
}

static int replace_in(const unsigned char *old, size_t len, const Ocu__Agent__StrReplace *r,
                      Ocu__Agent__StrReplaceResult *res, struct fail *f)
{
	size_t at = 0;
	int rc = find_once(old, len, &r->old_str, &at, f);
	bool replaced = false;
	unsigned char *new;

	if (rc < 0)
		return rc;
	new = with_replaced(old, len, at, r);
	if (!new)
		return fail_set(f, FAIL_NO_MEMORY, "out of memory");
	res->size = len - r->old_str.len + r->new_str.len;
	res->line = line_at(old, at);
	rc = files_store(r->path, new, res->size, &replaced, f);
	free(new);
	return rc;
}

int files_str_replace(uint64_t request, const Ocu__Agent__StrReplace *r, struct fail *f)
{
	Ocu__Agent__Reply reply = OCU__AGENT__REPLY__INIT;
	Ocu__Agent__StrReplaceResult res = OCU__AGENT__STR_REPLACE_RESULT__INIT;
	unsigned char *old = NULL;
	size_t len = 0;
	int rc = files_check_path(r->path, f);

	if (rc < 0)
		return rc;
	if (r->old_str.len == 0)
		return fail_set(f, FAIL_PARAMS, "old_str is empty");
	rc = read_whole(r->path, &old, &len, f);
	if (rc == 0 && old)
		rc = replace_in(old, len, r, &res, f);
	free(old);
	if (rc < 0)
		return rc;
	reply.id = request;
	reply.result_case = OCU__AGENT__REPLY__RESULT_STR_REPLACE;
	reply.str_replace = &res;
	channel_reply(&reply);
	return 0;
}
