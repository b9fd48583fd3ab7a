/*
 * stage_scratch: the folder of one sandbox: its scratch space, its workspace, its network's name. One tmpfs
 * holds everything a sandbox may write outside of its workspace, so that one limit holds for all of it, and
 * the host can empty it without entering the sandbox.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libocu/clock.h"
#include "libocu/err.h"
#include "sandboxd/stage.h"

#define SCRUB_DEPTH    64
#define SCRATCH_INODES 131072

static const struct {
	const char *name;
	mode_t mode;
} scratch_dirs[] = {{"tmp", 01777}, {"root", 0700}, {"run", 0755}, {"shm", 01777}};

static int make_scratch_dirs(const char *scratch, uid_t uid, struct ocu_error *err)
{
	char path[STAGE_PATH_MAX + 16];

	for (size_t i = 0; i < sizeof scratch_dirs / sizeof *scratch_dirs; i++) {
		snprintf(path, sizeof path, "%s/%s", scratch, scratch_dirs[i].name);
		/* The mode before the owner: afterwards it would take a right that sandboxd gives up. */
		if (mkdir(path, 0700) < 0 || chmod(path, scratch_dirs[i].mode) < 0 ||
		    chown(path, uid, uid) < 0)
			return ocu_error_errno(err, OCU_E_IO, errno, "making scratch folder %s",
			                       scratch_dirs[i].name);
	}
	return 0;
}

int stage_add(const struct stage *st, const char *container, uid_t uid, uint64_t scratch_bytes,
              struct ocu_error *err)
{
	char dir[STAGE_PATH_MAX], workspace[STAGE_PATH_MAX], scratch[STAGE_PATH_MAX], opts[128];
	int rc;

	if ((rc = stage_path(st, container, "", dir, err)) ||
	    (rc = stage_path(st, container, "workspace", workspace, err)) ||
	    (rc = stage_path(st, container, "scratch", scratch, err)))
		return rc;
	if (mkdir(dir, 0700) < 0 || chmod(dir, 0711) < 0 || mkdir(workspace, 0700) < 0 ||
	    mkdir(scratch, 0700) < 0)
		return ocu_error_errno(err, OCU_E_IO, errno, "making the sandbox's folder");
	snprintf(opts, sizeof opts, "size=%llu,nr_inodes=%d,mode=0711", (unsigned long long)scratch_bytes,
	         SCRATCH_INODES);
	if (mount("ocu-scratch", scratch, "tmpfs", MS_NOSUID | MS_NODEV, opts) < 0)
		return ocu_error_errno(err, OCU_E_IO, errno, "mounting scratch");
	return make_scratch_dirs(scratch, uid, err);
}

int stage_bind_netns(const struct stage *st, const char *container, int ns, struct ocu_error *err)
{
	char path[STAGE_PATH_MAX], from[64];
	int rc = stage_path(st, container, "netns", path, err);
	int fd;

	if (rc)
		return rc;
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd >= 0)
		close(fd);
	snprintf(from, sizeof from, "/proc/self/fd/%d", ns);
	if (fd < 0 || mount(from, path, NULL, MS_BIND, NULL) < 0)
		return ocu_error_errno(err, OCU_E_IO, errno, "binding the network namespace");
	return 0;
}

int stage_mount_fuse(const struct stage *st, const char *container, struct ocu_error *err)
{
	char path[STAGE_PATH_MAX], opts[128];
	int rc = stage_path(st, container, "workspace", path, err);
	int fd;

	if (rc)
		return rc;
	fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return ocu_error_errno(err, OCU_E_IO, errno, "/dev/fuse");
	snprintf(opts, sizeof opts,
	         "fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions", fd);
	if (mount("ocu-workspace", path, "fuse.ocu", MS_NOSUID | MS_NODEV, opts) < 0) {
		ocu_error_errno(err, OCU_E_IO, errno, "mounting the workspace");
		close(fd);
		return OCU_E_IO;
	}
	return fd;
}

void stage_unmount_fuse(const struct stage *st, const char *container)
{
	char path[STAGE_PATH_MAX];

	/* FORCE ends the connection to the server, wherever else the file system is still mounted: a guest
	 * that waits for a server that never answers could not even be killed otherwise. */
	if (stage_path(st, container, "workspace", path, NULL) == 0)
		umount2(path, MNT_FORCE | MNT_DETACH | UMOUNT_NOFOLLOW);
}

int stage_remove(const struct stage *st, const char *container, struct ocu_error *err)
{
	static const struct {
		const char *name;
		bool dir, mounted;
	} parts[] = {{"config.json", false, false},
	             {"pid", false, false},
	             {"netns", false, true},
	             {"workspace", true, true},
	             {"scratch", true, true}};
	char path[STAGE_PATH_MAX];
	int rc;

	for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
		if ((rc = stage_path(st, container, parts[i].name, path, err)))
			return rc;
		if (parts[i].mounted)
			umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW);
		unlinkat(AT_FDCWD, path, parts[i].dir ? AT_REMOVEDIR : 0);
	}
	if ((rc = stage_path(st, container, "", path, err)))
		return rc;
	if (rmdir(path) < 0 && errno != ENOENT)
		return ocu_error_errno(err, OCU_E_IO, errno, "removing the sandbox's folder");
	return 0;
}

struct scrub {
	uint64_t until; /* ocu_mono_ms */
	long files;
};

/* The tree is the guest's and may still be changing: only descriptors, never a path; never through a link. */
static void scrub_dir(struct scrub *s, int fd, int depth)
{
	DIR *dir = fdopendir(fd);
	struct dirent *d;

	if (!dir) {
		close(fd);
		return;
	}
	while (ocu_mono_ms() < s->until && (d = readdir(dir))) {
		int flags = O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY;
		int child;

		if (strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0)
			continue;
		if (d->d_type == DT_DIR) {
			child =
			    depth > 0 ? openat(dirfd(dir), d->d_name, O_RDONLY | O_DIRECTORY | flags) : -1;
			if (child >= 0)
				scrub_dir(s, child, depth - 1);
		} else if (d->d_type == DT_REG) {
			child = openat(dirfd(dir), d->d_name, O_WRONLY | O_TRUNC | flags);
			if (child >= 0) {
				close(child);
				s->files++;
			}
		}
	}
	closedir(dir);
}

long stage_scrub(const struct stage *st, const char *container, unsigned budget_ms, struct ocu_error *err)
{
	struct scrub s = {.until = ocu_mono_ms() + budget_ms};
	char path[STAGE_PATH_MAX];
	int rc = stage_path(st, container, "scratch", path, err);
	int fd;

	if (rc)
		return rc;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return errno == ENOENT ? 0 : ocu_error_errno(err, OCU_E_IO, errno, "opening scratch");
	scrub_dir(&s, fd, SCRUB_DEPTH);
	return s.files;
}
