/*
 * http_fields: reading a request. Header strings live in MHD's connection memory, which stays in place while
 * a request is being handled or is suspended.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "libocu/httpd_internal.h"

const char *ocu_http_method(const struct ocu_http_req *r)
{
	return r->method;
}

const char *ocu_http_path(const struct ocu_http_req *r)
{
	return r->target.path ? r->target.path : "";
}

const char *ocu_http_param(const struct ocu_http_req *r, const char *name)
{
	return ocu_http_match_param(&r->match, name);
}

const char *ocu_http_query(const struct ocu_http_req *r, const char *name)
{
	for (unsigned i = 0; i < r->target.n_query; i++)
		if (strcmp(r->target.query[i].name, name) == 0)
			return r->target.query[i].value;
	return NULL;
}

const char *ocu_http_header(const struct ocu_http_req *r, const char *name)
{
	return MHD_lookup_connection_value(r->conn, MHD_HEADER_KIND, name);
}

/* RFC 6750 2.1. Two Authorization headers are nobody's credential. */
const char *ocu_http_bearer(const struct ocu_http_req *r)
{
	const char *v = r->n_auth == 1 ? ocu_http_header(r, "Authorization") : NULL;

	if (!v || strncasecmp(v, "Bearer ", 7) != 0)
		return NULL;
	v += 7;
	while (*v == ' ')
		v++;
	return *v ? v : NULL;
}

const char *ocu_http_trace(const struct ocu_http_req *r)
{
	return r->trace;
}

/* Logically const: the text is made on the first call, by the one who holds the request. */
const char *ocu_http_peer_ip(const struct ocu_http_req *cr)
{
	struct ocu_http_req *r = (struct ocu_http_req *)cr;
	const union MHD_ConnectionInfo *info;
	const struct sockaddr *sa;

	if (r->ip)
		return r->ip;
	info = MHD_get_connection_info(r->conn, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
	sa = info ? info->client_addr : NULL;
	r->ip = calloc(1, INET6_ADDRSTRLEN);
	if (!r->ip)
		return "";
	if (sa && sa->sa_family == AF_INET)
		inet_ntop(AF_INET, &((const struct sockaddr_in *)(const void *)sa)->sin_addr, r->ip,
		          INET6_ADDRSTRLEN);
	else if (sa && sa->sa_family == AF_INET6)
		inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr, r->ip,
		          INET6_ADDRSTRLEN);
	return r->ip;
}

void ocu_http_set_user(struct ocu_http_req *r, void *user, void (*drop)(void *))
{
	r->user = user;
	r->drop = drop;
}

void *ocu_http_user(const struct ocu_http_req *r)
{
	return r->user;
}

void ocu_http_on_gone(struct ocu_http_req *r, void (*gone)(struct ocu_http_req *r, void *user))
{
	pthread_mutex_lock(&r->lock);
	r->on_gone = gone;
	pthread_mutex_unlock(&r->lock);
}
