/* meter: what this daemon counts (docs/operating.md lists them). Registered once, updated without locks. */
#ifndef BROKERD_METER_H
#define BROKERD_METER_H

#include <stdint.h>

void meter_start(void);
void meter_request(void);                                      /* a FUSE request served */
void meter_bytes(uint64_t bytes_read, uint64_t bytes_written); /* through the mounts */
void meter_audit_refused(void);                                /* not done because it could not be recorded */
void meter_denied(void);                                       /* refused and recorded as denied */
void meter_quota(void);                                        /* ended by a quota */
void meter_mounts(int change);
void meter_volumes(int64_t registered);
void meter_north(int status, uint64_t duration_us);
void meter_scrubbed(uint64_t names);

#endif
