/*
 * ocu-rpc-probe: any call of proto/methods.h from the command line, for tests that drive a daemon from
 * outside, with whatever identity the test chooses. Prints the reply as one line of JSON and exits 0; a
 * refusal is printed as
 * {"error":{"code","reason","text"}} with exit status 1; wrong usage is 2.
 */
#include <getopt.h>
#include <nng/nng.h>
#include <nng/protocol/reqrep0/req.h>
#include <pthread.h>

#include "libocu/cleanup.h"
#include "libocu/clock.h"
#include "libocu/err.h"
#include "libocu/jwt.h"
#include "libocu/keyfile.h"
#include "libocu/pki.h"
#include "libocu/rpc.h"
#include "libocu/rpc_envelope.h"
#include "libocu/tls_engine.h"
#include "proto/methods.h"
#include "tests/support/pbjson.h"

enum { PEM_MAX = 65536, BENCH_MAX = 10000000 };

struct options {
	const char *pki, *as, *identity_dir, *to, *peer, *trust_domain, *raw, *method, *json;
	unsigned deadline_ms, inflight;
	unsigned long bench;
	bool plain;
};

static const char usage[] =
    "usage: ocu-rpc-probe --pki DIR --as COMPONENT [--identity-dir DIR] --to URL --peer COMPONENT\n"
    "           [--trust-domain TD] [--deadline MS] [--plain] [--bench N] [--inflight M] METHOD 'JSON'\n"
    "       ocu-rpc-probe ... --raw HEX       send these bytes as the whole message\n"
    "--identity-dir: cert.pem, key.pem and token.key are taken from there, unchecked. --plain: bytes fields "
    "are text,\n"
    "not base64. METHOD is a name of proto/methods.h (\"session.Status\") or its number; a method the callee "
    "does not\n"
    "serve may be asked for.\n";

static int fail(const struct ocu_error *err)
{
	json_t *j = json_pack("{s:{s:i, s:s, s:s}}", "error", "code", err->code, "reason",
	                      ocu_err_reason(err->code), "text", err->text);

	json_dumpf(j, stdout, JSON_COMPACT);
	putchar('\n');
	json_decref(j);
	return 1;
}

static int parse_options(struct options *o, int argc, char **argv)
{
	static const struct option longs[] = {
	    {"pki", 1, NULL, 'k'},   {"as", 1, NULL, 'a'},       {"identity-dir", 1, NULL, 'i'},
	    {"to", 1, NULL, 't'},    {"peer", 1, NULL, 'p'},     {"trust-domain", 1, NULL, 'd'},
	    {"raw", 1, NULL, 'r'},   {"deadline", 1, NULL, 'D'}, {"inflight", 1, NULL, 'm'},
	    {"bench", 1, NULL, 'b'}, {"plain", 0, NULL, 'P'},    {NULL, 0, NULL, 0},
	};
	int c;

	*o = (struct options){.trust_domain = "ocu.local", .deadline_ms = 10000, .inflight = 1};
	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		switch (c) {
		case 'k':
			o->pki = optarg;
			break;
		case 'a':
			o->as = optarg;
			break;
		case 'i':
			o->identity_dir = optarg;
			break;
		case 't':
			o->to = optarg;
			break;
		case 'p':
			o->peer = optarg;
			break;
		case 'd':
			o->trust_domain = optarg;
			break;
		case 'r':
			o->raw = optarg;
			break;
		case 'D':
			o->deadline_ms = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 'm':
			o->inflight = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 'b':
			o->bench = strtoul(optarg, NULL, 10);
			break;
		case 'P':
			o->plain = true;
			break;
		default:
			return -1;
		}
	}
	o->method = argv[optind];
	o->json = o->method && argv[optind + 1] ? argv[optind + 1] : "{}";
	if (!o->pki || !o->as || !o->to || !o->peer || (!o->method && !o->raw) || o->inflight == 0 ||
	    o->bench > BENCH_MAX || ocu_component_parse(o->as) == OCU_COMP_NONE ||
	    ocu_component_parse(o->peer) == OCU_COMP_NONE)
		return -1;
	return 0;
}

static int read_part(const char *dir, const char *name, bool secret, char **ret, struct ocu_error *err)
{
	char path[1024];

	snprintf(path, sizeof path, "%s/%s", dir, name);
	return ocu_keyfile_read(path, PEM_MAX, secret, ret, NULL, err);
}

/* Puts the parts together without asking whether they fit: that is for the other side to find out. */
static int load_unchecked(struct ocu_identity **ret, const struct options *o, struct ocu_error *err)
{
	struct ocu_identity *id = calloc(1, sizeof *id);
	enum ocu_component self = ocu_component_parse(o->as);
	char path[1024];
	int rv;

	if (!id)
		return ocu_error_set(err, OCU_E_NOMEM, "identity");
	snprintf(id->trust_domain, sizeof id->trust_domain, "%s", o->trust_domain);
	id->self.component = self;
	if ((rv = ocu_peer_spiffe(o->trust_domain, self, NULL, id->self.spiffe, err)) != 0 ||
	    (rv = read_part(o->pki, "ca.pem", false, &id->ca_pem, err)) != 0 ||
	    (rv = read_part(o->identity_dir, "cert.pem", false, &id->cert_pem, err)) != 0 ||
	    (rv = read_part(o->identity_dir, "key.pem", true, &id->key_pem, err)) != 0)
		goto out;
	snprintf(path, sizeof path, "%s/token.key", o->identity_dir);
	rv = ocu_signer_load(&id->token_signer, path, err);
out:
	if (rv != 0)
		ocu_identity_free(id);
	else
		*ret = id;
	return rv;
}

static int load_identity(struct ocu_identity **ret, const struct options *o, struct ocu_error *err)
{
	if (o->identity_dir)
		return load_unchecked(ret, o, err);
	return ocu_identity_load(ret, o->pki, o->trust_domain, ocu_component_parse(o->as), err);
}

/* --- raw bytes --- */

static int from_hex(const char *hex, uint8_t *out, size_t max)
{
	size_t n = strlen(hex) / 2;

	if (strlen(hex) % 2 || n > max)
		return -1;
	for (size_t i = 0; i < n; i++) {
		const char two[] = {hex[2 * i], hex[2 * i + 1], '\0'};
		char *end;

		out[i] = (uint8_t)strtoul(two, &end, 16);
		if (end != two + 2)
			return -1;
	}
	return (int)n;
}

static int print_raw_answer(nng_msg *msg)
{
	struct ocu_rpc_answer a;
	struct ocu_error err = {0};

	if (ocu_rpc_answer_decode(&a, nng_msg_body(msg), nng_msg_len(msg), &err) != 0)
		return fail(&err);
	if (a.code != 0) {
		ocu_error_set(&err, a.code, "%s", a.text);
		return fail(&err);
	}
	printf("{\"id\":%llu,\"body_bytes\":%zu}\n", (unsigned long long)a.id, a.body_len);
	return 0;
}

static int nng_fail(struct ocu_error *err, int rv)
{
	ocu_error_set(err, rv == NNG_ETIMEDOUT ? OCU_E_TIMEOUT : OCU_E_UNAVAILABLE, "%s", nng_strerror(rv));
	return fail(err);
}

static int exchange_raw(nng_socket s, const uint8_t *data, size_t len, struct ocu_error *err)
{
	nng_msg *msg = NULL;
	int rv = nng_msg_alloc(&msg, 0);

	if (rv == 0 && (rv = nng_msg_append(msg, data, len)) == 0 && (rv = nng_sendmsg(s, msg, 0)) == 0)
		msg = NULL;
	if (rv == 0)
		rv = nng_recvmsg(s, &msg, 0);
	rv = rv == 0 ? print_raw_answer(msg) : nng_fail(err, rv);
	nng_msg_free(msg);
	return rv;
}

static int dial_raw(nng_socket s, const struct options *o, nng_tls_config *tls)
{
	nng_dialer d;
	int rv = nng_dialer_create(&d, s, o->to);

	if (rv == 0)
		rv = nng_dialer_set_ptr(d, NNG_OPT_TLS_CONFIG, tls);
	if (rv == 0)
		rv = nng_socket_set_ms(s, NNG_OPT_SENDTIMEO, (nng_duration)o->deadline_ms);
	if (rv == 0)
		rv = nng_socket_set_ms(s, NNG_OPT_RECVTIMEO, (nng_duration)o->deadline_ms);
	return rv == 0 ? nng_dialer_start(d, 0) : rv;
}

static int run_raw(const struct options *o, const struct ocu_identity *id, struct ocu_error *err)
{
	static uint8_t data[1 << 20];
	char spiffe[OCU_SPIFFE_MAX], allow[OCU_SPIFFE_MAX + 2];
	nng_tls_config *tls;
	nng_socket s;
	int n = from_hex(o->raw, data, sizeof data);
	int rv;

	if (n < 0 || ocu_peer_spiffe(o->trust_domain, ocu_component_parse(o->peer), NULL, spiffe, err) != 0) {
		fputs("ocu-rpc-probe: --raw takes hexadecimal bytes\n", stderr);
		return 2;
	}
	snprintf(allow, sizeof allow, "%s/*", spiffe);
	if (ocu_tls_config(&tls, NNG_TLS_MODE_CLIENT, id, allow, err) != 0)
		return fail(err);
	if ((rv = nng_req0_open(&s)) == 0) {
		rv = dial_raw(s, o, tls);
		rv = rv == 0 ? exchange_raw(s, data, (size_t)n, err) : nng_fail(err, rv);
		nng_close(s);
	}
	nng_tls_config_free(tls);
	return rv;
}

/* --- calls --- */

static const struct ocu_rpc_method *find_method(const char *name)
{
	const struct ocu_rpc_method *m = ocu_method_find_name(name);

	return m ? m : ocu_method_find((unsigned)strtoul(name, NULL, 0));
}

struct bench {
	struct ocu_rpc_client *client;
	const struct ocu_rpc_method *method;
	const ProtobufCMessage *request;
	unsigned deadline_ms;
	unsigned long from, to;
	uint64_t *took_ns; /* of every call */
	unsigned long failed;
	struct ocu_error why;
};

static void *bench_thread(void *arg)
{
	struct bench *b = arg;

	for (unsigned long i = b->from; i < b->to; i++) {
		uint64_t start = ocu_mono_ns();

		b->failed +=
		    ocu_rpc_call(b->client, b->method, b->request, NULL, b->deadline_ms, NULL, &b->why) != 0;
		b->took_ns[i] = ocu_mono_ns() - start;
	}
	return NULL;
}

static int by_size(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static int run_bench(const struct options *o, struct bench shared)
{
	OCU_FREE uint64_t *took = calloc(o->bench, sizeof *took);
	OCU_FREE struct bench *each = calloc(o->inflight, sizeof *each);
	OCU_FREE pthread_t *threads = calloc(o->inflight, sizeof *threads);
	unsigned long failed = 0, n = o->bench;
	uint64_t start = ocu_mono_ns();
	double seconds;

	if (!took || !each || !threads)
		exit(1);
	for (unsigned i = 0; i < o->inflight; i++) {
		each[i] = shared;
		each[i].from = n * i / o->inflight;
		each[i].to = n * (i + 1) / o->inflight;
		each[i].took_ns = took;
		if (pthread_create(&threads[i], NULL, bench_thread, &each[i]) != 0)
			exit(1); /* those that run use what is here */
	}
	for (unsigned i = 0; i < o->inflight; i++) {
		pthread_join(threads[i], NULL);
		failed += each[i].failed;
		if (each[i].failed)
			fprintf(stderr, "%s\n", each[i].why.text);
	}
	seconds = (double)(ocu_mono_ns() - start) / 1e9;
	const size_t middle = n / 2, last = n - 1 - n / 100;
	qsort(took, n, sizeof *took, by_size);
	printf(
	    "{\"calls\":%lu,\"failed\":%lu,\"inflight\":%u,\"per_s\":%.0f,\"p50_us\":%.1f,\"p99_us\":%.1f}\n",
	    n, failed, o->inflight, (double)n / seconds, (double)took[middle] / 1e3,
	    (double)took[last] / 1e3);
	return failed ? 1 : 0;
}

static int run_one(const struct options *o, const struct bench *b, struct ocu_error *err)
{
	ProtobufCMessage *reply = NULL;
	json_t *j;

	if (ocu_rpc_call(b->client, b->method, b->request, &reply, o->deadline_ms, NULL, err) != 0)
		return fail(err);
	j = pbjson_write(reply, o->plain);
	json_dumpf(j, stdout, JSON_COMPACT);
	putchar('\n');
	json_decref(j);
	protobuf_c_message_free_unpacked(reply, NULL);
	return 0;
}

static int run_call(const struct options *o, const struct ocu_identity *id, struct ocu_error *err)
{
	struct ocu_rpc_client_opts co = {
	    .url = o->to, .identity = id, .peer = ocu_component_parse(o->peer), .inflight = o->inflight};
	struct bench b = {.method = find_method(o->method), .deadline_ms = o->deadline_ms};
	json_t *in = json_loads(o->json, 0, NULL);
	ProtobufCMessage *request = NULL;
	char why[256] = "not JSON, or no such method";
	int rv;

	if (b.method && in)
		request = pbjson_read(b.method->request, in, o->plain, why, sizeof why);
	json_decref(in);
	if (!request)
		return fprintf(stderr, "ocu-rpc-probe: %s\n", why), 2;
	b.request = request;
	if (ocu_rpc_client_new(&b.client, &co, err) != 0 ||
	    ocu_rpc_client_wait(b.client, o->deadline_ms, err) != 0)
		rv = fail(err);
	else
		rv = o->bench ? run_bench(o, b) : run_one(o, &b, err);
	ocu_rpc_client_free(b.client);
	protobuf_c_message_free_unpacked(request, NULL);
	return rv;
}

int main(int argc, char **argv)
{
	struct ocu_identity *id = NULL;
	struct ocu_error err = {0};
	struct options o;
	int rv;

	if (parse_options(&o, argc, argv) != 0)
		return fputs(usage, stderr), 2;
	if (load_identity(&id, &o, &err) != 0)
		return fail(&err);
	rv = o.raw ? run_raw(&o, id, &err) : run_call(&o, id, &err);
	ocu_identity_free(id);
	return rv;
}
