/*
 * tls_context: what both sides of an internal connection insist on. Resumption is off, so every connection
 * proves its certificate anew and the identity is never taken from a ticket.
 */
#include "libocu/tls_context.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

enum { CHAIN_MAX = 4 };

SSL_CTX *ocu_tls_context_new(bool server, SSL_verify_cb verify)
{
	SSL_CTX *ctx = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());

	if (!ctx || SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) != 1 ||
	    SSL_CTX_set_num_tickets(ctx, 0) != 1) {
		SSL_CTX_free(ctx);
		return NULL;
	}
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_mode(ctx, SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_read_ahead(ctx, 1);
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, verify);
	SSL_CTX_set_verify_depth(ctx, CHAIN_MAX);
	return ctx;
}

bool ocu_tls_context_trust(SSL_CTX *ctx, const char *pem)
{
	BIO *bio = BIO_new_mem_buf(pem, -1);
	unsigned added = 0;
	X509 *cert;

	while (bio && (cert = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL) {
		/* Asking once makes OpenSSL read the extensions now, and not in the first handshakes, on
		 * several threads. */
		(void)X509_check_ca(cert);
		added += X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), cert) == 1;
		X509_free(cert);
	}
	BIO_free(bio);
	ERR_clear_error();
	return added > 0;
}

static bool use_chain(SSL_CTX *ctx, BIO *bio)
{
	X509 *cert = PEM_read_bio_X509(bio, NULL, NULL, NULL);
	bool good = cert && SSL_CTX_use_certificate(ctx, cert) == 1;

	X509_free(cert);
	while (good && (cert = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL) {
		good = SSL_CTX_add1_chain_cert(ctx, cert) == 1;
		X509_free(cert);
	}
	return good;
}

bool ocu_tls_context_identify(SSL_CTX *ctx, const char *cert, const char *key)
{
	BIO *cert_bio = BIO_new_mem_buf(cert, -1);
	BIO *key_bio = BIO_new_mem_buf(key, -1);
	EVP_PKEY *pkey = NULL;
	bool good = false;

	if (cert_bio && key_bio && use_chain(ctx, cert_bio)) {
		/* An encrypted key would make OpenSSL ask on the terminal; an empty pass phrase stops that.
		 */
		pkey = PEM_read_bio_PrivateKey(key_bio, NULL, NULL, (void *)"");
		good = pkey && SSL_CTX_use_PrivateKey(ctx, pkey) == 1 && SSL_CTX_check_private_key(ctx) == 1;
	}
	EVP_PKEY_free(pkey);
	BIO_free(key_bio);
	BIO_free(cert_bio);
	ERR_clear_error();
	return good;
}
