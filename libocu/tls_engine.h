/*
 * tls_engine: an nng TLS engine on OpenSSL 3. TLS 1.3 only, both sides present certificates, exactly one URI
 * SAN, the SPIFFE allow-list enforced inside the handshake, one TLS record per SP message. Everything that
 * knows nng's engine table lives in tls_engine.c.
 */
#ifndef OCU_TLS_ENGINE_H
#define OCU_TLS_ENGINE_H

#include <nng/nng.h>
#include <nng/supplemental/tls/tls.h>
#include <stdint.h>

struct ocu_error;
struct ocu_identity;

/* Registers once per process; thread-safe. Called by rpc and denylist themselves. */
int ocu_tls_engine_register(struct ocu_error *err);
/* A ready configuration: own certificate, CA, and the comma-separated SPIFFE ids that may be on the other
 * side: exact ids, or an id with a star as its last segment for a component with any instance or none. Freed
 * with nng_tls_config_free(). */
int ocu_tls_config(nng_tls_config **ret, nng_tls_mode mode, const struct ocu_identity *id, const char *allow,
                   struct ocu_error *err);
/* Hears of connections that a listener's engine refused: why in a few words, and the URI of the certificate
 * when it is a good one that is not on the allow-list, else "". `refused` runs on nng's threads under a lock
 * of nng's: it may only take note. `release` is called once, when the configuration is gone (or could not be
 * made) and nothing will be heard any more. */
struct ocu_tls_watch {
	void (*refused)(void *arg, const char *why, const char *uri);
	void (*release)(void *arg);
	void *arg;
};
/* ocu_tls_config() with a watch, which is copied. */
int ocu_tls_config_watched(nng_tls_config **ret, nng_tls_mode mode, const struct ocu_identity *id,
                           const char *allow, const struct ocu_tls_watch *watch, struct ocu_error *err);
/* Listens on one URL, or on several separated by commas: one for each network a daemon is on, and no other.
 * The first that fails is told in err; closing the socket ends those that were opened. ret_first: for its
 * port. */
int ocu_tls_listen(nng_socket socket, const char *urls, nng_tls_config *tls, nng_listener *ret_first,
                   struct ocu_error *err);
/* The verified URI SAN of the pipe's peer, or -1 when there is none. out holds OCU_SPIFFE_MAX. */
int ocu_tls_pipe_peer(nng_pipe p, char *out);
/* How far the pipe's connection is. -1 when it is gone. */
struct ocu_tls_flow {
	uint64_t sent;             /* messages written whole */
	uint64_t reading_since_ms; /* when a message began to come that has not ended; 0: there is none */
};
int ocu_tls_pipe_flow(nng_pipe pipe, struct ocu_tls_flow *ret);

#endif
