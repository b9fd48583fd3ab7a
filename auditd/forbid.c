#include "auditd/forbid.h"

#include <errno.h>
#include <sched.h>
#include <seccomp.h>

#include "libocu/err.h"

static int load(scmp_filter_ctx ctx, int rc, struct ocu_error *err)
{
	if (!rc)
		rc = seccomp_load(ctx);
	seccomp_release(ctx);
	return rc ? ocu_error_errno(err, OCU_E_INTERNAL, -rc, "forbidding system calls") : 0;
}

int forbid_calls(const int *calls, struct ocu_error *err)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);
	int rc = ctx ? 0 : -ENOMEM;
	for (; !rc && *calls != -1; calls++)
		rc = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), *calls, 0);
	return load(ctx, rc, err);
}

/* clone3 answers ENOSYS already (jail), so what libc makes threads with is clone. */
int forbid_processes(struct ocu_error *err)
{
	static const int calls[] = {SCMP_SYS(fork), SCMP_SYS(vfork), SCMP_SYS(kill), -1};
	int rc = forbid_calls(calls, err);
	if (rc)
		return rc;
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);
	rc = ctx ? seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(clone), 1,
	                            SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, 0))
	         : -ENOMEM;
	return load(ctx, rc, err);
}
