/*
 * jail_landlock: which files can be named, which TCP ports connected to, and no signals or abstract sockets
 * outside of the jail. The kernel's ABI is detected and each right is handled only where it exists. The
 * constants are stated here because Debian 12's headers end at ABI 2.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/types.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "libocu/cleanup.h"
#include "libocu/err.h"
#include "libocu/jail_internal.h"

#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#define SYS_landlock_add_rule       445
#define SYS_landlock_restrict_self  446
#endif

#define CREATE_RULESET_VERSION 1u
#define RULE_PATH_BENEATH      1
#define RULE_NET_PORT          2

#define FS_EXECUTE     (1ull << 0)
#define FS_WRITE_FILE  (1ull << 1)
#define FS_READ_FILE   (1ull << 2)
#define FS_READ_DIR    (1ull << 3)
#define FS_REMOVE_DIR  (1ull << 4)
#define FS_REMOVE_FILE (1ull << 5)
#define FS_MAKE_CHAR   (1ull << 6)
#define FS_MAKE_DIR    (1ull << 7)
#define FS_MAKE_REG    (1ull << 8)
#define FS_MAKE_SOCK   (1ull << 9)
#define FS_MAKE_FIFO   (1ull << 10)
#define FS_MAKE_BLOCK  (1ull << 11)
#define FS_MAKE_SYM    (1ull << 12)
#define FS_REFER       (1ull << 13) /* ABI 2 */
#define FS_TRUNCATE    (1ull << 14) /* ABI 3 */
#define FS_IOCTL_DEV   (1ull << 15) /* ABI 5 */

#define NET_CONNECT_TCP (1ull << 1) /* ABI 4 */

#define SCOPE_ABSTRACT_UNIX (1ull << 0) /* ABI 6 */
#define SCOPE_SIGNAL        (1ull << 1)

struct ruleset {
	__u64 fs, net, scoped;
};

struct path_rule {
	__u64 allowed;
	__s32 fd;
} __attribute__((packed));

struct port_rule {
	__u64 allowed, port;
};

#define READ_RIGHTS (FS_READ_FILE | FS_READ_DIR)
#define WRITE_RIGHTS                                                                                         \
	(FS_WRITE_FILE | FS_REMOVE_DIR | FS_REMOVE_FILE | FS_MAKE_DIR | FS_MAKE_REG | FS_MAKE_SOCK |         \
	 FS_MAKE_FIFO | FS_MAKE_SYM | FS_REFER | FS_TRUNCATE | FS_IOCTL_DEV)
/* What may be granted on something that is not a folder. */
#define FILE_RIGHTS (FS_EXECUTE | FS_WRITE_FILE | FS_READ_FILE | FS_TRUNCATE | FS_IOCTL_DEV)

/* What the libraries themselves read, whatever the daemon: public files only. */
static const struct ocu_jail_path runtime_paths[] = {
    {"/usr", false},
    {"/lib", false},
    {"/lib64", false},
    {"/etc/ssl", false},
    {"/etc/gnutls", false},
    {"/etc/localtime", false},
    {"/etc/resolv.conf", false},
    {"/etc/hosts", false},
    {"/etc/host.conf", false},
    {"/etc/gai.conf", false},
    {"/etc/nsswitch.conf", false},
    {"/etc/services", false},
    {"/dev/null", true},
    {"/dev/urandom", false},
    {"/sys/devices/system/cpu", false},
#if OCU_JAIL_SANITIZER
    {"/proc", false},
#endif
    {NULL, false},
};

static __u64 fs_rights(int abi)
{
	__u64 r = (1ull << 13) - 1;

	if (abi >= 2)
		r |= FS_REFER;
	if (abi >= 3)
		r |= FS_TRUNCATE;
	if (abi >= 5)
		r |= FS_IOCTL_DEV;
	return r;
}

static size_t attr_size(int abi)
{
	if (abi >= 6)
		return sizeof(struct ruleset);
	return abi >= 4 ? 2 * sizeof(__u64) : sizeof(__u64);
}

static int add_path(int rules, const char *path, __u64 rights, struct ocu_error *err)
{
	OCU_CLOSE int fd = open(path, O_PATH | O_CLOEXEC);
	struct path_rule rule = {.allowed = rights, .fd = fd};
	struct stat st;

	if (fd < 0) /* missing, or not for this user to reach: then there is nothing to permit */
		return errno == ENOENT || errno == EACCES || errno == ENOTDIR
		           ? 0
		           : ocu_error_errno(err, OCU_E_IO, errno, "opening %s", path);
	if (fstat(fd, &st) < 0)
		return ocu_error_errno(err, OCU_E_IO, errno, "stat %s", path);
	if (!S_ISDIR(st.st_mode))
		rule.allowed &= FILE_RIGHTS;
	if (syscall(SYS_landlock_add_rule, rules, RULE_PATH_BENEATH, &rule, 0) < 0)
		return ocu_error_errno(err, OCU_E_INTERNAL, errno, "Landlock rule for %s", path);
	return 0;
}

static int add_paths(int rules, const struct ocu_jail_path *paths, __u64 read_rights, __u64 handled,
                     struct ocu_error *err)
{
	int rc = 0;

	for (const struct ocu_jail_path *p = paths; !rc && p && p->path; p++)
		rc = add_path(rules, p->path, (read_rights | (p->write ? WRITE_RIGHTS : 0)) & handled, err);
	return rc;
}

static int add_ports(int rules, const uint16_t *ports, struct ocu_error *err)
{
	for (; ports && *ports; ports++) {
		struct port_rule rule = {.allowed = NET_CONNECT_TCP, .port = *ports};
		if (syscall(SYS_landlock_add_rule, rules, RULE_NET_PORT, &rule, 0) < 0)
			return ocu_error_errno(err, OCU_E_INTERNAL, errno, "Landlock rule for port %u",
			                       *ports);
	}
	return 0;
}

int ocu_jail_landlock(const struct ocu_jail *j, int *ret_abi, struct ocu_error *err)
{
	const bool ports = j->no_inet_connect || j->connect_ports;
	int abi = (int)syscall(SYS_landlock_create_ruleset, NULL, 0, CREATE_RULESET_VERSION);
	struct ruleset attr = {0};
	int rc = 0;

	*ret_abi = abi > 0 ? abi : 0;
	if (abi < 1 || (!j->paths && !ports))
		return 0;
	attr.fs = j->paths ? fs_rights(abi) : 0;
	attr.net = ports && abi >= 4 ? NET_CONNECT_TCP : 0;
	attr.scoped = abi >= 6 ? SCOPE_ABSTRACT_UNIX | SCOPE_SIGNAL : 0;
	if (!attr.fs && !attr.net && !attr.scoped)
		return 0;
	OCU_CLOSE int rules = (int)syscall(SYS_landlock_create_ruleset, &attr, attr_size(abi), 0);
	if (rules < 0)
		return ocu_error_errno(err, OCU_E_INTERNAL, errno, "making a Landlock ruleset (ABI %d)", abi);
	if (attr.fs && ((rc = add_paths(rules, runtime_paths, READ_RIGHTS, attr.fs, err)) ||
	                (rc = add_paths(rules, j->paths, READ_RIGHTS | FS_EXECUTE, attr.fs, err))))
		return rc;
	if (attr.net && (rc = add_ports(rules, j->connect_ports, err)))
		return rc;
	if (syscall(SYS_landlock_restrict_self, rules, 0) < 0)
		return ocu_error_errno(err, OCU_E_INTERNAL, errno, "entering the Landlock domain");
	return 0;
}
