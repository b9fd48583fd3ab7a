/* conf: auditd's options. */
#ifndef AUDITD_CONF_H
#define AUDITD_CONF_H

#include "libocu/conf.h"

extern const struct ocu_conf_opt auditd_options[];

#endif
