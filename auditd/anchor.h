/* anchor: writing the folder's anchor (libocu/trail_anchor). One thread. */
#ifndef AUDITD_ANCHOR_H
#define AUDITD_ANCHOR_H

struct ocu_error;
struct ocu_signer;
struct ocu_trail_anchor;

/* Durable when it returns 0; else the one before is in force. OCU_E_IO, OCU_E_NO_SPACE. */
int anchor_write(int dirfd, const struct ocu_trail_anchor *a, const struct ocu_signer *signer,
                 struct ocu_error *err);

#endif
