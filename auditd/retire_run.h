/* retire_run: the thread that retires segments, and says how many there are. Without an archive it says only.
 */
#ifndef AUDITD_RETIRE_RUN_H
#define AUDITD_RETIRE_RUN_H

struct aside;
struct ocu_error;
struct ocu_jwks;
struct ocu_signer;
struct own;
struct retire_run;
struct store;

struct retire_run_opts {
	struct store *store;
	struct own *own;
	const struct ocu_signer *signer;
	const struct ocu_jwks *keys;
	struct aside *archive; /* NULL: nothing is ever removed */
	struct aside *forward; /* NULL: there is no collector */
	unsigned hot_days;
};

int retire_run_start(struct retire_run **ret, const struct retire_run_opts *o, struct ocu_error *err);
/* Before what it was given ends. r may be NULL. */
void retire_run_stop(struct retire_run *r);

#endif
