/* tls_peer: reads the SPIFFE id out of a verified certificate and matches it with the allow-list. */
#include "libocu/tls_peer.h"

#include <openssl/x509v3.h>
#include <string.h>

static bool copy_printable(const ASN1_STRING *s, char *out, size_t size)
{
	const unsigned char *data = ASN1_STRING_get0_data(s);
	int len = ASN1_STRING_length(s);

	if (len <= 0 || (size_t)len >= size)
		return false;
	for (int i = 0; i < len; i++)
		if (data[i] <= ' ' || data[i] >= 0x7f || data[i] == ',')
			return false;
	memcpy(out, data, (size_t)len);
	out[len] = '\0';
	return true;
}

bool ocu_tls_peer_uri(const X509 *cert, char *out, size_t size)
{
	GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
	unsigned uris = 0;
	bool good = false;

	for (int i = 0; names && i < sk_GENERAL_NAME_num(names); i++) {
		const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);

		if (name->type != GEN_URI)
			continue;
		uris++;
		good = copy_printable(name->d.uniformResourceIdentifier, out, size);
	}
	GENERAL_NAMES_free(names);
	if (!good || uris != 1)
		out[0] = '\0';
	return good && uris == 1;
}

static bool entry_matches(const char *entry, size_t len, const char *uri)
{
	size_t id = strlen(uri);
	const char *rest;

	if (len < 2 || memcmp(entry + len - 2, "/*", 2) != 0)
		return id == len && memcmp(entry, uri, len) == 0;
	len -= 2;
	if (id < len || memcmp(entry, uri, len) != 0)
		return false;
	rest = uri + len;
	return *rest == '\0' || (rest[0] == '/' && rest[1] != '\0' && !strchr(rest + 1, '/'));
}

bool ocu_tls_peer_allowed(const char *allow, const char *uri)
{
	while (allow && *allow) {
		size_t len = strcspn(allow, ",");

		if (entry_matches(allow, len, uri))
			return true;
		allow += len;
		allow += *allow == ',';
	}
	return false;
}
