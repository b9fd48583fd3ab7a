/* conf: see conf.h. */
#include "sandboxd/conf.h"

#include "libocu/err.h"
#include "sandboxd/session.h"

const struct ocu_conf_opt sandboxd_options[] = {
    OCU_CONF_COMMON(9193),
    {"exec_listen", OCU_CONF_STRING, "tls+tcp://127.0.0.1:9301", 0, 0, NULL,
     "Where the gateway sends tool calls"},
    {"control_listen", OCU_CONF_STRING, "tls+tcp://127.0.0.1:9302", 0, 0, NULL,
     "Where operatord starts and stops sandboxes"},
    {"denylist_feed_url", OCU_CONF_STRING, "tls+tcp://127.0.0.1:9202", 0, 0, NULL,
     "operatord's denylist feed"},
    {"denylist_pull_url", OCU_CONF_STRING, "tls+tcp://127.0.0.1:9203", 0, 0, NULL,
     "operatord's whole denylist"},
    {"instance", OCU_CONF_STRING, "", 0, 0, NULL,
     "Name of this node in a deployment that has several; \"\" for one"},
    {"runtime", OCU_CONF_ENUM, "auto", 0, 0, "auto|crun|runc",
     "OCI runtime; auto takes crun when it is installed, else runc"},
    {"image_dir", OCU_CONF_PATH, "/var/cache/ocu/images", 0, 0, NULL,
     "Sandbox images: <image_dir>/<name>/rootfs, made by deploy/images/build-sandbox-image"},
    {"default_image", OCU_CONF_STRING, "base", 0, 0, NULL, "Image of sessions that name none"},
    {"guest_agent", OCU_CONF_STRING, "", 0, 0, NULL,
     "The guest agent's program; \"\" looks beside this program and in ../libexec/ocu"},
    {"seccomp_profile", OCU_CONF_STRING, "", 0, 0, NULL,
     "System-call allow-list of sandboxes, an OCI linux.seccomp object in JSON; \"\" is the built-in one"},
    {"brokerd_socket", OCU_CONF_STRING, "", 0, 0, NULL,
     "Socket where brokerd takes /dev/fuse descriptors; \"\" is <run_dir>/handover/brokerd.sock"},
    {"egressd_socket", OCU_CONF_STRING, "", 0, 0, NULL,
     "Socket where egressd takes edge sockets; \"\" is <run_dir>/handover/egressd.sock"},
    {"brokerd_uid", OCU_CONF_INT, "58103", 0, 4294967294, NULL, "Who must be behind brokerd_socket"},
    {"egressd_uid", OCU_CONF_INT, "58104", 0, 4294967294, NULL, "Who must be behind egressd_socket"},
    {"guest_uid_base", OCU_CONF_INT, "1073741824", 65536, 4227858432, NULL,
     "First host uid of the sandboxes' ranges: 65536 uids each, max_sandboxes of them"},
    {"max_sandboxes", OCU_CONF_INT, "256", 1, SESSION_SLOTS_MAX, NULL,
     "Sandboxes alive at once on this node"},
    {"network_pool", OCU_CONF_INT, "4", 0, 64, NULL,
     "Pairs of network namespaces kept ready; they hold nobody's data and are used once"},
    {"memory_limit", OCU_CONF_SIZE, "1GiB", 16777216, 1099511627776, NULL,
     "Memory of a sandbox whose start names no limit"},
    {"cpu_percent", OCU_CONF_INT, "100", 1, 100000, NULL, "CPU of such a sandbox, in percent of one core"},
    {"pids_limit", OCU_CONF_INT, "256", 16, 32768, NULL, "Processes and threads of such a sandbox"},
    {"scratch_limit", OCU_CONF_SIZE, "256MiB", 1048576, 1099511627776, NULL,
     "Room of such a sandbox in /tmp, /root, /run and /dev/shm together; counted as its memory"},
    {"start_timeout", OCU_CONF_DURATION, "20s", 1000, 120000, NULL,
     "How long a sandbox may take from start to its agent's hello"},
    {0},
};

int sandboxd_conf_check(const struct ocu_conf *c, struct ocu_error *err)
{
	int64_t last = ocu_conf_int(c, "guest_uid_base") + 65536 * ocu_conf_int(c, "max_sandboxes");

	if (ocu_conf_int(c, "guest_uid_base") % 65536 != 0)
		return ocu_error_set(err, OCU_E_CONFIG, "guest_uid_base must be a multiple of 65536");
	if (last > 4294901760)
		return ocu_error_set(err, OCU_E_CONFIG,
		                     "guest_uid_base + 65536 * max_sandboxes is past the last uid");
	if (ocu_conf_int(c, "scratch_limit") > ocu_conf_int(c, "memory_limit") / 2)
		return ocu_error_set(err, OCU_E_CONFIG,
		                     "scratch_limit may be at most half of memory_limit: scratch is memory");
	return 0;
}
