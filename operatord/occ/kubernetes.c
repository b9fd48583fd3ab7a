/*
 * kubernetes: `occ kubernetes secrets`: a deployment's keys as Kubernetes objects, one secret for each
 * daemon, so that no pod is ever given another's. They are printed for kubectl, or created by way of the API
 * of the cluster this process runs in. Nothing that is there is overwritten: a name that is taken ends it.
 */
#include <limits.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libocu/buf.h"
#include "libocu/cleanup.h"
#include "libocu/err.h"
#include "libocu/httpc.h"
#include "libocu/json.h"
#include "libocu/keyfile.h"
#include "operatord/occ/command.h"
#include "operatord/occ/show.h"

#define ACCOUNT     "/var/run/secrets/kubernetes.io/serviceaccount"
#define TOKEN_MAX   16384
#define REPLY_MAX   (1 << 20)
#define ROW_FILES   7
#define PREFIX_MAX  40
#define OBJECT_NAME 64

/* In the order they are made: the one with the CA stands for all, and is the last. */
static const struct row {
	const char *name, *kind, *folder;
	const char *file[ROW_FILES];
} rows[] = {
    {"pki",
     "ConfigMap",
     "pki",
     {"ca.pem", "internal-jwks.json", "caller-jwks.json", "session-jwks.json", "operator-jwks.json",
      "envelope-jwks.json"}},
    {"gateway", "Secret", "pki/gateway", {"cert.pem", "key.pem", "token.key", "mcp-session.key"}},
    {"operatord",
     "Secret",
     "pki/operatord",
     {"cert.pem", "key.pem", "token.key", "session.key", "caller.key", "issued-tokens.json"}},
    {"brokerd", "Secret", "pki/brokerd", {"cert.pem", "key.pem", "token.key"}},
    {"sandboxd", "Secret", "pki/sandboxd", {"cert.pem", "key.pem", "token.key"}},
    {"egressd", "Secret", "pki/egressd", {"cert.pem", "key.pem", "token.key"}},
    {"auditd", "Secret", "pki/auditd", {"cert.pem", "key.pem", "token.key", "envelope.key"}},
    {"operator", "Secret", "pki/operator", {"operator.key"}},
    {"caller", "Secret", "", {"caller.token"}},
    {"ca", "Secret", "pki", {"ca.pem", "ca.key"}},
};
#define ROWS (sizeof rows / sizeof *rows)

static json_t *base64(const char *data, size_t len)
{
	OCU_FREE char *text = malloc(4 * (len + 2) / 3 + 1);

	if (!text)
		return NULL;
	EVP_EncodeBlock((unsigned char *)text, (const unsigned char *)data, (int)len);
	json_t *j = json_string(text);
	OPENSSL_cleanse(text, strlen(text));
	return j;
}

static int add_file(json_t *data, const char *dir, const struct row *r, const char *file,
                    struct ocu_error *err)
{
	const bool secret = strcmp(r->kind, "Secret") == 0;
	char path[PATH_MAX];
	char *text = NULL;
	size_t len = 0;
	json_t *value;
	int rc;

	if (snprintf(path, sizeof path, "%s/%s/%s", dir, r->folder, file) >= (int)sizeof path)
		return ocu_error_set(err, OCU_E_PARAMS, "a path is too long");
	rc = ocu_keyfile_read(path, OCU_KEYFILE_MAX, false, &text, &len, err);
	if (rc)
		return rc;
	value = secret ? base64(text, len) : json_stringn(text, len);
	ocu_keyfile_free(text, len);
	return value && json_object_set_new(data, file, value) == 0
	           ? 0
	           : ocu_error_set(err, OCU_E_NOMEM, "%s does not fit into an object", file);
}

static int make_object(const struct row *r, const char *dir, const char *prefix, json_t **ret,
                       struct ocu_error *err)
{
	OCU_JSON json_t *data = json_object();
	char name[OBJECT_NAME];
	json_t *o;
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < ROW_FILES && r->file[i]; i++)
		rc = add_file(data, dir, r, r->file[i], err);
	if (rc)
		return rc;
	snprintf(name, sizeof name, "%s-%s", prefix, r->name);
	o = json_pack("{ss ss s{ss s{ss}} sO}", "apiVersion", "v1", "kind", r->kind, "metadata", "name", name,
	              "labels", "app.kubernetes.io/name", "ocu", "data", data);
	if (o && strcmp(r->kind, "Secret") == 0)
		json_object_set_new(o, "type", json_string("Opaque"));
	if (!o)
		return ocu_error_set(err, OCU_E_NOMEM, "object %s", name);
	*ret = o;
	return 0;
}

/* Names of objects are DNS labels. */
static bool prefix_ok(const char *s)
{
	size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789-");

	return n > 0 && n <= PREFIX_MAX && s[n] == '\0' && s[0] >= 'a' && s[0] <= 'z' && s[n - 1] != '-';
}

static int print_all(const char *dir, const char *prefix, struct ocu_error *err)
{
	OCU_JSON json_t *items = json_array();
	OCU_JSON json_t *list = NULL;
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < ROWS; i++) {
		json_t *o = NULL;
		rc = make_object(&rows[i], dir, prefix, &o, err);
		if (rc == 0 && json_array_append_new(items, o))
			rc = ocu_error_set(err, OCU_E_NOMEM, "list");
	}
	if (rc)
		return rc;
	list = json_pack("{ss ss sO}", "apiVersion", "v1", "kind", "List", "items", items);
	if (!list)
		return ocu_error_set(err, OCU_E_NOMEM, "list");
	show_json(list);
	return 0;
}

/* --- the cluster's API --- */

struct api {
	char base[512]; /* https://host:port/api/v1/namespaces/<namespace> */
	char token[TOKEN_MAX];
};

static int read_word(const char *name, char *out, size_t size, struct ocu_error *err)
{
	OCU_BUF struct ocu_buf b = OCU_BUF_INIT(TOKEN_MAX - 1);
	char path[256];
	int rc;

	snprintf(path, sizeof path, "%s/%s", ACCOUNT, name);
	rc = ocu_buf_load_file(&b, path, err);
	if (rc)
		return rc;
	while (b.len > 0 && (b.data[b.len - 1] == '\n' || b.data[b.len - 1] == '\r'))
		b.data[--b.len] = '\0';
	if (b.len == 0 || b.len >= size || strlen(b.data) != b.len)
		return ocu_error_set(err, OCU_E_CONFIG, "%s is not usable", path);
	memcpy(out, b.data, b.len + 1);
	return 0;
}

static int api_find(struct api *a, struct ocu_error *err)
{
	const char *host = getenv("KUBERNETES_SERVICE_HOST"), *port = getenv("KUBERNETES_SERVICE_PORT");
	char space[OBJECT_NAME];
	bool v6;
	int rc;

	if (!host || !port)
		return ocu_error_set(err, OCU_E_CONFIG,
		                     "--apply works in a pod only: KUBERNETES_SERVICE_HOST is not set");
	if ((rc = read_word("namespace", space, sizeof space, err)) ||
	    (rc = read_word("token", a->token, sizeof a->token, err)))
		return rc;
	v6 = strchr(host, ':') != NULL;
	if (snprintf(a->base, sizeof a->base, "https://%s%s%s:%s/api/v1/namespaces/%s", v6 ? "[" : "", host,
	             v6 ? "]" : "", port, space) >= (int)sizeof a->base)
		return ocu_error_set(err, OCU_E_CONFIG, "the API's address is too long");
	return 0;
}

static int refusal(const struct ocu_httpc_resp *resp, const char *name, struct ocu_error *err)
{
	OCU_JSON json_t *j = NULL;
	struct ocu_error ignored = {0};

	if (resp->status == 409)
		return ocu_error_set(err, OCU_E_EXISTS,
		                     "%s is there already, from an attempt that did not end or another "
		                     "deployment: remove it, or install with pki.source=existing",
		                     name);
	if (resp->len > 0)
		(void)ocu_json_parse(resp->body, resp->len, REPLY_MAX, &j, &ignored);
	return ocu_error_set(err, resp->status == 403 ? OCU_E_DENIED : OCU_E_UNAVAILABLE,
	                     "the cluster's API answered with status %d for %s: %s", resp->status, name,
	                     ocu_json_str(j, "message", ""));
}

static int create(const struct api *a, const json_t *o, struct ocu_error *err)
{
	const char *kind = ocu_json_str(o, "kind", ""),
	           *name = ocu_json_str(json_object_get(o, "metadata"), "name", "");
	OCU_BUF struct ocu_buf body = OCU_BUF_INIT(REPLY_MAX);
	struct ocu_httpc_resp resp = {0};
	char url[600];
	int rc;

	snprintf(url, sizeof url, "%s/%s", a->base, strcmp(kind, "Secret") == 0 ? "secrets" : "configmaps");
	if (ocu_json_dump(o, &body))
		return ocu_error_set(err, OCU_E_NOMEM, "object %s", name);
	rc = ocu_httpc(&(struct ocu_httpc_req){.method = "POST",
	                                       .url = url,
	                                       .bearer = a->token,
	                                       .content_type = "application/json",
	                                       .body = body.data,
	                                       .body_len = body.len,
	                                       .ca_path = ACCOUNT "/ca.crt",
	                                       .max_body = REPLY_MAX,
	                                       .no_proxy = true},
	               &resp, err);
	OPENSSL_cleanse(body.data, body.len);
	if (rc)
		return rc;
	if (resp.status != 201)
		rc = refusal(&resp, name, err);
	ocu_httpc_resp_done(&resp);
	if (rc == 0)
		printf("made  %s %s\n", kind, name);
	return rc;
}

static int apply_all(const char *dir, const char *prefix, struct ocu_error *err)
{
	struct api a = {0};
	int rc = api_find(&a, err);

	for (size_t i = 0; rc == 0 && i < ROWS; i++) {
		OCU_JSON json_t *o = NULL;
		rc = make_object(&rows[i], dir, prefix, &o, err);
		if (rc == 0)
			rc = create(&a, o, err);
	}
	OPENSSL_cleanse(&a, sizeof a);
	return rc;
}

int run_kubernetes_secrets(const struct args *a)
{
	const char *prefix = a->prefix ? a->prefix : "ocu";
	const char *dir = a->dir ? a->dir : a->deployment;
	struct ocu_error err = {0};
	int rc;

	if (!prefix_ok(prefix)) {
		fprintf(stderr,
		        "occ: kubernetes secrets: --prefix is at most %d lower-case letters, digits and "
		        "dashes, beginning with a letter\n",
		        PREFIX_MAX);
		return OCC_USAGE;
	}
	rc = a->apply ? apply_all(dir, prefix, &err) : print_all(dir, prefix, &err);
	return rc ? show_error(a, "kubernetes secrets", &err) : OCC_OK;
}
