/*
 * audit_bench: acknowledged durable events a second against a running auditd, over real TLS: through the
 * libocu emitter, which batches, and as raw Appends of one event each. A fixed number of events is in flight;
 * each is sent again as soon as it is acknowledged. Prints one JSON line. An event that is not acknowledged
 * is a failure.
 */
#include <getopt.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libocu/audit.h"
#include "libocu/buf.h"
#include "libocu/clock.h"
#include "libocu/daemon.h"
#include "libocu/err.h"
#include "libocu/json.h"
#include "libocu/ocsf.h"
#include "libocu/pki.h"
#include "libocu/rpc.h"
#include "proto/audit.pb-c.h"
#include "proto/methods.h"

#define INFLIGHT_MAX 4096

struct options {
	const char *url, *pki, *trust_domain, *as, *mode;
	unsigned inflight;
	double seconds;
	uint64_t events; /* 0: as many as fit the time */
};

struct slot {
	struct run *run;
	struct slot *next;
	uint64_t started_ns;
	uint64_t id;
	bool failed;
};

struct run {
	const struct options *o;
	struct ocu_audit *audit;
	struct ocu_rpc_client *client;
	struct ocu_buf raw; /* the event of raw Appends */
	pthread_mutex_t lock;
	pthread_cond_t cond;
	struct slot *idle;
	unsigned under_way;
	uint64_t next_id, done, failed;
	uint32_t *latency_us;
	size_t samples, samples_max;
	char first_failure[256];
};

static void finished(struct slot *s, const struct ocu_error *err)
{
	struct run *r = s->run;
	uint64_t us = (ocu_mono_ns() - s->started_ns) / 1000;
	pthread_mutex_lock(&r->lock);
	r->under_way--;
	if (err) {
		if (r->failed++ == 0)
			snprintf(r->first_failure, sizeof r->first_failure, "%.200s", err->text);
	} else {
		r->done++;
		if (r->samples < r->samples_max)
			r->latency_us[r->samples++] = us > UINT32_MAX ? UINT32_MAX : (uint32_t)us;
	}
	s->next = r->idle;
	r->idle = s;
	pthread_cond_signal(&r->cond);
	pthread_mutex_unlock(&r->lock);
}

static void event_of(struct ocu_event *ev, json_t *detail, const char *resource)
{
	*ev = (struct ocu_event){
	    .class_uid = OCU_OCSF_PROCESS_ACTIVITY,
	    .activity_id = 1,
	    .action = "tool.call",
	    .resource = resource,
	    .actor_id = "bench",
	    .session_id = "ses_01JC0000000000000000000000",
	    .trace_id = "trc_01JC0000000000000000000000",
	    .outcome = OCU_OUTCOME_SUCCESS,
	    .detail = detail,
	};
}

static void committed(void *arg, const struct ocu_error *err)
{
	finished(arg, err);
}

static void appended(void *arg, const ProtobufCMessage *reply, const struct ocu_error *err)
{
	(void)reply;
	finished(arg, err);
}

static void submit(struct run *r, struct slot *s, json_t *detail)
{
	struct ocu_error err = {0};
	char resource[40];
	int rc;
	s->id = r->next_id++;
	s->started_ns = ocu_mono_ns();
	if (r->audit) {
		struct ocu_event ev;
		snprintf(resource, sizeof resource, "event-%llu", (unsigned long long)s->id);
		event_of(&ev, detail, resource);
		rc = ocu_audit_commit_async(r->audit, &ev, committed, s, &err);
	} else {
		Ocu__Audit__AppendRequest req = OCU__AUDIT__APPEND_REQUEST__INIT;
		ProtobufCBinaryData one = {r->raw.len, (uint8_t *)r->raw.data};
		req.n_events = 1;
		req.events = &one;
		rc = ocu_rpc_call_async(r->client, &ocu_m_audit_append, &req.base, 10000, NULL, appended, s,
		                        &err);
	}
	if (rc)
		finished(s, &err);
}

static bool more(const struct run *r, uint64_t end_ns)
{
	if (r->failed || (r->o->events && r->next_id >= r->o->events))
		return false;
	return r->o->events || ocu_mono_ns() < end_ns;
}

/* Keeps every slot under way until time or count is reached, then waits for the last answers. */
static double drive(struct run *r, json_t *detail)
{
	static struct slot slots[INFLIGHT_MAX];
	uint64_t start = ocu_mono_ns();
	uint64_t end = start + (uint64_t)(r->o->seconds * 1e9);
	memset(slots, 0, sizeof slots);
	r->idle = NULL;
	for (unsigned i = 0; i < r->o->inflight; i++) {
		slots[i].run = r;
		slots[i].next = r->idle;
		r->idle = &slots[i];
	}
	pthread_mutex_lock(&r->lock);
	for (;;) {
		bool go = more(r, end);
		struct slot *list = go ? r->idle : NULL;
		if (!go && r->under_way == 0)
			break;
		if (!list) {
			pthread_cond_wait(&r->cond, &r->lock);
			continue;
		}
		r->idle = list->next;
		r->under_way++;
		pthread_mutex_unlock(&r->lock);
		submit(r, list, detail);
		pthread_mutex_lock(&r->lock);
	}
	pthread_mutex_unlock(&r->lock);
	return (double)(ocu_mono_ns() - start) / 1e9;
}

static int compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return (x > y) - (x < y);
}

static uint32_t percentile(const struct run *r, double p)
{
	return r->samples ? r->latency_us[(size_t)((double)(r->samples - 1) * p)] : 0;
}

struct result {
	double per_s;
	uint32_t p50_us, p99_us;
	uint64_t done, failed;
};

static struct result measure(struct run *r, json_t *detail)
{
	struct result res;
	r->samples_max = 4u << 20;
	r->latency_us = malloc(r->samples_max * sizeof *r->latency_us);
	double s = drive(r, detail);
	qsort(r->latency_us, r->samples, sizeof *r->latency_us, compare);
	res =
	    (struct result){(double)r->done / s, percentile(r, 0.5), percentile(r, 0.99), r->done, r->failed};
	free(r->latency_us);
	if (r->failed)
		fprintf(stderr, "audit_bench: %llu not acknowledged: %s\n", (unsigned long long)r->failed,
		        r->first_failure);
	return res;
}

static void run_init(struct run *r, const struct options *o)
{
	memset(r, 0, sizeof *r);
	r->o = o;
	pthread_mutex_init(&r->lock, NULL);
	pthread_cond_init(&r->cond, NULL);
}

static int through_emitter(const struct options *o, const struct ocu_identity *id, json_t *detail,
                           struct result *ret, struct ocu_error *err)
{
	struct run r;
	struct ocu_event ev;
	run_init(&r, o);
	int rc = ocu_audit_start(&r.audit, o->url, id, err);
	if (rc)
		return rc;
	event_of(&ev, detail, "start");
	rc = ocu_audit_commit(r.audit, &ev, err);
	if (!rc)
		*ret = measure(&r, detail);
	ocu_audit_stop(r.audit);
	return rc;
}

static int through_rpc(const struct options *o, const struct ocu_identity *id, json_t *detail,
                       struct result *ret, size_t *ret_bytes, struct ocu_error *err)
{
	struct run r;
	struct ocu_event ev;
	const struct ocu_rpc_client_opts c = {
	    .url = o->url, .identity = id, .peer = OCU_COMP_AUDITD, .inflight = o->inflight};
	run_init(&r, o);
	ocu_buf_init(&r.raw, OCU_EVENT_MAX);
	event_of(&ev, detail, "event-raw");
	int rc = ocu_event_render(&ev, &r.raw, err);
	if (!rc)
		rc = ocu_rpc_client_new(&r.client, &c, err);
	if (!rc)
		rc = ocu_rpc_client_wait(r.client, 5000, err);
	if (!rc)
		*ret = measure(&r, detail);
	*ret_bytes = r.raw.len;
	ocu_rpc_client_free(r.client);
	ocu_buf_done(&r.raw);
	return rc;
}

static int usage(void)
{
	fputs("usage: audit_bench --url tls+tcp://HOST:PORT --pki DIR [--trust-domain ocu.local] [--as "
	      "gateway]\n"
	      "       [--mode both|emitter|raw] [--inflight 64] [--seconds 4] [--events N]\n",
	      stderr);
	return 2;
}

static int parse(struct options *o, int argc, char **argv)
{
	static const struct option longs[] = {
	    {"url", 1, NULL, 'u'},     {"pki", 1, NULL, 'p'},    {"trust-domain", 1, NULL, 't'},
	    {"as", 1, NULL, 'a'},      {"mode", 1, NULL, 'm'},   {"inflight", 1, NULL, 'i'},
	    {"seconds", 1, NULL, 's'}, {"events", 1, NULL, 'n'}, {0},
	};
	for (int c; (c = getopt_long(argc, argv, "", longs, NULL)) != -1;) {
		switch (c) {
		case 'u':
			o->url = optarg;
			break;
		case 'p':
			o->pki = optarg;
			break;
		case 't':
			o->trust_domain = optarg;
			break;
		case 'a':
			o->as = optarg;
			break;
		case 'm':
			o->mode = optarg;
			break;
		case 'i':
			o->inflight = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 's':
			o->seconds = strtod(optarg, NULL);
			break;
		case 'n':
			o->events = strtoull(optarg, NULL, 10);
			break;
		default:
			return -1;
		}
	}
	return o->url && o->pki && o->inflight && o->inflight <= INFLIGHT_MAX && optind == argc ? 0 : -1;
}

static void print(const struct options *o, const struct result *emitter, const struct result *raw,
                  size_t bytes)
{
	printf("{\"name\":\"audit\",\"inflight\":%u,\"event_bytes\":%zu,\"events_per_s\":%.0f,\"p50_us\":%u,"
	       "\"p99_us\":%u,"
	       "\"raw_events_per_s\":%.0f,\"raw_p50_us\":%u,\"raw_p99_us\":%u,\"acknowledged\":%" PRIu64
	       ",\"failed\":%" PRIu64 "}\n",
	       o->inflight, bytes, emitter->per_s, emitter->p50_us, emitter->p99_us, raw->per_s, raw->p50_us,
	       raw->p99_us, emitter->done + raw->done, emitter->failed + raw->failed);
}

int main(int argc, char **argv)
{
	struct options o = {
	    .trust_domain = "ocu.local", .as = "gateway", .mode = "both", .inflight = 64, .seconds = 4};
	struct ocu_error err = {0};
	struct ocu_identity *id = NULL;
	struct result emitter = {0}, raw = {0};
	size_t bytes = 0;
	if (parse(&o, argc, argv))
		return usage();
	OCU_JSON json_t *detail =
	    json_pack("{s:s, s:s, s:i, s:i}", "tool", "bash_tool", "argv_sha256",
	              "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", "exit_code", 0,
	              "duration_us", 1234);
	int rc = ocu_identity_load(&id, o.pki, o.trust_domain, ocu_component_parse(o.as), &err);
	if (!rc && strcmp(o.mode, "raw") != 0)
		rc = through_emitter(&o, id, detail, &emitter, &err);
	if (!rc && strcmp(o.mode, "emitter") != 0)
		rc = through_rpc(&o, id, detail, &raw, &bytes, &err);
	if (rc)
		fprintf(stderr, "audit_bench: %s\n", err.text);
	else
		print(&o, &emitter, &raw, bytes);
	ocu_identity_free(id);
	return rc || emitter.failed + raw.failed ? 1 : 0;
}
