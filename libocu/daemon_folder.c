/* daemon_folder: a folder that another daemon has to make room for first; see daemon.h. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include "libocu/clock.h"
#include "libocu/daemon.h"
#include "libocu/err.h"
#include "libocu/jail.h"
#include "libocu/log.h"

#define LOOK_AGAIN_MS 100

/* Signals are blocked, and nobody waits for them yet. */
static bool told_to_stop(void)
{
	const struct timespec pause = {.tv_nsec = LOOK_AGAIN_MS * 1000000L};
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	return sigtimedwait(&set, NULL, &pause) > 0;
}

/* A shared folder is taken as it was made, be it another's still. */
static int make(const char *path, const struct ocu_daemon_owner *owner, struct ocu_error *err)
{
	int rc = ocu_jail_mkdir(path, owner->uid, owner->gid, owner->mode, err);

	return rc == 0 && faccessat(AT_FDCWD, path, W_OK, AT_EACCESS) < 0
	           ? ocu_error_errno(err, OCU_E_IO, errno, "writing to %s", path)
	           : rc;
}

int ocu_daemon_folder(const char *path, const struct ocu_daemon_owner *owner, uint64_t wait_ms,
                      struct ocu_error *err)
{
	uint64_t end = ocu_mono_ms() + wait_ms;
	struct ocu_error own = {0};
	bool told = false;

	while (make(path, owner, &own)) {
		if (own.sys_errno != EACCES || ocu_mono_ms() >= end) {
			if (err)
				*err = own;
			return own.code;
		}
		if (!told)
			ocu_log(OCU_LOG_INFO, "daemon.waiting", NULL, "folder", path, NULL);
		told = true;
		if (told_to_stop())
			return ocu_error_set(err, OCU_E_CANCELLED, "told to stop while waiting for %s", path);
	}
	return 0;
}
