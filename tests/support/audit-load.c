/*
 * ocu-audit-load: threads that commit events through the libocu emitter and remember which were acknowledged,
 * for tests that kill auditd, fill its disk, or flood it. Event k has the resource "<prefix>-<k>". With
 * --acked the acknowledged names are in FILE when the program ends; it ends after --seconds, or with
 * --until-failure at the first event that was not acknowledged. Prints
 * {"acknowledged","refused","per_s","p99_us","reason"}.
 */
#include <getopt.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libocu/audit.h"
#include "libocu/buf.h"
#include "libocu/clock.h"
#include "libocu/err.h"
#include "libocu/json.h"
#include "libocu/pki.h"

#define THREADS_MAX 512
#define SAMPLES_MAX 200000
#define CONNECT_MS  60000

struct options {
	const char *url, *pki, *as, *trust_domain, *prefix, *acked;
	unsigned threads, bytes;
	double seconds;
	bool until_failure;
};

struct load {
	struct options o;
	struct ocu_audit *audit;
	json_t *detail;
	uint64_t end_ms;
	atomic_ulong next, refused;
	atomic_bool stop;
	char reason[64];
};

struct worker {
	pthread_t thread;
	struct load *load;
	struct ocu_buf acked;
	unsigned long n;
	uint32_t *latency_us;
	size_t samples;
};

static int commit(struct load *l, const char *name, struct ocu_error *err)
{
	const struct ocu_event ev = {
	    .class_uid = OCU_OCSF_PROCESS_ACTIVITY,
	    .activity_id = 1,
	    .action = "tool.call",
	    .resource = name,
	    .actor_id = "load",
	    .session_id = "ses_01JC0000000000000000000000",
	    .outcome = OCU_OUTCOME_SUCCESS,
	    .detail = l->detail,
	};
	return ocu_audit_commit(l->audit, &ev, err);
}

static void note_refusal(struct load *l, const struct ocu_error *err)
{
	if (atomic_fetch_add(&l->refused, 1) == 0)
		snprintf(l->reason, sizeof l->reason, "%.60s", err->text);
	if (l->o.until_failure)
		atomic_store(&l->stop, true);
}

static void *work(void *arg)
{
	struct worker *w = arg;
	struct load *l = w->load;
	while (!atomic_load(&l->stop) && ocu_mono_ms() < l->end_ms) {
		struct ocu_error err = {0};
		char name[80];
		snprintf(name, sizeof name, "%s-%lu", l->o.prefix, atomic_fetch_add(&l->next, 1));
		uint64_t start = ocu_mono_ns();
		if (commit(l, name, &err)) {
			note_refusal(l, &err);
			continue;
		}
		w->n++;
		if (w->samples < SAMPLES_MAX)
			w->latency_us[w->samples++] = (uint32_t)((ocu_mono_ns() - start) / 1000);
		if (l->o.acked)
			ocu_buf_printf(&w->acked, "%s\n", name);
	}
	return NULL;
}

static int compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return (x > y) - (x < y);
}

static int write_acked(const struct load *l, const struct worker *w)
{
	FILE *f = fopen(l->o.acked, "we");
	if (!f)
		return -1;
	for (unsigned i = 0; i < l->o.threads; i++)
		fwrite(w[i].acked.data ? w[i].acked.data : "", 1, w[i].acked.len, f);
	return fclose(f);
}

/* All samples in one sorted array. */
static uint32_t p99(const struct worker *w, unsigned n)
{
	size_t total = 0, at = 0;
	for (unsigned i = 0; i < n; i++)
		total += w[i].samples;
	uint32_t *all = malloc((total + 1) * sizeof *all);
	for (unsigned i = 0; i < n; i++) {
		memcpy(all + at, w[i].latency_us, w[i].samples * sizeof *all);
		at += w[i].samples;
	}
	qsort(all, total, sizeof *all, compare);
	uint32_t v = total ? all[(total - 1) * 99 / 100] : 0;
	free(all);
	return v;
}

/* What is measured and refused is auditd's doing from here on. */
static bool connected(const struct load *l)
{
	uint64_t end = ocu_mono_ms() + CONNECT_MS;
	while (!ocu_audit_healthy(l->audit) && ocu_mono_ms() < end)
		sched_yield();
	if (!ocu_audit_healthy(l->audit))
		fputs("ocu-audit-load: auditd is not there\n", stderr);
	return ocu_audit_healthy(l->audit);
}

static int run(struct load *l)
{
	static struct worker w[THREADS_MAX];
	unsigned long done = 0;
	uint64_t start = ocu_mono_ms();
	l->end_ms = start + (uint64_t)(l->o.seconds * 1000);
	for (unsigned i = 0; i < l->o.threads; i++) {
		w[i].load = l;
		ocu_buf_init(&w[i].acked, 256u << 20);
		w[i].latency_us = malloc(SAMPLES_MAX * sizeof *w[i].latency_us);
		if (!w[i].latency_us || pthread_create(&w[i].thread, NULL, work, &w[i]))
			return -1;
	}
	for (unsigned i = 0; i < l->o.threads; i++) {
		pthread_join(w[i].thread, NULL);
		done += w[i].n;
	}
	double s = (double)(ocu_mono_ms() - start) / 1000;
	printf("{\"acknowledged\":%lu,\"refused\":%lu,\"per_s\":%.0f,\"p99_us\":%u,\"reason\":\"%s\"}\n",
	       done, atomic_load(&l->refused), (double)done / s, p99(w, l->o.threads), l->reason);
	return l->o.acked ? write_acked(l, w) : 0;
}

static int parse(struct options *o, int argc, char **argv)
{
	static const struct option longs[] = {
	    {"url", 1, NULL, 'u'},
	    {"pki", 1, NULL, 'p'},
	    {"as", 1, NULL, 'a'},
	    {"td", 1, NULL, 'd'},
	    {"prefix", 1, NULL, 'x'},
	    {"acked", 1, NULL, 'k'},
	    {"threads", 1, NULL, 't'},
	    {"bytes", 1, NULL, 'b'},
	    {"seconds", 1, NULL, 's'},
	    {"until-failure", 0, NULL, 'f'},
	    {0},
	};
	for (int c; (c = getopt_long(argc, argv, "", longs, NULL)) != -1;) {
		const char **text = c == 'u'   ? &o->url
		                    : c == 'p' ? &o->pki
		                    : c == 'a' ? &o->as
		                    : c == 'd' ? &o->trust_domain
		                    : c == 'x' ? &o->prefix
		                    : c == 'k' ? &o->acked
		                               : NULL;
		if (text)
			*text = optarg;
		else if (c == 't')
			o->threads = (unsigned)strtoul(optarg, NULL, 10);
		else if (c == 'b')
			o->bytes = (unsigned)strtoul(optarg, NULL, 10);
		else if (c == 's')
			o->seconds = strtod(optarg, NULL);
		else if (c == 'f')
			o->until_failure = true;
		else
			return -1;
	}
	return o->url && o->pki && o->threads && o->threads <= THREADS_MAX && o->bytes < 16000 &&
	               optind == argc
	           ? 0
	           : -1;
}

static json_t *detail_of(unsigned bytes)
{
	char *text = malloc(bytes + 1);
	memset(text, 'd', bytes);
	json_t *j = json_pack("{s:s%}", "padding", text, (size_t)bytes);
	free(text);
	return j;
}

int main(int argc, char **argv)
{
	static struct load l = {.o = {.as = "gateway",
	                              .trust_domain = "ocu.local",
	                              .prefix = "event",
	                              .threads = 16,
	                              .seconds = 5}};
	struct ocu_error err = {0};
	struct ocu_identity *id = NULL;
	if (parse(&l.o, argc, argv)) {
		fputs("usage: ocu-audit-load --url URL --pki DIR [--as COMPONENT] [--td DOMAIN] [--prefix P] "
		      "[--acked FILE]\n"
		      "       [--threads 16] [--bytes 0] [--seconds 5] [--until-failure]\n",
		      stderr);
		return 2;
	}
	l.detail = detail_of(l.o.bytes);
	if (ocu_identity_load(&id, l.o.pki, l.o.trust_domain, ocu_component_parse(l.o.as), &err) ||
	    ocu_audit_start(&l.audit, l.o.url, id, &err)) {
		fprintf(stderr, "ocu-audit-load: %s\n", err.text);
		return 1;
	}
	int rc = connected(&l) ? run(&l) : -1;
	ocu_audit_stop(l.audit);
	ocu_identity_free(id);
	json_decref(l.detail);
	return rc ? 1 : 0;
}
