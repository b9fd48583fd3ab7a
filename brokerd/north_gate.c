/* north_gate: one decision after the other; the first no is the answer. */
#include "brokerd/north_gate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "brokerd/broker.h"
#include "brokerd/meter.h"
#include "brokerd/north_job.h"
#include "brokerd/registry.h"
#include "libocu/clock.h"
#include "libocu/denylist.h"
#include "libocu/err.h"
#include "libocu/httpd.h"
#include "libocu/json.h"
#include "libocu/jwt.h"

int gate_open(struct gate *g, const struct north_opts *o, struct ocu_error *err)
{
	snprintf(g->issuer, sizeof g->issuer, "%s", o->issuer);
	snprintf(g->audience, sizeof g->audience, "%s", o->audience);
	int r = ocu_jwks_load(&g->keys, o->jwks_path, err);
	return r ? r : rate_new(&g->rate, &o->rate, err);
}

void gate_close(struct gate *g)
{
	ocu_jwks_free(g->keys);
	rate_free(g->rate);
}

static int check_denied(const struct job *j, const char *token_id, const char *caller, struct ocu_error *err)
{
	int r = ocu_denylist_check(j->broker->denylist, OCU_DENY_TOKEN, token_id, err);
	if (r == 0)
		r = ocu_denylist_check(j->broker->denylist, OCU_DENY_CALLER, caller, err);
	return r == 0 && j->volume
	           ? ocu_denylist_check(j->broker->denylist, OCU_DENY_SESSION, j->volume->session_id, err)
	           : r;
}

int gate_recheck(const struct job *j, struct ocu_error *err)
{
	int r = check_denied(j, j->token_id, j->caller, err);
	return r == 0 && j->volume ? volume_active(j->volume, err) : r;
}

static int authenticate(const struct gate *g, struct job *j, struct ocu_error *err)
{
	const char *token = ocu_http_bearer(j->req);
	const struct ocu_jwt_expect want = {.issuer = g->issuer, .audience = g->audience};
	OCU_JSON json_t *claims = NULL;
	if (!token)
		return ocu_error_set(err, OCU_E_UNAUTHENTICATED, "no bearer token");
	int r = ocu_jwt_verify(g->keys, token, strlen(token), &want, &claims, err);
	if (r < 0)
		return r;
	const char *sub = ocu_json_str(claims, "sub", ""), *jti = ocu_json_str(claims, "jti", "");
	if (!*sub || strlen(sub) >= sizeof j->caller || !*jti || strlen(jti) > TOKEN_ID_MAX)
		return ocu_error_set(err, OCU_E_TOKEN_CLAIM, "sub or jti is empty or too long");
	r = check_denied(j, jti, sub, err);
	if (r < 0)
		return r;
	memcpy(j->caller, sub, strlen(sub) + 1);
	memcpy(j->token_id, jti, strlen(jti) + 1);
	return 0;
}

/* The file system, when it is the caller's. Somebody else's does not exist. */
static int find_volume(struct job *j, const char *filesystem_id, struct ocu_error *err)
{
	j->volume = registry_filesystem(j->broker->registry, filesystem_id);
	if (!j->volume || strcmp(j->volume->caller, j->caller) != 0) {
		volume_unref(j->volume);
		j->volume = NULL;
		return ocu_error_set(err, OCU_E_NOT_FOUND, "no such file system of this caller");
	}
	int r = ocu_denylist_check(j->broker->denylist, OCU_DENY_SESSION, j->volume->session_id, err);
	if (r == 0)
		r = volume_enter(j->volume, err);
	j->inside = r == 0;
	return r;
}

static int take_path(struct job *j, const char *path, struct ocu_error *err)
{
	int r = path_north_check(path, err);
	if (r < 0)
		return r;
	memcpy(j->path, path, strlen(path) + 1);
	path_handle(path, strlen(path), j->handle);
	return 0;
}

/* An upload that cannot fit is refused before it is taken in, or once it has come to be too long. */
static int check_room(struct job *j, struct ocu_error *err)
{
	const char *length = ocu_http_header(j->req, "Content-Length");
	uint64_t size = length ? strtoull(length, NULL, 10) : 0, left = quota_bytes_left(&j->volume->quota);
	ocu_http_body_limit(j->req, left - left % QUOTA_BLOCK, OCU_E_NO_SPACE);
	if (quota_charge(size) <= left)
		return 0;
	meter_quota();
	return ocu_error_set(err, OCU_E_NO_SPACE, "over the quota");
}

int gate_decide(const struct gate *g, struct job *j, struct ocu_error *err)
{
	const char *filesystem_id = ocu_http_param(j->req, "fs"), *path = ocu_http_param(j->req, "path");
	int r = authenticate(g, j, err);
	if (r < 0)
		return r;
	r = rate_enter(g->rate, j->caller, ocu_mono_ms(), err);
	j->counted = r == 0;
	if (r == 0 && path)
		r = take_path(j, path, err);
	if (r == 0 && filesystem_id)
		r = find_volume(j, filesystem_id, err);
	if (r == 0 && j->op == FILE_OP_PUT)
		r = check_room(j, err);
	return r;
}

enum file_op gate_op(const struct ocu_http_req *r)
{
	static const struct {
		const char *method;
		enum file_op op;
	} ops[] = {
	    {"GET", FILE_OP_GET}, {"HEAD", FILE_OP_HEAD}, {"PUT", FILE_OP_PUT}, {"DELETE", FILE_OP_DELETE}};
	if (!ocu_http_param(r, "fs"))
		return FILE_OP_FILESYSTEMS;
	if (!ocu_http_param(r, "path"))
		return FILE_OP_LIST;
	for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
		if (strcmp(ops[i].method, ocu_http_method(r)) == 0)
			return ops[i].op;
	return FILE_OP_GET;
}
