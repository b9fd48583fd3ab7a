/* forward_page: what auditd and the process that forwards tell each other. Internal to forward. */
#ifndef AUDITD_FORWARD_PAGE_H
#define AUDITD_FORWARD_PAGE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "auditd/link.h"
#include "libocu/err.h"

#define FORWARD_TICK_MS 100
#define FORWARD_STOP_MS 3000 /* from the request to stop until what is left is left */

enum forward_state { FORWARD_TRYING, FORWARD_REACHED, FORWARD_UNREACHABLE };

struct forward_page {
	/* auditd's */
	_Atomic uint64_t durable; /* records that may be sent */
	_Atomic bool stop;
	/* the process's */
	_Atomic uint64_t sent;  /* the collector has the records up to this one, as far as TCP can tell */
	_Atomic unsigned state; /* enum forward_state */
	char why[OCU_ERROR_TEXT_MAX]; /* of FORWARD_UNREACHABLE; may be torn */
};

struct forward_opts {
	struct link_opts link;
	const char *trail_dir;
	const char *cursor; /* file that remembers how far it got; its folder is writable */
	const char *host;   /* HOSTNAME */
	unsigned facility;
};

/* Memory that two processes share tells nobody that it changed: it is looked at again after a while. */
static inline void forward_pause(unsigned ms)
{
	struct timespec t = {ms / 1000, (long)(ms % 1000) * 1000000};
	nanosleep(&t, NULL);
}

/* Forwards until the page says stop. */
void forward_run(const struct forward_opts *o, struct forward_page *page);

#endif
