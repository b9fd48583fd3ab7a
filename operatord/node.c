/* node: see node.h. */
#include "operatord/node.h"

#include <stdio.h>

#include "libocu/clock.h"
#include "operatord/text.h"

void node_init(struct node *n)
{
	*n = (struct node){0};
	pthread_mutex_init(&n->lock, NULL);
}

void node_done(struct node *n)
{
	pthread_mutex_destroy(&n->lock);
}

void node_heard(struct node *n, enum ocu_component c, const char *boot_id)
{
	pthread_mutex_lock(&n->lock);
	n->peer[c].heard_mono = ocu_mono_ms();
	if (boot_id)
		text_copy(n->peer[c].boot_id, sizeof n->peer[c].boot_id, boot_id);
	pthread_mutex_unlock(&n->lock);
}

void node_pulled(struct node *n, enum ocu_component c, uint64_t epoch)
{
	pthread_mutex_lock(&n->lock);
	n->peer[c].heard_mono = ocu_mono_ms();
	n->peer[c].subscribed = true;
	n->peer[c].epoch = epoch;
	pthread_mutex_unlock(&n->lock);
}

void node_version(struct node *n, enum ocu_component c, const char *version)
{
	pthread_mutex_lock(&n->lock);
	text_copy(n->peer[c].version, sizeof n->peer[c].version, version);
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

bool node_reconciled(struct node *n)
{
	pthread_mutex_lock(&n->lock);
	bool yes = n->reconciled;
	pthread_mutex_unlock(&n->lock);
	return yes;
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

struct node_peer node_peer(struct node *n, enum ocu_component c)
{
	pthread_mutex_lock(&n->lock);
	struct node_peer p = n->peer[c];
	pthread_mutex_unlock(&n->lock);
	return p;
}
