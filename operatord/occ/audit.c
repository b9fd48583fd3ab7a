/* audit: `occ audit`: reads the trail's files, needs no daemon for it; compares with the running one when
 * there is. */
#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "libocu/cleanup.h"
#include "libocu/clock.h"
#include "libocu/err.h"
#include "libocu/json.h"
#include "libocu/jwt.h"
#include "libocu/trail.h"
#include "operatord/occ/client.h"
#include "operatord/occ/command.h"
#include "operatord/occ/deployment.h"
#include "operatord/occ/show.h"

#define EVENT_MAX 65536
#define LIMIT_MAX 10000000

/* verify ------------------------------------------------------------------------------------------------- */

struct live {
	bool known;
	uint64_t records;
	char head[65];
};

/* What the running auditd says through operatord. Asked before the files are read: they may only have more.
 */
static void ask_live(const struct deployment *d, struct live *l)
{
	OCU_JSON json_t *reply = NULL;
	struct ocu_error err = {0};
	const struct request q = {.method = "GET", .path = "/v1/audit/head", .timeout_ms = 5000};

	if (client_call(d, &q, &reply, &err))
		return;
	l->known = true;
	l->records = (uint64_t)ocu_json_int(reply, "records", 0);
	snprintf(l->head, sizeof l->head, "%s", ocu_json_str(reply, "head", ""));
}

static void hex(const unsigned char *in, size_t n, char *out)
{
	for (size_t i = 0; i < n; i++)
		snprintf(out + 2 * i, 3, "%02x", in[i]);
}

/* "matches", "contradicts", "moved on" or "not reachable". */
static const char *against_live(const struct live *l, const struct ocu_trail_report *r)
{
	char head[65];

	if (!l->known)
		return "not reachable";
	if (r->records > l->records)
		return "moved on";
	hex(r->head, sizeof r->head, head);
	return r->records == l->records && strcmp(head, l->head) == 0 ? "matches" : "contradicts";
}

/* Seconds since the last signature by this host's clock; negative when that is behind. */
static long long signed_ago(const struct ocu_trail_report *r)
{
	struct tm t = {0};

	return strptime(r->head_time, "%Y-%m-%dT%H:%M:%S", &t) ? (long long)(ocu_wall_s() - timegm(&t)) : 0;
}

/* Each batch is signed: what follows the signature is the next one, being written, or not auditd's. */
static void show_tail(const struct ocu_trail_report *r)
{
	if (!r->head_time[0])
		return;
	printf("last signature %lld s ago, ", signed_ago(r));
	if (r->unsigned_bytes)
		printf("%llu records (%llu bytes) after it\n", (unsigned long long)r->unsigned_records,
		       (unsigned long long)r->unsigned_bytes);
	else
		fputs("nothing after it\n", stdout);
}

static void show_report(const struct args *a, int rc, const struct ocu_trail_report *r, const char *live)
{
	bool broken = rc || strcmp(live, "contradicts") == 0;
	char head[65];

	hex(r->head, sizeof r->head, head);
	if (a->json) {
		json_t *j =
		    json_pack("{sb sI sI sI sI sI sI sI ss ss sI ss ss}", "verified", (int)!broken, "records",
		              (json_int_t)r->records, "sources", (json_int_t)r->sources, "archived_segments",
		              (json_int_t)r->archived_segments, "archived_records",
		              (json_int_t)r->archived_records, "bad_record", (json_int_t)r->bad_record,
		              "unsigned_records", (json_int_t)r->unsigned_records, "unsigned_bytes",
		              (json_int_t)r->unsigned_bytes, "head", head, "head_time", r->head_time,
		              "head_age_s", (json_int_t)signed_ago(r), "why", r->why, "live", live);
		show_json(j);
		json_decref(j);
		return;
	}
	printf("%s: %llu records from %llu sources in %llu segments, head %.16s of %s\n",
	       broken ? "NOT VERIFIED" : "verified", (unsigned long long)r->records,
	       (unsigned long long)r->sources, (unsigned long long)r->segments, head, r->head_time);
	show_tail(r);
	if (r->archived_segments)
		printf("segments 1 to %llu (records 1 to %llu) are in the archive\n",
		       (unsigned long long)r->archived_segments, (unsigned long long)r->archived_records);
	if (r->why[0]) {
		show_text(r->why);
		fputs("\n", stdout);
	}
	if (rc && r->bad_record)
		printf("first bad record: %llu\n", (unsigned long long)r->bad_record);
	fputs("running auditd: ", stdout);
	show_text(live);
	fputs("\n", stdout);
}

static int load_keys(const struct deployment *d, struct ocu_jwks **keys, struct ocu_error *err)
{
	char path[4096];

	if (snprintf(path, sizeof path, "%s/envelope-jwks.json", d->pki_dir) >= (int)sizeof path)
		return ocu_error_set(err, OCU_E_CONFIG, "pki_dir is too long");
	return ocu_jwks_load(keys, path, err);
}

int run_audit_verify(const struct args *a)
{
	DEPLOYMENT d = {0};
	struct ocu_jwks *keys = NULL;
	struct ocu_trail_report report = {0};
	struct live live = {0};
	struct ocu_error err = {0};
	const char *said = "not asked";
	int rc;

	if (a->sealed && !a->dir) {
		fputs("occ: audit verify: --sealed is for a copy: name its folder with --dir\n", stderr);
		return OCC_USAGE;
	}
	if (deployment_load(&d, a->deployment, &err) || load_keys(&d, &keys, &err))
		return show_error(a, "audit verify", &err);
	if (!a->dir)
		ask_live(&d, &live);
	rc = ocu_trail_verify_as(a->dir ? a->dir : d.trail_dir,
	                         a->sealed    ? OCU_TRAIL_SEALED
	                         : a->at_rest ? OCU_TRAIL_AT_REST
	                                      : OCU_TRAIL_RUNNING,
	                         keys, &report, &err);
	ocu_jwks_free(keys);
	if (rc && rc != OCU_E_CHAIN_BROKEN)
		return show_error(a, "audit verify", &err);
	if (!a->dir)
		said = against_live(&live, &report);
	show_report(a, rc, &report, said);
	return rc || strcmp(said, "contradicts") == 0 ? OCC_FAILED : OCC_OK;
}

/* show, export ------------------------------------------------------------------------------------------- */

struct selection {
	const struct args *args;
	bool lines; /* JSON */
	uint64_t skip;
	uint64_t matched;
	uint64_t counted_from; /* the first record when skip was counted; 0: it was not */
	bool begun;
};

/* Who looks for what is not here must know. */
static void note_beginning(struct selection *s, uint64_t number)
{
	if (!s->begun && number > 1)
		fprintf(stderr, "occ: audit: records 1 to %llu are in the archive\n",
		        (unsigned long long)number - 1);
	s->begun = true;
}

static bool member_is(const json_t *event, const char *key, const char *want)
{
	return !want || strcmp(ocu_json_str(event, key, ""), want) == 0;
}

static bool matches(const struct args *a, const json_t *event)
{
	return member_is(event, "session_id", a->session) && member_is(event, "actor_id", a->actor) &&
	       (!a->action || fnmatch(a->action, ocu_json_str(event, "action", ""), 0) == 0);
}

static int put_line(uint64_t number, const char *source, const json_t *event)
{
	json_t *j = json_pack("{sI ss sO}", "number", (json_int_t)number, "source", source, "event", event);

	if (!j)
		return OCU_E_IO;
	show_json_line(j);
	json_decref(j);
	return ferror(stdout) ? OCU_E_IO : 0;
}

static int put_row(uint64_t number, const char *source, const json_t *event)
{
	const char *const keys[] = {"action", "outcome", "actor_id", "session_id", "resource"};

	char when[32];

	ocu_time_rfc3339((int64_t)ocu_json_int(event, "time", 0), when);
	printf("%8llu  %s  ", (unsigned long long)number, when);
	show_text(source);
	printf("%*s", strlen(source) < 10 ? (int)(10 - strlen(source)) : 0, "");
	for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
		const char *value = ocu_json_str(event, keys[i], "");
		fputs("  ", stdout);
		show_text(*value ? value : "-");
	}
	fputs("\n", stdout);
	return ferror(stdout) ? OCU_E_IO : 0;
}

static int one(void *arg, uint64_t number, const char *source, const char *text, uint64_t len)
{
	struct selection *s = arg;
	OCU_JSON json_t *event = NULL;

	/* auditd removed a segment since: there is less to skip. Nothing was shown yet. */
	if (!s->begun && s->counted_from && s->counted_from != number)
		return OCU_E_BUSY;
	note_beginning(s, number);
	if (ocu_json_parse(text, (size_t)len, EVENT_MAX, &event, NULL))
		return OCU_E_CHAIN_BROKEN;
	if (!matches(s->args, event) || s->matched++ < s->skip)
		return 0;
	return s->lines ? put_line(number, source, event) : put_row(number, source, event);
}

static int count(void *arg, uint64_t number, const char *source, const char *text, uint64_t len)
{
	struct selection *s = arg;
	OCU_JSON json_t *event = NULL;

	(void)source;
	if (!s->counted_from)
		s->counted_from = number;
	if (ocu_json_parse(text, (size_t)len, EVENT_MAX, &event, NULL))
		return OCU_E_CHAIN_BROKEN;
	s->matched += matches(s->args, event);
	return 0;
}

/* The last `limit` of those that match: counted in a first reading, so that memory does not grow with the
 * trail. */
static int skip_for(const char *dir, struct selection *s, uint64_t limit, struct ocu_error *err)
{
	int rc;

	s->matched = s->counted_from = 0;
	rc = ocu_trail_each(dir, count, s, err);

	s->skip = s->matched > limit ? s->matched - limit : 0;
	s->matched = 0;
	return rc;
}

static int events(const struct args *a, bool lines)
{
	DEPLOYMENT d = {0};
	struct selection s = {.args = a, .lines = lines};
	struct ocu_error err = {0};
	char *end = NULL;
	long limit = a->limit ? strtol(a->limit, &end, 10) : 0;
	const char *dir;
	int rc = 0;

	if (a->limit && (*end || limit < 1 || limit > LIMIT_MAX)) {
		fputs("occ: audit: --limit is a positive number\n", stderr);
		return OCC_USAGE;
	}
	if (!a->dir && deployment_load(&d, a->deployment, &err))
		return show_error(a, "audit", &err);
	dir = a->dir ? a->dir : d.trail_dir;
	do {
		rc = limit ? skip_for(dir, &s, (uint64_t)limit, &err) : 0;
		if (rc == 0)
			rc = ocu_trail_each(dir, one, &s, &err);
	} while (rc == OCU_E_BUSY);
	if (rc && err.code == 0)
		ocu_error_set(&err, rc, "%s", ocu_err_text(rc));
	return rc ? show_error(a, "audit", &err) : OCC_OK;
}

int run_audit_show(const struct args *a)
{
	return events(a, a->json);
}

int run_audit_export(const struct args *a)
{
	return events(a, true);
}
