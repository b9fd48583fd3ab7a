/* conf: options of brokerd. */
#include "brokerd/conf.h"

#include <stdio.h>
#include <string.h>

#include "libocu/daemon.h"
#include "libocu/err.h"

#define SECOND INT64_C(1000)
#define HOUR   (3600 * SECOND)
#define DAY    (24 * HOUR)
#define MIB    (INT64_C(1) << 20)

static const struct ocu_conf_opt options[] = {
    OCU_CONF_COMMON(9192),
    {"rpc_listen", OCU_CONF_STRING, "tls+tcp://127.0.0.1:9401", 0, 0, NULL,
     "Where operatord registers file systems"},
    {"handover_socket", OCU_CONF_PATH, "", 0, 0, NULL,
     "Socket sandboxd hands /dev/fuse descriptors over; \"\" = <run_dir>/handover/brokerd.sock"},
    {"handover_wait", OCU_CONF_DURATION, "0", 0, 600000, NULL,
     "How long to wait at start for sandboxd to make room for that socket's folder"},
    {"sandboxd_uid", OCU_CONF_INT, "0", 0, INT32_MAX, NULL, "User sandboxd runs as; no other may hand over"},
    {"files_listen", OCU_CONF_STRING, "127.0.0.1:8443", 0, 0, NULL,
     "HTTPS address of the files API (north face); \"\" turns it off"},
    {"volume_dir", OCU_CONF_PATH, "", 0, 0, NULL, "Folder of the volumes; \"\" = <state_dir>/brokerd/volume"},
    {"denylist_feed_url", OCU_CONF_STRING, "tls+tcp://127.0.0.1:9202", 0, 0, NULL,
     "operatord's denylist feed"},
    {"denylist_pull_url", OCU_CONF_STRING, "tls+tcp://127.0.0.1:9203", 0, 0, NULL,
     "operatord's denylist, whole"},
    {"token_issuer", OCU_CONF_STRING, "", 0, 0, NULL,
     "Accepted issuer of caller tokens; \"\" = ocu:<trust_domain>"},
    {"token_audience", OCU_CONF_STRING, "ocu-files", 0, 0, NULL, "This server's name in a token's aud"},
    {"caller_jwks", OCU_CONF_PATH, "", 0, 0, NULL,
     "Keys of caller tokens; \"\" = <pki_dir>/caller-jwks.json"},
    {"downloadable", OCU_CONF_BOOL, "true", 0, 0, NULL,
     "Whether files of a session may leave through the files API; false: list and upload only"},
    {"upload_max", OCU_CONF_SIZE, "50MiB", 1024, INT64_C(1024) * MIB, NULL,
     "Largest request body of the files API"},
    {"north_ops", OCU_CONF_INT, "200", 1, 1000000, NULL, "Requests a second of one caller at the files API"},
    {"north_bytes", OCU_CONF_SIZE, "256MiB", INT64_C(64) * 1024, INT64_C(1024) * 1024 * MIB, NULL,
     "Bytes a second of one caller at the files API, both directions"},
    {"north_workers", OCU_CONF_INT, "4", 1, 64, NULL,
     "Threads doing the files API's work, at most half of them for one caller"},
    {"north_connections", OCU_CONF_INT, "512", 1, 65536, NULL,
     "Open connections of the files API; at most an eighth of the descriptors the process may have"},
    {"north_connections_per_address", OCU_CONF_INT, "256", 0, 65536, NULL,
     "The same from one address; 0 = no bound of their own, for callers behind one proxy"},
    {"workers", OCU_CONF_INT, "0", 0, 64, NULL,
     "Threads serving the mounts; 0 = 4 and two for each processor, at most 32"},
    {"session_inflight", OCU_CONF_INT, "64", 1, 4096, NULL,
     "Operations of one session waiting for their audit record"},
    {"session_ops", OCU_CONF_INT, "1000", 0, 1000000, NULL,
     "Operations with an audit record a second of one session, a minute's worth of which may come at once; "
     "more wait. "
     "0: as many as come"},
    {"open_files", OCU_CONF_INT, "1024", 16, 65536, NULL,
     "Files one session may have open; at most half of the descriptors that are not kept for others"},
    {"open_folders", OCU_CONF_INT, "256", 4, 65536, NULL, "Folders one session may be reading"},
    {"known_names", OCU_CONF_INT, "262144", 1024, 16777216, NULL,
     "Names one session's kernel may hold at a time"},
    {"entry_timeout", OCU_CONF_DURATION, "5s", 1, 60 * SECOND, NULL,
     "How long the guest's kernel trusts what it knows of a name; the files API tells it of changes at once"},
    {"sessions_max", OCU_CONF_INT, "900", 1, 900, NULL,
     "File systems registered at once (libfuse bounds mounts by 1000); fewer where there are few "
     "descriptors"},
    {"abandoned_after", OCU_CONF_DURATION, "24h", SECOND, 7 * DAY, NULL,
     "A volume on disk that no session has been registered for this long is removed"},
    {0},
};

static int pick(char *out, size_t size, const char *given, const char *base, const char *rest,
                struct ocu_error *err)
{
	int n = *given ? snprintf(out, size, "%s", given) : snprintf(out, size, "%s%s", base, rest);
	return n < 0 || (size_t)n >= size
	           ? ocu_error_set(err, OCU_E_CONFIG, "a path is too long: %.64s...", out)
	           : 0;
}

int conf_names(const struct ocu_daemon *d, struct conf_names *ret, struct ocu_error *err)
{
	const struct ocu_conf *c = d->conf;
	const char *run = ocu_conf_str(c, "run_dir"), *pki = ocu_conf_str(c, "pki_dir");
	int r = pick(ret->volume_dir, sizeof ret->volume_dir, ocu_conf_str(c, "volume_dir"), d->state_dir,
	             "/volume", err);
	if (r == 0)
		r = pick(ret->handover_socket, sizeof ret->handover_socket,
		         ocu_conf_str(c, "handover_socket"), run, "/handover/brokerd.sock", err);
	if (r == 0)
		r = pick(ret->caller_jwks, sizeof ret->caller_jwks, ocu_conf_str(c, "caller_jwks"), pki,
		         "/caller-jwks.json", err);
	if (r == 0)
		r = pick(ret->spool_dir, sizeof ret->spool_dir, "", d->state_dir, "/spool", err);
	if (r == 0)
		r = pick(ret->issuer, sizeof ret->issuer, ocu_conf_str(c, "token_issuer"),
		         "ocu:", ocu_conf_str(c, "trust_domain"), err);
	if (r < 0)
		return r;
	snprintf(ret->handover_dir, sizeof ret->handover_dir, "%s", ret->handover_socket);
	char *slash = strrchr(ret->handover_dir, '/');
	if (!slash || slash == ret->handover_dir)
		return ocu_error_set(err, OCU_E_CONFIG, "handover_socket: not in a folder of its own");
	*slash = 0;
	return 0;
}

/* What cannot be checked here fails at start. */
static int check(const struct ocu_conf *c, struct ocu_error *err)
{
	if (ocu_conf_int(c, "workers") == 1)
		return ocu_error_set(err, OCU_E_CONFIG,
		                     "workers: one thread cannot serve two sessions fairly; want 2 or more");
	return 0;
}

const struct ocu_daemon_spec conf_spec = {
    .component = OCU_COMP_BROKERD,
    .summary = "serves the sessions' files: to their sandboxes over FUSE, to their callers over HTTPS",
    .options = options,
    .check = check,
};
