/* tls_context: the OpenSSL side of a TLS configuration, and nothing of nng. Private to the TLS engine. */
#ifndef OCU_TLS_CONTEXT_H
#define OCU_TLS_CONTEXT_H

#include <openssl/ssl.h>
#include <stdbool.h>

/* TLS 1.3 only, the peer's certificate required and verified, no resumption. NULL on failure. */
SSL_CTX *ocu_tls_context_new(bool server, SSL_verify_cb verify);
/* Every certificate of the PEM text becomes a trust anchor; false when there is none. */
bool ocu_tls_context_trust(SSL_CTX *ctx, const char *pem);
/* Own certificate (with its chain after it) and unencrypted key; false when they are unusable or do not
 * belong together. */
bool ocu_tls_context_identify(SSL_CTX *ctx, const char *cert, const char *key);

#endif
