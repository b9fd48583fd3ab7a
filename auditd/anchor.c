/* anchor: see anchor.h. The new one replaces the old one in one step, whole. */
#include "auditd/anchor.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "libocu/cleanup.h"
#include "libocu/err.h"
#include "libocu/trail_anchor.h"

static int failed(struct ocu_error *err, const char *what)
{
	bool space = errno == ENOSPC || errno == EDQUOT || errno == EFBIG;
	return ocu_error_errno(err, space ? OCU_E_NO_SPACE : OCU_E_IO, errno, "%s the anchor", what);
}

int anchor_write(int dirfd, const struct ocu_trail_anchor *a, const struct ocu_signer *signer,
                 struct ocu_error *err)
{
	static const char part[] = "anchor.tmp";
	char text[OCU_TRAIL_ANCHOR_MAX];
	int rc = ocu_trail_anchor_put(text, a, signer, err);
	if (rc)
		return rc;
	size_t len = strlen(text);
	unlinkat(dirfd, part, 0);
	OCU_CLOSE int fd = openat(dirfd, part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return failed(err, "making");
	errno = ENOSPC;
	if (write(fd, text, len) != (ssize_t)len || fsync(fd))
		return failed(err, "writing");
	if (renameat(dirfd, part, dirfd, OCU_TRAIL_ANCHOR) || fsync(dirfd))
		return failed(err, "naming");
	return 0;
}
