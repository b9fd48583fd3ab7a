/*
 * sandboxes: the RPC clients towards sandboxd, one per endpoint operatord names; bounded, kept while the
 * process lives.
 */
#ifndef GATEWAY_SANDBOXES_H
#define GATEWAY_SANDBOXES_H

#include "gateway/gateway.h"

int sandboxes_new(struct sandboxes **ret, const struct ocu_identity *identity, struct ocu_error *err);
void sandboxes_free(struct sandboxes *s); /* calls under way end with OCU_E_CANCELLED */
/* Borrowed, or NULL with err. Makes the client on first use. */
struct ocu_rpc_client *sandboxes_get(struct sandboxes *s, const char *url, struct ocu_error *err);

#endif
