/*
 * jail: giving rights up, before a peer's byte is read. Order inside ocu_jail_enter(): groups and uid,
 * capabilities (ambient cleared, bounding set and all others dropped but `keep`), no-new-privileges, dumpable
 * off, Landlock, seccomp. Each step that fails is fatal to the caller, except Landlock where the kernel has
 * none, which is reported in *ret_landlock_abi = 0.
 *
 * Enter before anything starts a thread (HTTP server, RPC, audit, denylist): capabilities and Landlock belong
 * to a thread, so a second one would stay outside; that is refused with OCU_E_STATE. After it: /proc/self is
 * the kernel's (dumpable is off), fork and exec fail without allow_exec, clone3 answers ENOSYS, calls that
 * are not listed fail with EPERM, and those only an intruder makes end the process. Public files that the
 * libraries themselves read (/usr, /etc/ssl, /etc/resolv.conf and the like) need not be in `paths`.
 *
 * allow_mount is for the daemon whose filter runtimes and guests inherit: then only calls that reach past
 * every namespace are refused (EPERM), the rest is left to the sandbox's own profile.
 */
#ifndef OCU_JAIL_H
#define OCU_JAIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct ocu_error;

struct ocu_jail_path {
	const char *path; /* missing paths are skipped */
	bool write;       /* else read and, for programs, execute */
};

struct ocu_jail {
	const char *run_as;                /* "uid[:gid]", a user name, or "" to stay */
	const uint64_t *keep_caps;         /* bit mask pointer, NULL: none kept */
	const struct ocu_jail_path *paths; /* ends with {NULL}; NULL: Landlock restricts no files */
	bool allow_exec;                   /* seccomp: execve/fork of programs permitted */
	bool allow_mount;     /* seccomp: mount, namespaces, bpf and module-free administration (sandboxd) */
	bool no_inet_connect; /* seccomp cannot see addresses; Landlock ABI 4+: forbid TCP connect except
	                         `connect_ports` */
	const uint16_t *connect_ports; /* ends with 0 */
};

int ocu_jail_enter(const struct ocu_jail *j, int *ret_landlock_abi, struct ocu_error *err);
/* Parses run_as without applying it: for chowning state folders before the drop. "" gives the current ids. */
int ocu_jail_ids(const char *run_as, uid_t *uid, gid_t *gid, struct ocu_error *err);
/* mkdir -p with mode 0700 and owner; refuses symlinks in the last component. */
int ocu_jail_mkdir(const char *path, uid_t uid, gid_t gid, mode_t mode, struct ocu_error *err);

#endif
