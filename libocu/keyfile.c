/*
 * keyfile: reading and writing key material. Nothing here follows what it finds blindly: new files are O_EXCL
 * and O_NOFOLLOW, secrets are refused when others could have read them, and every write is synced, its
 * folder entry included.
 */
#include "libocu/keyfile.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libocu/cleanup.h"
#include "libocu/err.h"

static int open_error(struct ocu_error *err, const char *path)
{
	int e = errno;

	return ocu_error_errno(err, e == ENOENT ? OCU_E_NOT_FOUND : OCU_E_IO, e, "opening %s", path);
}

/*
 * Nobody but this process's user can read it: no right for group or others; or it is root's, readable by the
 * one group this process runs in and writable by nobody else, as an orchestrator gives files to a process
 * that is not root.
 */
static bool is_private(const struct stat *st)
{
	if (!(st->st_mode & 077))
		return true;
	return !(st->st_mode & 037) && st->st_uid == 0 && st->st_gid != 0 && st->st_gid == getegid();
}

static int check_file(int fd, const char *path, size_t max, bool secret, struct ocu_error *err)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return ocu_error_errno(err, OCU_E_IO, errno, "stat %s", path);
	if (!S_ISREG(st.st_mode))
		return ocu_error_set(err, OCU_E_CONFIG, "%s is not a regular file", path);
	if (secret && !is_private(&st))
		return ocu_error_set(err, OCU_E_CONFIG,
		                     "%s is accessible by group or others (mode %04o, want 0600)", path,
		                     (unsigned)(st.st_mode & 07777));
	if ((uint64_t)st.st_size > max)
		return ocu_error_set(err, OCU_E_TOO_LARGE, "%s is over %zu bytes", path, max);
	return 0;
}

int ocu_keyfile_read(const char *path, size_t max, bool secret, char **ret, size_t *ret_len,
                     struct ocu_error *err)
{
	OCU_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	size_t len = 0;
	char *data;
	int rc;

	if (fd < 0)
		return open_error(err, path);
	rc = check_file(fd, path, max, secret, err);
	if (rc)
		return rc;
	data = malloc(max + 1);
	if (!data)
		return ocu_error_set(err, OCU_E_NOMEM, "reading %s", path);
	/* The file may grow after fstat: one byte over the maximum is how that shows. */
	while (len <= max) {
		ssize_t n = read(fd, data + len, max + 1 - len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			rc = ocu_error_errno(err, OCU_E_IO, errno, "reading %s", path);
			break;
		}
		if (n == 0)
			break;
		len += (size_t)n;
	}
	if (!rc && len > max)
		rc = ocu_error_set(err, OCU_E_TOO_LARGE, "%s is over %zu bytes", path, max);
	if (rc) {
		ocu_keyfile_free(data, max + 1);
		return rc;
	}
	data[len] = '\0';
	*ret = data;
	if (ret_len)
		*ret_len = len;
	return 0;
}

void ocu_keyfile_free(char *data, size_t len)
{
	if (!data)
		return;
	OPENSSL_cleanse(data, len);
	free(data);
}

static int sync_folder(const char *path, struct ocu_error *err)
{
	char dir[PATH_MAX];
	const char *slash = strrchr(path, '/');
	size_t n = slash ? (size_t)(slash - path) : 0;

	if (n >= sizeof dir)
		return ocu_error_set(err, OCU_E_INVALID, "path too long");
	if (!slash) {
		dir[n++] = '.';
	} else if (n == 0) {
		dir[n++] = '/';
	} else {
		memcpy(dir, path, n);
	}
	dir[n] = '\0';
	OCU_CLOSE int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fsync(fd) < 0)
		return ocu_error_errno(err, OCU_E_IO, errno, "syncing %s", dir);
	return 0;
}

static int write_new(const char *path, const char *data, size_t len, mode_t mode, struct ocu_error *err)
{
	OCU_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
	int e;

	if (fd < 0) {
		e = errno;
		return ocu_error_errno(err, e == EEXIST ? OCU_E_EXISTS : OCU_E_IO, e, "creating %s", path);
	}
	while (len > 0) {
		ssize_t n = write(fd, data, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			goto fail;
		data += n;
		len -= (size_t)n;
	}
	/* The mode is what was asked for, whatever the umask. */
	if (fchmod(fd, mode) < 0 || fsync(fd) < 0)
		goto fail;
	return 0;
fail:
	e = errno;
	unlink(path);
	return ocu_error_errno(err, OCU_E_IO, e, "writing %s", path);
}

int ocu_keyfile_create(const char *path, const void *data, size_t len, mode_t mode, struct ocu_error *err)
{
	int rc = write_new(path, data, len, mode, err);

	return rc ? rc : sync_folder(path, err);
}

int ocu_keyfile_replace(const char *path, const void *data, size_t len, mode_t mode, struct ocu_error *err)
{
	char tmp[PATH_MAX];
	int rc;

	if (snprintf(tmp, sizeof tmp, "%s.new", path) >= (int)sizeof tmp)
		return ocu_error_set(err, OCU_E_INVALID, "path too long");
	if (unlink(tmp) < 0 && errno != ENOENT)
		return ocu_error_errno(err, OCU_E_IO, errno, "removing %s", tmp);
	rc = write_new(tmp, data, len, mode, err);
	if (rc)
		return rc;
	if (rename(tmp, path) < 0) {
		rc = ocu_error_errno(err, OCU_E_IO, errno, "replacing %s", path);
		unlink(tmp);
		return rc;
	}
	return sync_folder(path, err);
}
