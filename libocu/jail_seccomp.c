/*
 * jail_seccomp: which system calls are left. An ordinary daemon gets an allow-list; anything else fails with
 * EPERM, and calls that only an intruder would make end the process. clone3 answers ENOSYS, so that the C
 * library falls back to clone, whose flags a filter can see: threads yes, processes only with allow_exec,
 * namespaces never.
 *
 * With allow_mount (sandboxd) the filter is inherited by runtimes and guests, whose own profile decides;
 * there the list is turned round: all but what could change the whole host, with EPERM rather than a kill.
 */
#include <errno.h>
#include <linux/fs.h>
#include <linux/sched.h>
#include <linux/sockios.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "libocu/err.h"
#include "libocu/jail_internal.h"

#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#endif
#ifndef FUSE_DEV_IOC_CLONE
#define FUSE_DEV_IOC_CLONE 0x8004e500u
#endif

#define NAMESPACE_FLAGS                                                                                      \
	(CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET |           \
	 CLONE_NEWCGROUP)

static const char *const allowed[] = {
    /* descriptors and data */
    "read", "write", "readv", "writev", "pread64", "pwrite64", "preadv", "pwritev", "preadv2", "pwritev2",
    "close", "close_range", "dup", "dup2", "dup3", "lseek", "fcntl", "flock", "fsync", "fdatasync",
    "sync_file_range", "syncfs", "ftruncate", "fallocate", "fadvise64", "readahead", "copy_file_range",
    "sendfile", "splice", "tee", "vmsplice", "pipe", "pipe2", "memfd_create",
    /* files */
    "open", "openat", "openat2", "stat", "fstat", "lstat", "newfstatat", "statx", "statfs", "fstatfs",
    "access", "faccessat", "faccessat2", "readlink", "readlinkat", "getdents", "getdents64", "mkdir",
    "mkdirat", "rmdir", "unlink", "unlinkat", "rename", "renameat", "renameat2", "link", "linkat", "symlink",
    "symlinkat", "chmod", "fchmod", "fchmodat", "fchmodat2", "chown", "fchown", "lchown", "fchownat",
    "truncate", "utimensat", "utimes", "utime", "futimesat", "umask", "getcwd", "chdir", "fchdir", "getxattr",
    "lgetxattr", "fgetxattr", "setxattr", "lsetxattr", "fsetxattr", "listxattr", "llistxattr", "flistxattr",
    "removexattr", "lremovexattr", "fremovexattr", "inotify_init1", "inotify_add_watch", "inotify_rm_watch",
    /* memory */
    "mmap", "munmap", "mremap", "mprotect", "madvise", "mlock", "mlock2", "munlock", "mincore", "brk",
    "msync", "membarrier",
    /* threads and scheduling */
    "futex", "futex_waitv", "set_robust_list", "get_robust_list", "rseq", "set_tid_address", "gettid", "exit",
    "exit_group", "sched_yield", "sched_getaffinity", "sched_setaffinity", "sched_getparam",
    "sched_getscheduler", "sched_get_priority_max", "sched_get_priority_min", "getpriority", "getcpu",
    /* signals */
    "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "rt_sigpending", "rt_sigtimedwait", "rt_sigsuspend",
    "sigaltstack", "tgkill", "signalfd", "signalfd4", "restart_syscall", "pause", "alarm",
    /* time */
    "clock_gettime", "clock_getres", "clock_nanosleep", "nanosleep", "gettimeofday", "time", "times",
    "timer_create", "timer_settime", "timer_gettime", "timer_delete", "timerfd_create", "timerfd_settime",
    "timerfd_gettime", "getitimer", "setitimer",
    /* waiting */
    "poll", "ppoll", "select", "pselect6", "epoll_create", "epoll_create1", "epoll_ctl", "epoll_wait",
    "epoll_pwait", "epoll_pwait2", "eventfd", "eventfd2", "wait4", "waitid",
    /* sockets; the families are narrowed below */
    "bind", "connect", "listen", "accept", "accept4", "getsockname", "getpeername", "getsockopt",
    "setsockopt", "shutdown", "sendto", "recvfrom", "sendmsg", "recvmsg", "sendmmsg", "recvmmsg",
    /* about this process */
    "getpid", "getppid", "getuid", "geteuid", "getgid", "getegid", "getresuid", "getresgid", "getgroups",
    "getpgrp", "getpgid", "getsid", "getrusage", "getrlimit", "prlimit64", "uname", "sysinfo", "getrandom",
    "arch_prctl", "capget", "seccomp", "landlock_create_ruleset", "landlock_add_rule",
    "landlock_restrict_self", "pidfd_open"};

static const char *const allowed_exec[] = {"execve", "execveat", "fork",      "vfork",
                                           "kill",   "setpgid",  "setsid",    "pidfd_send_signal",
                                           "waitid", "wait4",    "setrlimit", "setpriority"};

#if OCU_JAIL_SANITIZER
static const char *const allowed_sanitizer[] = {"ptrace",      "clone", "clone3", "kill",
                                                "personality", "prctl", "fork"};
#endif

static const char *const hostile[] = {"ptrace",         "process_vm_readv", "process_vm_writev",
                                      "kexec_load",     "kexec_file_load",  "bpf",
                                      "keyctl",         "add_key",          "request_key",
                                      "userfaultfd",    "perf_event_open",  "init_module",
                                      "finit_module",   "delete_module",    "reboot",
                                      "swapon",         "swapoff",          "io_uring_setup",
                                      "io_uring_enter", "io_uring_register"};

/* Calls that reach past every namespace; what runtimes and guests need of `hostile` is theirs to decide. */
static const char *const host_wide[] = {"kexec_load",    "kexec_file_load",
                                        "init_module",   "finit_module",
                                        "delete_module", "reboot",
                                        "swapon",        "swapoff",
                                        "settimeofday",  "clock_settime",
                                        "clock_adjtime", "adjtimex",
                                        "acct",          "iopl",
                                        "ioperm",        "quotactl",
                                        "quotactl_fd",   "open_by_handle_at",
                                        "nfsservctl",    "syslog",
                                        "lookup_dcookie"};

static const uint32_t families[] = {AF_UNIX, AF_INET, AF_INET6, AF_NETLINK};

/* What the C library, the TLS libraries, libfuse and c-ares ask of a descriptor; no terminal can be written
 * to. */
static const uint32_t ioctls[] = {TCGETS,       TIOCGWINSZ,      FIONBIO,           FIONREAD,    FIOCLEX,
                                  FIONCLEX,     TIOCOUTQ,        SIOCGIFINDEX,      SIOCGIFNAME, FICLONE,
                                  FICLONERANGE, FS_IOC_GETFLAGS, FUSE_DEV_IOC_CLONE};

/* Files, and the names of pipes and sockets between a guest's own processes, which brokerd keeps for it;
 * never a device. */
static const uint32_t node_types[] = {S_IFREG, S_IFIFO, S_IFSOCK};

#if !OCU_JAIL_SANITIZER
/* prctl is many calls; these are the harmless ones the libraries make. */
static const uint32_t prctls[] = {PR_SET_NAME, PR_GET_NAME,         PR_GET_DUMPABLE,     PR_SET_PDEATHSIG,
                                  PR_SET_VMA,  PR_SET_NO_NEW_PRIVS, PR_GET_NO_NEW_PRIVS, PR_CAPBSET_READ};
#endif

#define COUNT(a) (sizeof(a) / sizeof *(a))

/* A name this libseccomp or this architecture does not know is a call nobody here can make. */
static int add_names(scmp_filter_ctx ctx, uint32_t action, const char *const *names, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		int nr = seccomp_syscall_resolve_name(names[i]);
		int rc = nr < 0 ? 0 : seccomp_rule_add(ctx, action, nr, 0);
		if (rc && rc != -EEXIST)
			return rc;
	}
	return 0;
}

/* The kernel looks at the low 32 bits of these arguments; so does the comparison, or high bits would get past
 * it. */
static int allow_value(scmp_filter_ctx ctx, int nr, unsigned arg, uint32_t mask, uint32_t value)
{
	const struct scmp_arg_cmp cmp = {
	    .arg = arg, .op = SCMP_CMP_MASKED_EQ, .datum_a = mask, .datum_b = value};

	return seccomp_rule_add_array(ctx, SCMP_ACT_ALLOW, nr, 1, &cmp);
}

static int allow_values(scmp_filter_ctx ctx, int nr, unsigned arg, const uint32_t *values, size_t n)
{
	int rc = 0;

	for (size_t i = 0; !rc && i < n; i++)
		rc = allow_value(ctx, nr, arg, UINT32_MAX, values[i]);
	return rc;
}

#if !OCU_JAIL_SANITIZER
static int add_clone(scmp_filter_ctx ctx, bool allow_exec)
{
	const uint32_t must = allow_exec ? 0 : CLONE_THREAD;
	int rc = allow_value(ctx, SCMP_SYS(clone), 0, NAMESPACE_FLAGS | must, must);

	return rc ? rc : seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
}
#endif

static int add_narrowed(scmp_filter_ctx ctx)
{
	int rc = allow_values(ctx, SCMP_SYS(socket), 0, families, COUNT(families));

	if (!rc)
		rc = allow_value(ctx, SCMP_SYS(socketpair), 0, UINT32_MAX, AF_UNIX);
	for (size_t i = 0; !rc && i < COUNT(node_types); i++)
		rc = allow_value(ctx, SCMP_SYS(mknodat), 2, S_IFMT, node_types[i]);
	if (!rc)
		rc = allow_values(ctx, SCMP_SYS(ioctl), 1, ioctls, COUNT(ioctls));
#if !OCU_JAIL_SANITIZER
	if (!rc)
		rc = allow_values(ctx, SCMP_SYS(prctl), 0, prctls, COUNT(prctls));
#endif
	return rc;
}

static int fill_daemon(scmp_filter_ctx ctx, const struct ocu_jail *j)
{
	int rc;

#if OCU_JAIL_SANITIZER
	if ((rc = add_names(ctx, SCMP_ACT_ALLOW, allowed_sanitizer, COUNT(allowed_sanitizer))) ||
	    (rc = add_names(ctx, SCMP_ACT_KILL_PROCESS, hostile + 1, COUNT(hostile) - 1)))
		return rc;
#else
	if ((rc = add_clone(ctx, j->allow_exec)) ||
	    (rc = add_names(ctx, SCMP_ACT_KILL_PROCESS, hostile, COUNT(hostile))))
		return rc;
#endif
	if ((rc = add_names(ctx, SCMP_ACT_ALLOW, allowed, COUNT(allowed))) ||
	    (j->allow_exec && (rc = add_names(ctx, SCMP_ACT_ALLOW, allowed_exec, COUNT(allowed_exec)))))
		return rc;
	return add_narrowed(ctx);
}

static int fill_host(scmp_filter_ctx ctx)
{
	/* Guests may run 32-bit programs; the same calls are refused to them. */
#if defined(__x86_64__)
	int rc = seccomp_arch_add(ctx, SCMP_ARCH_X86);
	if (rc && rc != -EEXIST)
		return rc;
#elif defined(__aarch64__)
	int rc = seccomp_arch_add(ctx, SCMP_ARCH_ARM);
	if (rc && rc != -EEXIST)
		return rc;
#endif
	return add_names(ctx, SCMP_ACT_ERRNO(EPERM), host_wide, COUNT(host_wide));
}

int ocu_jail_seccomp(const struct ocu_jail *j, struct ocu_error *err)
{
	scmp_filter_ctx ctx = seccomp_init(j->allow_mount ? SCMP_ACT_ALLOW : SCMP_ACT_ERRNO(EPERM));
	int rc = -ENOMEM;

	if (ctx && (rc = seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS)) == 0 &&
	    (rc = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_TSYNC, 1)) == 0) {
		/* A tree instead of a list: matters for calls whose arguments are looked at. Older libraries
		 * have none. */
		(void)seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
		rc = j->allow_mount ? fill_host(ctx) : fill_daemon(ctx, j);
	}
	if (!rc)
		rc = seccomp_load(ctx);
	seccomp_release(ctx);
	return rc ? ocu_error_errno(err, OCU_E_INTERNAL, -rc, "loading the seccomp filter") : 0;
}
