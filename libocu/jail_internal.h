/* jail_internal: the two kernel mechanisms jail.c calls, one file each. */
#ifndef OCU_JAIL_INTERNAL_H
#define OCU_JAIL_INTERNAL_H

#include "libocu/jail.h"

/* The sanitizers' run time reads /proc, traces itself at exit and starts threads of its own. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define OCU_JAIL_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define OCU_JAIL_SANITIZER 1
#endif
#endif
#ifndef OCU_JAIL_SANITIZER
#define OCU_JAIL_SANITIZER 0
#endif

/* *ret_abi: the kernel's Landlock ABI, 0 when it has none; that alone is not a failure. */
int ocu_jail_landlock(const struct ocu_jail *j, int *ret_abi, struct ocu_error *err);
int ocu_jail_seccomp(const struct ocu_jail *j, struct ocu_error *err);

#endif
