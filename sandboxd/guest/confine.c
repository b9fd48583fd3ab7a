/* confine: see confine.h. */
#include "sandboxd/guest/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Names of newer kernels' headers; the values are the kernel's ABI. */
#define ACCESS_REFER    (1ULL << 13) /* ABI 2 */
#define ACCESS_TRUNCATE (1ULL << 14) /* ABI 3 */
#define SCOPE_ALL       3ULL         /* ABI 6: abstract unix sockets, signals */

#define ACCESS_WRITE                                                                                         \
	(LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE |    \
	 LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG |          \
	 LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_BLOCK |       \
	 LANDLOCK_ACCESS_FS_MAKE_SYM)

/* struct landlock_ruleset_attr of ABI 6; the size that is passed says how much of it the kernel knows. */
struct ruleset {
	uint64_t fs, net, scoped;
};

static const struct {
	const char *path;
	uint64_t only; /* 0: every kind of writing */
} writable[] = {
    {"/workspace", 0},
    {"/tmp", 0},
    {"/root", 0},
    {"/run", 0},
    {"/dev", 0},
    /* A program's own settings there (oom_score_adj, comm); the rest of /proc is read-only by mount. */
    {"/proc", LANDLOCK_ACCESS_FS_WRITE_FILE},
};

static int allow_path(int ruleset, const char *path, uint64_t access)
{
	struct landlock_path_beneath_attr rule = {.allowed_access = access};
	int rc;

	rule.parent_fd = open(path, O_PATH | O_CLOEXEC);
	if (rule.parent_fd < 0)
		return errno == ENOENT ? 0 : -errno;
	rc = syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0 ? -errno : 0;
	close(rule.parent_fd);
	return rc;
}

static int restrict_writes(int abi)
{
	struct ruleset rs = {.fs = ACCESS_WRITE};
	size_t size = sizeof rs.fs;
	int fd, rc = 0;

	if (abi >= 2)
		rs.fs |= ACCESS_REFER;
	if (abi >= 3)
		rs.fs |= ACCESS_TRUNCATE;
	if (abi >= 6) {
		rs.scoped = SCOPE_ALL;
		size = sizeof rs;
	}
	fd = (int)syscall(SYS_landlock_create_ruleset, &rs, size, 0);
	if (fd < 0)
		return -errno;
	for (size_t i = 0; rc == 0 && i < sizeof writable / sizeof *writable; i++)
		rc = allow_path(fd, writable[i].path, writable[i].only ? writable[i].only : rs.fs);
	if (rc == 0 && syscall(SYS_landlock_restrict_self, fd, 0) < 0)
		rc = -errno;
	close(fd);
	return rc;
}

int confine(void)
{
	int abi, rc;

	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	abi = (int)syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	if (abi < 1)
		return 0;
	rc = restrict_writes(abi);
	return rc < 0 ? rc : abi;
}
