/* deployment: see deployment.h. */
#include "operatord/occ/deployment.h"

#include <stdio.h>
#include <unistd.h>

#include "libocu/err.h"

const struct ocu_conf_opt occ_options[] = {
    {"pki_dir", OCU_CONF_PATH, "pki", 0, 0, NULL, "Folder made by `occ init`"},
    {"api_url", OCU_CONF_STRING, "https://127.0.0.1:9443", 0, 0, NULL, "operatord's API"},
    {"revoke_url", OCU_CONF_STRING, "https://127.0.0.1:9444", 0, 0, NULL,
     "operatord's revoke listener, tried first for kills; \"\" when there is none"},
    {"trail_dir", OCU_CONF_PATH, "/var/lib/ocu/auditd", 0, 0, NULL, "auditd's trail"},
    {"image_dir", OCU_CONF_PATH, "/var/cache/ocu/images", 0, 0, NULL, "Sandbox images"},
    {"operator", OCU_CONF_STRING, "operator", 0, 0, NULL, "Who the operator is, for the trail"},
    {0},
};

int deployment_load(struct deployment *d, const char *dir, struct ocu_error *err)
{
	char path[4096];
	int rc;

	*d = (struct deployment){0};
	if (snprintf(path, sizeof path, "%s/occ.yaml", dir) >= (int)sizeof path)
		return ocu_error_set(err, OCU_E_CONFIG, "the deployment's path is too long");
	if (access(path, F_OK) != 0)
		return ocu_error_set(err, OCU_E_CONFIG,
		                     "no deployment in %s (no occ.yaml): occ init makes one", dir);
	rc = ocu_conf_load(&d->conf, "occ", occ_options, path, err);
	if (rc)
		return rc;
	d->pki_dir = ocu_conf_str(d->conf, "pki_dir");
	d->api_url = ocu_conf_str(d->conf, "api_url");
	d->revoke_url = ocu_conf_str(d->conf, "revoke_url");
	d->trail_dir = ocu_conf_str(d->conf, "trail_dir");
	d->image_dir = ocu_conf_str(d->conf, "image_dir");
	d->operator= ocu_conf_str(d->conf, "operator");
	return 0;
}

void deployment_done(struct deployment *d)
{
	if (d->conf)
		ocu_conf_free(d->conf);
	d->conf = NULL;
}
