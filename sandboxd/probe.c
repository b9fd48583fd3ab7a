/* probe: see probe.h. */
#include "sandboxd/probe.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libocu/cleanup.h"
#include "libocu/clock.h"
#include "libocu/conf.h"
#include "libocu/err.h"
#include "sandboxd/bundle.h"
#include "sandboxd/cgroup.h"
#include "sandboxd/host.h"
#include "sandboxd/netns.h"
#include "sandboxd/node.h"
#include "sandboxd/runtime.h"

#define LIMIT_MS 2000
#define TEXT_MAX 400
#define MAP_IDS  65536

static int try_capabilities(const struct ocu_conf *c, struct ocu_error *err)
{
	static const struct {
		int bit;
		const char *name;
	} kept[] = {{CAP_SYS_ADMIN, "SYS_ADMIN"},
	            {CAP_NET_ADMIN, "NET_ADMIN"},
	            {CAP_SETUID, "SETUID"},
	            {CAP_SETGID, "SETGID"},
	            {CAP_CHOWN, "CHOWN"},
	            {CAP_DAC_OVERRIDE, "DAC_OVERRIDE"},
	            {CAP_KILL, "KILL"}};
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {0};
	char missing[128] = "";

	(void)c;
	if (capget(&head, data) < 0)
		return ocu_error_errno(err, OCU_E_IO, errno, "reading capabilities");
	for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
		if (!(data[0].effective & (1u << kept[i].bit)))
			snprintf(missing + strlen(missing), sizeof missing - strlen(missing), " %s",
			         kept[i].name);
	return missing[0] ? ocu_error_set(err, OCU_E_DENIED, "missing:%s", missing) : 0;
}

/* Entered by the probing process itself, so that every attempt after it is made in there. */
static struct ocu_error refused;

static int try_namespace(const struct ocu_conf *c, struct ocu_error *err)
{
	(void)c;
	return refused.code ? ocu_error_set(err, refused.code, "%s", refused.text) : 0;
}

static int write_map(pid_t pid, const char *file, long first, struct ocu_error *err)
{
	char path[64], text[64];
	int n = snprintf(text, sizeof text, "0 %ld %d", first, MAP_IDS);

	snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, file);
	OCU_CLOSE int fd = open(path, O_WRONLY | O_CLOEXEC);
	return fd < 0 || write(fd, text, (size_t)n) != n
	           ? ocu_error_errno(err, OCU_E_IO, errno, "giving a user namespace the uids from %ld on",
	                             first)
	           : 0;
}

/* In the guest's place: namespaces of its own, then a /proc of its own. Each step has its exit status. */
enum { GUEST_OK, GUEST_NO_NAMESPACE, GUEST_NO_MAP, GUEST_NO_PROC };

static int mount_proc_as_guest(void)
{
	int status = 0;
	pid_t init = fork();

	if (init == 0)
		_exit(mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0
		          ? GUEST_NO_PROC
		          : GUEST_OK);
	return init > 0 && waitpid(init, &status, 0) == init && WIFEXITED(status) ? WEXITSTATUS(status)
	                                                                          : GUEST_NO_PROC;
}

static void __attribute__((noreturn)) be_guest(int made, int mapped)
{
	char byte = unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID) == 0;

	if (write(made, &byte, 1) != 1 || !byte)
		_exit(GUEST_NO_NAMESPACE);
	if (read(mapped, &byte, 1) != 1 || setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0)
		_exit(GUEST_NO_MAP);
	_exit(mount_proc_as_guest());
}

static int map_guest(pid_t pid, int made, int mapped, long first, struct ocu_error *err)
{
	char byte = 0;
	int rc;

	if (read(made, &byte, 1) != 1 || !byte)
		return ocu_error_set(err, OCU_E_UNSUPPORTED, "the kernel refuses user namespaces");
	if ((rc = write_map(pid, "uid_map", first, err)) || (rc = write_map(pid, "gid_map", first, err)))
		return rc;
	return write(mapped, &byte, 1) == 1 ? 0 : ocu_error_errno(err, OCU_E_IO, errno, "pipe");
}

static int try_guest(const struct ocu_conf *c, struct ocu_error *err)
{
	int made[2], mapped[2], status = 0, rc;
	pid_t pid;

	if (pipe2(made, O_CLOEXEC) < 0 || pipe2(mapped, O_CLOEXEC) < 0 || (pid = fork()) < 0)
		return ocu_error_errno(err, OCU_E_IO, errno, "starting a guest");
	if (pid == 0) {
		close(mapped[1]);
		be_guest(made[1], mapped[0]);
	}
	close(made[1]);
	rc = map_guest(pid, made[0], mapped[1], (long)ocu_conf_int(c, "guest_uid_base"), err);
	close(mapped[1]);
	if (waitpid(pid, &status, 0) != pid)
		return ocu_error_errno(err, OCU_E_IO, errno, "waiting for a guest");
	if (rc)
		return rc;
	if (WIFEXITED(status) && WEXITSTATUS(status) == GUEST_OK)
		return 0;
	return ocu_error_set(err, OCU_E_UNSUPPORTED, "%s",
	                     WIFEXITED(status) && WEXITSTATUS(status) == GUEST_NO_PROC
	                         ? "a guest's /proc is refused: masked paths of a container stand in the way"
	                         : "a guest cannot become its own root");
}

static int try_network(const struct ocu_conf *c, struct ocu_error *err)
{
	struct netns_pair p = NETNS_PAIR_INIT;
	int rc = netns_make(&p, err);

	(void)c;
	netns_done(&p);
	return rc;
}

static int try_fuse(const struct ocu_conf *c, struct ocu_error *err)
{
	OCU_CLOSE int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);

	(void)c;
	return fd < 0 ? ocu_error_errno(err, OCU_E_UNSUPPORTED, errno, "opening it") : 0;
}

/* A group with a process in it, which is then ended by way of the group: what sandboxes are stopped by. */
static int try_groups(const struct ocu_conf *c, struct ocu_error *err)
{
	struct cgroups cg;
	/* Named for no deployment, so that none that runs here is met. */
	int rc = cgroups_init(&cg, "/", "/", err);

	(void)c;
	return rc ? rc : cgroups_try(&cg, err);
}

static int try_runtime(const struct ocu_conf *c, struct ocu_error *err)
{
	struct runtime rt = {0};

	return runtime_find(&rt, ocu_conf_str(c, "runtime"), "", err);
}

static int try_image(const struct ocu_conf *c, struct ocu_error *err)
{
	char path[1200];
	struct stat st;

	snprintf(path, sizeof path, "%s/%s/rootfs", ocu_conf_str(c, "image_dir"),
	         ocu_conf_str(c, "default_image"));
	return stat(path, &st) < 0 || !S_ISDIR(st.st_mode)
	           ? ocu_error_set(err, OCU_E_NOT_FOUND, "no folder %s", path)
	           : 0;
}

static int try_seccomp(const struct ocu_conf *c, struct ocu_error *err)
{
	json_t *profile = NULL;
	int rc = bundle_seccomp(ocu_conf_str(c, "seccomp_profile"), &profile, err);

	json_decref(profile);
	return rc;
}

static const struct need {
	const char *name;
	int (*attempt)(const struct ocu_conf *c, struct ocu_error *err);
	const char *advice;
} needs[] = {
    {"capabilities", try_capabilities,
     "start sandboxd as root with SYS_ADMIN NET_ADMIN SETUID SETGID CHOWN DAC_OVERRIDE KILL"},
    {"mount namespace", try_namespace, "turn AppArmor and seccomp of the container runtime off for sandboxd"},
    {"guest", try_guest,
     "allow user namespaces (user.max_user_namespaces, kernel.apparmor_restrict_unprivileged_userns)"},
    {"network", try_network, "load the kernel modules veth and nf_tables (nft_redir, nft_chain_nat)"},
    {"/dev/fuse", try_fuse, "load the kernel module fuse and give sandboxd the device"},
    {"control groups", try_groups, "use control groups of version 2, or mount those of version 1 read-write"},
    {"runtime", try_runtime, "install crun or runc"},
    {"image", try_image, "build it on this host: occ image build"},
    {"seccomp profile", try_seccomp, "correct the file"},
};

/* The attempt in a process of its own, its error text by pipe. 0, or why it failed. */
static int attempt(const struct need *n, const struct ocu_conf *c, uint64_t until, char why[TEXT_MAX])
{
	struct ocu_error err = {0};
	int p[2], status = 0;
	ssize_t len = 0;
	pid_t pid;

	if (pipe2(p, O_CLOEXEC) < 0 || (pid = fork()) < 0) {
		snprintf(why, TEXT_MAX, "%s", strerror(errno));
		return -1;
	}
	if (pid == 0) {
		int rc = n->attempt(c, &err);
		if (rc && write(p[1], err.text, strlen(err.text)) < 0)
			_exit(2);
		_exit(rc ? 1 : 0);
	}
	close(p[1]);
	uint64_t now = ocu_mono_ms();
	struct pollfd f = {.fd = p[0], .events = POLLIN};
	if (poll(&f, 1, now < until ? (int)(until - now) : 0) == 1)
		len = read(p[0], why, TEXT_MAX - 1);
	else
		kill(pid, SIGKILL);
	why[len > 0 ? len : 0] = '\0';
	close(p[0]);
	if (waitpid(pid, &status, 0) == pid && WIFEXITED(status))
		return WEXITSTATUS(status);
	snprintf(why, TEXT_MAX, "it was not answered in time");
	return -1;
}

int probe_host(const struct ocu_conf *c)
{
	uint64_t until = ocu_mono_ms() + LIMIT_MS;
	char why[TEXT_MAX];
	int lacking = 0;

	printf("tier %s\n", NODE_TIER);
	(void)host_enter(&refused);
	for (size_t i = 0; i < sizeof needs / sizeof *needs; i++) {
		fflush(stdout);
		if (attempt(&needs[i], c, until, why) == 0) {
			printf("has    %s\n", needs[i].name);
			continue;
		}
		lacking++;
		printf("LACKS  %s: %s\n       %s\n", needs[i].name, why, needs[i].advice);
	}
	printf(lacking ? "this host lacks %d of %zu\n" : "this host has everything\n", lacking,
	       sizeof needs / sizeof *needs);
	fflush(stdout);
	return lacking ? 1 : 0;
}
