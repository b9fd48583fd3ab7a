/*
 * client: requests to the operator API. Each carries an assertion of its own, signed with the operator key,
 * good for one request and 60 s.
 */
#ifndef OCC_CLIENT_H
#define OCC_CLIENT_H

#include <jansson.h>
#include <stdbool.h>

struct deployment;
struct ocu_error;

struct request {
	const char *method, *path; /* path as it goes on the wire: see client_escape() */
	const json_t *body;        /* borrowed; NULL: none */
	bool revoke;               /* the revoke listener first, and again while it is busy */
	unsigned timeout_ms;       /* 0: 35 s, past every deadline of operatord */
};

/* The reply's JSON in *ret. A refusal is an error with operatord's code and text; *ret is then NULL, or what
 * came with it. OCU_E_UNAVAILABLE when nothing answers. */
int client_call(const struct deployment *d, const struct request *q, json_t **ret, struct ocu_error *err);
/* Percent-encodes s as one path segment; caller frees; NULL when out of memory. */
char *client_escape(const char *s);

#endif
