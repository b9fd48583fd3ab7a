/*
 * custodian: the connection to one of the two daemons that hold a session's descriptors, brokerd (files) and
 * egressd (network). It listens, sandboxd connects and goes on connecting; each handover is answered. When
 * the connection ends, so have the descriptors that went over it: `lost` is called, and after the next
 * connection `connected`.
 */
#ifndef OCU_SANDBOXD_CUSTODIAN_H
#define OCU_SANDBOXD_CUSTODIAN_H

#include <stddef.h>
#include <sys/types.h>

#include "proto/handover.pb-c.h"

struct custodian;
struct ocu_error;

struct custodian_opts {
	const char *name; /* for the log */
	const char *path; /* of its socket */
	uid_t uid;        /* who must be there */
	/* The folder of the socket is made, and is uid's, when it is missing: on a volume that only the two
	 * of us share, nobody else could. */
	int make_folder;
	/* All run on the custodian's own thread and may block. Each may be NULL. `tick` about once a second
	 * while connected. */
	void (*connected)(void *arg);
	void (*lost)(void *arg);
	void (*tick)(void *arg);
	void *arg;
};

int custodian_start(struct custodian **ret, const struct custodian_opts *o, struct ocu_error *err);
void custodian_stop(struct custodian *c); /* NULL is fine */
int custodian_connected(struct custodian *c);
/* Hands descriptors over and waits for the answer, at most 5 s. They stay open here. OCU_E_UNAVAILABLE
 * without a connection; the custodian's own code when it refuses. */
int custodian_hand(struct custodian *c, const Ocu__Handover__Handover *h, const int *fds, size_t nfds,
                   struct ocu_error *err);

#endif
