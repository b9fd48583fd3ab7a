/*
 * ocu-edge-operator: operatord's part towards egressd and nothing more, so that the edge can be tested alone:
 * the denylist's feed and pull, and a connection that sends what the test asks for. Lines on stdin, one line
 * of JSON each on stdout: call METHOD {...}        the reply, or {"error":{...}}; "took_us" is added to both
 *   deny KIND VALUE          adds to the list and publishes it (KIND 1 session, 2 caller)
 *   hide KIND VALUE          adds to the list without publishing: found by the next pull
 * usage: ocu-edge-operator PKI_DIR DAEMON_URL FEED_URL PULL_URL [COMPONENT]   (egressd when not said)
 */
#include <nng/nng.h>
#include <nng/protocol/pubsub0/pub.h>
#include <pthread.h>

#include "libocu/clock.h"
#include "libocu/err.h"
#include "libocu/pki.h"
#include "libocu/rpc.h"
#include "libocu/tls_engine.h"
#include "proto/denylist.pb-c.h"
#include "proto/methods.h"
#include "tests/support/pbjson.h"

enum { DENY_MAX = 256, LINE_MAX_BYTES = 1 << 20, CALL_MS = 8000 };

static struct {
	pthread_mutex_t lock;
	uint64_t epoch;
	unsigned count;
	struct {
		uint32_t kind;
		char value[300];
	} entries[DENY_MAX];
} list = {.lock = PTHREAD_MUTEX_INITIALIZER, .epoch = 1};

static nng_socket pub;

static void fill(Ocu__Denylist__Entry *rows, Ocu__Denylist__Entry **refs)
{
	for (unsigned i = 0; i < list.count; i++) {
		rows[i] = (Ocu__Denylist__Entry)OCU__DENYLIST__ENTRY__INIT;
		rows[i].kind = list.entries[i].kind;
		rows[i].value = list.entries[i].value;
		rows[i].epoch = list.epoch;
		refs[i] = &rows[i];
	}
}

static void on_pull(struct ocu_rpc_call *call, const ProtobufCMessage *m, void *arg)
{
	Ocu__Denylist__PullReply reply = OCU__DENYLIST__PULL_REPLY__INIT;
	Ocu__Denylist__Entry rows[DENY_MAX] = {0}, *refs[DENY_MAX] = {0};

	(void)m;
	(void)arg;
	pthread_mutex_lock(&list.lock);
	fill(rows, refs);
	reply.history = (char *)"test";
	reply.epoch = list.epoch;
	reply.entries = refs;
	reply.n_entries = list.count;
	ocu_rpc_reply(call, &reply.base);
	pthread_mutex_unlock(&list.lock);
}

static const struct ocu_rpc_entry table[] = {{&ocu_m_denylist_pull, on_pull}, {NULL, NULL}};

static void publish(Ocu__Denylist__Entry *last)
{
	Ocu__Denylist__Change change = OCU__DENYLIST__CHANGE__INIT;
	nng_msg *msg;

	change.history = (char *)"test";
	change.epoch = list.epoch;
	change.added = &last;
	change.n_added = 1;
	if (nng_msg_alloc(&msg, ocu__denylist__change__get_packed_size(&change)) != 0)
		abort();
	ocu__denylist__change__pack(&change, nng_msg_body(msg));
	if (nng_sendmsg(pub, msg, 0) != 0)
		abort();
}

static void deny(uint32_t kind, const char *value, bool tell)
{
	Ocu__Denylist__Entry rows[DENY_MAX] = {0}, *refs[DENY_MAX] = {0};

	pthread_mutex_lock(&list.lock);
	if (list.count == DENY_MAX)
		abort();
	list.entries[list.count].kind = kind;
	snprintf(list.entries[list.count++].value, sizeof list.entries[0].value, "%s", value);
	list.epoch++;
	fill(rows, refs);
	if (tell)
		publish(refs[list.count - 1]);
	pthread_mutex_unlock(&list.lock);
	puts("{\"ok\":true}");
}

static int listen_feed(const struct ocu_identity *id, enum ocu_component peer, const char *url,
                       struct ocu_error *err)
{
	char allow[OCU_SPIFFE_MAX];
	nng_tls_config *tls;
	nng_listener l;
	int rc = ocu_tls_engine_register(err);

	if (rc || (rc = ocu_peer_spiffe(id->trust_domain, peer, NULL, allow, err)) ||
	    (rc = ocu_tls_config(&tls, NNG_TLS_MODE_SERVER, id, allow, err)))
		return rc;
	if (nng_pub0_open(&pub) || nng_listener_create(&l, pub, url) ||
	    nng_listener_set_ptr(l, NNG_OPT_TLS_CONFIG, tls) || nng_listener_start(l, 0))
		rc = ocu_error_set(err, OCU_E_IO, "%s", url);
	nng_tls_config_free(tls);
	return rc;
}

static void print(json_t *j, uint64_t took_ns)
{
	json_object_set_new(j, "took_us", json_integer((json_int_t)(took_ns / 1000)));
	json_dumpf(j, stdout, JSON_COMPACT);
	putchar('\n');
	json_decref(j);
}

static void call(struct ocu_rpc_client *client, const char *method, const char *text)
{
	const struct ocu_rpc_method *m = ocu_method_find_name(method);
	json_t *in = json_loads(text, 0, NULL);
	struct ocu_error err = {0};
	ProtobufCMessage *request = NULL, *reply = NULL;
	char why[256] = "no such method, or no JSON";

	if (m && in)
		request = pbjson_read(m->request, in, false, why, sizeof why);
	json_decref(in);
	if (!request) {
		printf("{\"usage\":\"%s\"}\n", why);
		return;
	}
	uint64_t start = ocu_mono_ns();
	int rc = ocu_rpc_call(client, m, request, &reply, CALL_MS, NULL, &err);
	uint64_t took = ocu_mono_ns() - start;
	if (rc || !reply) {
		print(json_pack("{s:{s:i, s:s, s:s}}", "error", "code", err.code, "reason",
		                ocu_err_reason(err.code), "text", err.text),
		      took);
	} else {
		print(pbjson_write(reply, false), took);
		protobuf_c_message_free_unpacked(reply, NULL);
	}
	protobuf_c_message_free_unpacked(request, NULL);
}

static void serve(struct ocu_rpc_client *client)
{
	static char line[LINE_MAX_BYTES];
	char word[64];
	char *rest;
	int used;

	while (fgets(line, sizeof line, stdin)) {
		line[strcspn(line, "\n")] = '\0';
		if (sscanf(line, "call %63s %n", word, &used) == 1)
			call(client, word, line + used);
		else if (strncmp(line, "deny ", 5) == 0 || strncmp(line, "hide ", 5) == 0) {
			uint32_t kind = (uint32_t)strtoul(line + 5, &rest, 10);
			deny(kind, rest + (*rest == ' '), line[0] == 'd');
		} else
			puts("{\"usage\":\"call, deny, hide\"}");
		fflush(stdout);
	}
}

int main(int argc, char **argv)
{
	struct ocu_identity *id = NULL;
	struct ocu_rpc_server *server = NULL;
	struct ocu_rpc_client *client = NULL;
	struct ocu_error err = {0};

	if (argc != 5 && argc != 6)
		return 2;
	enum ocu_component peer = argc == 6 ? ocu_component_parse(argv[5]) : OCU_COMP_EGRESSD;
	struct ocu_rpc_server_opts s = {.table = table, .url = argv[4]};
	struct ocu_rpc_client_opts c = {.url = argv[2], .peer = peer};
	int rc = ocu_identity_load(&id, argv[1], "ocu.local", OCU_COMP_OPERATORD, &err);
	s.identity = c.identity = id;
	if (rc == 0)
		rc = listen_feed(id, peer, argv[3], &err);
	if (rc == 0)
		rc = ocu_rpc_server_start(&server, &s, &err);
	if (rc == 0)
		rc = ocu_rpc_client_new(&client, &c, &err);
	if (rc) {
		fprintf(stderr, "ocu-edge-operator: %s\n", err.text);
		return 1;
	}
	puts("{\"ok\":true}");
	fflush(stdout);
	serve(client);
	ocu_rpc_client_free(client);
	ocu_rpc_server_stop(server, 100);
	nng_close(pub);
	ocu_identity_free(id);
	return 0;
}
