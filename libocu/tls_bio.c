/* tls_bio: "would block" of nng becomes "retry" of OpenSSL; any other error ends the connection. */
#include "libocu/tls_bio.h"

#include <nng/nng.h>
#include <nng/supplemental/tls/engine.h>

static BIO_METHOD *method;

static int bio_write(BIO *b, const char *data, size_t n, size_t *written)
{
	size_t size = n;
	int rv;

	BIO_clear_retry_flags(b);
	rv = nng_tls_engine_send(BIO_get_data(b), (const uint8_t *)data, &size);
	if (rv == NNG_EAGAIN)
		BIO_set_retry_write(b);
	if (rv != 0)
		return 0;
	*written = size;
	return 1;
}

static int bio_read(BIO *b, char *data, size_t n, size_t *got)
{
	size_t size = n;
	int rv;

	BIO_clear_retry_flags(b);
	rv = nng_tls_engine_recv(BIO_get_data(b), (uint8_t *)data, &size);
	if (rv == NNG_EAGAIN)
		BIO_set_retry_read(b);
	if (rv != 0)
		return 0;
	*got = size;
	return 1;
}

static long bio_ctrl(BIO *b, int cmd, long num, void *ptr)
{
	(void)b;
	(void)num;
	(void)ptr;
	return cmd == BIO_CTRL_FLUSH;
}

bool ocu_tls_bio_register(void)
{
	method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "nng");
	return method && BIO_meth_set_write_ex(method, bio_write) && BIO_meth_set_read_ex(method, bio_read) &&
	       BIO_meth_set_ctrl(method, bio_ctrl);
}

BIO *ocu_tls_bio_new(void *tls)
{
	BIO *bio = BIO_new(method);

	if (bio) {
		BIO_set_data(bio, tls);
		BIO_set_init(bio, 1);
	}
	return bio;
}
