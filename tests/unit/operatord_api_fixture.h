/* The operator's side: assertions, good and forged, and requests to the API's listeners. */
#ifndef OCU_TEST_OPERATORD_API_FIXTURE_H
#define OCU_TEST_OPERATORD_API_FIXTURE_H

#include "libocu/httpc.h"
#include "operatord/api.h"
#include "operatord/assertion.h"
#include "tests/unit/operatord_fixture.h"

struct ax {
	struct assertions *assertions;
	struct api *api;
	struct ocu_signer *key; /* the operator's */
};

static struct ax ax;

static inline void ax_open(void)
{
	struct ocu_error err = {0};

	ck_assert_msg(assertions_open(&ax.assertions, fx.dir, fx.state, &err) == 0, "%s", err.text);
	ck_assert_msg(api_start(&ax.api, &fx.c, ax.assertions, &err) == 0, "%s", err.text);
}

static inline void ax_close(void)
{
	api_stop(ax.api);
	assertions_close(ax.assertions);
	ax.api = NULL;
	ax.assertions = NULL;
}

static inline void ax_setup(void)
{
	char path[512];

	fx_setup();
	ax_open();
	snprintf(path, sizeof path, "%s/operator/operator.key", fx.dir);
	ck_assert_int_eq(ocu_signer_load(&ax.key, path, NULL), 0);
}

static inline void ax_teardown(void)
{
	ax_close();
	ocu_signer_free(ax.key);
	fx_teardown();
}

struct ax_claims {
	const char *iss, *aud, *sub, *jti;
	int64_t iat, ttl;
};

/* NULL and 0 are the right ones. */
static inline char *ax_token_of(const struct ocu_signer *key, struct ax_claims c)
{
	char jti[OCU_ID_MAX];
	char *token = NULL;
	json_int_t iat = (json_int_t)(ocu_wall_s() + c.iat);
	json_t *claims;

	ocu_id_new(OCU_ID_TOKEN, jti);
	claims = json_pack("{ss ss ss sI sI ss}", "iss", c.iss ? c.iss : "occ", "aud",
	                   c.aud ? c.aud : "ocu-operator-api", "sub", c.sub ? c.sub : "root", "iat", iat,
	                   "exp", iat + (json_int_t)(c.ttl ? c.ttl : 60), "jti", c.jti ? c.jti : jti);
	ck_assert_int_eq(ocu_jwt_sign(key, claims, &token, NULL), 0);
	json_decref(claims);
	return token;
}

static inline char *ax_token(void)
{
	return ax_token_of(ax.key, (struct ax_claims){0});
}

struct ax_reply {
	int status;
	json_t *json;
	char reason[64]; /* error.code, or "" */
};

/* token NULL: none. Frees what r held. */
static inline void ax_request(struct ax_reply *r, int port, const char *method, const char *path,
                              const char *token, const char *body, size_t len)
{
	struct ocu_httpc_resp resp = {0};
	struct ocu_error err = {0};
	char url[2048], ca[512];

	snprintf(url, sizeof url, "https://127.0.0.1:%d%s", port, path);
	snprintf(ca, sizeof ca, "%s/ca.pem", fx.dir);
	const struct ocu_httpc_req q = {.method = method,
	                                .url = url,
	                                .bearer = token,
	                                .content_type = "application/json",
	                                .body = body,
	                                .body_len = len,
	                                .ca_path = ca,
	                                .timeout_ms = 30000,
	                                .no_proxy = true};
	json_decref(r->json);
	*r = (struct ax_reply){0};
	ck_assert_msg(ocu_httpc(&q, &resp, &err) == 0, "%s %s: %s", method, path, err.text);
	r->status = resp.status;
	if (resp.len > 0)
		ocu_json_parse(resp.body, resp.len, 1 << 22, &r->json, NULL);
	snprintf(r->reason, sizeof r->reason, "%s",
	         ocu_json_str(json_object_get(r->json, "error"), "code", ""));
	ocu_httpc_resp_done(&resp);
}

/* The reply is good until the next one. */
static inline struct ax_reply *ax_send(int port, const char *method, const char *path, const char *token,
                                       const char *body, size_t len)
{
	static struct ax_reply r;

	ax_request(&r, port, method, path, token, body, len);
	return &r;
}

/* With a fresh assertion; body NULL: none. */
static inline struct ax_reply *ax_call(const char *method, const char *path, const char *body)
{
	OCU_FREE char *token = ax_token();

	return ax_send(api_port(ax.api), method, path, token, body, body ? strlen(body) : 0);
}

#define AX_MAIN(name, add)                                                                                   \
	int main(void)                                                                                       \
	{                                                                                                    \
		Suite *suite = suite_create(name);                                                           \
		TCase *c = tcase_create(name);                                                               \
		tcase_add_checked_fixture(c, ax_setup, ax_teardown);                                         \
		tcase_set_timeout(c, 120);                                                                   \
		add(c);                                                                                      \
		suite_add_tcase(suite, c);                                                                   \
		SRunner *r = srunner_create(suite);                                                          \
		srunner_run_all(r, CK_NORMAL);                                                               \
		int failed = srunner_ntests_failed(r);                                                       \
		srunner_free(r);                                                                             \
		return failed ? EXIT_FAILURE : EXIT_SUCCESS;                                                 \
	}

#endif
