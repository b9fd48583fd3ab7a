/* stats: the counters of the process, the tripwire's raw material (NFR-SEC-57): bytes, distinct destinations,
 * rate. */
#ifndef EGRESSD_STATS_H
#define EGRESSD_STATS_H

#include <stdint.h>

enum egress_stat {
	STAT_ACCEPTED,
	STAT_ALLOWED,
	STAT_FAILED,
	STAT_CLOSED,
	STAT_BYTES_OUT, /* guest to upstream */
	STAT_BYTES_IN,
	STAT_DESTINATIONS, /* names a session connected to for the first time */
	STAT_LOOKUPS_ALLOWED,
	STAT_LOOKUPS_DENIED,
	STAT_LOOKUPS_MALFORMED,
	STAT_LOOKUPS_DROPPED, /* over the rate */
	STAT_PAUSED,          /* a session connects faster than its rate and was made to wait */
	STAT_UNAUDITED,       /* refused because the trail could not be written */
	STAT_COUNT
};

void stats_init(void); /* before any other */
void stats_add(enum egress_stat s, uint64_t n);
void stats_denied(int code);     /* ocu_egress_denied_total{reason=...} */
void stats_open(int64_t change); /* gauge of open connections */
void stats_sessions(int64_t change);
void stats_setup_us(uint64_t us); /* accept to connected, per allowed connection */

#endif
