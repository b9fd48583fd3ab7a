/* admission: see admission.h. */
#include "operatord/admission.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "libocu/err.h"

/* Weakest first. `here`: a runtime of this tier is part of this release. */
static const struct tier {
	const char *name;
	bool here;
	bool permitted[3]; /* by enum profile */
} tiers[] = {
    {"runc", true, {[PROFILE_TRUSTED_OPERATOR] = true}},
    {"gvisor", false, {[PROFILE_TRUSTED_OPERATOR] = true, [PROFILE_INTERNAL_WORKFORCE] = true}},
    {"microvm",
     false,
     {[PROFILE_TRUSTED_OPERATOR] = true, [PROFILE_INTERNAL_WORKFORCE] = true, [PROFILE_UNTRUSTED] = true}},
};
#define TIERS ((int)(sizeof tiers / sizeof *tiers))

static const char *const profiles[] = {[PROFILE_TRUSTED_OPERATOR] = "trusted_operator",
                                       [PROFILE_INTERNAL_WORKFORCE] = "internal_workforce",
                                       [PROFILE_UNTRUSTED] = "untrusted"};

enum profile admission_profile(const char *name)
{
	for (int i = 0; i < 3; i++)
		if (strcmp(profiles[i], name) == 0)
			return (enum profile)i;
	return PROFILE_UNTRUSTED;
}

const char *admission_profile_name(enum profile p)
{
	return profiles[p];
}

static int rank(const char *tier)
{
	for (int i = 0; i < TIERS; i++)
		if (strcmp(tiers[i].name, tier) == 0)
			return i;
	return -1;
}

int admission_check(enum profile p, const char *tier, struct ocu_error *err)
{
	int i = rank(tier);

	if (i < 0 || !tiers[i].permitted[p])
		return ocu_error_set(err, OCU_E_TIER, "tier \"%.32s\" is not permitted for profile %s", tier,
		                     profiles[p]);
	return 0;
}

int admission_profile_check(enum profile p, struct ocu_error *err)
{
	for (int i = 0; i < TIERS; i++)
		if (tiers[i].here && tiers[i].permitted[p])
			return 0;
	return ocu_error_set(err, OCU_E_CONFIG,
	                     "profile %s needs a sandbox tier that this release does not have", profiles[p]);
}

int admission_profile_downgrade(const char *old, const char *now)
{
	/* admission_profile() reads the unknown as the strictest, which an empty old name must not be. */
	return old[0] && admission_profile(now) < admission_profile(old);
}

int admission_tier_downgrade(const char *old, const char *now)
{
	return rank(old) >= 0 && rank(now) < rank(old);
}
