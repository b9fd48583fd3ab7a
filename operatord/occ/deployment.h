/*
 * deployment: where a deployment keeps what occ needs: <dir>/occ.yaml, written by `occ init`, and the
 * operator's key in its PKI folder.
 */
#ifndef OCC_DEPLOYMENT_H
#define OCC_DEPLOYMENT_H

#include "libocu/conf.h"

struct ocu_error;

extern const struct ocu_conf_opt occ_options[];

struct deployment {
	struct ocu_conf *conf;
	const char *pki_dir, *api_url, *revoke_url, *trail_dir, *image_dir, *operator;
};

/* OCU_E_CONFIG when dir has no usable occ.yaml. */
int deployment_load(struct deployment *d, const char *dir, struct ocu_error *err);
void deployment_done(struct deployment *d);
#define DEPLOYMENT OCU_CLEANUP(deployment_done) struct deployment

#endif
