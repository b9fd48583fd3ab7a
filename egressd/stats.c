/* stats: registration of the handles, one table. */
#include "egressd/stats.h"

#include <stdio.h>

#include "libocu/err.h"
#include "libocu/metrics.h"

static const struct {
	const char *name, *labels, *help;
} table[STAT_COUNT] = {
    [STAT_ACCEPTED] = {"ocu_egress_connections_total", "outcome=\"accepted\"", "Connections from guests"},
    [STAT_ALLOWED] = {"ocu_egress_connections_total", "outcome=\"allowed\"", "Connections from guests"},
    [STAT_FAILED] = {"ocu_egress_connections_total", "outcome=\"failed\"", "Connections from guests"},
    [STAT_CLOSED] = {"ocu_egress_connections_total", "outcome=\"closed\"", "Connections from guests"},
    [STAT_BYTES_OUT] = {"ocu_egress_bytes_total", "direction=\"out\"", "Bytes relayed"},
    [STAT_BYTES_IN] = {"ocu_egress_bytes_total", "direction=\"in\"", "Bytes relayed"},
    [STAT_DESTINATIONS] = {"ocu_egress_destinations_total", NULL, "First connections of a session to a name"},
    [STAT_LOOKUPS_ALLOWED] = {"ocu_egress_lookups_total", "outcome=\"allowed\"", "Lookups by guests"},
    [STAT_LOOKUPS_DENIED] = {"ocu_egress_lookups_total", "outcome=\"denied\"", "Lookups by guests"},
    [STAT_LOOKUPS_MALFORMED] = {"ocu_egress_lookups_total", "outcome=\"malformed\"", "Lookups by guests"},
    [STAT_LOOKUPS_DROPPED] = {"ocu_egress_lookups_total", "outcome=\"dropped\"", "Lookups by guests"},
    [STAT_PAUSED] = {"ocu_egress_pauses_total", NULL,
                     "Times a session was made to wait: it connects faster than its rate"},
    [STAT_UNAUDITED] = {"ocu_egress_unaudited_total", NULL,
                        "Refused because the audit trail could not be written"},
};

static const int reasons[] = {
    OCU_E_SESSION_DENIED,     OCU_E_CALLER_DENIED,   OCU_E_STALE_DENYLIST, OCU_E_AUDIT,
    OCU_E_EGRESS_DENY_ALL,    OCU_E_EGRESS_DEST,     OCU_E_EGRESS_PORT,    OCU_E_EGRESS_ADDRESS,
    OCU_E_EGRESS_RAW_ADDRESS, OCU_E_EGRESS_SNI,      OCU_E_EGRESS_HOST,    OCU_E_EGRESS_RESOLVE,
    OCU_E_EGRESS_CONNECT,     OCU_E_EGRESS_PROTOCOL, OCU_E_EGRESS_LIMIT,
};
#define REASONS (sizeof reasons / sizeof *reasons)

static struct ocu_counter *counters[STAT_COUNT], *denied[REASONS + 1];
static struct ocu_gauge *open_connections, *sessions;
static struct ocu_histogram *setup;

static struct ocu_counter *denied_counter(const char *reason)
{
	char labels[96];

	snprintf(labels, sizeof labels, "reason=\"%s\"", reason);
	return ocu_counter("ocu_egress_denied_total", labels, "Connections refused or failed, by reason");
}

void stats_init(void)
{
	for (unsigned i = 0; i < STAT_COUNT; i++)
		counters[i] = ocu_counter(table[i].name, table[i].labels, table[i].help);
	for (unsigned i = 0; i < REASONS; i++)
		denied[i] = denied_counter(ocu_err_reason(reasons[i]));
	denied[REASONS] = denied_counter("other");
	open_connections = ocu_gauge("ocu_egress_open_connections", NULL, "Connections under way");
	sessions = ocu_gauge("ocu_egress_sessions", NULL, "Sessions with listeners");
	setup = ocu_histogram("ocu_egress_setup_seconds", NULL,
	                      "Accept to upstream connected, allowed connections");
}

void stats_add(enum egress_stat s, uint64_t n)
{
	if (n)
		ocu_counter_add(counters[s], n);
}

void stats_denied(int code)
{
	unsigned i = 0;

	while (i < REASONS && reasons[i] != code)
		i++;
	ocu_counter_add(denied[i], 1);
}

void stats_open(int64_t change)
{
	ocu_gauge_add(open_connections, change);
}

void stats_sessions(int64_t change)
{
	ocu_gauge_add(sessions, change);
}

void stats_setup_us(uint64_t us)
{
	ocu_histogram_us(setup, us);
}
