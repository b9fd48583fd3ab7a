/*
 * auditor: the read-only HTTPS face: the signed head, and records. Nothing here changes anything but the
 * trail, which gets an event for every reading of events. The bearer is an operator assertion with audience
 * "ocu-auditor".
 */
#ifndef AUDITD_AUDITOR_H
#define AUDITD_AUDITOR_H

struct auditor;
struct ocu_error;
struct ocu_identity;
struct own;
struct store;

struct auditor_opts {
	const char *listen;
	const char *jwks_path; /* operator-jwks.json */
	const struct ocu_identity *identity;
	struct store *store;
	struct own *own;
};

int auditor_start(struct auditor **ret, const struct auditor_opts *o, struct ocu_error *err);
void auditor_stop(struct auditor *a, unsigned drain_ms);
int auditor_port(const struct auditor *a);

#endif
