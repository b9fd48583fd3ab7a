/*
 * pki: a deployment's keys. Writing side (occ init): CA (P-256, 10 years), one certificate per daemon
 * (P-256, URI SAN = SPIFFE id, plus DNS/IP SANs for the HTTPS faces), internal-token keys. Reading side: the
 * identity a daemon loads at start.
 *
 *   <pki_dir>/ca.pem                     public
 *   <pki_dir>/internal-jwks.json         public: every daemon's internal-token key, each tagged with its sub
 *   <pki_dir>/caller-jwks.json           public: verifies caller tokens
 *   <pki_dir>/session-jwks.json          public: verifies exec grants and session JWTs
 *   <pki_dir>/operator-jwks.json         public: verifies operator assertions
 *   <pki_dir>/<daemon>/cert.pem key.pem  certificate and key, readable by the daemon only
 *   <pki_dir>/<daemon>/token.key         its internal-token signing key (Ed25519)
 *   <pki_dir>/operatord/session.key      signs session JWTs and exec grants
 *   <pki_dir>/operatord/caller.key       signs caller tokens
 *   <pki_dir>/auditd/envelope.key        signs trail heads          (public: <pki_dir>/envelope-jwks.json)
 *   <pki_dir>/gateway/mcp-session.key    32 random bytes: MACs MCP session ids
 *   <pki_dir>/operator/operator.key      the operator's key, mode 0600; stays with occ
 *   <pki_dir>/ca.key                     mode 0600; needed only to issue, may be taken offline
 */
#ifndef OCU_PKI_H
#define OCU_PKI_H

#include "libocu/peer.h"

struct ocu_error;
struct ocu_signer;
struct ocu_jwks;

/* What a daemon proves itself with. Immutable and thread-safe after load. */
struct ocu_identity {
	struct ocu_peer self;
	char trust_domain[64];
	char *ca_pem; /* PEM texts, as the TLS engine and libmicrohttpd take them */
	char *cert_pem;
	char *key_pem;
	char *cert_path, *key_path, *ca_path;
	struct ocu_signer *token_signer;
	struct ocu_jwks *internal_keys;
};

/* OCU_E_CONFIG for whatever is wrong with the files: all that a handshake could later fail for is checked
 * now. */
int ocu_identity_load(struct ocu_identity **ret, const char *pki_dir, const char *trust_domain,
                      enum ocu_component self, struct ocu_error *err);
void ocu_identity_free(struct ocu_identity *id);

/* Issuing. Files are created with O_EXCL; existing ones are never overwritten, but for internal-jwks.json,
 * which is replaced atomically as each identity's token key joins it. days 0: 397. */
int ocu_pki_make_ca(const char *pki_dir, const char *trust_domain, struct ocu_error *err);
struct ocu_pki_cert {
	enum ocu_component component;
	const char *instance;   /* NULL or "" for none */
	const char *const *dns; /* NULL-terminated; may be NULL */
	const char *const *ips; /* NULL-terminated; may be NULL */
	int days;
	const char *dir; /* target folder; NULL: <pki_dir>/<component> */
};
int ocu_pki_issue(const char *pki_dir, const char *trust_domain, const struct ocu_pki_cert *c,
                  struct ocu_error *err);

#endif
