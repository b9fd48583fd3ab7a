/* bundle: see bundle.h. */
#include "sandboxd/bundle.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libocu/buf.h"
#include "libocu/cleanup.h"
#include "libocu/err.h"
#include "libocu/json.h"

#define CONFIG_MAX  (256u << 10)
#define SECCOMP_MAX (256u << 10)
#define CPU_PERIOD  100000

/* The profile this program was built with, deploy/images/seccomp.json. */
__asm__(".pushsection .rodata\n"
        "bundle_seccomp_text:\n"
        ".incbin \"deploy/images/seccomp.json\"\n"
        ".byte 0\n"
        ".popsection\n");
extern const char bundle_seccomp_text[] __attribute__((visibility("hidden")));

int bundle_seccomp(const char *path, json_t **ret, struct ocu_error *err)
{
	OCU_JSON json_t *j = NULL;
	const char *action;
	int rc = path[0]
	             ? ocu_json_load_file(path, SECCOMP_MAX, &j, err)
	             : ocu_json_parse(bundle_seccomp_text, strlen(bundle_seccomp_text), SECCOMP_MAX, &j, err);

	if (rc) {
		ocu_error_add(err, "seccomp_profile");
		return rc;
	}
	action = ocu_json_str(j, "defaultAction", "");
	if (strcmp(action, "SCMP_ACT_ERRNO") != 0 && strncmp(action, "SCMP_ACT_KILL", 13) != 0)
		return ocu_error_set(err, OCU_E_CONFIG,
		                     "seccomp_profile: defaultAction must refuse, this one is \"%.32s\"",
		                     action);
	*ret = json_incref(j);
	return 0;
}

/* Timers, queued signals and message queues are counted for the user who owns the sandbox's user namespace as
 * well: root of the host, and of every other sandbox. */
#define HOST_SHARED 1024
#define TCP_BYTES   (64 << 20)

static json_t *process(void)
{
	/* The agent needs no environment; it gives programs one made of constants. */
	return json_pack("{s:b, s:{s:i, s:i}, s:[s], s:[s], s:s, s:{s:[], s:[], s:[], s:[], s:[]}, s:b, "
	                 "s:[{s:s, s:i, s:i}, {s:s, s:i, s:i}, {s:s, s:i, s:i}, {s:s, s:i, s:i}]}",
	                 "terminal", 0, "user", "uid", 0, "gid", 0, "args", "/run/ocu-guest-agent", "env",
	                 "PATH=/usr/bin:/bin", "cwd", "/", "capabilities", "bounding", "effective",
	                 "inheritable", "permitted", "ambient", "noNewPrivileges", 1, "rlimits", "type",
	                 "RLIMIT_NOFILE", "hard", 4096, "soft", 1024, "type", "RLIMIT_CORE", "hard", 0,
	                 "soft", 0, "type", "RLIMIT_SIGPENDING", "hard", HOST_SHARED, "soft", HOST_SHARED,
	                 "type", "RLIMIT_MSGQUEUE", "hard", HOST_SHARED * 64, "soft", HOST_SHARED * 64);
}

/* A bind mount of <dir>/<name> (name "" for dir itself). */
static json_t *bind(const char *to, const char *dir, const char *name, const char *more)
{
	json_t *m = json_pack("{s:s, s:s, s:o, s:[s, s, s]}", "destination", to, "type", "bind", "source",
	                      json_sprintf("%s%s%s", dir, name[0] ? "/" : "", name), "options", "bind",
	                      "nosuid", "nodev");

	if (m && more)
		json_array_append_new(json_object_get(m, "options"), json_string(more));
	return m;
}

/* No /sys: nothing in it is a guest's business, and the network namespace it would show is not the guest's
 * own. */
static json_t *mounts(const struct bundle *b)
{
	json_t *list = json_array();

	json_array_append_new(list,
	                      json_pack("{s:s, s:s, s:s, s:[s, s, s]}", "destination", "/proc", "type",
	                                "proc", "source", "proc", "options", "nosuid", "noexec", "nodev"));
	json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:[s, s, s, s]}", "destination", "/dev",
	                                      "type", "tmpfs", "source", "tmpfs", "options", "nosuid",
	                                      "noexec", "mode=755", "size=64k"));
	json_array_append_new(list,
	                      json_pack("{s:s, s:s, s:s, s:[s, s, s, s, s, s]}", "destination", "/dev/pts",
	                                "type", "devpts", "source", "devpts", "options", "nosuid", "noexec",
	                                "newinstance", "ptmxmode=0666", "mode=0620", "max=128"));
	json_array_append_new(list, bind("/dev/shm", b->scratch, "shm", "noexec"));
	json_array_append_new(list, bind("/tmp", b->scratch, "tmp", NULL));
	json_array_append_new(list, bind("/root", b->scratch, "root", NULL));
	json_array_append_new(list, bind("/run", b->scratch, "run", NULL));
	json_array_append_new(list, bind("/run/ocu-guest-agent", b->agent, "", "ro"));
	json_array_append_new(list, bind("/etc/resolv.conf", b->resolv_conf, "", "ro"));
	json_array_append_new(list, bind("/workspace", b->workspace, "", NULL));
	return list;
}

static json_t *namespaces(const char *netns)
{
	static const char *const own[] = {"pid", "ipc", "uts", "mount", "user", "cgroup"};
	json_t *list = json_array();

	for (size_t i = 0; i < sizeof own / sizeof *own; i++)
		json_array_append_new(list, json_pack("{s:s}", "type", own[i]));
	json_array_append_new(list, json_pack("{s:s, s:s}", "type", "network", "path", netns));
	return list;
}

static json_t *id_map(uint32_t first)
{
	return json_pack("[{s:i, s:I, s:i}]", "containerID", 0, "hostID", (json_int_t)first, "size",
	                 BUNDLE_IDS);
}

static json_t *resources(const struct bundle *b)
{
	json_int_t quota = (json_int_t)b->cpu_percent * CPU_PERIOD / 100;
	json_t *j;

	j = json_pack("{s:{s:I}, s:{s:I, s:i}, s:{s:I}, s:[{s:b, s:s}]}", "memory", "limit",
	              (json_int_t)b->memory_bytes, "cpu", "quota", quota, "period", CPU_PERIOD, "pids",
	              "limit", (json_int_t)b->pids, "devices", "allow", 0, "access", "rwm");
	if (b->limit_tcp)
		json_object_set_new(json_object_get(j, "memory"), "kernelTCP", json_integer(TCP_BYTES));
	if (b->limit_swap)
		json_object_set_new(json_object_get(j, "memory"), "swap",
		                    json_integer((json_int_t)b->memory_bytes));
	return j;
}

static json_t *hidden_paths(void)
{
	return json_pack("[s, s, s, s, s, s, s, s]", "/proc/acpi", "/proc/kcore", "/proc/keys",
	                 "/proc/latency_stats", "/proc/timer_list", "/proc/sched_debug", "/proc/scsi",
	                 "/proc/interrupts");
}

static json_t *readonly_paths(void)
{
	return json_pack("[s, s, s, s, s, s]", "/proc/asound", "/proc/bus", "/proc/fs", "/proc/irq",
	                 "/proc/sys", "/proc/sysrq-trigger");
}

int bundle_config(const struct bundle *b, json_t **ret, struct ocu_error *err)
{
	json_t *j = json_pack(
	    "{s:s, s:o, s:{s:s, s:b}, s:s, s:o, s:{s:o, s:o, s:s, s:o, s:o, s:O, s:o, s:o}}", "ociVersion",
	    "1.0.0", "process", process(), "root", "path", b->rootfs, "readonly", 1, "hostname", "sandbox",
	    "mounts", mounts(b), "linux", "uidMappings", id_map(b->guest_uid), "gidMappings",
	    id_map(b->guest_uid), "cgroupsPath", b->cgroups_path, "resources", resources(b), "namespaces",
	    namespaces(b->netns), "seccomp", b->seccomp, "maskedPaths", hidden_paths(), "readonlyPaths",
	    readonly_paths());

	if (!j)
		return ocu_error_set(err, OCU_E_NOMEM, "making config.json");
	*ret = j;
	return 0;
}

int bundle_write(const struct bundle *b, const char *path, struct ocu_error *err)
{
	OCU_BUF struct ocu_buf text = OCU_BUF_INIT(CONFIG_MAX);
	OCU_JSON json_t *j = NULL;
	OCU_CLOSE int fd = -1;
	int rc = bundle_config(b, &j, err);

	if (rc)
		return rc;
	if ((rc = ocu_json_dump(j, &text)))
		return ocu_error_set(err, rc, "config.json");
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 || write(fd, text.data, text.len) != (ssize_t)text.len)
		return ocu_error_errno(err, OCU_E_IO, errno, "writing %s", path);
	return 0;
}
