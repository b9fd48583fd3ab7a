/*
 * control: what operatord's parts share. Made once by main before anything is served, taken down after
 * everything stopped; the parts themselves are thread-safe.
 */
#ifndef OPERATORD_CONTROL_H
#define OPERATORD_CONTROL_H

#include <stdbool.h>

#include "operatord/conf.h"
#include "operatord/heard.h"
#include "operatord/nodes.h"

struct ocu_audit;
struct ocu_identity;
struct ocu_rpc_client;

struct control {
	struct settings cfg;
	const struct ocu_identity *identity;
	struct registry *registry;
	struct mint *mint;
	struct ocu_audit *audit;
	struct ocu_rpc_client *auditd; /* what auditd is asked; records go over `audit` */
	struct nodes nodes;
	struct heard heard;
	struct feed *feed;
	struct creates *creates;
	struct pace *pace;
	struct hands *hands;
	struct pool *starts; /* cold starts */
	struct pool *ends;   /* ordinary ends, and what follows a kill */
	struct pool *api;    /* operator requests that wait for something */
	struct pool *revoke; /* kills, denials, token revocations: nothing else */
};

/* Opens registry and keys under the given folder, then the pools; nothing is dialled or served yet. */
int control_open(struct control *c, const struct settings *cfg, const char *state_dir,
                 const struct ocu_identity *identity, struct ocu_error *err);
/* Dials auditd and the three custodians of every node. */
int control_connect(struct control *c, struct ocu_error *err);
/* Waits for the work under way, then stops the feed; the other listeners must be stopped already. */
void control_close(struct control *c);

#endif
