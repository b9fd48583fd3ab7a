/* forward_run: what the process that forwards does. */
#ifndef AUDITD_FORWARD_RUN_H
#define AUDITD_FORWARD_RUN_H

#include "auditd/link.h"

struct aside_page;

struct forward_opts {
	struct link_opts link;
	const char *trail_dir;
	const char *cursor; /* file that remembers how far it got; its folder is writable */
	const char *host;   /* HOSTNAME */
	unsigned facility;
};

/* Forwards until the page says stop. */
void forward_run(const struct forward_opts *o, struct aside_page *page);

#endif
