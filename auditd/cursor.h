/* cursor: the file that remembers how far a process aside got with which trail. */
#ifndef AUDITD_CURSOR_H
#define AUDITD_CURSOR_H

#include <stdint.h>

#include "libocu/trail_format.h"

struct cursor {
	const char *path;
	char trail[OCU_TRAIL_ID_MAX];
	uint64_t saved;
};

/* What was saved for the trail, when it is not past `limit`; else 0, and all begins anew, which the log says
 * when there was something else. */
uint64_t cursor_load(struct cursor *c, const char *trail, uint64_t limit);
/* Atomically; a failure is logged, and the next save tries again. */
void cursor_save(struct cursor *c, uint64_t n);

#endif
