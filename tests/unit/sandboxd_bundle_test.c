/* What a sandbox may, as the runtime is told: every line of NFR-SEC-14, and the seccomp allow-list.
 * shows: NFR-SEC-14, NFR-SEC-02, NFR-SEC-22, NFR-SEC-46, NFR-SEC-75 */
#include <check.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libocu/err.h"
#include "sandboxd/bundle.h"

static json_t *config;

static void setup(void)
{
	struct bundle b = {.rootfs = "/stage/images/base/rootfs",
	                   .agent = "/stage/agent",
	                   .resolv_conf = "/stage/resolv.conf",
	                   .workspace = "/stage/s/x/workspace",
	                   .scratch = "/stage/s/x/scratch",
	                   .netns = "/stage/s/x/netns",
	                   .cgroups_path = "/ocu.0/x",
	                   .guest_uid = 1073741824,
	                   .memory_bytes = 1 << 30,
	                   .cpu_percent = 150,
	                   .pids = 99};
	struct ocu_error err = {0};

	ck_assert_msg(bundle_seccomp("", &b.seccomp, &err) == 0, "%s", err.text);
	ck_assert_int_eq(bundle_config(&b, &config, NULL), 0);
	json_decref(b.seccomp);
}

static void teardown(void)
{
	json_decref(config);
}

static const json_t *at(const char *path)
{
	const json_t *j = config;
	char copy[128], *p = copy, *dot;

	snprintf(copy, sizeof copy, "%s", path);
	do {
		dot = strchr(p, '.');
		if (dot)
			*dot = 0;
		j = json_object_get(j, p);
		ck_assert_msg(j != NULL, "%s: no %s", path, p);
		p = dot ? dot + 1 : NULL;
	} while (p);
	return j;
}

START_TEST(no_privilege_is_left)
{
	static const char *const sets[] = {"bounding", "effective", "inheritable", "permitted", "ambient"};

	ck_assert(json_is_true(at("process.noNewPrivileges")));
	for (size_t i = 0; i < 5; i++) {
		const json_t *set = json_object_get(at("process.capabilities"), sets[i]);

		ck_assert(json_is_array(set));
		ck_assert_uint_eq(json_array_size(set), 0);
	}
	ck_assert(json_is_true(at("root.readonly")));
	ck_assert_str_eq(json_string_value(at("linux.seccomp.defaultAction")), "SCMP_ACT_ERRNO");
	ck_assert(json_is_false(json_object_get(json_array_get(at("linux.resources.devices"), 0), "allow")));
}
END_TEST

START_TEST(every_namespace_is_its_own)
{
	static const char *const want[] = {"pid", "ipc", "uts", "mount", "user", "cgroup", "network"};
	const json_t *list = at("linux.namespaces");

	ck_assert_uint_eq(json_array_size(list), 7);
	for (size_t i = 0; i < 7; i++) {
		const json_t *ns = json_array_get(list, i);

		ck_assert_str_eq(json_string_value(json_object_get(ns, "type")), want[i]);
		/* Only the network is a prepared one. */
		ck_assert_int_eq(json_object_get(ns, "path") != NULL, i == 6);
	}
	ck_assert_int_eq(
	    json_integer_value(json_object_get(json_array_get(at("linux.uidMappings"), 0), "hostID")),
	    1073741824);
	ck_assert_int_eq(
	    json_integer_value(json_object_get(json_array_get(at("linux.gidMappings"), 0), "size")), 65536);
	ck_assert_int_eq(
	    json_integer_value(json_object_get(json_array_get(at("linux.uidMappings"), 0), "containerID")),
	    0);
}
END_TEST

START_TEST(limits_are_set)
{
	ck_assert_int_eq(json_integer_value(at("linux.resources.memory.limit")), 1 << 30);
	ck_assert_int_eq(json_integer_value(at("linux.resources.cpu.quota")), 150000);
	ck_assert_int_eq(json_integer_value(at("linux.resources.pids.limit")), 99);
	ck_assert_ptr_null(json_object_get(at("linux.resources.memory"), "swap"));
	ck_assert_str_eq(json_string_value(at("linux.cgroupsPath")), "/ocu.0/x");
}
END_TEST

START_TEST(the_environment_holds_nothing)
{
	ck_assert_uint_eq(json_array_size(at("process.env")), 1);
	ck_assert_str_eq(json_string_value(json_array_get(at("process.env"), 0)), "PATH=/usr/bin:/bin");
	ck_assert_uint_eq(json_array_size(at("process.args")), 1);
}
END_TEST

START_TEST(mounts_are_the_known_ones)
{
	static const char *const want[] = {"/proc",
	                                   "/dev",
	                                   "/dev/pts",
	                                   "/dev/shm",
	                                   "/tmp",
	                                   "/root",
	                                   "/run",
	                                   "/run/ocu-guest-agent",
	                                   "/etc/resolv.conf",
	                                   "/workspace"};
	const json_t *list = at("mounts");

	ck_assert_uint_eq(json_array_size(list), sizeof want / sizeof *want);
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *m = json_array_get(list, i), *o;
		int nosuid = 0, bind = strcmp(json_string_value(json_object_get(m, "type")), "bind") == 0;
		size_t k;

		ck_assert_str_eq(json_string_value(json_object_get(m, "destination")), want[i]);
		json_array_foreach(json_object_get(m, "options"), k, o) nosuid |=
		    strcmp(json_string_value(o), "nosuid") == 0;
		ck_assert(nosuid);
		ck_assert(!bind ||
		          strncmp(json_string_value(json_object_get(m, "source")), "/stage/", 7) == 0);
	}
}
END_TEST

/* Calls that no sandbox needs and that lead out of one, or deep into the kernel. */
START_TEST(the_allow_list_leaves_out_what_is_dangerous)
{
	static const char *const never[] = {"mount",
	                                    "umount2",
	                                    "pivot_root",
	                                    "chroot",
	                                    "setns",
	                                    "unshare",
	                                    "clone3",
	                                    "ptrace",
	                                    "process_vm_readv",
	                                    "process_vm_writev",
	                                    "bpf",
	                                    "perf_event_open",
	                                    "userfaultfd",
	                                    "keyctl",
	                                    "add_key",
	                                    "request_key",
	                                    "io_uring_setup",
	                                    "kexec_load",
	                                    "init_module",
	                                    "finit_module",
	                                    "delete_module",
	                                    "open_by_handle_at",
	                                    "name_to_handle_at",
	                                    "reboot",
	                                    "swapon",
	                                    "iopl",
	                                    "ioperm",
	                                    "mknod",
	                                    "mknodat",
	                                    "fsopen",
	                                    "fsmount",
	                                    "move_mount",
	                                    "open_tree",
	                                    "mount_setattr",
	                                    "pidfd_getfd",
	                                    "kcmp",
	                                    "quotactl",
	                                    "acct",
	                                    "settimeofday",
	                                    "clock_settime",
	                                    "sethostname",
	                                    "syslog",
	                                    "fanotify_init",
	                                    "lookup_dcookie",
	                                    "modify_ldt",
	                                    "uselib",
	                                    "ustat"};
	const json_t *rule, *name;
	size_t i, k;

	json_array_foreach(at("linux.seccomp.syscalls"), i, rule)
	{
		if (strcmp(json_string_value(json_object_get(rule, "action")), "SCMP_ACT_ALLOW") != 0)
			continue;
		json_array_foreach(json_object_get(rule, "names"), k,
		                   name) for (size_t n = 0; n < sizeof never / sizeof *never; n++)
		    ck_assert_str_ne(json_string_value(name), never[n]);
	}
}
END_TEST

START_TEST(a_profile_that_allows_by_default_is_none)
{
	char path[] = "/tmp/ocu-seccomp-XXXXXX";
	int fd = mkstemp(path);
	static const char text[] = "{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[]}";
	json_t *j = NULL;

	ck_assert_int_eq(write(fd, text, sizeof text - 1), (int)sizeof text - 1);
	ck_assert_int_eq(bundle_seccomp(path, &j, NULL), OCU_E_CONFIG);
	ck_assert_int_eq(ftruncate(fd, 10), 0);
	ck_assert_int_lt(bundle_seccomp(path, &j, NULL), 0);
	unlink(path);
	ck_assert_int_lt(bundle_seccomp(path, &j, NULL), 0);
	ck_assert_ptr_null(j);
	close(fd);
}
END_TEST

START_TEST(the_file_is_the_owners)
{
	json_t *seccomp = NULL;
	char path[] = "/tmp/ocu-bundle-XXXXXX";
	struct bundle b = {"/r", "/a", "/e", "/w", "/s", "/n", "/c", 65536, 1 << 24, 1, 1, 10, 16, NULL};
	struct stat st;

	close(mkstemp(path));
	unlink(path);
	ck_assert_int_eq(bundle_seccomp("", &seccomp, NULL), 0);
	b.seccomp = seccomp;
	b.limit_swap = 1;
	ck_assert_int_eq(bundle_write(&b, path, NULL), 0);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_uint_eq(st.st_mode & 0777, 0600);
	json_decref(config);
	config = json_load_file(path, 0, NULL);
	ck_assert_int_eq(json_integer_value(at("linux.resources.memory.swap")), 1 << 24);
	unlink(path);
	json_decref(seccomp);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("sandboxd_bundle");
	TCase *t = tcase_create("bundle");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, no_privilege_is_left);
	tcase_add_test(t, every_namespace_is_its_own);
	tcase_add_test(t, limits_are_set);
	tcase_add_test(t, the_environment_holds_nothing);
	tcase_add_test(t, mounts_are_the_known_ones);
	tcase_add_test(t, the_allow_list_leaves_out_what_is_dangerous);
	tcase_add_test(t, a_profile_that_allows_by_default_is_none);
	tcase_add_test(t, the_file_is_the_owners);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
