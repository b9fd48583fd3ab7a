#include "auditd/forbid.h"

#include <errno.h>
#include <seccomp.h>

#include "libocu/err.h"

int forbid_calls(const int *calls, struct ocu_error *err)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);
	int rc = ctx ? 0 : -ENOMEM;
	for (; !rc && *calls != -1; calls++)
		rc = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), *calls, 0);
	if (!rc)
		rc = seccomp_load(ctx);
	seccomp_release(ctx);
	return rc ? ocu_error_errno(err, OCU_E_INTERNAL, -rc, "forbidding system calls") : 0;
}
