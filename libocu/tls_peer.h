/*
 * tls_peer: which certificate may be on the other side. One URI SAN, exactly, and it must be on the
 * allow-list. Private to the TLS engine.
 */
#ifndef OCU_TLS_PEER_H
#define OCU_TLS_PEER_H

#include <openssl/x509.h>
#include <stdbool.h>
#include <stddef.h>

/* The certificate's only URI SAN (SPIFFE X509-SVID section 2: exactly one). False when there is none, more
 * than one, or one that does not fit or holds bytes outside printable ASCII; out is then "". */
bool ocu_tls_peer_uri(const X509 *cert, char *out, size_t size);
/* allow: comma-separated SPIFFE ids. An id whose last segment is a star stands for the id before it and every
 * id with exactly one further segment: a component with or without an instance. */
bool ocu_tls_peer_allowed(const char *allow, const char *uri);

#endif
