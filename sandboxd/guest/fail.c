/* fail: error texts and the way from errno to a code; see fail.h. */
#include "sandboxd/guest/fail.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int fail_set(struct fail *f, int code, const char *fmt, ...)
{
	va_list ap;

	f->code = code;
	va_start(ap, fmt);
	vsnprintf(f->text, sizeof f->text, fmt, ap);
	va_end(ap);
	return code;
}

static int code_of(int sys_errno)
{
	static const struct {
		int sys_errno, code;
	} map[] = {
	    {ENOENT, FAIL_NOT_FOUND},    {ENOTDIR, FAIL_NOT_FOUND},   {EACCES, FAIL_NOT_PERMITTED},
	    {EPERM, FAIL_NOT_PERMITTED}, {EROFS, FAIL_NOT_PERMITTED}, {ENOSPC, FAIL_NO_SPACE},
	    {EDQUOT, FAIL_NO_SPACE},     {EEXIST, FAIL_EXISTS},       {EISDIR, FAIL_PARAMS},
	    {ELOOP, FAIL_PARAMS},        {ENAMETOOLONG, FAIL_PARAMS}, {EFBIG, FAIL_TOO_LARGE},
	    {ENOMEM, FAIL_NO_MEMORY},    {EAGAIN, FAIL_BUSY},         {E2BIG, FAIL_TOO_LARGE},
	};

	for (size_t i = 0; i < sizeof map / sizeof *map; i++)
		if (map[i].sys_errno == sys_errno)
			return map[i].code;
	return FAIL_IO;
}

int fail_errno(struct fail *f, int sys_errno, const char *what, const char *path)
{
	return fail_set(f, code_of(sys_errno), "%s %.380s: %s", what, path, strerror(sys_errno));
}
