/*
 * link: the TLS connection to a collector. Its certificate must be of the given authority and have the host's
 * name. One thread.
 */
#ifndef AUDITD_LINK_H
#define AUDITD_LINK_H

#include <stddef.h>
#include <stdint.h>

struct link;
struct ocu_error;

struct link_opts {
	const char *address;    /* host:port */
	const char *name;       /* the certificate must have; "": host */
	const char *ca;         /* file of the authorities trusted */
	const char *cert, *key; /* files, for a collector that wants one; both or neither "" */
};

/* Connects, shakes hands, and gives the collector a moment to refuse our certificate, which in TLS 1.3 it
 * does after the handshake. OCU_E_UNAVAILABLE. At most 12 s. */
int link_open(struct link **ret, const struct link_opts *o, struct ocu_error *err);
void link_close(struct link *l);
/* Sends what it can of len bytes within wait_ms; *ret_sent may be less, also 0. */
int link_send(struct link *l, const char *data, size_t len, int wait_ms, size_t *ret_sent,
              struct ocu_error *err);
/* 1 when the other side's TCP has acknowledged everything that was sent. */
int link_acknowledged(struct link *l);
/* Waits, and fails when the collector hangs up or says something. */
int link_wait(struct link *l, int wait_ms, struct ocu_error *err);

#endif
