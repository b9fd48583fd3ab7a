#include "gateway/mcp_session.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libocu/cleanup.h"
#include "libocu/id.h"
#include "libocu/jwt.h"

#define KEY_LEN 32
#define MAC_LEN 16
#define PREFIX  "mcp_"

struct mcp_sessions {
	unsigned char key[KEY_LEN];
};

int mcp_sessions_new(struct mcp_sessions **ret, const char *key_path, struct ocu_error *err)
{
	OCU_CLOSE int fd = open(key_path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return ocu_error_errno(err, OCU_E_CONFIG, errno, "opening %s (made by `occ init`)", key_path);
	struct mcp_sessions *m = calloc(1, sizeof *m);
	if (!m)
		return ocu_error_set(err, OCU_E_NOMEM, "mcp sessions");
	if (read(fd, m->key, sizeof m->key) != (ssize_t)sizeof m->key) {
		free(m);
		return ocu_error_set(err, OCU_E_CONFIG, "%s must hold %d bytes", key_path, KEY_LEN);
	}
	*ret = m;
	return 0;
}

void mcp_sessions_free(struct mcp_sessions *m)
{
	if (m)
		OPENSSL_cleanse(m->key, sizeof m->key);
	free(m);
}

/* MAC over the fixed-length ulid first, so that no caller name can shift the boundary. */
static void mac_of(const struct mcp_sessions *m, const char *ulid, const char *caller, char out[32])
{
	unsigned char text[OCU_ID_MAX + CALLER_MAX], mac[EVP_MAX_MD_SIZE];
	unsigned mac_len = 0;
	int n = snprintf((char *)text, sizeof text, "%s|%s", ulid, caller);
	HMAC(EVP_sha256(), m->key, KEY_LEN, text, (size_t)n, mac, &mac_len);
	ocu_b64url_encode(mac, MAC_LEN, out);
}

void mcp_session_id_new(const struct mcp_sessions *m, const char *caller, char out[MCP_SESSION_ID_MAX])
{
	char ulid[OCU_ID_MAX], mac[32];
	ocu_id_new(PREFIX, ulid);
	mac_of(m, ulid, caller, mac);
	snprintf(out, MCP_SESSION_ID_MAX, "%s.%s", ulid, mac);
}

bool mcp_session_id_valid(const struct mcp_sessions *m, const char *caller, const char *id)
{
	char ulid[OCU_ID_MAX], mac[32];
	const char *dot = strchr(id, '.');
	if (!dot || (size_t)(dot - id) >= sizeof ulid)
		return false;
	snprintf(ulid, sizeof ulid, "%.*s", (int)(dot - id), id);
	if (!ocu_id_valid(PREFIX, ulid))
		return false;
	mac_of(m, ulid, caller, mac);
	return strlen(dot + 1) == strlen(mac) && CRYPTO_memcmp(dot + 1, mac, strlen(mac)) == 0;
}

void mcp_session_hint(char kind, const char *id, char out[HINT_MAX])
{
	unsigned char d[SHA256_DIGEST_LENGTH];
	char text[512];
	int n = snprintf(text, sizeof text, "%c%s", kind, id);
	SHA256((unsigned char *)text, (size_t)n < sizeof text ? (size_t)n : sizeof text - 1, d);
	for (size_t i = 0; i < sizeof d; i++)
		snprintf(out + 2 * i, 3, "%02x", d[i]);
}
