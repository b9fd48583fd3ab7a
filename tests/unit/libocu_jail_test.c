/* jail: each thing that was given up is attempted, in a child that entered the jail, and refused. A child
 * answers with its exit status: 0 when everything was as expected, else the number of the line that was not.
 */
#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libocu/err.h"
#include "libocu/jail.h"
#include "libocu/jail_internal.h"

#define UID     58101
#define AS_TEXT "58101"

/* In a child: the line number goes out through a pipe, because it does not fit an exit status. */
static int report_fd;
#define EXPECT(cond)                                                                                         \
	do {                                                                                                 \
		if (!(cond)) {                                                                               \
			int where_[2] = {__LINE__, errno};                                                   \
			(void)!write(report_fd, where_, sizeof where_);                                      \
			_exit(1);                                                                            \
		}                                                                                            \
	} while (0)

static char dir[64], allowed[96], hidden[96];

/* Runs body in a child; returns its wait status after checking that no expectation failed. */
static int in_child(void (*body)(void))
{
	int p[2], where[2] = {0}, status = 0;
	pid_t pid;

	ck_assert_int_eq(pipe(p), 0);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		close(p[0]);
		report_fd = p[1];
		body();
		_exit(0);
	}
	close(p[1]);
	ssize_t n = read(p[0], where, sizeof where);
	close(p[0]);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_msg(n == 0, "line %d: %s", where[0], strerror(where[1]));
	return status;
}

static void all_is_well(void (*body)(void))
{
	int status = in_child(body);

	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %#x", (unsigned)status);
}

static struct ocu_jail_path paths[3];
static int abi;

static void enter(const struct ocu_jail *j)
{
	struct ocu_error err = {0};
	int rc = ocu_jail_enter(j, &abi, &err);

	if (rc)
		(void)!write(2, err.text, strlen(err.text));
	EXPECT(rc == 0);
}

static void enter_default(void)
{
	const struct ocu_jail j = {.run_as = getuid() == 0 ? AS_TEXT : "", .paths = paths};

	enter(&j);
}

static void setup(void)
{
	snprintf(dir, sizeof dir, "/tmp/ocu-jail-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	chmod(dir, 0777);
	snprintf(allowed, sizeof allowed, "%s/allowed", dir);
	snprintf(hidden, sizeof hidden, "%s/hidden", dir);
	ck_assert_int_eq(mkdir(allowed, 0777), 0);
	ck_assert_int_eq(mkdir(hidden, 0777), 0);
	chmod(allowed, 0777);
	chmod(hidden, 0777);
	paths[0] = (struct ocu_jail_path){allowed, true};
	paths[1] = (struct ocu_jail_path){"/nonexistent/x", true};
	paths[2] = (struct ocu_jail_path){NULL, false};
}

static void teardown(void)
{
	char cmd[128];

	snprintf(cmd, sizeof cmd, "%s/file", allowed);
	unlink(cmd);
	snprintf(cmd, sizeof cmd, "%s/file", hidden);
	unlink(cmd);
	rmdir(allowed);
	rmdir(hidden);
	rmdir(dir);
}

/* --- identity and capabilities --- */

static bool no_caps(uint64_t keep)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct d[2];

	if (syscall(SYS_capget, &head, d) < 0)
		return false;
	return (d[0].effective | (uint64_t)d[1].effective << 32) == keep &&
	       (d[0].permitted | (uint64_t)d[1].permitted << 32) == keep && !d[0].inheritable &&
	       !d[1].inheritable;
}

static void try_identity(void)
{
	gid_t groups[4];

	enter_default();
	EXPECT(getuid() == UID && geteuid() == UID && getgid() == UID && getegid() == UID);
	EXPECT(getgroups(4, groups) == 0);
	EXPECT(no_caps(0));
	EXPECT(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1);
	for (int c = 0; c < 64; c++)
		EXPECT(prctl(PR_CAPBSET_READ, c, 0, 0, 0) <= 0);
	EXPECT(setuid(0) < 0 && seteuid(0) < 0 && setresuid(0, 0, 0) < 0);
	EXPECT(setgid(0) < 0 && setresgid(0, 0, 0) < 0 && setgroups(0, NULL) < 0);
#if !OCU_JAIL_SANITIZER
	EXPECT(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0);
	EXPECT(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) < 0);
#endif
}

START_TEST(no_way_back)
{
	if (getuid() == 0)
		all_is_well(try_identity);
}
END_TEST

static void try_kept_cap(void)
{
	const uint64_t keep = 1ull << CAP_NET_BIND_SERVICE;
	const struct ocu_jail j = {.run_as = AS_TEXT, .keep_caps = &keep, .paths = paths};
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons(81)};

	enter(&j);
	EXPECT(no_caps(keep));
	EXPECT(prctl(PR_CAPBSET_READ, CAP_NET_BIND_SERVICE, 0, 0, 0) == 1);
	EXPECT(prctl(PR_CAPBSET_READ, CAP_NET_ADMIN, 0, 0, 0) == 0);
	sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	EXPECT(bind(fd, (struct sockaddr *)&sa, sizeof sa) == 0 || errno == EADDRINUSE);
}

static void try_missing_cap(void)
{
	const uint64_t keep = 1ull << 62;
	const struct ocu_jail j = {.run_as = AS_TEXT, .keep_caps = &keep};

	EXPECT(ocu_jail_enter(&j, &abi, NULL) == OCU_E_DENIED);
}

START_TEST(kept_capabilities_are_exactly_those)
{
	if (getuid() != 0)
		return;
	all_is_well(try_kept_cap);
	all_is_well(try_missing_cap);
}
END_TEST

static void *wait_for_ever(void *arg)
{
	(void)arg;
	pause();
	return NULL;
}

static void try_with_thread(void)
{
	const struct ocu_jail j = {.run_as = "", .paths = paths};
	struct ocu_error err = {0};
	pthread_t t;

	EXPECT(pthread_create(&t, NULL, wait_for_ever, NULL) == 0);
	EXPECT(ocu_jail_enter(&j, &abi, &err) == OCU_E_STATE);
	EXPECT(strstr(err.text, "threads"));
}

START_TEST(threads_that_would_stay_outside)
{
	if (!OCU_JAIL_SANITIZER)
		all_is_well(try_with_thread);
}
END_TEST

START_TEST(run_as)
{
	static const char *const bad[] = {"58101:", "x y",       "58101:x",
	                                  "-1",     "58101:1:1", "99999999999",
	                                  "58101 ", ":5",        "no-such-user-here"};
	uid_t u = 7;
	gid_t g = 7;

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		ck_assert_msg(ocu_jail_ids(bad[i], &u, &g, NULL) == OCU_E_CONFIG, "%s", bad[i]);
	ck_assert_uint_eq(u, 7);
	ck_assert_int_eq(ocu_jail_ids("", &u, &g, NULL), 0);
	ck_assert_uint_eq(u, geteuid());
	ck_assert_uint_eq(g, getegid());
	ck_assert_int_eq(ocu_jail_ids("58101", &u, &g, NULL), 0);
	ck_assert_uint_eq(u, 58101);
	ck_assert_uint_eq(g, 58101);
	ck_assert_int_eq(ocu_jail_ids("58101:99", &u, &g, NULL), 0);
	ck_assert_uint_eq(g, 99);
	ck_assert_int_eq(ocu_jail_ids("nobody", &u, &g, NULL), 0);
	ck_assert_uint_gt(u, 0);
}
END_TEST

/* --- Landlock --- */

static void try_files(void)
{
	char path[128];

	enter_default();
	snprintf(path, sizeof path, "%s/file", allowed);
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	EXPECT(fd >= 0 && write(fd, "x", 1) == 1 && ftruncate(fd, 0) == 0);
	EXPECT(unlink(path) == 0);
	if (abi == 0)
		return;
	snprintf(path, sizeof path, "%s/file", hidden);
	EXPECT(open(path, O_RDONLY | O_CLOEXEC) < 0 && errno == EACCES);
	EXPECT(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600) < 0 && errno == EACCES);
	EXPECT(unlink(path) < 0 && errno == EACCES);
	EXPECT(open("/etc/passwd", O_RDONLY | O_CLOEXEC) < 0 && errno == EACCES);
	EXPECT(open("/usr/x", O_WRONLY | O_CREAT | O_CLOEXEC, 0600) < 0);
	EXPECT(open("/etc/hosts", O_RDONLY | O_CLOEXEC) >= 0);
	EXPECT(open("/dev/null", O_RDWR | O_CLOEXEC) >= 0);
}

START_TEST(only_named_files)
{
	char path[128];

	snprintf(path, sizeof path, "%s/file", hidden);
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
	ck_assert_int_ge(fd, 0);
	close(fd);
	all_is_well(try_files);
}
END_TEST

static void try_read_only(void)
{
	char path[128];

	paths[0].write = false;
	enter_default();
	snprintf(path, sizeof path, "%s/file", allowed);
	EXPECT(open(path, O_RDONLY | O_CLOEXEC) >= 0);
	EXPECT(open(path, O_WRONLY | O_CLOEXEC) < 0 && errno == EACCES);
	EXPECT(abi < 3 || (truncate(path, 0) < 0 && errno == EACCES));
	EXPECT(unlink(path) < 0 && errno == EACCES);
}

START_TEST(reading_is_not_writing)
{
	char path[128];

	snprintf(path, sizeof path, "%s/file", allowed);
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
	ck_assert_int_ge(fd, 0);
	fchmod(fd, 0666);
	close(fd);
	int have = (int)syscall(444, NULL, 0, 1u);
	if (have >= 1)
		all_is_well(try_read_only);
}
END_TEST

static uint16_t open_port, other_port;

static int listen_any(uint16_t *port)
{
	struct sockaddr_in sa = {.sin_family = AF_INET};
	socklen_t len = sizeof sa;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&sa, sizeof sa), 0);
	ck_assert_int_eq(listen(fd, 8), 0);
	getsockname(fd, (struct sockaddr *)&sa, &len);
	*port = ntohs(sa.sin_port);
	return fd;
}

static int dial(uint16_t port)
{
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons(port)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return connect(fd, (struct sockaddr *)&sa, sizeof sa) == 0 ? 0 : -errno;
}

static void try_ports(void)
{
	const uint16_t ports[] = {open_port, 0};
	const struct ocu_jail j = {
	    .run_as = "", .paths = paths, .no_inet_connect = true, .connect_ports = ports};

	enter(&j);
	EXPECT(dial(open_port) == 0);
	EXPECT(abi < 4 || dial(other_port) == -EACCES);
}

static void try_no_ports(void)
{
	const struct ocu_jail j = {.run_as = "", .no_inet_connect = true};

	enter(&j);
	EXPECT(abi < 4 || (dial(open_port) == -EACCES && dial(other_port) == -EACCES));
}

static void try_any_port(void)
{
	enter_default();
	EXPECT(dial(open_port) == 0 && dial(other_port) == 0);
}

START_TEST(only_named_ports)
{
	int a = listen_any(&open_port), b = listen_any(&other_port);

	all_is_well(try_ports);
	all_is_well(try_no_ports);
	all_is_well(try_any_port);
	close(a);
	close(b);
}
END_TEST

static struct sockaddr_un abstract = {.sun_family = AF_UNIX};
static socklen_t abstract_len;

static void try_scope(void)
{
	enter_default();
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	EXPECT(fd >= 0);
	EXPECT(abi < 6 || (connect(fd, (struct sockaddr *)&abstract, abstract_len) < 0 && errno == EPERM));
}

START_TEST(abstract_sockets_of_others)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	abstract_len =
	    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 +
	                (size_t)snprintf(abstract.sun_path + 1, 60, "ocu-jail-test-%d", (int)getpid()));
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&abstract, abstract_len), 0);
	ck_assert_int_eq(listen(fd, 1), 0);
	all_is_well(try_scope);
	close(fd);
}
END_TEST

/* --- seccomp --- */

#if !OCU_JAIL_SANITIZER

static void *thread_body(void *arg)
{
	return arg;
}

static void try_calls(void)
{
	char here;
	pthread_t t;
	void *got = NULL;

	enter_default();
	/* what a daemon does all day */
	EXPECT(pthread_create(&t, NULL, thread_body, &here) == 0 && pthread_join(t, &got) == 0 &&
	       got == &here);
	EXPECT(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0) >= 0);
	EXPECT(socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0) >= 0);
	EXPECT(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED);
	EXPECT(raise(SIGURG) == 0);
	/* what it never does */
	EXPECT(fork() < 0 && errno == EPERM);
	EXPECT(syscall(SYS_vfork) < 0 && errno == EPERM);
	char *const argv[] = {(char[]){"/bin/true"}, NULL};
	EXPECT(execv("/bin/true", argv) < 0 && errno == EPERM);
	EXPECT(syscall(SYS_clone, CLONE_THREAD | CLONE_SIGHAND | CLONE_VM | CLONE_NEWNET, NULL, NULL, NULL,
	               NULL) < 0 &&
	       errno == EPERM);
	EXPECT(syscall(SYS_clone3, NULL, 0) < 0 && errno == ENOSYS);
	EXPECT(unshare(CLONE_NEWUSER) < 0 && errno == EPERM);
	EXPECT(setns(0, 0) < 0 && errno == EPERM);
	EXPECT(mount("none", "/mnt", "tmpfs", 0, NULL) < 0 && errno == EPERM);
	EXPECT(chroot("/") < 0 && errno == EPERM);
	EXPECT(kill(getppid(), 0) < 0 && errno == EPERM);
	EXPECT(socket(AF_PACKET, SOCK_RAW, 0) < 0 && errno == EPERM);
	EXPECT(socket(AF_VSOCK, SOCK_STREAM, 0) < 0 && errno == EPERM);
	EXPECT(syscall(SYS_socket, AF_PACKET | 1ull << 32, SOCK_RAW, 0) < 0 && errno == EPERM);
	EXPECT(ioctl(0, TIOCSTI, "x") < 0 && errno == EPERM);
	EXPECT(syscall(SYS_ioctl, 0, TIOCSTI | 1ull << 32, "x") < 0 && errno == EPERM);
	EXPECT(syscall(SYS_open_by_handle_at, -1, NULL, 0) < 0 && errno == EPERM);
	EXPECT(syscall(SYS_personality, 0xffffffff) < 0 && errno == EPERM);
	EXPECT(prctl(PR_SET_SECCOMP, 0, 0, 0, 0) < 0 && errno == EPERM);
}

START_TEST(calls_of_a_daemon)
{
	all_is_well(try_calls);
}
END_TEST

static long hostile_call;

static void try_hostile(void)
{
	enter_default();
	syscall(hostile_call, 0, 0, 0, 0, 0, 0);
	EXPECT(0);
}

START_TEST(calls_of_an_intruder_end_the_process)
{
	static const long calls[] = {SYS_ptrace,
	                             SYS_process_vm_readv,
	                             SYS_process_vm_writev,
	                             SYS_kexec_load,
	                             SYS_bpf,
	                             SYS_keyctl,
	                             SYS_add_key,
	                             SYS_userfaultfd,
	                             SYS_perf_event_open,
	                             SYS_init_module,
	                             SYS_finit_module,
	                             SYS_delete_module,
	                             SYS_reboot,
	                             SYS_swapon,
	                             SYS_io_uring_setup,
	                             SYS_io_uring_enter,
	                             SYS_io_uring_register};
	const struct rlimit no_core = {0, 0};

	setrlimit(RLIMIT_CORE, &no_core);
	for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
		hostile_call = calls[i];
		int status = in_child(try_hostile);
		ck_assert_msg(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS, "call %ld: status %#x",
		              calls[i], (unsigned)status);
	}
}
END_TEST

static void try_exec(void)
{
	struct ocu_jail_path p[] = {{"/usr", false}, {NULL, false}};
	const struct ocu_jail j = {.run_as = "", .paths = p, .allow_exec = true};
	int status = -1;

	enter(&j);
	pid_t pid = fork();
	EXPECT(pid >= 0);
	if (pid == 0) {
		execl("/usr/bin/true", "true", (char *)NULL);
		_exit(9);
	}
	EXPECT(waitpid(pid, &status, 0) == pid);
	EXPECT(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	EXPECT(syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, NULL, NULL, NULL, NULL) < 0 && errno == EPERM);
	EXPECT(unshare(CLONE_NEWUSER) < 0 && errno == EPERM);
}

START_TEST(programs_where_permitted)
{
	all_is_well(try_exec);
}
END_TEST

/* sandboxd's filter is inherited by runtimes and guests: what only harms the host is refused, nothing is
 * fatal. */
static void try_mount(void)
{
	const struct ocu_jail j = {.run_as = "", .allow_exec = true, .allow_mount = true};

	enter(&j);
	EXPECT(syscall(SYS_kexec_load, 0, 0, 0, 0) < 0 && errno == EPERM);
	EXPECT(syscall(SYS_init_module, 0, 0, 0) < 0 && errno == EPERM);
	EXPECT(syscall(SYS_reboot, 0, 0, 0, 0) < 0 && errno == EPERM);
	EXPECT(syscall(SYS_swapon, 0, 0) < 0 && errno == EPERM);
	EXPECT(syscall(SYS_settimeofday, 0, 0) < 0 && errno == EPERM);
	EXPECT(syscall(SYS_open_by_handle_at, -1, NULL, 0) < 0 && errno == EPERM);
	EXPECT(syscall(SYS_keyctl, -1, 0, 0, 0, 0) < 0);
	pid_t pid = fork();
	EXPECT(pid >= 0);
	if (pid == 0)
		_exit(0);
	waitpid(pid, NULL, 0);
}

START_TEST(the_sandbox_daemon)
{
	all_is_well(try_mount);
}
END_TEST

#endif

/* --- folders --- */

START_TEST(folders)
{
	char path[160], link_path[160];
	struct stat st;

	umask(077);
	snprintf(path, sizeof path, "%s/a/b/c/", allowed);
	ck_assert_int_eq(ocu_jail_mkdir(path, getuid(), getgid(), 0700, NULL), 0);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0700);
	/* parents can be passed through by the other daemons' users */
	snprintf(path, sizeof path, "%s/a/b", allowed);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0755);
	/* one that is there already is brought in order when it is to be private, else left alone */
	chmod(path, 0777);
	ck_assert_int_eq(ocu_jail_mkdir(path, getuid(), getgid(), 0755, NULL), 0);
	stat(path, &st);
	ck_assert_uint_eq(st.st_mode & 07777, 0777);
	ck_assert_int_eq(ocu_jail_mkdir(path, getuid(), getgid(), 0700, NULL), 0);
	stat(path, &st);
	ck_assert_uint_eq(st.st_mode & 07777, 0700);
	if (getuid() == 0) {
		ck_assert_int_eq(ocu_jail_mkdir(path, UID, UID, 0700, NULL), 0);
		stat(path, &st);
		ck_assert_uint_eq(st.st_uid, UID);
	}
	snprintf(link_path, sizeof link_path, "%s/link", allowed);
	ck_assert_int_eq(symlink(path, link_path), 0);
	ck_assert_int_eq(ocu_jail_mkdir(link_path, getuid(), getgid(), 0700, NULL), OCU_E_IO);
	ck_assert_int_eq(ocu_jail_mkdir("", 0, 0, 0700, NULL), OCU_E_INVALID);
	ck_assert_int_eq(ocu_jail_mkdir("/dev/null/x", 0, 0, 0700, NULL), OCU_E_IO);
	unlink(link_path);
	snprintf(path, sizeof path, "%s/a/b/c", allowed);
	rmdir(path);
	snprintf(path, sizeof path, "%s/a/b", allowed);
	rmdir(path);
	snprintf(path, sizeof path, "%s/a", allowed);
	ck_assert_int_eq(rmdir(path), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("libocu_jail");
	TCase *c = tcase_create("jail");

	tcase_add_checked_fixture(c, setup, teardown);
	tcase_set_timeout(c, 60);
	tcase_add_test(c, no_way_back);
	tcase_add_test(c, kept_capabilities_are_exactly_those);
	tcase_add_test(c, threads_that_would_stay_outside);
	tcase_add_test(c, run_as);
	tcase_add_test(c, only_named_files);
	tcase_add_test(c, reading_is_not_writing);
	tcase_add_test(c, only_named_ports);
	tcase_add_test(c, abstract_sockets_of_others);
#if !OCU_JAIL_SANITIZER
	tcase_add_test(c, calls_of_a_daemon);
	tcase_add_test(c, calls_of_an_intruder_end_the_process);
	tcase_add_test(c, programs_where_permitted);
	tcase_add_test(c, the_sandbox_daemon);
#endif
	tcase_add_test(c, folders);
	suite_add_tcase(suite, c);
	SRunner *r = srunner_create(suite);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
