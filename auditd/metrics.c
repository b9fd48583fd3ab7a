/* metrics: handles are made once by metrics_init(); before it, and in unit tests without it, updates do
 * nothing. */
#include "auditd/metrics.h"

#include <stdio.h>

#include "libocu/metrics.h"

static struct {
	struct ocu_counter *records, *bytes, *batches, *failures, *suppressed, *removed, *kept;
	struct ocu_gauge *batch_records, *collector_up, *collector_behind, *archive_up, *archived,
	    *archive_behind, *local, *local_bytes;
	struct ocu_histogram *sync;
	struct ocu_counter *accepted[OCU_COMP_COUNT], *refused[OCU_COMP_COUNT], *shaped[OCU_COMP_COUNT];
} m;

void metrics_init(void)
{
	m.records = ocu_counter("ocu_auditd_records_total", NULL, "Records made durable");
	m.bytes = ocu_counter("ocu_auditd_bytes_total", NULL, "Bytes of records made durable");
	m.batches = ocu_counter("ocu_auditd_batches_total", NULL, "Group commits");
	m.failures = ocu_counter("ocu_auditd_write_failures_total", NULL,
	                         "Batches and segment ends that could not be written");
	m.suppressed = ocu_counter("ocu_auditd_own_events_suppressed_total", NULL,
	                           "Own events counted instead of written");
	m.batch_records = ocu_gauge("ocu_auditd_batch_records", NULL, "Records in the last group commit");
	m.collector_up = ocu_gauge("ocu_auditd_collector_connected", NULL,
	                           "1 while the collector of syslog_address is connected");
	m.collector_behind = ocu_gauge("ocu_auditd_collector_behind_records", NULL,
	                               "Durable records that the collector does not have yet");
	m.archive_up = ocu_gauge("ocu_auditd_archive_reachable", NULL,
	                         "0 while the store of archive_url takes no segment");
	m.archived = ocu_gauge("ocu_auditd_archive_segments", NULL, "Sealed segments in the archive");
	m.archive_behind =
	    ocu_gauge("ocu_auditd_archive_behind_segments", NULL, "Sealed segments that are not in it yet");
	m.local = ocu_gauge("ocu_auditd_local_segments", NULL, "Segments on this host's disk");
	m.local_bytes = ocu_gauge("ocu_auditd_local_bytes", NULL, "Bytes of them");
	m.removed = ocu_counter("ocu_auditd_removed_segments_total", NULL,
	                        "Segments removed because the archive has had them for hot_days");
	m.kept = ocu_counter("ocu_auditd_removal_failures_total", NULL,
	                     "Attempts to remove one that is old enough that kept it");
	m.sync = ocu_histogram("ocu_auditd_sync_seconds", NULL, "Duration of fdatasync");
	for (int c = 1; c < OCU_COMP_COUNT; c++) {
		char label[64];
		snprintf(label, sizeof label, "source=\"%s\"", ocu_component_name((enum ocu_component)c));
		m.accepted[c] = ocu_counter("ocu_auditd_events_total", label, "Events acknowledged");
		m.refused[c] =
		    ocu_counter("ocu_auditd_refused_total", label, "Requests refused for what they held");
		m.shaped[c] = ocu_counter("ocu_auditd_shaped_total", label,
		                          "Requests delayed or refused because the source floods");
	}
}

static void add(struct ocu_counter *c, uint64_t n)
{
	if (c)
		ocu_counter_add(c, n);
}

void metrics_batch(uint64_t records, uint64_t bytes)
{
	add(m.records, records);
	add(m.bytes, bytes);
	add(m.batches, 1);
	if (m.batch_records)
		ocu_gauge_set(m.batch_records, (int64_t)records);
}

void metrics_sync(uint64_t microseconds)
{
	if (m.sync)
		ocu_histogram_us(m.sync, microseconds);
}

void metrics_failure(void)
{
	add(m.failures, 1);
}

void metrics_accepted(enum ocu_component c, uint64_t events)
{
	add(m.accepted[c], events);
}

void metrics_refused(enum ocu_component c)
{
	add(m.refused[c], 1);
}

void metrics_shaped(enum ocu_component c)
{
	add(m.shaped[c], 1);
}

void metrics_suppressed(uint64_t own_events)
{
	add(m.suppressed, own_events);
}

void metrics_forward(bool connected, uint64_t sent, uint64_t durable)
{
	if (!m.collector_up)
		return;
	ocu_gauge_set(m.collector_up, connected);
	ocu_gauge_set(m.collector_behind, sent < durable ? (int64_t)(durable - sent) : 0);
}

void metrics_archive(bool reached, uint64_t done, uint64_t known)
{
	if (!m.archive_up)
		return;
	ocu_gauge_set(m.archive_up, reached);
	ocu_gauge_set(m.archived, (int64_t)done);
	ocu_gauge_set(m.archive_behind, done < known ? (int64_t)(known - done) : 0);
}

void metrics_local(uint64_t segments, uint64_t bytes)
{
	if (!m.local)
		return;
	ocu_gauge_set(m.local, (int64_t)segments);
	ocu_gauge_set(m.local_bytes, (int64_t)bytes);
}

void metrics_removed(void)
{
	add(m.removed, 1);
}

void metrics_kept(void)
{
	add(m.kept, 1);
}
