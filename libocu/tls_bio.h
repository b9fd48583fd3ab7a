/* tls_bio: nng's buffers as an OpenSSL BIO. Private to the TLS engine. */
#ifndef OCU_TLS_BIO_H
#define OCU_TLS_BIO_H

#include <openssl/bio.h>
#include <stdbool.h>

/* Once per process, before the first ocu_tls_bio_new(). */
bool ocu_tls_bio_register(void);
/* tls: the handle that nng gave the engine for this connection. */
BIO *ocu_tls_bio_new(void *tls);

#endif
