/* client: see client.h. */
#include "operatord/occ/client.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libocu/buf.h"
#include "libocu/cleanup.h"
#include "libocu/clock.h"
#include "libocu/err.h"
#include "libocu/httpc.h"
#include "libocu/id.h"
#include "libocu/json.h"
#include "libocu/jwt.h"
#include "operatord/occ/deployment.h"

#define ASSERTION_TTL_S  60
#define TIMEOUT_MS       35000
#define REPLY_MAX        (8 << 20)
#define REVOKE_PATIENCE  25000 /* ms a revocation is tried again while operatord is crowded */
#define REFUSED_PATIENCE 8000  /* the same while connections fail, which may be a crowd, or nobody there */
#define REVOKE_PAUSE     100

static int assertion(const struct deployment *d, char **ret, struct ocu_error *err)
{
	struct ocu_signer *key = NULL;
	OCU_JSON json_t *claims = NULL;
	char path[4096], jti[OCU_ID_MAX];
	json_int_t now = (json_int_t)ocu_wall_s();
	int rc;

	if (snprintf(path, sizeof path, "%s/operator/operator.key", d->pki_dir) >= (int)sizeof path)
		return ocu_error_set(err, OCU_E_CONFIG, "pki_dir is too long");
	rc = ocu_signer_load(&key, path, err);
	if (rc) {
		/* Who cannot read the operator's key is not the operator. */
		return ocu_error_set(err, OCU_E_DENIED, "the operator key %s cannot be used: %s", path,
		                     rc == OCU_E_NOT_FOUND ? "it is not there"
		                                           : "not readable by this user only");
	}
	ocu_id_new(OCU_ID_TOKEN, jti);
	claims = json_pack("{ss ss ss sI sI ss}", "iss", "occ", "aud", "ocu-operator-api", "sub", d->operator,
	                   "iat", now, "exp", now + ASSERTION_TTL_S, "jti", jti);
	rc = claims ? ocu_jwt_sign(key, claims, ret, err) : ocu_error_set(err, OCU_E_NOMEM, "assertion");
	ocu_signer_free(key);
	return rc;
}

/* An API on this machine is not reached through the proxy for the outside. */
static bool is_local(const char *url)
{
	return strncmp(url, "https://127.", 12) == 0 || strncmp(url, "https://localhost", 17) == 0 ||
	       strncmp(url, "https://[::1]", 13) == 0;
}

static int refusal(const struct ocu_httpc_resp *resp, const json_t *reply, struct ocu_error *err)
{
	const json_t *e = json_object_get(reply, "error");
	int code = ocu_err_from_reason(ocu_json_str(e, "code", ""));
	const char *id = ocu_json_str(e, "correlation_id", "");

	if (code == 0)
		return ocu_error_set(
		    err, resp->status == 401 || resp->status == 403 ? OCU_E_DENIED : OCU_E_INTERNAL,
		    "operatord answered with status %d", resp->status);
	return ocu_error_set(err, code, "%s (%s%s%s)", ocu_json_str(e, "message", ocu_err_text(code)),
	                     ocu_err_reason(code), *id ? ", " : "", id);
}

static int attempt(const struct deployment *d, const char *base, const struct request *q, const char *body,
                   size_t len, json_t **ret, struct ocu_error *err)
{
	OCU_FREE char *token = NULL;
	OCU_FREE char *url = NULL;
	OCU_FREE char *ca = NULL;
	struct ocu_httpc_resp resp = {0};
	int rc = assertion(d, &token, err);

	if (rc)
		return rc;
	if (asprintf(&url, "%s%s", base, q->path) < 0 || asprintf(&ca, "%s/ca.pem", d->pki_dir) < 0)
		return ocu_error_set(err, OCU_E_NOMEM, "request");
	const struct ocu_httpc_req http = {.method = q->method,
	                                   .url = url,
	                                   .bearer = token,
	                                   .content_type = "application/json",
	                                   .body = body,
	                                   .body_len = len,
	                                   .ca_path = ca,
	                                   .timeout_ms = q->timeout_ms ? q->timeout_ms : TIMEOUT_MS,
	                                   .max_body = REPLY_MAX,
	                                   .no_proxy = is_local(url)};
	rc = ocu_httpc(&http, &resp, err);
	if (rc)
		return rc;
	if (resp.len > 0 && ocu_json_parse(resp.body, resp.len, REPLY_MAX, ret, err))
		rc = resp.status < 400 ? err->code : 0;
	if (rc == 0 && resp.status >= 400)
		rc = refusal(&resp, *ret, err);
	ocu_httpc_resp_done(&resp);
	return rc;
}

static bool again(int rc)
{
	return rc == OCU_E_BUSY || rc == OCU_E_UNAVAILABLE || rc == OCU_E_TIMEOUT;
}

static void pause_ms(int ms)
{
	poll(NULL, 0, ms);
}

/* Revocations are idempotent: what is not known to have failed is simply asked again, here or at the other
 * listener. */
static int persist(const struct deployment *d, const struct request *q, const char *body, size_t len,
                   json_t **ret, struct ocu_error *err)
{
	const char *bases[] = {d->revoke_url, d->api_url};
	uint64_t begin = ocu_mono_ms(), patience;
	int rc = OCU_E_UNAVAILABLE;

	do {
		for (size_t i = 0; i < 2; i++) {
			if (!bases[i][0])
				continue;
			json_decref(*ret);
			*ret = NULL;
			rc = attempt(d, bases[i], q, body, len, ret, err);
			/* A refusal has a body, too; only what was done in part is not asked for again. */
			if (!again(rc) || json_object_get(*ret, "sessions"))
				return rc;
		}
		pause_ms(REVOKE_PAUSE);
		patience = rc == OCU_E_UNAVAILABLE ? REFUSED_PATIENCE : REVOKE_PATIENCE;
	} while (ocu_mono_ms() - begin < patience);
	return rc;
}

int client_call(const struct deployment *d, const struct request *q, json_t **ret, struct ocu_error *err)
{
	OCU_BUF struct ocu_buf body = OCU_BUF_INIT(65536);
	json_t *reply = NULL;
	int rc;

	if (q->body && ocu_json_dump(q->body, &body))
		return ocu_error_set(err, OCU_E_PARAMS, "the request cannot be written as JSON");
	if (q->revoke)
		rc = persist(d, q, body.data, body.len, &reply, err);
	else
		rc = attempt(d, d->api_url, q, body.data, body.len, &reply, err);
	*ret = reply;
	return rc;
}

char *client_escape(const char *s)
{
	OCU_BUF struct ocu_buf b = OCU_BUF_INIT(8192);

	for (; *s; s++) {
		if ((*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z') || (*s >= '0' && *s <= '9') ||
		    strchr("-_.~", *s))
			ocu_buf_putc(&b, *s);
		else
			ocu_buf_printf(&b, "%%%02X", (unsigned char)*s);
	}
	return ocu_buf_steal(&b);
}
