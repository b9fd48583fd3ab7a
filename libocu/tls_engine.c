/*
 * tls_engine: the OpenSSL side of nng's TLS framework (nng 1.5, engine table version 1). Trusts nothing the
 * peer sends before the handshake has proven a certificate of our CA with exactly one URI SAN on the
 * allow-list. Always holds: TLS 1.3, client certificates, no resumption; a configuration without an
 * allow-list accepts nobody.
 *
 * Facts about nng that shape this file:
 *  - nng_tls_engine_name() must run before registration, or nng's own start installs mbedTLS over us.
 *  - The listener always sets auth mode NONE when it is made, so that call must succeed; a connection whose
 * mode is not REQUIRED is refused when it starts.
 *  - The server name reaches the engine verbatim on both sides: it carries the allow-list.
 *  - NNG_ECLOSED stops a listener or dialer for good, and most other errors make the acceptor pause 100 ms,
 * so handshake failures are NNG_EPEERAUTH.
 *  - nng forgets that its TCP stream died: a later receive would wait for ever. Whenever OpenSSL wants input,
 * ask.
 *  - nng's 10 s negotiation limit cannot cancel a send that waits for the handshake, but it can cancel a
 * receive. Therefore the 8-byte greeting is accepted at once and held until the handshake is over.
 */
#include "libocu/tls_engine.h"

#include <nng/supplemental/tls/engine.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "libocu/clock.h"
#include "libocu/err.h"
#include "libocu/pki.h"
#include "libocu/tls_bio.h"
#include "libocu/tls_context.h"
#include "libocu/tls_frame.h"
#include "libocu/tls_half_open.h"
#include "libocu/tls_peer.h"
#include "libocu/tls_stream.h"

/* One TLS record must fit nng's 16 KiB send buffer with its framing, or it costs two writes to the socket. */
enum { RECORD_MAX = 16384 - 256 };

struct nng_tls_engine_config {
	SSL_CTX *ctx;
	char *allow;
	bool server;
	bool mutual; /* auth mode REQUIRED was set */
	struct ocu_tls_doorway doorway;
	struct ocu_tls_watch watch;
};

struct nng_tls_engine_conn {
	SSL *ssl;  /* NULL: init never ran or failed */
	void *tls; /* nng's handle, for its send and recv, and an nng_stream */
	nng_tls_engine_config *config;
	bool open;    /* handshake done, greeting written */
	bool settled; /* the peer's greeting came: no longer half open */
	bool dead;    /* failed once, fails for ever */
	bool cut;     /* the TCP stream below is dead */
	bool seen;    /* nng calls us through tls_stream */
	struct ocu_tls_half_open place;
	struct ocu_tls_frame frame, in; /* written, read */
	uint64_t reading_since_ms;      /* when the unfinished frame of `in` began; 0: there is none */
	size_t held_len;                /* bytes of an unfinished frame */
	uint64_t sent;                  /* messages written whole, the greeting aside */
	char peer[OCU_SPIFFE_MAX];      /* the certificate's id; nobody's until the handshake is done */
	uint8_t held[RECORD_MAX];
};

static struct {
	pthread_once_t once;
	int result;
	int conn_index; /* SSL -> nng_tls_engine_conn */
} engine = {.once = PTHREAD_ONCE_INIT, .result = OCU_E_INTERNAL};

/* nng's only question about a connection that reaches the engine on the asking thread is "verified?". What
 * else the asker wants to know is answered here on the way. */
static _Thread_local struct {
	char *peer;
	struct ocu_tls_flow flow;
} asked;

/* The watch for the configuration that this thread is making: nng passes nothing of the sort to
 * config_init(). */
static _Thread_local const struct ocu_tls_watch *next_watch;

/* --- connections --- */

static int verify_peer(int ok, X509_STORE_CTX *store)
{
	SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
	nng_tls_engine_conn *c = SSL_get_ex_data(ssl, engine.conn_index);

	if (!ok || X509_STORE_CTX_get_error_depth(store) != 0)
		return ok;
	if (ocu_tls_peer_uri(X509_STORE_CTX_get0_cert(store), c->peer, sizeof c->peer) &&
	    ocu_tls_peer_allowed(c->config->allow, c->peer))
		return 1;
	X509_STORE_CTX_set_error(store, X509_V_ERR_APPLICATION_VERIFICATION);
	return 0;
}

/* What to say about a handshake that failed: the certificate's fault, else what OpenSSL's queue says. */
static const char *refusal(const nng_tls_engine_conn *c)
{
	long verify = SSL_get_verify_result(c->ssl);
	const char *reason = ERR_reason_error_string(ERR_peek_last_error());

	if (verify == X509_V_ERR_APPLICATION_VERIFICATION)
		return c->peer[0] ? "certificate not allowed here"
		                  : "certificate without exactly one usable URI name";
	if (verify != X509_V_OK)
		return X509_verify_cert_error_string(verify);
	return reason ? reason : "connection cut";
}

static int conn_fail(nng_tls_engine_conn *c, const char *why)
{
	const struct ocu_tls_watch *w = &c->config->watch;

	if ((!c->open || why) && !c->dead && c->config->server && w->refused)
		w->refused(w->arg, why ? why : refusal(c), c->peer);
	c->dead = true;
	ERR_clear_error();
	return c->settled ? NNG_ECONNRESET : NNG_EPEERAUTH;
}

/* What nng is to be told about an OpenSSL call that did not succeed. */
static int conn_wait_or_fail(nng_tls_engine_conn *c, int result)
{
	int why = SSL_get_error(c->ssl, result);

	if ((why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE) && !c->cut)
		return NNG_EAGAIN;
	return conn_fail(c, NULL);
}

static int conn_write(nng_tls_engine_conn *c, const uint8_t *data, size_t len)
{
	size_t written;
	int r = SSL_write_ex(c->ssl, data, len, &written);

	return r == 1 ? 0 : conn_wait_or_fail(c, r);
}

static const char too_many[] = "too many connections without handshake and greeting";

/* Drives the handshake, then lets the held greeting out. 0 once the connection is open. */
static int conn_open(nng_tls_engine_conn *c)
{
	int r;

	if (c->dead)
		return conn_fail(c, NULL);
	ERR_clear_error();
	if (!c->settled && ocu_tls_doorway_evicted(&c->config->doorway, &c->place))
		return conn_fail(c, too_many);
	if (c->open)
		return 0;
	r = SSL_do_handshake(c->ssl);
	if (r != 1)
		return conn_wait_or_fail(c, r);
	if (c->held_len > 0 && (r = conn_write(c, c->held, c->held_len)) != 0)
		return r;
	c->held_len = 0;
	c->open = true;
	return 0;
}

/* Follows the peer's frames. The first is its greeting: only with it the connection counts no more as half
 * open, or a good key and silence would be a way around that bound. */
static int follow(nng_tls_engine_conn *c, const uint8_t *data, size_t n)
{
	bool end;

	while (n > 0) {
		size_t used = ocu_tls_frame_take(&c->in, data, n, &end);

		if (end)
			c->reading_since_ms = 0;
		else if (c->reading_since_ms == 0)
			c->reading_since_ms = ocu_mono_ms();
		data += used;
		n -= used;
	}
	if (c->settled || !c->in.greeted)
		return 0;
	c->settled = ocu_tls_doorway_settle(&c->config->doorway, &c->place);
	return c->settled ? 0 : conn_fail(c, too_many);
}

static int read_some(nng_tls_engine_conn *c, uint8_t *buf, size_t *size)
{
	size_t got;
	int r = conn_open(c);

	if (r != 0)
		return r;
	r = SSL_read_ex(c->ssl, buf, *size, &got);
	if (r != 1)
		return conn_wait_or_fail(c, r);
	*size = got;
	return follow(c, buf, got);
}

/*
 * Bytes are held until their frame ends or a record is full. On NNG_EAGAIN nothing was accepted: nng comes
 * again with the same bytes, which is what OpenSSL asks of a repeated write, too.
 */
static int write_some(nng_tls_engine_conn *c, const uint8_t *buf, size_t *size)
{
	int rv = conn_open(c);
	bool open = rv == 0;
	struct ocu_tls_frame next = c->frame;
	size_t room = RECORD_MAX - c->held_len;
	size_t n;
	bool end, whole;

	if (!open && (rv != NNG_EAGAIN || c->frame.greeted))
		return rv;
	n = ocu_tls_frame_take(&next, buf, *size < room ? *size : room, &end);
	whole = open && (end || n == room);
	if (!whole || c->held_len > 0) {
		memcpy(c->held + c->held_len, buf, n);
		buf = c->held;
	}
	if (whole && (rv = conn_write(c, buf, c->held_len + n)) != 0)
		return rv;
	c->held_len = whole ? 0 : c->held_len + n;
	c->sent += end && c->frame.greeted;
	c->frame = next;
	*size = n;
	return 0;
}

/* --- what nng calls --- */

static int conn_handshake(nng_tls_engine_conn *c)
{
	int rv;

	ocu_tls_stream_enter(&c->cut);
	rv = conn_open(c);
	ocu_tls_stream_leave();
	return rv;
}

static int conn_recv(nng_tls_engine_conn *c, uint8_t *buf, size_t *size)
{
	int rv;

	ocu_tls_stream_enter(&c->cut);
	rv = read_some(c, buf, size);
	ocu_tls_stream_leave();
	return rv;
}

/* The first call for a connection is a send of the greeting, straight from the transport. */
static int conn_send(nng_tls_engine_conn *c, const uint8_t *buf, size_t *size)
{
	int rv;

	c->seen |= ocu_tls_stream_inside();
	ocu_tls_stream_enter(&c->cut);
	rv = c->seen ? write_some(c, buf, size) : conn_fail(c, "libnng calls past tls_stream");
	ocu_tls_stream_leave();
	return rv;
}

/* No close_notify: an SP frame carries its length, so a cut stream is never taken for a whole message, and
 * nng is about to close the stream under it. */
static void conn_close(nng_tls_engine_conn *c)
{
	c->dead = true;
}

static void conn_fini(nng_tls_engine_conn *c)
{
	if (!c->ssl)
		return;
	ocu_tls_doorway_leave(&c->config->doorway, &c->place);
	SSL_free(c->ssl);
	c->ssl = NULL;
}

static int conn_init(nng_tls_engine_conn *c, void *tls, nng_tls_engine_config *config)
{
	BIO *bio;

	if (!config->mutual || !config->allow || !*config->allow)
		return NNG_EPEERAUTH;
	bio = ocu_tls_bio_new(tls);
	c->ssl = SSL_new(config->ctx);
	if (!bio || !c->ssl || !SSL_set_ex_data(c->ssl, engine.conn_index, c)) {
		BIO_free(bio);
		SSL_free(c->ssl);
		c->ssl = NULL;
		return NNG_ENOMEM;
	}
	c->tls = tls;
	c->config = config;
	SSL_set_bio(c->ssl, bio, bio);
	if (config->server)
		SSL_set_accept_state(c->ssl);
	else
		SSL_set_connect_state(c->ssl);
	ocu_tls_doorway_enter(&config->doorway, &c->place, (nng_stream *)tls);
	return 0;
}

static bool conn_verified(nng_tls_engine_conn *c)
{
	bool proven = c->ssl && SSL_is_init_finished(c->ssl) && SSL_get0_peer_certificate(c->ssl) &&
	              SSL_get_verify_result(c->ssl) == X509_V_OK && c->peer[0];

	if (proven && asked.peer)
		memcpy(asked.peer, c->peer, sizeof c->peer);
	asked.flow = (struct ocu_tls_flow){.sent = c->sent, .reading_since_ms = c->reading_since_ms};
	return proven;
}

/* --- configurations --- */

static int config_init(nng_tls_engine_config *f, nng_tls_mode mode)
{
	f->server = mode == NNG_TLS_MODE_SERVER;
	f->ctx = ocu_tls_context_new(f->server, verify_peer);
	if (!f->ctx)
		return NNG_ECRYPTO;
	ocu_tls_doorway_init(&f->doorway);
	if (next_watch)
		f->watch = *next_watch;
	return 0;
}

static void config_fini(nng_tls_engine_config *f)
{
	SSL_CTX_free(f->ctx);
	free(f->allow);
	ocu_tls_doorway_done(&f->doorway);
	if (f->watch.release)
		f->watch.release(f->watch.arg);
}

static int config_server_name(nng_tls_engine_config *f, const char *allow)
{
	char *copy = strdup(allow ? allow : "");

	if (!copy)
		return NNG_ENOMEM;
	free(f->allow);
	f->allow = copy;
	return 0;
}

static int config_auth(nng_tls_engine_config *f, nng_tls_auth_mode mode)
{
	f->mutual = mode == NNG_TLS_AUTH_MODE_REQUIRED;
	return 0;
}

static int config_ca(nng_tls_engine_config *f, const char *pem, const char *crl)
{
	/* Revocation lists are not part of this design; one that would be ignored is refused. */
	if (crl)
		return NNG_ENOTSUP;
	return ocu_tls_context_trust(f->ctx, pem) ? 0 : NNG_ECRYPTO;
}

static int config_own_cert(nng_tls_engine_config *f, const char *cert, const char *key, const char *password)
{
	(void)password; /* key files are protected by their mode, never by a password */
	return ocu_tls_context_identify(f->ctx, cert, key) ? 0 : NNG_ECRYPTO;
}

static int config_version(nng_tls_engine_config *f, nng_tls_version low, nng_tls_version high)
{
	(void)f;
	return low <= NNG_TLS_1_3 && high >= NNG_TLS_1_3 ? 0 : NNG_ENOTSUP;
}

/* --- the public face --- */

/* nng's threads still free connections when main returns; OpenSSL's clean-up at exit would pull its locks
 * from under them. It can only be switched off before OpenSSL is first used, hence before main. */
__attribute__((constructor)) static void keep_openssl_until_the_end(void)
{
	OPENSSL_init_crypto(OPENSSL_INIT_NO_ATEXIT, NULL);
}

static void engine_register(void)
{
	static nng_tls_engine_conn_ops conn_ops = {
	    .size = sizeof(nng_tls_engine_conn),
	    .init = conn_init,
	    .fini = conn_fini,
	    .close = conn_close,
	    .handshake = conn_handshake,
	    .recv = conn_recv,
	    .send = conn_send,
	    .verified = conn_verified,
	};
	static nng_tls_engine_config_ops config_ops = {
	    .size = sizeof(nng_tls_engine_config),
	    .init = config_init,
	    .fini = config_fini,
	    .server = config_server_name,
	    .auth = config_auth,
	    .ca_chain = config_ca,
	    .own_cert = config_own_cert,
	    .version = config_version,
	};
	static nng_tls_engine table = {
	    .version = NNG_TLS_ENGINE_VERSION,
	    .config_ops = &config_ops,
	    .conn_ops = &conn_ops,
	    .name = "openssl",
	    .description = OPENSSL_VERSION_TEXT,
	};

	engine.conn_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, NULL);
	if (engine.conn_index < 0 || !ocu_tls_bio_register())
		return;
	(void)nng_tls_engine_name();
	if (nng_tls_engine_register(&table) == 0 && strcmp(nng_tls_engine_name(), table.name) == 0)
		engine.result = 0;
}

int ocu_tls_engine_register(struct ocu_error *err)
{
	pthread_once(&engine.once, engine_register);
	if (engine.result != 0)
		return ocu_error_set(err, engine.result, "TLS engine could not be registered with nng");
	return 0;
}

static int config_fill(nng_tls_config *f, const struct ocu_identity *id, const char *allow,
                       struct ocu_error *err)
{
	const char *step = "allow-list";
	int rv = nng_tls_config_server_name(f, allow);

	if (rv == 0) {
		step = "auth mode";
		rv = nng_tls_config_auth_mode(f, NNG_TLS_AUTH_MODE_REQUIRED);
	}
	if (rv == 0) {
		step = "CA";
		rv = nng_tls_config_ca_chain(f, id->ca_pem, NULL);
	}
	if (rv == 0) {
		step = "certificate and key";
		rv = nng_tls_config_own_cert(f, id->cert_pem, id->key_pem, NULL);
	}
	return rv == 0
	           ? 0
	           : ocu_error_set(err, OCU_E_CONFIG, "TLS configuration, %s: %s", step, nng_strerror(rv));
}

/* The watch is the configuration's from the moment this succeeds. */
static int config_alloc(nng_tls_config **ret, nng_tls_mode mode, const char *allow,
                        const struct ocu_tls_watch *watch, struct ocu_error *err)
{
	int rv = ocu_tls_engine_register(err);

	if (rv != 0)
		return rv;
	if (!allow || !*allow)
		return ocu_error_set(err, OCU_E_INVALID, "TLS configuration without an allow-list");
	next_watch = watch;
	rv = nng_tls_config_alloc(ret, mode);
	next_watch = NULL;
	return rv == 0 ? 0 : ocu_error_set(err, OCU_E_NOMEM, "TLS configuration: %s", nng_strerror(rv));
}

int ocu_tls_config_watched(nng_tls_config **ret, nng_tls_mode mode, const struct ocu_identity *id,
                           const char *allow, const struct ocu_tls_watch *watch, struct ocu_error *err)
{
	nng_tls_config *f;
	int rv = config_alloc(&f, mode, allow, watch, err);

	if (rv != 0) {
		if (watch && watch->release)
			watch->release(watch->arg);
		return rv;
	}
	if ((rv = config_fill(f, id, allow, err)) != 0) {
		nng_tls_config_free(f);
		return rv;
	}
	*ret = f;
	return 0;
}

int ocu_tls_config(nng_tls_config **ret, nng_tls_mode mode, const struct ocu_identity *id, const char *allow,
                   struct ocu_error *err)
{
	return ocu_tls_config_watched(ret, mode, id, allow, NULL, err);
}

int ocu_tls_pipe_peer(nng_pipe pipe, char *out)
{
	bool verified = false;
	int rv;

	out[0] = '\0';
	asked.peer = out;
	rv = nng_pipe_get_bool(pipe, NNG_OPT_TLS_VERIFIED, &verified);
	asked.peer = NULL;
	return rv == 0 && verified && out[0] ? 0 : -1;
}

int ocu_tls_pipe_flow(nng_pipe pipe, struct ocu_tls_flow *ret)
{
	bool verified = false;

	if (nng_pipe_get_bool(pipe, NNG_OPT_TLS_VERIFIED, &verified) != 0 || !verified)
		return -1;
	*ret = asked.flow;
	return 0;
}
