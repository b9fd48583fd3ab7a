/*
 * north_gate: who may ask the north face for what, decided from the request's headers before a byte of its
 * body is taken: the token, the denylist, the caller's rate, whose file system it is, the path, and whether
 * there is room.
 */
#ifndef BROKERD_NORTH_GATE_H
#define BROKERD_NORTH_GATE_H

#include "brokerd/evidence.h"
#include "brokerd/north.h"
#include "brokerd/rate.h"

struct job;
struct ocu_error;
struct ocu_http_req;
struct ocu_jwks;

struct gate {
	struct ocu_jwks *keys;
	struct rate *rate;
	char issuer[128], audience[128];
};

int gate_open(struct gate *g, const struct north_opts *o, struct ocu_error *err);
void gate_close(struct gate *g);
/* Fills the job: caller, volume, path. On failure what it holds already is given back with the job. */
int gate_decide(const struct gate *g, struct job *j, struct ocu_error *err);
/* Asks again what may have changed since: the denylist and the file system's state. */
int gate_recheck(const struct job *j, struct ocu_error *err);
enum file_op gate_op(const struct ocu_http_req *r);

#endif
