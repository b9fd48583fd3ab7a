/*
 * hosts: the defence against DNS rebinding and cross-site calls. A request's Host must be one of ours; an
 * Origin, when a browser sends one, must be allowed. Both are compared exactly, case-insensitively.
 */
#ifndef GATEWAY_HOSTS_H
#define GATEWAY_HOSTS_H

#include "gateway/gateway.h"

int hosts_new(struct hosts **ret, const struct ocu_conf *c, const char *public_url, int port,
              struct ocu_error *err);
void hosts_free(struct hosts *h);
/* 0 or OCU_E_ORIGIN. origin may be NULL; host may not. */
int hosts_check(const struct hosts *h, const char *host, const char *origin, struct ocu_error *err);

#endif
