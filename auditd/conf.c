/* conf: the one table of auditd's options. */
#include "auditd/conf.h"

#include <stddef.h>

const struct ocu_conf_opt auditd_options[] = {
    OCU_CONF_COMMON(9195),
    {"rpc_listen", OCU_CONF_STRING, "tls+tcp://127.0.0.1:9601", 0, 0, NULL,
     "Where the other daemons append events"},
    {"auditor_listen", OCU_CONF_STRING, "127.0.0.1:9602", 0, 0, NULL,
     "HTTPS address of the read-only auditor interface; \"\" turns it off"},
    {"segment_size", OCU_CONF_SIZE, "64MiB", 64 << 10, INT64_C(4) << 30, NULL,
     "A segment file that has reached this size is followed by a new one"},
    {"segment_age", OCU_CONF_DURATION, "24h", 0, INT64_C(366) * 86400000, NULL,
     "One that is older than this and holds records is, too, so that it is sealed and archived; 0s: by size "
     "alone"},
    {"preallocate", OCU_CONF_SIZE, "256KiB", 0, 4 << 20, NULL,
     "Zeros written ahead of the records at a time, which halves the cost of a sync; 0 writes none"},
    {"source_queue", OCU_CONF_SIZE, "16MiB", 64 << 10, 256 << 20, NULL,
     "Bytes of events one source may have waiting; more is refused as rate_limited"},
    {"syslog_address", OCU_CONF_STRING, "", 0, 0, NULL,
     "host:port of a collector that gets a copy of every record, as syslog over TLS (RFC 5424, RFC 5425); "
     "\"\": none"},
    {"syslog_server_name", OCU_CONF_STRING, "", 0, 0, NULL,
     "Name the collector's certificate must have; \"\" = the host of syslog_address"},
    {"syslog_ca", OCU_CONF_PATH, "", 0, 0, NULL,
     "PEM file of the authorities that may have signed the collector's certificate"},
    {"syslog_cert", OCU_CONF_PATH, "", 0, 0, NULL,
     "PEM file of the certificate shown to the collector; \"\": none is shown"},
    {"syslog_key", OCU_CONF_PATH, "", 0, 0, NULL, "PEM file of its key"},
    {"syslog_hostname", OCU_CONF_STRING, "", 0, 0, NULL, "HOSTNAME of the messages; \"\" = this host's name"},
    {"syslog_facility", OCU_CONF_INT, "13", 0, 23, NULL, "Facility of the messages; 13 is log audit"},
    {"archive_url", OCU_CONF_STRING, "", 0, 0, NULL,
     "https://host[:port]/bucket[/prefix] of an S3 store that gets every sealed segment as an object; \"\": "
     "none"},
    {"archive_region", OCU_CONF_STRING, "us-east-1", 0, 0, NULL, "Region of its signatures"},
    {"archive_access_key", OCU_CONF_PATH, "", 0, 0, NULL,
     "File with the access key of the bucket's credential"},
    {"archive_secret_key", OCU_CONF_PATH, "", 0, 0, NULL,
     "File with its secret key, which nobody but auditd may read"},
    {"archive_ca", OCU_CONF_PATH, "", 0, 0, NULL,
     "PEM file of the authorities that may have signed the store's certificate; \"\" = the system's"},
    {"archive_lock", OCU_CONF_ENUM, "compliance", 0, 0, "compliance|governance|none",
     "Mode of the object lock put on each object; the bucket must have been made with object lock. none: the "
     "bucket's own rules"},
    {"archive_days", OCU_CONF_INT, "2557", 1, 36525, NULL,
     "Days an object is locked for, from the moment it is put; 2557 are seven years"},
    {"hot_days", OCU_CONF_INT, "90", 1, 90, NULL,
     "Days a sealed segment stays here once the archive has it; then it is there alone. Without archive_url "
     "nothing is ever removed"},
    {0},
};
