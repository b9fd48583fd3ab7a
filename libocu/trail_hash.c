/* trail_hash: SHA-256 with one context for many lines, because making one costs more than hashing a record.
 */
#include <openssl/evp.h>
#include <stdlib.h>

#include "libocu/err.h"
#include "libocu/trail_format.h"

struct ocu_trail_hasher {
	EVP_MD *md;
	EVP_MD_CTX *ctx;
};

int ocu_trail_hasher_new(struct ocu_trail_hasher **ret, struct ocu_error *err)
{
	struct ocu_trail_hasher *h = calloc(1, sizeof *h);
	if (h) {
		h->md = EVP_MD_fetch(NULL, "SHA256", NULL);
		h->ctx = EVP_MD_CTX_new();
	}
	if (!h || !h->md || !h->ctx) {
		ocu_trail_hasher_free(h);
		return ocu_error_set(err, OCU_E_NOMEM, "SHA-256 is not available");
	}
	*ret = h;
	return 0;
}

void ocu_trail_hasher_free(struct ocu_trail_hasher *h)
{
	if (!h)
		return;
	EVP_MD_CTX_free(h->ctx);
	EVP_MD_free(h->md);
	free(h);
}

int ocu_trail_hash(struct ocu_trail_hasher *h, const void *data, size_t len, struct ocu_trail_hash *ret)
{
	static const char digit[] = "0123456789abcdef";
	unsigned char raw[32];
	if (EVP_DigestInit_ex2(h->ctx, h->md, NULL) != 1 || EVP_DigestUpdate(h->ctx, data, len) != 1 ||
	    EVP_DigestFinal_ex(h->ctx, raw, NULL) != 1)
		return OCU_E_INTERNAL;
	for (size_t i = 0; i < sizeof raw; i++) {
		ret->hex[2 * i] = digit[raw[i] >> 4];
		ret->hex[2 * i + 1] = digit[raw[i] & 15];
	}
	ret->hex[OCU_TRAIL_HEX] = '\0';
	return 0;
}

static unsigned nibble(char c)
{
	return c <= '9' ? (unsigned)(c - '0') : (unsigned)(c - 'a' + 10);
}

void ocu_trail_hash_bytes(const struct ocu_trail_hash *h, unsigned char out[32])
{
	for (size_t i = 0; i < 32; i++)
		out[i] = (unsigned char)(nibble(h->hex[2 * i]) << 4 | (nibble(h->hex[2 * i + 1]) & 15));
}
