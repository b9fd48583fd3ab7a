/*
 * session: what happens to a session's file system as a whole: registered, cut off, released, expired. Each
 * step that somebody asks for is recorded first and refused without the record (NFR-SEC-72); cutting a denied
 * session off is not put off for a record (NFR-SEC-01).
 */
#ifndef BROKERD_SESSION_H
#define BROKERD_SESSION_H

#include <stdint.h>

#include "brokerd/volume.h"
#include "libocu/denylist.h"

struct broker;
struct ocu_error;

/* Idempotent for the same ids. OCU_E_SESSION_DENIED and friends for what the denylist names. */
int session_register(struct broker *b, const struct volume_id *id, const char *trace, struct ocu_error *err);
/* /dev/fuse of a registered session; fd is taken in every case. */
int session_attach(struct broker *b, const char *session_id, int fd, unsigned guest_uid,
                   struct ocu_error *err);
struct session_released {
	uint64_t removed; /* names */
	bool pending;     /* something is left, or that nothing is could not be recorded */
};
/* Cuts the mount, closes the north face, and with scrub removes the data, until the deadline (ocu_mono_ms):
 * what is left then is out of reach and removed in the background. Idempotent: asked again, it goes on with
 * what is left. Unknown sessions are fine. */
int session_release(struct broker *b, const char *session_id, bool scrub, const char *trace,
                    uint64_t deadline, struct session_released *ret, struct ocu_error *err);
/* Removes what is left of released volumes, until the deadline; adds the names removed to *removed. */
int session_scrub_rest(struct broker *b, uint64_t deadline, uint64_t *removed, struct ocu_error *err);
/* The denylist named a session or a caller: its mounts are cut now. arg is the struct broker. */
void session_denied(enum ocu_deny_kind kind, const char *value, void *arg);
/* Cuts every mount; for the end of the daemon. */
void session_cut_all(struct broker *b);

#endif
