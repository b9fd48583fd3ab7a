/*
 * jail: identity and privileges. Capabilities and Landlock belong to a thread, so the jail is entered before
 * a second one exists, and refused afterwards. What was given up is tried once more: a drop that did not take
 * is a failure, not a hope.
 */
#include "libocu/jail.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/capability.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libocu/cleanup.h"
#include "libocu/err.h"
#include "libocu/jail_internal.h"

#define ID_MAX     ((uid_t)0x7fffffff)
#define CAP_BIT(c) (UINT64_C(1) << (c))
#define CAPS_MAX   64

/* --- who to become --- */

static bool parse_id(const char **s, unsigned *ret)
{
	char *end;
	unsigned long v;

	if (**s < '0' || **s > '9')
		return false;
	errno = 0;
	v = strtoul(*s, &end, 10);
	if (errno || v > ID_MAX)
		return false;
	*s = end;
	*ret = (unsigned)v;
	return true;
}

static int ids_of_name(const char *name, uid_t *uid, gid_t *gid, struct ocu_error *err)
{
	struct passwd pw, *found = NULL;
	char buf[4096];

	if (getpwnam_r(name, &pw, buf, sizeof buf, &found) != 0 || !found)
		return ocu_error_set(err, OCU_E_CONFIG, "run_as: no user %.64s", name);
	*uid = pw.pw_uid;
	*gid = pw.pw_gid;
	return 0;
}

int ocu_jail_ids(const char *run_as, uid_t *uid, gid_t *gid, struct ocu_error *err)
{
	const char *s = run_as;
	unsigned u, g;

	if (!run_as || !*run_as) {
		*uid = geteuid();
		*gid = getegid();
		return 0;
	}
	if (*s < '0' || *s > '9')
		return ids_of_name(run_as, uid, gid, err);
	if (!parse_id(&s, &u))
		return ocu_error_set(err, OCU_E_CONFIG, "run_as: not a user id: %.64s", run_as);
	g = u; /* a numeric user without an entry anywhere has a group of the same number */
	if (*s == ':' && (s++, !parse_id(&s, &g)))
		return ocu_error_set(err, OCU_E_CONFIG, "run_as: not a group id: %.64s", run_as);
	if (*s)
		return ocu_error_set(err, OCU_E_CONFIG, "run_as: want uid[:gid] or a user name: %.64s",
		                     run_as);
	*uid = u;
	*gid = g;
	return 0;
}

static int check_alone(struct ocu_error *err)
{
	DIR *d = opendir("/proc/self/task");
	int n = 0;

	if (!d)
		return ocu_error_errno(err, OCU_E_STATE, errno, "counting threads");
	for (const struct dirent *e = readdir(d); e; e = readdir(d))
		n += e->d_name[0] != '.';
	closedir(d);
	if (n != 1 && !OCU_JAIL_SANITIZER)
		return ocu_error_set(err, OCU_E_STATE,
		                     "the jail is entered before other threads are started (%d run)", n);
	return 0;
}

/* --- user and groups --- */

/* Would be possible only with a right that should be gone. */
static bool can_return(uid_t old_uid, gid_t old_gid, uid_t uid, gid_t gid)
{
	if (uid != old_uid && (setresuid(old_uid, old_uid, old_uid) == 0 || seteuid(old_uid) == 0))
		return true;
	return gid != old_gid && (setresgid(old_gid, old_gid, old_gid) == 0 || setegid(old_gid) == 0);
}

static int become(uid_t uid, gid_t gid, struct ocu_error *err)
{
	uid_t ru, eu, su;
	gid_t rg, eg, sg;

	/* The permitted set survives the switch, so that the bounding set can be emptied after it. */
	if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0)
		return ocu_error_errno(err, OCU_E_DENIED, errno, "keeping capabilities over the switch");
	if (setgroups(0, NULL) < 0 || setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0)
		return ocu_error_errno(err, OCU_E_DENIED, errno, "becoming %u:%u", (unsigned)uid,
		                       (unsigned)gid);
	if (getresuid(&ru, &eu, &su) < 0 || getresgid(&rg, &eg, &sg) < 0 || ru != uid || eu != uid ||
	    su != uid || rg != gid || eg != gid || sg != gid || getgroups(0, NULL) != 0)
		return ocu_error_set(err, OCU_E_DENIED, "user and groups are not what was asked for");
	return 0;
}

/* --- capabilities --- */

static int set_caps(uint64_t effective, uint64_t permitted, struct ocu_error *err)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {
	    {.effective = (uint32_t)effective, .permitted = (uint32_t)permitted},
	    {.effective = (uint32_t)(effective >> 32), .permitted = (uint32_t)(permitted >> 32)},
	};

	if (capset(&head, data) < 0)
		return ocu_error_errno(err, OCU_E_DENIED, errno, "setting capabilities");
	return 0;
}

static int get_caps(uint64_t *effective, uint64_t *permitted, struct ocu_error *err)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2];

	if (capget(&head, data) < 0)
		return ocu_error_errno(err, OCU_E_DENIED, errno, "reading capabilities");
	*effective = data[0].effective | (uint64_t)data[1].effective << 32;
	*permitted = data[0].permitted | (uint64_t)data[1].permitted << 32;
	return 0;
}

static int drop_caps(uint64_t keep, struct ocu_error *err)
{
	uint64_t effective = 0, permitted = 0;
	int rc = get_caps(&effective, &permitted, err);

	if (rc)
		return rc;
	if (keep & ~permitted)
		return ocu_error_set(err, OCU_E_DENIED,
		                     "capabilities that are to be kept are not there (missing %#llx)",
		                     (unsigned long long)(keep & ~permitted));
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
		return ocu_error_errno(err, OCU_E_DENIED, errno, "clearing ambient capabilities");
	/* Without CAP_SETPCAP the bounding set stays; no-new-privileges then is what makes it useless. */
	if (permitted & CAP_BIT(CAP_SETPCAP)) {
		rc = set_caps(permitted, permitted, err);
		for (int c = 0; !rc && c < CAPS_MAX && prctl(PR_CAPBSET_READ, c, 0, 0, 0) >= 0; c++)
			if (!(keep & CAP_BIT(c)) && prctl(PR_CAPBSET_DROP, c, 0, 0, 0) < 0)
				rc = ocu_error_errno(err, OCU_E_DENIED, errno, "dropping capability %d", c);
		if (rc)
			return rc;
	}
	rc = set_caps(keep, keep, err);
	if (!rc)
		rc = get_caps(&effective, &permitted, err);
	if (!rc && (effective != keep || permitted != keep))
		rc = ocu_error_set(err, OCU_E_DENIED, "capabilities did not go");
	return rc;
}

int ocu_jail_enter(const struct ocu_jail *j, int *ret_landlock_abi, struct ocu_error *err)
{
	const uint64_t keep = j->keep_caps ? *j->keep_caps : 0;
	const uint64_t identity_caps = CAP_BIT(CAP_SETUID) | CAP_BIT(CAP_SETGID);
	const uid_t old_uid = geteuid();
	const gid_t old_gid = getegid();
	uid_t uid = old_uid;
	gid_t gid = old_gid;
	int abi = 0;
	int rc;

	if ((rc = check_alone(err)) || (rc = ocu_jail_ids(j->run_as, &uid, &gid, err)))
		return rc;
	if ((uid != old_uid || gid != old_gid) && (rc = become(uid, gid, err)))
		return rc;
	rc = drop_caps(keep, err);
	if (rc)
		return rc;
	if (!(keep & identity_caps) && can_return(old_uid, old_gid, uid, gid))
		return ocu_error_set(err, OCU_E_DENIED, "the former user can be taken back");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return ocu_error_errno(err, OCU_E_DENIED, errno, "no-new-privileges");
	if (!OCU_JAIL_SANITIZER && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return ocu_error_errno(err, OCU_E_DENIED, errno, "dumpable off");
	if ((rc = ocu_jail_landlock(j, &abi, err)) || (rc = ocu_jail_seccomp(j, err)))
		return rc;
	if (ret_landlock_abi)
		*ret_landlock_abi = abi;
	return 0;
}

/* --- folders --- */

/* Missing parents, as the current user, passable by all. */
static int make_parents(char *path, struct ocu_error *err)
{
	for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		int rc = mkdir(path, 0755);
		int e = errno;
		/* The umask of a daemon is 077, which would lock the other daemons' users out. */
		if (rc == 0)
			rc = chmod(path, 0755);
		else if (e == EEXIST)
			rc = 0;
		*slash = '/';
		if (rc < 0)
			return ocu_error_errno(err, OCU_E_IO, e, "making the folders of %s", path);
	}
	return 0;
}

/* A private folder must be its owner's and closed to others; a shared one is taken as the operator made it.
 */
static int settle(int fd, bool made, const char *path, uid_t uid, gid_t gid, mode_t mode,
                  struct ocu_error *err)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return ocu_error_errno(err, OCU_E_IO, errno, "stat %s", path);
	if (!made && (mode & 077))
		return 0;
	/* The mode while it is still ours: for another's folder it takes a right that sandboxd does not have.
	 */
	if (made && fchmod(fd, mode) < 0)
		return ocu_error_errno(err, OCU_E_IO, errno, "mode of %s", path);
	if ((st.st_uid != uid || st.st_gid != gid) && fchown(fd, uid, gid) < 0)
		return ocu_error_errno(err, OCU_E_IO, errno, "%s belongs to user %u, want %u", path,
		                       (unsigned)st.st_uid, (unsigned)uid);
	if (!made && (st.st_mode & 07777) != mode && fchmod(fd, mode) < 0)
		return ocu_error_errno(err, OCU_E_IO, errno, "mode of %s", path);
	return 0;
}

int ocu_jail_mkdir(const char *path, uid_t uid, gid_t gid, mode_t mode, struct ocu_error *err)
{
	char copy[PATH_MAX];
	size_t n = strlen(path);
	bool made;
	int rc;

	if (n == 0 || n >= sizeof copy)
		return ocu_error_set(err, OCU_E_INVALID, "not a usable folder name");
	memcpy(copy, path, n + 1);
	while (n > 1 && copy[n - 1] == '/')
		copy[--n] = '\0';
	rc = make_parents(copy, err);
	if (rc)
		return rc;
	made = mkdir(copy, mode) == 0;
	if (!made && errno != EEXIST)
		return ocu_error_errno(err, OCU_E_IO, errno, "making %s", copy);
	OCU_CLOSE int fd = open(copy, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return ocu_error_errno(err, OCU_E_IO, errno, "%s is not a folder of its own", copy);
	return settle(fd, made, copy, uid, gid, mode, err);
}
