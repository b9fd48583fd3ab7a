/* conf: egressd's options. */
#ifndef EGRESSD_CONF_H
#define EGRESSD_CONF_H

#include <sys/types.h>

#include "libocu/conf.h"

struct egress;

extern const struct ocu_conf_opt egressd_options[];
int conf_check(const struct ocu_conf *c, struct ocu_error *err); /* for the daemon's spec */
/* Fills limits and resolvers. descriptors: how many this process may open; bounds the connections. */
int conf_apply(const struct ocu_conf *c, unsigned long descriptors, struct egress *e, struct ocu_error *err);
unsigned conf_workers(const struct ocu_conf *c);
void conf_handover_path(const struct ocu_conf *c, const char *run_dir, char *out, size_t size);

#endif
