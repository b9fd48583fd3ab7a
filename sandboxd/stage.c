/* stage: the private mount namespace and the folder in it; see stage.h. Scratch is in stage_scratch.c. */
#include "sandboxd/stage.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libocu/cleanup.h"
#include "libocu/conf.h"
#include "libocu/err.h"
#include "libocu/id.h"
#include "libocu/jail.h"
#include "sandboxd/host.h"
#include "sandboxd/netns.h"

#define STAGE_SIZE "size=64m,nr_inodes=65536,mode=0755"

static int join(char *out, const char *dir, const char *name, struct ocu_error *err)
{
	int n = snprintf(out, STAGE_PATH_MAX, "%s/%s", dir, name);

	return n > 0 && n < STAGE_PATH_MAX
	           ? 0
	           : ocu_error_set(err, OCU_E_CONFIG, "path too long under %.200s", dir);
}

/* Guests resolve the paths of their mounts with their own rights, to which every folder of the host is a
 * stranger's. */
static int check_passable(const char *dir, struct ocu_error *err)
{
	char path[512];
	struct stat st;

	for (const char *p = dir; (p = strchr(p + 1, '/'));) {
		snprintf(path, sizeof path, "%.*s", (int)(p - dir), dir);
		if (stat(path, &st) < 0)
			return ocu_error_errno(err, OCU_E_CONFIG, errno, "run_dir: %s", path);
		if (!(st.st_mode & S_IXOTH))
			return ocu_error_set(err, OCU_E_CONFIG,
			                     "run_dir: %s must be passable by others (o+x)", path);
	}
	return 0;
}

static int copy_program(const char *from, const char *to, struct ocu_error *err)
{
	OCU_CLOSE int in = open(from, O_RDONLY | O_CLOEXEC);
	OCU_CLOSE int out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0755);
	struct stat st;
	off_t left;

	if (in < 0 || fstat(in, &st) < 0)
		return ocu_error_errno(err, OCU_E_CONFIG, errno, "guest agent %s", from);
	if (out < 0 || fchmod(out, 0755) < 0)
		return ocu_error_errno(err, OCU_E_IO, errno, "copying the guest agent to %s", to);
	for (left = st.st_size; left > 0;) {
		ssize_t n = sendfile(out, in, NULL, (size_t)left);

		if (n <= 0)
			return ocu_error_errno(err, OCU_E_IO, n < 0 ? errno : EIO, "copying the guest agent");
		left -= n;
	}
	return 0;
}

static int find_agent(const char *configured, char *out, struct ocu_error *err)
{
	static const char *const places[] = {"ocu-guest-agent", "../libexec/ocu/ocu-guest-agent"};
	char self[512];
	ssize_t n;

	if (configured[0])
		return snprintf(out, STAGE_PATH_MAX, "%s", configured) < STAGE_PATH_MAX
		           ? 0
		           : ocu_error_set(err, OCU_E_CONFIG, "guest_agent: path too long");
	n = readlink("/proc/self/exe", self, sizeof self - 1);
	if (n < 0)
		return ocu_error_errno(err, OCU_E_IO, errno, "/proc/self/exe");
	self[n] = 0;
	*strrchr(self, '/') = 0;
	for (size_t i = 0; i < sizeof places / sizeof *places; i++)
		if (join(out, self, places[i], err) == 0 && access(out, X_OK) == 0)
			return 0;
	return ocu_error_set(err, OCU_E_CONFIG, "no guest agent beside %s; set guest_agent", self);
}

static int write_file(const char *path, const char *text, struct ocu_error *err)
{
	OCU_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	size_t n = strlen(text);

	if (fd < 0 || fchmod(fd, 0644) < 0 || write(fd, text, n) != (ssize_t)n)
		return ocu_error_errno(err, OCU_E_IO, errno, "writing %s", path);
	return 0;
}

static int make_dir(const char *path, mode_t mode, struct ocu_error *err)
{
	if (mkdir(path, mode) < 0 && errno != EEXIST)
		return ocu_error_errno(err, OCU_E_IO, errno, "making %s", path);
	/* Past the file mode mask. */
	return chmod(path, mode) < 0 ? ocu_error_errno(err, OCU_E_IO, errno, "making %s", path) : 0;
}

static int bind_images(const struct stage *st, const char *image_dir, struct ocu_error *err)
{
	int rc = make_dir(st->images, 0755, err);

	if (rc)
		return rc;
	if (mount(image_dir, st->images, NULL, MS_BIND, NULL) < 0)
		return ocu_error_errno(err, OCU_E_CONFIG, errno, "image_dir %s", image_dir);
	if (mount(NULL, st->images, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV, NULL) < 0)
		return ocu_error_errno(err, OCU_E_IO, errno, "binding image_dir read-only");
	return 0;
}

static int fill(struct stage *st, const struct ocu_conf *conf, const char *agent, struct ocu_error *err)
{
	char sessions[STAGE_PATH_MAX];
	int rc;

	if ((rc = join(st->agent, st->dir, "agent", err)) ||
	    (rc = join(st->images, st->dir, "images", err)) ||
	    (rc = join(st->resolv_conf, st->dir, "resolv.conf", err)) ||
	    (rc = join(st->runtime, st->dir, "runtime", err)) || (rc = join(sessions, st->dir, "s", err)))
		return rc;
	if ((rc = copy_program(agent, st->agent, err)) ||
	    (rc = write_file(st->resolv_conf,
	                     "nameserver " NETNS_EDGE_ADDRESS "\noptions timeout:2 attempts:2\n", err)) ||
	    (rc = make_dir(st->runtime, 0700, err)) || (rc = make_dir(sessions, 0711, err)))
		return rc;
	return bind_images(st, ocu_conf_str(conf, "image_dir"), err);
}

int stage_enter(struct stage *st, const char *run_dir, const struct ocu_conf *conf, struct ocu_error *err)
{
	char agent[STAGE_PATH_MAX];
	int rc;

	if (snprintf(st->dir, sizeof st->dir, "%s/sandboxd", run_dir) >= (int)sizeof st->dir)
		return ocu_error_set(err, OCU_E_CONFIG, "run_dir is too long");
	if ((rc = find_agent(ocu_conf_str(conf, "guest_agent"), agent, err)) ||
	    (rc = ocu_jail_mkdir(st->dir, 0, 0, 0755, err)) || (rc = check_passable(st->dir, err)) ||
	    (rc = host_enter(err)))
		return rc;
	if (mount("ocu-sandboxd", st->dir, "tmpfs", MS_NOSUID | MS_NODEV, STAGE_SIZE) < 0)
		return ocu_error_errno(err, OCU_E_IO, errno, "mounting a tmpfs at %s", st->dir);
	return fill(st, conf, agent, err);
}

int stage_path(const struct stage *st, const char *container, const char *name, char *out,
               struct ocu_error *err)
{
	int n = snprintf(out, STAGE_PATH_MAX, "%s/s/%s%s%s", st->dir, container, name[0] ? "/" : "", name);

	return n > 0 && n < STAGE_PATH_MAX ? 0 : ocu_error_set(err, OCU_E_INTERNAL, "path too long");
}

static int image_name_ok(const char *name)
{
	size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789._-");

	return n > 0 && n <= 64 && name[n] == 0 && name[0] != '.';
}

int stage_image(const struct stage *st, const char *name, char *out, struct ocu_error *err)
{
	struct stat sb;
	int n;

	if (!image_name_ok(name))
		return ocu_error_set(err, OCU_E_PARAMS, "bad image name");
	n = snprintf(out, STAGE_PATH_MAX, "%s/%s/rootfs", st->images, name);
	if (n < 0 || n >= STAGE_PATH_MAX)
		return ocu_error_set(err, OCU_E_INTERNAL, "path too long");
	if (stat(out, &sb) < 0 || !S_ISDIR(sb.st_mode))
		return ocu_error_set(err, OCU_E_NOT_FOUND, "image %s is not installed", name);
	return 0;
}
