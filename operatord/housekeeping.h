/* housekeeping: what is done now and then: spent denylist entries lifted, old rows dropped, changes of
 * profile and tier recorded, tokens of `occ init` taken into the records. */
#ifndef OPERATORD_HOUSEKEEPING_H
#define OPERATORD_HOUSEKEEPING_H

#include <stdbool.h>
#include <stdint.h>

struct control;
struct ocu_error;

/* Zero is the start. */
struct housekeeping {
	bool started; /* profile recorded, tokens imported */
	int64_t next_mono;
};

void housekeeping_run(struct housekeeping *k, struct control *c, int64_t now_mono);
/* Records a change against the last start; a downgrade is a failure-grade event (NFR-SEC-39). */
void housekeeping_tier(struct control *c, const char *node, const char *tier);
int housekeeping_profile(struct control *c, struct ocu_error *err);
/* Token records in <pki_dir>/operatord/issued-tokens.json that are not known yet. */
int housekeeping_import(struct control *c, struct ocu_error *err);

#endif
