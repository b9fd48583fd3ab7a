/*
 * syslog: a record as a syslog message (RFC 5424), framed by its length (RFC 5425, section 4.3).
 *
 *   <PRI>1 TIME HOST ocu SOURCE ACTION [ocu@32473 trail="..." n="..." hash="..."] EVENT
 *
 * EVENT is the OCSF JSON as it stands in the trail. With n a receiver sees what is missing or came twice;
 * with hash it can be compared with the trail. 32473 is the enterprise number for examples (RFC 5612).
 */
#ifndef AUDITD_SYSLOG_H
#define AUDITD_SYSLOG_H

#include "libocu/trail_format.h"

struct ocu_buf;

#define SYSLOG_HOST_MAX 256 /* with its NUL: a HOSTNAME has up to 255 characters */

struct syslog_origin {
	char host[SYSLOG_HOST_MAX];
	unsigned facility; /* 0..23 */
};

/* "-" in place of a host that is no HOSTNAME of RFC 5424. */
void syslog_origin_init(struct syslog_origin *o, const char *host, unsigned facility);
/* Appends one frame. OCU_E_NOMEM, or OCU_E_TOO_LARGE when out is at its maximum. */
int syslog_put(struct ocu_buf *out, const struct syslog_origin *o, const char *trail,
               const struct ocu_trail_record *r);

#endif
