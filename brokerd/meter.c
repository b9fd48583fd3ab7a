/* meter: handles of the metrics registry. */
#include "brokerd/meter.h"

#include <stddef.h>

#include "libocu/metrics.h"

static struct {
	struct ocu_counter *requests, *read, *written, *audit_refused, *denied, *quota, *scrubbed;
	struct ocu_counter *north_ok, *north_client, *north_server;
	struct ocu_gauge *mounts, *volumes;
	struct ocu_histogram *north_time;
} m;

void meter_start(void)
{
	m.requests = ocu_counter("ocu_brokerd_requests_total", NULL, "FUSE requests served");
	m.read = ocu_counter("ocu_brokerd_bytes_total", "direction=\"read\"", "Bytes through the mounts");
	m.written =
	    ocu_counter("ocu_brokerd_bytes_total", "direction=\"written\"", "Bytes through the mounts");
	m.audit_refused = ocu_counter("ocu_brokerd_audit_refused_total", NULL,
	                              "File operations not done because they could not be recorded");
	m.denied =
	    ocu_counter("ocu_brokerd_denied_total", NULL, "File operations refused and recorded as denied");
	m.quota = ocu_counter("ocu_brokerd_quota_total", NULL, "File operations ended by a quota");
	m.scrubbed = ocu_counter("ocu_brokerd_scrubbed_total", NULL, "Names removed from released volumes");
	m.north_ok = ocu_counter("ocu_brokerd_north_total", "outcome=\"ok\"", "North-face requests");
	m.north_client = ocu_counter("ocu_brokerd_north_total", "outcome=\"refused\"", "North-face requests");
	m.north_server = ocu_counter("ocu_brokerd_north_total", "outcome=\"failed\"", "North-face requests");
	m.mounts = ocu_gauge("ocu_brokerd_mounts", NULL, "Mounts served");
	m.volumes = ocu_gauge("ocu_brokerd_filesystems", NULL, "File systems registered");
	m.north_time = ocu_histogram("ocu_brokerd_north_seconds", NULL, "Time of north-face requests");
}

void meter_request(void)
{
	ocu_counter_add(m.requests, 1);
}

void meter_bytes(uint64_t bytes_read, uint64_t bytes_written)
{
	if (bytes_read)
		ocu_counter_add(m.read, bytes_read);
	if (bytes_written)
		ocu_counter_add(m.written, bytes_written);
}

void meter_audit_refused(void)
{
	ocu_counter_add(m.audit_refused, 1);
}

void meter_denied(void)
{
	ocu_counter_add(m.denied, 1);
}

void meter_quota(void)
{
	ocu_counter_add(m.quota, 1);
}

void meter_mounts(int change)
{
	ocu_gauge_add(m.mounts, change);
}

void meter_volumes(int64_t registered)
{
	ocu_gauge_set(m.volumes, registered);
}

void meter_north(int status, uint64_t duration_us)
{
	ocu_counter_add(status < 400 ? m.north_ok : status < 500 ? m.north_client : m.north_server, 1);
	ocu_histogram_us(m.north_time, duration_us);
}

void meter_scrubbed(uint64_t names)
{
	ocu_counter_add(m.scrubbed, names);
}
