/*
 * admission: which sandbox tier a deployment's profile permits. The matrix is the whole decision: no data
 * class, caller or request can widen it, and what it does not list is refused.
 */
#ifndef OPERATORD_ADMISSION_H
#define OPERATORD_ADMISSION_H

struct ocu_error;

/* From most to least trust in those who run code. */
enum profile { PROFILE_TRUSTED_OPERATOR, PROFILE_INTERNAL_WORKFORCE, PROFILE_UNTRUSTED };

enum profile admission_profile(const char *name); /* anything unknown reads as PROFILE_UNTRUSTED */
const char *admission_profile_name(enum profile p);
/* 0 or OCU_E_TIER. tier: "runc", "gvisor", "microvm" as sandboxd reports it; unknown ones are refused. */
int admission_check(enum profile p, const char *tier, struct ocu_error *err);
/* For the start: OCU_E_CONFIG when no tier the profile permits exists in this release. */
int admission_profile_check(enum profile p, struct ocu_error *err);
/* 1 when going from one name to the other weakens the isolation that is demanded; unknown or "" old: 0. */
int admission_profile_downgrade(const char *old, const char *now);
int admission_tier_downgrade(const char *old, const char *now);

#endif
