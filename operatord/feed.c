/* feed: see feed.h. */
#include "operatord/feed.h"

#include <nng/nng.h>
#include <nng/protocol/pubsub0/pub.h>
#include <nng/supplemental/tls/tls.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "libocu/audit.h"
#include "libocu/buf.h"
#include "libocu/cleanup.h"
#include "libocu/err.h"
#include "libocu/pki.h"
#include "libocu/rpc.h"
#include "libocu/tls_engine.h"
#include "operatord/control.h"
#include "proto/denylist.pb-c.h"
#include "proto/methods.h"

struct feed {
	struct control *control;
	pthread_mutex_t order; /* a change is stored and published under it, so that epochs leave in order */
	nng_socket pub;
	nng_listener listener;
	struct ocu_rpc_server *pull;
};

static const enum ocu_component subscribers[] = {OCU_COMP_GATEWAY, OCU_COMP_SANDBOXD, OCU_COMP_BROKERD,
                                                 OCU_COMP_EGRESSD};

/* Publishing ------------------------------------------------------------------------------------------- */

static int allow_list(const struct ocu_identity *id, struct ocu_buf *out, struct ocu_error *err)
{
	char spiffe[OCU_SPIFFE_MAX];

	for (size_t i = 0; i < sizeof subscribers / sizeof *subscribers; i++) {
		int rc = ocu_peer_spiffe(id->trust_domain, subscribers[i], NULL, spiffe, err);
		if (rc)
			return rc;
		ocu_buf_printf(out, "%s%s/*", i ? "," : "", spiffe);
	}
	return out->failed ? ocu_error_set(err, out->failed, "allow-list") : 0;
}

static int pub_listen(struct feed *f, const char *url, struct ocu_error *err)
{
	OCU_BUF struct ocu_buf allow = OCU_BUF_INIT(1024);
	nng_tls_config *tls;
	int rc = allow_list(f->control->identity, &allow, err);

	if (rc || (rc = ocu_tls_config(&tls, NNG_TLS_MODE_SERVER, f->control->identity, allow.data, err)))
		return rc;
	rc = ocu_tls_listen(f->pub, url, tls, &f->listener, err);
	nng_tls_config_free(tls);
	return rc;
}

static void to_wire(Ocu__Denylist__Entry *w, const struct deny_entry *e, uint64_t epoch)
{
	ocu__denylist__entry__init(w);
	w->kind = (uint32_t)e->kind;
	w->value = (char *)e->value;
	w->epoch = epoch;
}

/* A message that cannot be made or sent costs the subscribers a few seconds: they pull. */
static void publish(struct feed *f, uint64_t epoch, Ocu__Denylist__Entry **added, size_t n_added,
                    Ocu__Denylist__Entry **removed, size_t n_removed)
{
	Ocu__Denylist__Change change = OCU__DENYLIST__CHANGE__INIT;
	nng_msg *msg;

	change.history = (char *)registry_history(f->control->registry);
	change.epoch = epoch;
	change.added = added;
	change.n_added = n_added;
	change.removed = removed;
	change.n_removed = n_removed;
	if (nng_msg_alloc(&msg, ocu__denylist__change__get_packed_size(&change)) != 0)
		return;
	ocu__denylist__change__pack(&change, nng_msg_body(msg));
	if (nng_sendmsg(f->pub, msg, NNG_FLAG_NONBLOCK) != 0)
		nng_msg_free(msg);
}

/* Entries as protobuf takes them; wire_free() takes what wire_new() gave, also NULL. */
struct wire {
	Ocu__Denylist__Entry **list;
	Ocu__Denylist__Entry entry[];
};

static struct wire *wire_new(const struct deny_entry *entries, size_t n)
{
	struct wire *w = calloc(1, sizeof *w + n * sizeof *w->entry);

	if (!w)
		return NULL;
	w->list = calloc(n ? n : 1, sizeof *w->list);
	if (!w->list) {
		free(w);
		return NULL;
	}
	for (size_t i = 0; i < n; i++) {
		to_wire(&w->entry[i], &entries[i], entries[i].epoch);
		w->list[i] = &w->entry[i];
	}
	return w;
}

static void wire_free(struct wire *w)
{
	if (w)
		free(w->list);
	free(w);
}

static void publish_added(struct feed *f, const struct deny_entry *entries, size_t n, uint64_t epoch)
{
	struct wire *w = wire_new(entries, n);

	for (size_t i = 0; w && i < n; i++)
		w->entry[i].epoch = epoch;
	if (w)
		publish(f, epoch, w->list, n, NULL, 0);
	wire_free(w);
}

int feed_deny(struct feed *f, const struct deny_entry *entries, size_t n, uint64_t *epoch, bool *changed,
              struct ocu_error *err)
{
	int rc;

	pthread_mutex_lock(&f->order);
	rc = registry_deny_add(f->control->registry, entries, n, epoch, changed, err);
	if (rc == 0 && *changed)
		publish_added(f, entries, n, *epoch);
	pthread_mutex_unlock(&f->order);
	return rc;
}

int feed_lift(struct feed *f, enum ocu_deny_kind kind, const char *value, uint64_t *epoch,
              struct ocu_error *err)
{
	Ocu__Denylist__Entry wire = OCU__DENYLIST__ENTRY__INIT, *list = &wire;
	int rc;

	wire.kind = (uint32_t)kind;
	wire.value = (char *)value;
	pthread_mutex_lock(&f->order);
	rc = registry_deny_lift(f->control->registry, kind, value, epoch, err);
	if (rc == 0)
		publish(f, *epoch, NULL, 0, &list, 1);
	pthread_mutex_unlock(&f->order);
	return rc;
}

/* Pulling ---------------------------------------------------------------------------------------------- */

static void reply_whole(struct ocu_rpc_call *call, struct control *c, Ocu__Denylist__PullReply *p)
{
	OCU_FREE struct deny_entry *entries = NULL;
	struct ocu_error err = {0};
	struct wire *w = NULL;
	size_t n = 0;

	if (registry_deny_list(c->registry, &entries, &n, &p->epoch, &err) == 0 &&
	    !(w = wire_new(entries, n)))
		ocu_error_set(&err, OCU_E_NOMEM, "denylist");
	if (!w) {
		ocu_rpc_fail(call, &err);
		return;
	}
	p->entries = w->list;
	p->n_entries = n;
	ocu_rpc_reply(call, &p->base);
	wire_free(w);
}

static void on_pull(struct ocu_rpc_call *call, const ProtobufCMessage *req, void *arg)
{
	const Ocu__Denylist__PullRequest *q = (const Ocu__Denylist__PullRequest *)req;
	struct control *c = arg;
	Ocu__Denylist__PullReply p = OCU__DENYLIST__PULL_REPLY__INIT;

	heard_pulled(&c->heard, ocu_rpc_call_peer(call)->component, q->epoch, q->version);
	p.history = (char *)registry_history(c->registry);
	p.epoch = registry_epoch(c->registry);
	/* Epoch 0 is asked for by who has nothing yet, and a list of another history may have any number. */
	if (q->epoch != 0 && q->epoch == p.epoch) {
		p.unchanged = true;
		ocu_rpc_reply(call, &p.base);
		return;
	}
	reply_whole(call, c, &p);
}

static const struct ocu_rpc_entry pull_table[] = {{&ocu_m_denylist_pull, on_pull}, {NULL, NULL}};

static void refused(const struct ocu_peer *peer, uint32_t method, const struct ocu_error *why, void *arg)
{
	struct control *c = arg;

	ocu_audit_rpc_refused(c->audit, peer, method, why);
}

int feed_start(struct feed **ret, struct control *c, struct ocu_error *err)
{
	struct feed *f = calloc(1, sizeof *f);
	const struct ocu_rpc_server_opts o = {.url = c->cfg.pull_listen,
	                                      .identity = c->identity,
	                                      .table = pull_table,
	                                      .arg = c,
	                                      .workers = 2,
	                                      .inflight = 32,
	                                      .refused = refused};
	int rc;

	if (!f)
		return ocu_error_set(err, OCU_E_NOMEM, "feed");
	f->control = c;
	pthread_mutex_init(&f->order, NULL);
	rc = ocu_tls_engine_register(err);
	if (rc == 0 && nng_pub0_open(&f->pub) != 0)
		rc = ocu_error_set(err, OCU_E_NOMEM, "feed socket");
	if (rc == 0)
		rc = pub_listen(f, c->cfg.feed_listen, err);
	if (rc == 0)
		rc = ocu_rpc_server_start(&f->pull, &o, err);
	if (rc) {
		feed_stop(f);
		return rc;
	}
	*ret = f;
	return 0;
}

void feed_stop(struct feed *f)
{
	if (!f)
		return;
	if (f->pull)
		ocu_rpc_server_stop(f->pull, 500);
	if (nng_socket_id(f->pub) > 0)
		nng_close(f->pub);
	pthread_mutex_destroy(&f->order);
	free(f);
}

int feed_pull_port(const struct feed *f)
{
	return ocu_rpc_server_port(f->pull);
}

int feed_pub_port(const struct feed *f)
{
	int port = 0;

	return nng_listener_get_int(f->listener, NNG_OPT_TCP_BOUND_PORT, &port) == 0 ? port : -1;
}
