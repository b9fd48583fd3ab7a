/* init_split: what each daemon holds, in a folder of its own: for containers, which share no file system. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libocu/err.h"
#include "libocu/keyfile.h"
#include "operatord/occ/init.h"

/* Copies from/name to to/name, unless it is there with the same bytes; owner and mode as the original's. */
static int copy_file(struct init *in, const char *from, const char *to, const char *name,
                     struct ocu_error *err)
{
	char src[INIT_PATH_MAX], dst[INIT_PATH_MAX], *data = NULL, *old = NULL;
	size_t len = 0, old_len = 0;
	struct stat st;
	int rc = init_path(src, sizeof src, err, "%s/%s", from, name);

	if (rc == 0)
		rc = init_path(dst, sizeof dst, err, "%s/%s", to, name);
	if (rc)
		return rc;
	if (lstat(src, &st) != 0)
		return ocu_error_errno(err, OCU_E_IO, errno, "%s", src);
	if (!S_ISREG(st.st_mode))
		return 0;
	rc = ocu_keyfile_read(src, OCU_KEYFILE_MAX, false, &data, &len, err);
	if (rc == 0 && ocu_keyfile_read(dst, OCU_KEYFILE_MAX, false, &old, &old_len, NULL) == 0 &&
	    old_len == len && memcmp(old, data, len) == 0)
		rc = init_kept(in, dst);
	else if (rc == 0 && (rc = ocu_keyfile_replace(dst, data, len, st.st_mode & 0777, err)) == 0)
		rc = init_made(in, dst);
	if (rc == 0 && in->chown && lchown(dst, st.st_uid, st.st_gid) != 0)
		rc = ocu_error_errno(err, OCU_E_IO, errno, "giving %s away", dst);
	ocu_keyfile_free(data, len);
	ocu_keyfile_free(old, old_len);
	return rc;
}

/* Public: what everybody may read. The CA's key is the one file beside them that is not. */
static bool is_public(const char *folder, const char *name)
{
	char path[INIT_PATH_MAX];
	struct stat st;

	return init_path(path, sizeof path, NULL, "%s/%s", folder, name) == 0 && lstat(path, &st) == 0 &&
	       S_ISREG(st.st_mode) && (st.st_mode & 0444) == 0444;
}

static int copy_folder(struct init *in, const char *from, const char *to, bool only_public,
                       struct ocu_error *err)
{
	DIR *dir = opendir(from);
	struct dirent *d;
	int rc = 0;

	if (!dir)
		return ocu_error_errno(err, OCU_E_IO, errno, "%s", from);
	while (rc == 0 && (d = readdir(dir)))
		if (!only_public || is_public(from, d->d_name))
			rc = copy_file(in, from, to, d->d_name, err);
	closedir(dir);
	return rc;
}

static int own_folder(const struct init *in, enum ocu_component c, const char *path, struct ocu_error *err)
{
	if (mkdir(path, 0700) != 0 && errno != EEXIST)
		return ocu_error_errno(err, OCU_E_IO, errno, "making %s", path);
	if (in->chown && lchown(path, in->uid[c], in->uid[c]) != 0)
		return ocu_error_errno(err, OCU_E_IO, errno, "giving %s away", path);
	return 0;
}

static int split_one(struct init *in, enum ocu_component c, struct ocu_error *err)
{
	const char *name = ocu_component_name(c);
	char from[INIT_PATH_MAX], to[INIT_PATH_MAX];
	int rc = init_path(to, sizeof to, err, "%s/%s/pki", in->split, name);

	if (rc == 0)
		rc = init_folders(to, err);
	if (rc == 0)
		rc = copy_folder(in, in->pki, to, true, err);
	if (rc == 0)
		rc = init_path(from, sizeof from, err, "%s/%s", in->pki, name);
	if (rc == 0)
		rc = init_path(to, sizeof to, err, "%s/%s/pki/%s", in->split, name, name);
	if (rc == 0)
		rc = own_folder(in, c, to, err);
	return rc ? rc : copy_folder(in, from, to, false, err);
}

int init_split(struct init *in, struct ocu_error *err)
{
	int rc = 0;

	for (int c = OCU_COMP_NONE + 1; rc == 0 && c < OCU_COMP_COUNT; c++)
		rc = split_one(in, (enum ocu_component)c, err);
	return rc;
}
