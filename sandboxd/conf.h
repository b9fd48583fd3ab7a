/* conf: sandboxd's configuration table. */
#ifndef OCU_SANDBOXD_CONF_H
#define OCU_SANDBOXD_CONF_H

#include "libocu/conf.h"

extern const struct ocu_conf_opt sandboxd_options[];
/* What the table cannot say about pairs of values. */
int sandboxd_conf_check(const struct ocu_conf *c, struct ocu_error *err);

#endif
