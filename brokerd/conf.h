/* conf: the one table of brokerd's options, and the names derived from them. */
#ifndef BROKERD_CONF_H
#define BROKERD_CONF_H

#include <stddef.h>

struct ocu_daemon;
struct ocu_daemon_spec;
struct ocu_error;

extern const struct ocu_daemon_spec conf_spec;

/* Paths that "" leaves to a rule, and the issuer. OCU_E_CONFIG when one is too long. */
struct conf_names {
	char volume_dir[512];
	char handover_dir[512];
	char handover_socket[108]; /* sun_path */
	char caller_jwks[512];
	char spool_dir[600];
	char issuer[128];
};
int conf_names(const struct ocu_daemon *d, struct conf_names *ret, struct ocu_error *err);

#endif
