/* control: see control.h. */
#include "operatord/control.h"

#include "libocu/audit.h"
#include "libocu/err.h"
#include "libocu/rpc.h"
#include "operatord/creates.h"
#include "operatord/feed.h"
#include "operatord/hands.h"
#include "operatord/mint.h"
#include "operatord/pace.h"
#include "operatord/pool.h"

static int open_pools(struct control *c, struct ocu_error *err)
{
	int rc = pool_new(&c->starts, "starts", 4, 256, err);

	if (rc == 0)
		rc = pool_new(&c->ends, "ends", 4, 1024, err);
	if (rc == 0)
		rc = pool_new(&c->api, "api", 4, 128, err);
	if (rc == 0)
		rc = pool_new(&c->revoke, "revoke", 4, 128, err);
	return rc;
}

int control_open(struct control *c, const struct settings *cfg, const char *state_dir,
                 const struct ocu_identity *identity, struct ocu_error *err)
{
	int rc;

	*c = (struct control){.cfg = *cfg, .identity = identity};
	heard_init(&c->heard);
	c->creates = creates_new();
	c->hands = hands_new();
	c->pace = pace_new(cfg->starts_per_minute);
	if (!c->creates || !c->hands || !c->pace)
		return ocu_error_set(err, OCU_E_NOMEM, "control");
	rc = registry_open(&c->registry, state_dir, err);
	if (rc == 0)
		rc = mint_open(&c->mint, cfg->pki_dir, cfg->trust_domain, err);
	return rc ? rc : open_pools(c, err);
}

int control_connect(struct control *c, struct ocu_error *err)
{
	const struct ocu_rpc_client_opts auditd = {
	    .url = c->cfg.audit_url, .identity = c->identity, .peer = OCU_COMP_AUDITD, .inflight = 8};
	int rc = ocu_audit_start(&c->audit, c->cfg.audit_url, c->identity, err);

	if (rc == 0)
		rc = ocu_rpc_client_new(&c->auditd, &auditd, err);
	return rc ? rc : nodes_open(&c->nodes, c->cfg.node, c->cfg.nodes, c->identity, err);
}

void control_close(struct control *c)
{
	pool_stop(c->api);
	pool_stop(c->revoke);
	/* Kills are through. A queue of ends that each wait for a peer which is gone would outlast the time
	 * there is to stop: what is left undone, the next start does. */
	nodes_end(&c->nodes);
	pool_stop(c->starts);
	pool_stop(c->ends);
	feed_stop(c->feed);
	nodes_close(&c->nodes);
	if (c->auditd)
		ocu_rpc_client_free(c->auditd);
	if (c->audit)
		ocu_audit_stop(c->audit);
	mint_close(c->mint);
	registry_close(c->registry);
	hands_free(c->hands);
	creates_free(c->creates);
	pace_free(c->pace);
	heard_done(&c->heard);
}
