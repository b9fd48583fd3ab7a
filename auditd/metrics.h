/* metrics: auditd's own, by component and never by a name a peer chose. */
#ifndef AUDITD_METRICS_H
#define AUDITD_METRICS_H

#include <stdbool.h>
#include <stdint.h>

#include "libocu/peer.h"

void metrics_init(void);
void metrics_batch(uint64_t records, uint64_t bytes);
void metrics_sync(uint64_t microseconds);
void metrics_failure(void); /* a batch, seal or trim that could not be written */
void metrics_accepted(enum ocu_component c, uint64_t events);
void metrics_refused(enum ocu_component c);
void metrics_shaped(enum ocu_component c);
void metrics_suppressed(uint64_t own_events); /* counted instead of written */
/* Of the collector: whether it is connected, and how far it is behind. */
void metrics_forward(bool connected, uint64_t sent, uint64_t durable);
/* Of the archive: whether its last attempt went well, segments in it, and segments that could be. */
void metrics_archive(bool reached, uint64_t done, uint64_t known);
/* Of the disk: segments here, and their bytes; one was removed; one that could go stayed. */
void metrics_local(uint64_t segments, uint64_t bytes);
void metrics_removed(void);
void metrics_kept(void);

#endif
