/*
 * fail: what went wrong with a request, in words for the caller. The codes are those of proto/agent.proto,
 * negative as return values. The text may name the guest's own paths: they are the caller's own.
 */
#ifndef OCU_GUEST_FAIL_H
#define OCU_GUEST_FAIL_H

#include "proto/agent.pb-c.h"

enum {
	FAIL_IO = -OCU__AGENT__CODE__IO,
	FAIL_PARAMS = -OCU__AGENT__CODE__PARAMS,
	FAIL_NOT_FOUND = -OCU__AGENT__CODE__NOT_FOUND,
	FAIL_EXISTS = -OCU__AGENT__CODE__EXISTS,
	FAIL_NOT_PERMITTED = -OCU__AGENT__CODE__NOT_PERMITTED,
	FAIL_TOO_LARGE = -OCU__AGENT__CODE__TOO_LARGE,
	FAIL_NO_SPACE = -OCU__AGENT__CODE__NO_SPACE,
	FAIL_NO_MEMORY = -OCU__AGENT__CODE__NO_MEMORY,
	FAIL_BUSY = -OCU__AGENT__CODE__BUSY,
	FAIL_WRONG_STATE = -OCU__AGENT__CODE__WRONG_STATE,
	FAIL_CANCELLED = -OCU__AGENT__CODE__CANCELLED,
	FAIL_UNKNOWN_REQUEST = -OCU__AGENT__CODE__UNKNOWN_REQUEST,
};

struct fail {
	int code; /* one of the above, 0 when nothing failed */
	char text[512];
};

/* Sets and returns code. */
int fail_set(struct fail *f, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* From errno, with the code that suits it: "<what> <path>: <reason>". */
int fail_errno(struct fail *f, int sys_errno, const char *what, const char *path);

#endif
