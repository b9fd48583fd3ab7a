/*
 * api: the operator REST API over HTTPS, two listeners of it: one with every route, one with the revoke
 * routes only. Each request carries a fresh operator assertion, verified from the headers before a body byte
 * is read. The rest runs on worker pools: revocations on their own, so that neither listener's crowd nor slow
 * requests delay a kill.
 */
#ifndef OPERATORD_API_H
#define OPERATORD_API_H

#include "operatord/assertion.h"

struct api;
struct control;
struct ocu_error;

int api_start(struct api **ret, struct control *c, struct assertions *a, struct ocu_error *err);
/* Waits for requests under way; takes NULL. */
void api_stop(struct api *api);
int api_port(const struct api *api);
int api_revoke_port(const struct api *api); /* 0 when there is none */

#endif
