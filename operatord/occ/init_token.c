/* init_token: the first caller token, for the one who set the deployment up. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libocu/buf.h"
#include "libocu/cleanup.h"
#include "libocu/clock.h"
#include "libocu/err.h"
#include "libocu/id.h"
#include "libocu/json.h"
#include "libocu/jwt.h"
#include "libocu/keyfile.h"
#include "operatord/occ/init.h"

static int sign(struct init *in, const char *jti, json_int_t now, char **ret, struct ocu_error *err)
{
	struct ocu_signer *key = NULL;
	char path[INIT_PATH_MAX], issuer[128];
	OCU_JSON json_t *claims = NULL;
	int rc = init_path(path, sizeof path, err, "%s/operatord/caller.key", in->pki);

	if (rc == 0)
		rc = ocu_signer_load(&key, path, err);
	if (rc)
		return rc;
	snprintf(issuer, sizeof issuer, "ocu:%s", in->trust_domain);
	claims = json_pack("{ss s[ss] ss sI sI ss}", "iss", issuer, "aud", "ocu-gateway", "ocu-files", "sub",
	                   in->caller, "iat", now, "exp", now + (json_int_t)in->token_ttl_s, "jti", jti);
	rc = claims ? ocu_jwt_sign(key, claims, ret, err)
	            : ocu_error_set(err, OCU_E_PARAMS, "--caller is not text that a token can carry");
	ocu_signer_free(key);
	return rc;
}

/* operatord takes it into its records at its next start: `occ token list` then shows it. */
static int record(struct init *in, const char *jti, json_int_t now, struct ocu_error *err)
{
	OCU_BUF struct ocu_buf text = OCU_BUF_INIT(16384);
	OCU_JSON json_t *list =
	    json_pack("[{ss ss ss sI sI}]", "jti", jti, "caller", in->caller, "label", "made by occ init",
	              "created_ms", now * 1000, "expires_ms", (now + (json_int_t)in->token_ttl_s) * 1000);
	char path[INIT_PATH_MAX];
	int rc = init_path(path, sizeof path, err, "%s/operatord/issued-tokens.json", in->pki);

	if (rc == 0 && (!list || ocu_json_dump(list, &text)))
		rc = ocu_error_set(err, OCU_E_NOMEM, "token record");
	return rc ? rc : ocu_keyfile_replace(path, text.data, text.len, 0600, err);
}

int init_caller_token(struct init *in, struct ocu_error *err)
{
	OCU_FREE char *token = NULL;
	OCU_FREE char *line = NULL;
	char path[INIT_PATH_MAX], jti[OCU_ID_MAX];
	json_int_t now = (json_int_t)ocu_wall_s();
	int rc = init_path(path, sizeof path, err, "%s/caller.token", in->dir);

	if (rc)
		return rc;
	if (access(path, F_OK) == 0)
		return init_kept(in, "caller.token");
	ocu_id_new(OCU_ID_TOKEN, jti);
	rc = sign(in, jti, now, &token, err);
	if (rc == 0 && asprintf(&line, "%s\n", token) < 0)
		rc = ocu_error_set(err, OCU_E_NOMEM, "token");
	/* The record first: a token without one cannot be listed. */
	if (rc == 0)
		rc = record(in, jti, now, err);
	if (rc == 0)
		rc = ocu_keyfile_create(path, line, strlen(line), 0600, err);
	return rc ? rc : init_made(in, "caller.token");
}
