/*
 * ocu-auditd: the evidence. What an attacker who owns this process gets: the records, and the key that signs
 * where they end, so a trail that was never anchored elsewhere could be written anew. Not: any way to act on
 * a session. It holds no other key, dials nobody, and no message it takes makes anything happen but a record.
 * What a collector gets is sent by another process, which has no key (aside, forward).
 */
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "auditd/archive.h"
#include "auditd/aside.h"
#include "auditd/auditor.h"
#include "auditd/committer.h"
#include "auditd/conf.h"
#include "auditd/forbid.h"
#include "auditd/forward.h"
#include "auditd/intake.h"
#include "auditd/lane.h"
#include "auditd/metrics.h"
#include "auditd/own.h"
#include "auditd/retire_run.h"
#include "auditd/store.h"
#include "libocu/daemon.h"
#include "libocu/err.h"
#include "libocu/jail.h"
#include "libocu/jwt.h"
#include "libocu/log.h"
#include "libocu/pki.h"
#include "libocu/rpc.h"

#define DRAIN_MS 4000
#define WORKERS  8
/* More wait in their connections, which nng serves in turn: so much of a flood is in front of others at most.
 */
#define INFLIGHT    64
#define CHECKERS    4 /* so that half of the workers always take in what small sources send */
#define PATH_LENGTH 1024

struct auditd {
	struct ocu_daemon d;
	struct ocu_signer *signer;
	struct ocu_jwks *envelope_keys;
	struct store *store;
	struct lanes lanes;
	struct committer *committer;
	struct own *own;
	struct aside *forward, *archive;
	struct retire_run *retire;
	struct intake intake;
	struct ocu_rpc_server *rpc;
	struct auditor *auditor;
	char pki_auditd[PATH_LENGTH];
	char operator_keys[PATH_LENGTH];
};

static int load_keys(struct auditd *a, struct ocu_error *err)
{
	char key[PATH_LENGTH], jwks[PATH_LENGTH];
	const char *pki = ocu_conf_str(a->d.conf, "pki_dir");
	snprintf(a->pki_auditd, sizeof a->pki_auditd, "%s/auditd", pki);
	snprintf(a->operator_keys, sizeof a->operator_keys, "%s/operator-jwks.json", pki);
	snprintf(key, sizeof key, "%s/auditd/envelope.key", pki);
	snprintf(jwks, sizeof jwks, "%s/envelope-jwks.json", pki);
	int rc = ocu_signer_load(&a->signer, key, err);
	return rc ? rc : ocu_jwks_load(&a->envelope_keys, jwks, err);
}

/* A head signed now must verify with the keys auditors have. */
static int check_keys(const struct auditd *a, struct ocu_error *err)
{
	unsigned char sig[64];
	int rc = ocu_signer_sign(a->signer, "ocu", 3, sig, err);
	if (!rc)
		rc = ocu_jwks_verify_raw(a->envelope_keys, ocu_signer_kid(a->signer), "ocu", 3, sig,
		                         sizeof sig, err);
	return rc ? ocu_error_set(err, OCU_E_CONFIG, "envelope.key is not one of envelope-jwks.json") : 0;
}

/* No capability, no program, no connection to anywhere; the state folder to write, its own keys to read. */
static int drop_rights(struct auditd *a, struct ocu_error *err)
{
	const struct ocu_jail_path paths[] = {
	    {a->d.state_dir, true}, {a->pki_auditd, false}, {a->operator_keys, false}, {NULL, false}};
	const struct ocu_jail jail = {
	    .run_as = ocu_conf_str(a->d.conf, "run_as"),
	    .paths = paths,
	    .no_inet_connect = true,
	};
	/* Landlock closes TCP; this closes the call itself, for every kind of socket. */
	static const int calls[] = {SCMP_SYS(connect), -1};
	int abi = 0;
	int rc = ocu_jail_enter(&jail, &abi, err);
	if (!rc && abi == 0)
		ocu_log(OCU_LOG_WARN, "jail.no_landlock", NULL, NULL);
	return rc ? rc : forbid_calls(calls, err);
}

static int open_trail(struct auditd *a, struct ocu_error *err)
{
	const struct store_opts o = {
	    .dir = a->d.state_dir,
	    .signer = a->signer,
	    .keys = a->envelope_keys,
	    .segment_size = (uint64_t)ocu_conf_int(a->d.conf, "segment_size"),
	    .segment_age_ms = ocu_conf_ms(a->d.conf, "segment_age"),
	    .preallocate = (size_t)ocu_conf_int(a->d.conf, "preallocate"),
	};
	int rc = store_open(&a->store, &o, err);
	if (rc)
		ocu_error_add(err, "the trail in %s", a->d.state_dir);
	else
		rc = committer_start(&a->committer, a->store, err);
	lanes_init(&a->lanes, (size_t)ocu_conf_int(a->d.conf, "source_queue"));
	return rc ? rc : own_new(&a->own, &a->lanes, a->committer, err);
}

/* On a full disk auditd serves all the same: it refuses, and says why. */
static void lifecycle(struct auditd *a, const char *action, int activity)
{
	struct ocu_error err = {0};
	struct ocu_event ev = {
	    .class_uid = OCU_OCSF_APP_LIFECYCLE,
	    .activity_id = activity,
	    .action = action,
	    .resource = store_trail(a->store),
	    .actor_id = "system:auditd",
	    .outcome = OCU_OUTCOME_SUCCESS,
	};
	if (own_commit(a->own, &ev, &err))
		ocu_log_error(OCU_LOG_WARN, action, NULL, &err);
}

static int ready(void *arg, char *why, size_t size)
{
	struct auditd *a = arg;
	int ok = committer_healthy(a->committer);
	snprintf(why, size, "%s", ok ? "" : "trail");
	return ok;
}

static int watch_outside(struct auditd *a, struct ocu_error *err)
{
	const struct retire_run_opts retire = {
	    .store = a->store,
	    .own = a->own,
	    .signer = a->signer,
	    .keys = a->envelope_keys,
	    .archive = a->archive,
	    .forward = a->forward,
	    .hot_days = (unsigned)ocu_conf_int(a->d.conf, "hot_days"),
	};
	int rc = aside_watch(a->forward, a->store, a->own, err);
	if (!rc)
		rc = aside_watch(a->archive, a->store, a->own, err);
	return rc ? rc : retire_run_start(&a->retire, &retire, err);
}

static int serve(struct auditd *a, struct ocu_error *err)
{
	const char *listen = ocu_conf_str(a->d.conf, "auditor_listen");
	a->intake = (struct intake){.store = a->store,
	                            .committer = a->committer,
	                            .lanes = &a->lanes,
	                            .own = a->own,
	                            .checkers_max = CHECKERS};
	const struct ocu_rpc_server_opts rpc = {
	    .url = ocu_conf_str(a->d.conf, "rpc_listen"),
	    .identity = a->d.identity,
	    .table = intake_table,
	    .arg = &a->intake,
	    .workers = WORKERS,
	    .inflight = INFLIGHT,
	    .request_max = INTAKE_REQUEST_MAX + (64u << 10), /* and what is around the events */
	    .refused = intake_refused,
	};
	const struct auditor_opts auditor = {
	    .listen = listen,
	    .jwks_path = a->operator_keys,
	    .identity = a->d.identity,
	    .store = a->store,
	    .own = a->own,
	};
	int rc = ocu_rpc_server_start(&a->rpc, &rpc, err);
	if (!rc && *listen)
		rc = auditor_start(&a->auditor, &auditor, err);
	if (!rc)
		rc = watch_outside(a, err);
	return rc ? rc : ocu_daemon_metrics(&a->d, ready, a, err);
}

static void stop(struct auditd *a)
{
	retire_run_stop(a->retire);
	auditor_stop(a->auditor, DRAIN_MS);
	ocu_rpc_server_stop(a->rpc, DRAIN_MS);
	lifecycle(a, "auditd.stop", 2);
	aside_stop(a->forward);
	aside_stop(a->archive);
	own_free(a->own);
	committer_stop(a->committer);
	lanes_done(&a->lanes);
	store_close(a->store);
	ocu_jwks_free(a->envelope_keys);
	ocu_signer_free(a->signer);
}

static int check(const struct ocu_conf *c, struct ocu_error *err)
{
	int rc = forward_check(c, err);
	return rc ? rc : archive_check(c, err);
}

static const struct ocu_daemon_spec spec = {
    .component = OCU_COMP_AUDITD,
    .summary = "takes audit events from the other daemons and keeps them as a signed chain",
    .options = auditd_options,
    .check = check,
};

int main(int argc, char **argv)
{
	static struct auditd a;
	struct ocu_error err = {0};
	ocu_daemon_init(&a.d, argc, argv, &spec);
	/* A file size limit is a full disk, not a reason to die. */
	signal(SIGXFSZ, SIG_IGN);
	metrics_init();
	if (forward_start(&a.forward, &a.d, &err) || archive_start(&a.archive, &a.d, &err) ||
	    load_keys(&a, &err) || check_keys(&a, &err) || drop_rights(&a, &err) || open_trail(&a, &err) ||
	    serve(&a, &err))
		ocu_daemon_fatal(&a.d, &err);
	lifecycle(&a, "auditd.start", 1);
	ocu_daemon_ready(&a.d);
	ocu_daemon_wait(&a.d);
	stop(&a);
	ocu_daemon_done(&a.d);
	return 0;
}
