/*
 * Tokens as an attacker may send them, against a fixed key set. First byte 's': "header\npayload", rightly
 * signed here, so that the claims are reached as well ("@" in the header stands for the key's kid). 'k': a
 * key set. Anything else: a token as it is.
 *
 * shows: NFR-SEC-09, NFR-SEC-11 (in part), NFR-MAINT-11
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "libocu/buf.h"
#include "libocu/cleanup.h"
#include "libocu/json.h"
#include "libocu/jwt.h"

static struct ocu_signer *signer;
static struct ocu_jwks *keys;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void make_keys(void)
{
	/* RFC 7515 A.3 and RFC 8037 A.2, public halves */
	json_t *set =
	    json_pack("{s:[o, {s:s,s:s,s:s,s:s,s:s}, {s:s,s:s,s:s,s:s,s:s}]}", "keys",
	              ocu_signer_generate(&signer, NULL) ? NULL : ocu_signer_jwk(signer), "kty", "EC", "crv",
	              "P-256", "x", "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y",
	              "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0", "kid", "ec", "kty", "OKP", "crv",
	              "Ed25519", "x", "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", "kid", "ed", "sub", "s");

	if (!set || ocu_jwks_new(&keys, set, NULL))
		abort();
	json_decref(set);
}

static void check(const char *token, size_t len)
{
	static const struct ocu_jwt_expect e = {.issuer = "i", .audience = "a", .max_ttl_s = 3600};
	json_t *claims = NULL;
	int rc = ocu_jwt_verify(keys, token, len, &e, &claims, NULL);

	/* What is accepted has what was asked for. */
	if (!rc && (strcmp(ocu_json_str(claims, "iss", ""), "i") != 0 || !*ocu_json_str(claims, "sub", "") ||
	            !json_is_integer(json_object_get(claims, "exp"))))
		abort();
	if (rc && claims)
		abort();
	json_decref(claims);
}

static void put_b64(struct ocu_buf *b, const void *data, size_t len)
{
	char *text = malloc(len * 2 + 4);

	if (text)
		ocu_buf_put(b, text, ocu_b64url_encode(data, len, text));
	free(text);
}

static void check_signed(const char *data, size_t size)
{
	OCU_BUF struct ocu_buf header = OCU_BUF_INIT(16384);
	OCU_BUF struct ocu_buf token = OCU_BUF_INIT(65536);
	const char *nl = memchr(data, '\n', size);
	size_t hlen = nl ? (size_t)(nl - data) : size;
	unsigned char sig[64];

	for (size_t i = 0; i < hlen; i++) {
		if (data[i] == '@')
			ocu_buf_puts(&header, ocu_signer_kid(signer));
		else
			ocu_buf_putc(&header, data[i]);
	}
	put_b64(&token, header.data ? header.data : "", header.len);
	ocu_buf_putc(&token, '.');
	put_b64(&token, nl ? nl + 1 : "", nl ? size - hlen - 1 : 0);
	if (token.failed || ocu_signer_sign(signer, token.data, token.len, sig, NULL))
		return;
	ocu_buf_putc(&token, '.');
	put_b64(&token, sig, sizeof sig);
	if (!token.failed)
		check(token.data, token.len);
}

static void check_keys(const char *data, size_t size)
{
	OCU_JSON json_t *j = NULL;
	struct ocu_jwks *k = NULL;

	if (ocu_json_parse(data, size, 65536, &j, NULL) == 0 && ocu_jwks_new(&k, j, NULL) == 0)
		ocu_jwks_free(k);
}

static void check_b64(const char *data, size_t size)
{
	unsigned char *out = malloc(size + 1);
	char *again = malloc(size * 2 + 4);
	long n = out && again ? ocu_b64url_decode(data, size, out, size) : -1;

	/* One value, one spelling. */
	if (n >= 0 && (ocu_b64url_encode(out, (size_t)n, again) != size || memcmp(again, data, size) != 0))
		abort();
	free(out);
	free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data;

	if (!keys)
		make_keys();
	if (size > 0 && data[0] == 's')
		check_signed(text + 1, size - 1);
	else if (size > 0 && data[0] == 'k')
		check_keys(text + 1, size - 1);
	else
		check(text, size);
	check_b64(text, size);
	return 0;
}
