/* answer: policy, made-up addresses and the shape of the evidence. */
#include "egressd/answer.h"

#include <string.h>

#include "egressd/egress.h"
#include "egressd/names.h"
#include "egressd/policy.h"
#include "egressd/registry.h"
#include "egressd/stats.h"
#include "libocu/err.h"

/* Refused for every name; the other types of an allowed name but A get an empty NOERROR: HTTPS and SVCB among
 * them, so that no client learns of an encrypted ClientHello or another port. */
static bool type_refused(uint16_t type)
{
	return type == DNS_PTR || (type >= DNS_IXFR && type <= DNS_MAILA);
}

static void build(const struct dns_query *q, const struct dns_answer *a, struct lookup_answer *out)
{
	out->len = dns_build(q, a, out->text);
}

static void prepare_record(struct answer *a, const struct dns_query *q, const char *action, int reason,
                           json_t *detail)
{
	memcpy(a->host, q->name_ok ? q->host : "(not a host name)",
	       q->name_ok ? sizeof q->host : sizeof "(not a host name)");
	ocu_id_new(OCU_ID_TRACE, a->trace);
	a->kind = ANSWER_RECORD;
	a->record = (struct record){
	    .class_uid = OCU_OCSF_DNS_ACTIVITY,
	    .activity = DNS_QUERY,
	    .action = action,
	    .resource = a->host,
	    .trace = a->trace,
	    .outcome = reason ? OCU_OUTCOME_DENIED : OCU_OUTCOME_SUCCESS,
	    .reason = reason,
	    .detail = detail,
	};
}

static void deny(struct edge *e, const struct dns_query *q, int code, struct answer *a)
{
	const struct dns_answer reply = {
	    .rcode = type_refused(q->type) ? DNS_REFUSED : DNS_NXDOMAIN,
	    .ede = DNS_EDE_BLOCKED,
	    .reason = ocu_err_reason(code),
	};

	stats_add(STAT_LOOKUPS_DENIED, 1);
	build(q, &reply, &a->reply);
	a->failure = a->reply; /* a denial stays one, recorded or not */
	a->kind = ANSWER_NOW;
	if (shape_lookup(&e->shape, e->worker->now_ms, q->name_ok ? q->host : "", code))
		prepare_record(a, q, "dns.deny", code, json_pack("{s:s}", "type", dns_type_name(q->type)));
}

static void fail(const struct dns_query *q, int code, struct lookup_answer *out)
{
	build(
	    q,
	    &(struct dns_answer){.rcode = DNS_SERVFAIL, .ede = DNS_EDE_OTHER, .reason = ocu_err_reason(code)},
	    out);
}

static void allow(struct edge *e, const struct dns_query *q, struct answer *a)
{
	struct name *n = names_get(e->names, q->host);
	const struct dns_answer reply = {
	    .addr = n && q->type == DNS_A ? n->addr : 0,
	    .ttl = e->worker->egress->limits.answer_ttl_s,
	    .ede = -1,
	};

	a->kind = ANSWER_NOW;
	if (!n) {
		fail(q, OCU_E_EGRESS_LIMIT, &a->reply);
		return;
	}
	stats_add(STAT_LOOKUPS_ALLOWED, 1);
	a->allowed = true;
	build(q, &reply, &a->reply);
	if (n->recorded_ms && e->worker->now_ms - n->recorded_ms < SHAPE_NAME_WINDOW_MS) {
		n->repeats++;
		return;
	}
	fail(q, OCU_E_AUDIT, &a->failure);
	prepare_record(a, q, "dns.query", 0,
	               json_pack("{s:s, s:I}", "type", dns_type_name(q->type), "repeats_before",
	                         (json_int_t)n->repeats));
}

void answer_recorded(struct edge *e, const char *host)
{
	struct name *n = names_peek(e->names, host);

	if (n) {
		n->recorded_ms = e->worker->now_ms;
		n->repeats = 0;
	}
}

void answer_decide(struct edge *e, const uint8_t *msg, size_t len, struct answer *a)
{
	struct dns_query q;
	int rcode = dns_parse(msg, len, &q), code;

	*a = (struct answer){.kind = ANSWER_NOW};
	if (rcode) {
		stats_add(STAT_LOOKUPS_MALFORMED, 1);
		if (rcode < 0)
			a->kind = ANSWER_NONE;
		else
			build(&q, &(struct dns_answer){.rcode = (enum dns_rcode)rcode, .ede = -1}, &a->reply);
		return;
	}
	if ((code = edge_admitted(e)) == 0) {
		code =
		    policy_rung_of(e->policy) == POLICY_DENY_ALL ? OCU_E_EGRESS_DENY_ALL : OCU_E_EGRESS_DEST;
		if (q.name_ok)
			code = policy_check_name(e->policy, q.host);
		if (code == 0 && type_refused(q.type))
			code = OCU_E_EGRESS_DEST;
	}
	if (code)
		deny(e, &q, code, a);
	else
		allow(e, &q, a);
}
