/* node: see node.h. */
#include "operatord/node.h"

#include <stdio.h>
#include <string.h>

#include "libocu/clock.h"
#include "libocu/rpc.h"
#include "operatord/text.h"

int node_open(struct node *n, const struct node_conf *conf, const struct ocu_identity *id,
              struct ocu_error *err)
{
	int rc;

	*n = (struct node){.conf = *conf};
	rc = peers_open(&n->peers, conf, id, err);
	if (rc == 0)
		pthread_mutex_init(&n->lock, NULL);
	return rc;
}

void node_close(struct node *n)
{
	peers_close(&n->peers);
	pthread_mutex_destroy(&n->lock);
}

void node_boot(struct node *n, enum node_daemon d, const char *boot_id)
{
	pthread_mutex_lock(&n->lock);
	text_copy(n->boot_id[d], sizeof n->boot_id[d], boot_id);
	pthread_mutex_unlock(&n->lock);
}

void node_sandboxd(struct node *n, const char *tier, const char *instance)
{
	pthread_mutex_lock(&n->lock);
	text_copy(n->tier, sizeof n->tier, tier);
	text_copy(n->instance, sizeof n->instance, instance);
	pthread_mutex_unlock(&n->lock);
}

void node_set_reconciled(struct node *n)
{
	pthread_mutex_lock(&n->lock);
	n->reconciled = true;
	pthread_mutex_unlock(&n->lock);
}

void node_set_failed(struct node *n)
{
	pthread_mutex_lock(&n->lock);
	n->failed_mono = ocu_mono_ms();
	pthread_mutex_unlock(&n->lock);
}

bool node_failed_lately(struct node *n, uint64_t ms)
{
	pthread_mutex_lock(&n->lock);
	bool lately = n->failed_mono != 0 && ocu_mono_ms() - n->failed_mono < ms;
	pthread_mutex_unlock(&n->lock);
	return lately;
}

bool node_reconciled(struct node *n)
{
	pthread_mutex_lock(&n->lock);
	bool yes = n->reconciled;
	pthread_mutex_unlock(&n->lock);
	return yes;
}

bool node_connected(const struct node *n)
{
	return ocu_rpc_client_connected(n->peers.sandboxd) && ocu_rpc_client_connected(n->peers.brokerd) &&
	       ocu_rpc_client_connected(n->peers.egressd);
}

bool node_named_right(struct node *n, size_t nodes)
{
	pthread_mutex_lock(&n->lock);
	bool right = nodes == 1 || strcmp(n->instance, n->conf.name) == 0;
	pthread_mutex_unlock(&n->lock);
	return right;
}

void node_tier(struct node *n, char out[17])
{
	pthread_mutex_lock(&n->lock);
	snprintf(out, sizeof n->tier, "%s", n->tier);
	pthread_mutex_unlock(&n->lock);
}

void node_instance(struct node *n, char out[NODE_TEXT_MAX + 1])
{
	pthread_mutex_lock(&n->lock);
	snprintf(out, sizeof n->instance, "%s", n->instance);
	pthread_mutex_unlock(&n->lock);
}

void node_boot_id(struct node *n, enum node_daemon d, char out[NODE_TEXT_MAX + 1])
{
	pthread_mutex_lock(&n->lock);
	snprintf(out, sizeof n->boot_id[d], "%s", n->boot_id[d]);
	pthread_mutex_unlock(&n->lock);
}
