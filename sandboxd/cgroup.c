/* cgroup: see cgroup.h. */
#include "sandboxd/cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/evp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libocu/cleanup.h"
#include "libocu/clock.h"
#include "libocu/err.h"
#include "libocu/id.h"

#define PIDS_TEXT_MAX ((size_t)512 << 10)

/* Mount points come from the kernel with octal escapes; such a path is not one of a control group. */
static void take_mount(struct cgroups *cg, const char *line)
{
	char point[128], type[32], opts[256];
	const char *sep = strstr(line, " - ");

	if (!sep || sscanf(line, "%*d %*d %*s %*s %127s", point) != 1)
		return;
	if (sscanf(sep, " - %31s %*s %255s", type, opts) != 2 || cg->nroots == CGROUP_ROOTS_MAX ||
	    strchr(point, '\\'))
		return;
	if (strcmp(type, "cgroup2") == 0 && strcmp(point, "/sys/fs/cgroup") == 0)
		cg->v2 = true;
	else if (strcmp(type, "cgroup") != 0)
		return;
	snprintf(cg->roots[cg->nroots], sizeof cg->roots[0], "%s", point);
	snprintf(cg->names[cg->nroots], sizeof cg->names[0], "%s", strrchr(point, '/') + 1);
	cg->nroots++;
}

int cgroups_root(const struct cgroups *cg, const char *controller)
{
	if (cg->v2)
		return 0;
	for (size_t i = 0; i < cg->nroots; i++) {
		const char *at = strstr(cg->names[i], controller);
		size_t n = strlen(controller);

		if (at && (at == cg->names[i] || at[-1] == ',') && (at[n] == 0 || at[n] == ','))
			return (int)i;
	}
	return -1;
}

/* Not from paths alone: in containers every deployment's are the same. */
static int name_parent(struct cgroups *cg, const char *run_dir, const char *state_dir, struct ocu_error *err)
{
	unsigned char hash[EVP_MAX_MD_SIZE];
	char real[PATH_MAX], text[PATH_MAX + 64];
	struct stat st;
	unsigned n;

	if (!realpath(run_dir, real))
		return ocu_error_errno(err, OCU_E_CONFIG, errno, "run_dir %s", run_dir);
	if (stat(state_dir, &st) < 0)
		return ocu_error_errno(err, OCU_E_CONFIG, errno, "state_dir %s", state_dir);
	snprintf(text, sizeof text, "%s %llx:%llx", real, (unsigned long long)st.st_dev,
	         (unsigned long long)st.st_ino);
	if (EVP_Digest(text, strlen(text), hash, &n, EVP_sha256(), NULL) != 1)
		return ocu_error_set(err, OCU_E_INTERNAL, "hashing run_dir");
	snprintf(cg->parent, sizeof cg->parent, "/ocu.%02x%02x%02x%02x", hash[0], hash[1], hash[2], hash[3]);
	return 0;
}

int cgroups_init(struct cgroups *cg, const char *run_dir, const char *state_dir, struct ocu_error *err)
{
	OCU_FILE FILE *f = fopen("/proc/self/mountinfo", "re");
	char line[1024];

	*cg = (struct cgroups){0};
	if (!f)
		return ocu_error_errno(err, OCU_E_IO, errno, "/proc/self/mountinfo");
	while (fgets(line, sizeof line, f))
		take_mount(cg, line);
	if (!cg->v2 && (cgroups_root(cg, "freezer") < 0 || cgroups_root(cg, "memory") < 0 ||
	                cgroups_root(cg, "pids") < 0))
		return ocu_error_set(
		    err, OCU_E_UNSUPPORTED,
		    "no control groups with freezer, memory and pids are mounted in /sys/fs/cgroup");
	return name_parent(cg, run_dir, state_dir, err);
}

void cgroups_path(const struct cgroups *cg, const char *container, char out[CGROUP_PATH_MAX])
{
	snprintf(out, CGROUP_PATH_MAX, "%s/%s", cg->parent, container);
}

/* File `name` ("" for the folder) of the container's group in one hierarchy. */
static const char *group_file(const struct cgroups *cg, int root, const char *container, const char *name,
                              char out[CGROUP_PATH_MAX])
{
	snprintf(out, CGROUP_PATH_MAX, "%s%s%s%s%s%s", cg->roots[root], cg->parent, container[0] ? "/" : "",
	         container, name[0] ? "/" : "", name);
	return out;
}

static int write_group(const struct cgroups *cg, int root, const char *container, const char *name,
                       const char *text)
{
	char path[CGROUP_PATH_MAX];
	OCU_CLOSE int fd = open(group_file(cg, root, container, name, path), O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	return write(fd, text, strlen(text)) < 0 ? -errno : 0;
}

static long read_group(const struct cgroups *cg, int root, const char *container, const char *name, char *out,
                       size_t max)
{
	char path[CGROUP_PATH_MAX];
	OCU_CLOSE int fd = open(group_file(cg, root, container, name, path), O_RDONLY | O_CLOEXEC);
	size_t len = 0;

	if (fd < 0)
		return -errno;
	while (len < max - 1) {
		ssize_t n = read(fd, out + len, max - 1 - len);

		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		len += (size_t)n;
	}
	out[len] = 0;
	return (long)len;
}

static bool stands_still(const struct cgroups *cg, int root, const char *container)
{
	char text[256];

	if (read_group(cg, root, container, cg->v2 ? "cgroup.events" : "freezer.state", text, sizeof text) <
	    0)
		return true;
	return strstr(text, cg->v2 ? "frozen 1" : "FROZEN") != NULL;
}

int cgroup_freeze(const struct cgroups *cg, const char *container, bool frozen, unsigned wait_ms,
                  struct ocu_error *err)
{
	int root = cgroups_root(cg, "freezer");
	uint64_t until = ocu_mono_ms() + wait_ms;
	int rc = cg->v2 ? write_group(cg, root, container, "cgroup.freeze", frozen ? "1" : "0")
	                : write_group(cg, root, container, "freezer.state", frozen ? "FROZEN" : "THAWED");

	if (rc == -ENOENT || rc == -ENODEV)
		return 0;
	if (rc < 0)
		return ocu_error_errno(err, OCU_E_IO, -rc, "freezing");
	/* Version 1 offers nothing to wait on, and standing still is a matter of microseconds. */
	while (frozen && !stands_still(cg, root, container)) {
		if (ocu_mono_ms() >= until)
			return ocu_error_set(err, OCU_E_TIMEOUT, "some process does not stand still");
		poll(NULL, 0, 1);
	}
	return 0;
}

static int root_of_procs(const struct cgroups *cg)
{
	return cgroups_root(cg, "pids");
}

bool cgroups_bound_tcp(const struct cgroups *cg)
{
	int root = cg->v2 ? -1 : cgroups_root(cg, "memory");
	char path[CGROUP_PATH_MAX];

	if (root < 0)
		return false;
	snprintf(path, sizeof path, "%s/memory.kmem.tcp.limit_in_bytes", cg->roots[root]);
	return access(path, W_OK) == 0;
}

void cgroup_unbound_cpu(const struct cgroups *cg, const char *container)
{
	int root = cgroups_root(cg, "cpu");

	if (root >= 0)
		write_group(cg, root, container, cg->v2 ? "cpu.max" : "cpu.cfs_quota_us",
		            cg->v2 ? "max" : "-1");
}

int cgroup_kill(const struct cgroups *cg, const char *container)
{
	OCU_FREE char *text = malloc(PIDS_TEXT_MAX);
	int root = root_of_procs(cg), n = 0;
	const char *list = "";
	char *end;

	if (text && read_group(cg, root, container, "cgroup.procs", text, PIDS_TEXT_MAX) > 0)
		list = text;
	for (const char *p = list; *p; p = *end ? end + 1 : end) {
		pid_t pid = (pid_t)strtol(p, &end, 10);

		/* 0 is how a process outside of our pid namespace shows. */
		if (pid > 1 && kill(pid, SIGKILL) == 0)
			n++;
	}
	/* Also when there is no list to be had. */
	if (cg->v2)
		write_group(cg, root, container, "cgroup.kill", "1");
	cgroup_freeze(cg, container, false, 0, NULL);
	return n;
}

/* No folder for it in a hierarchy that is there. */
static bool is_gone(const struct cgroups *cg, int root, const char *container)
{
	char path[CGROUP_PATH_MAX];

	if (access(group_file(cg, root, container, "", path), F_OK) == 0 || errno != ENOENT)
		return false;
	snprintf(path, sizeof path, "%s/cgroup.procs", cg->roots[root]);
	return access(path, F_OK) == 0;
}

bool cgroup_empty(const struct cgroups *cg, const char *container)
{
	int root = root_of_procs(cg);
	char text[64];
	long n = read_group(cg, root, container, "cgroup.procs", text, sizeof text);

	return n == 0 || (n < 0 && is_gone(cg, root, container));
}

bool cgroup_has(const struct cgroups *cg, const char *container, int pid)
{
	char want[CGROUP_PATH_MAX], path[64], line[1024];
	OCU_FILE FILE *f = NULL;

	cgroups_path(cg, container, want);
	snprintf(path, sizeof path, "/proc/%d/cgroup", pid);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof line, f)) {
		const char *colon = strrchr(line, ':');

		line[strcspn(line, "\n")] = 0;
		if (colon && strlen(colon + 1) >= strlen(want) &&
		    strcmp(colon + 1 + strlen(colon + 1) - strlen(want), want) == 0)
			return true;
	}
	return false;
}

uint64_t cgroup_oom_kills(const struct cgroups *cg, const char *container)
{
	int root = cgroups_root(cg, "memory");
	char text[1024];
	const char *at;

	if (root < 0 || read_group(cg, root, container, cg->v2 ? "memory.events" : "memory.oom_control", text,
	                           sizeof text) < 0)
		return 0;
	at = strstr(text, "oom_kill ");
	return at ? strtoull(at + 9, NULL, 10) : 0;
}

/* A guest has no way to make groups below its own, so there is one folder to remove. It stays busy until the
 * last process in it is gone for good, which the kernel does moments after their end. */
enum { REMOVE_TRIES = 500, REMOVE_PAUSE_MS = 2 };

static int remove_one(const char *path)
{
	for (int tries = 0; rmdir(path) < 0; tries++) {
		if (errno == ENOENT)
			return 0;
		if (errno != EBUSY || tries == REMOVE_TRIES)
			return -errno;
		poll(NULL, 0, REMOVE_PAUSE_MS);
	}
	return 0;
}

int cgroup_remove(const struct cgroups *cg, const char *container, struct ocu_error *err)
{
	char path[CGROUP_PATH_MAX];
	int bad = 0;

	for (size_t i = 0; i < cg->nroots; i++) {
		int rc = remove_one(group_file(cg, (int)i, container, "", path));

		if (rc < 0)
			bad = ocu_error_errno(err, OCU_E_IO, -rc, "removing %s", path);
	}
	return bad;
}

void cgroups_remove_parent(const struct cgroups *cg)
{
	char path[CGROUP_PATH_MAX];

	for (size_t i = 0; i < cg->nroots; i++)
		rmdir(group_file(cg, (int)i, "", "", path));
}

int cgroups_each(const struct cgroups *cg, int (*each)(void *arg, const char *container), void *arg)
{
	char path[CGROUP_PATH_MAX];

	for (size_t i = 0; i < cg->nroots; i++) {
		DIR *dir = opendir(group_file(cg, (int)i, "", "", path));
		struct dirent *d;
		int rc = 0;

		while (dir && rc == 0 && (d = readdir(dir)))
			if (d->d_type == DT_DIR && ocu_id_valid(OCU_ID_CONTAINER, d->d_name))
				rc = each(arg, d->d_name);
		if (dir)
			closedir(dir);
		if (rc)
			return rc;
	}
	return 0;
}
