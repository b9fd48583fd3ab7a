/* holding: see holding.h. */
#include "auditd/holding.h"

#include <curl/curl.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "libocu/err.h"

#define DAY 86400
/* The store's clock may be beside ours, and putting takes its time: the lock was counted from the begin. */
#define SLACK DAY

int64_t holding_time(const char *iso)
{
	struct tm t = {0};
	const char *end = strptime(iso, "%Y-%m-%dT%H:%M:%S", &t);
	if (!end)
		return -1;
	if (*end == '.')
		end += 1 + strspn(end + 1, "0123456789");
	return strcmp(end, "Z") == 0 ? (int64_t)timegm(&t) : -1;
}

static int lacks(struct ocu_error *err, const char *what)
{
	return ocu_error_set(err, OCU_E_STATE, "%s", what);
}

static int check_lock(const struct holding *h, const struct holding_want *w, int64_t put, int64_t now,
                      struct ocu_error *err)
{
	int64_t until = holding_time(h->lock_until), from = put - SLACK;
	bool compliance = strcasecmp(h->lock_mode, "COMPLIANCE") == 0;
	if (!compliance && strcasecmp(h->lock_mode, "GOVERNANCE") != 0)
		return lacks(err,
		             "the object in the archive is not locked, or the credential may not see it");
	if (!compliance && strcmp(w->lock, "compliance") == 0)
		return lacks(err, "the object in the archive is locked in governance mode alone");
	if (from < w->sealed)
		from = w->sealed;
	if (until < from + (int64_t)w->lock_days * DAY)
		return lacks(err, "the object in the archive is not locked for archive_days");
	if (until <= now)
		return lacks(err, "the lock of the object in the archive is over");
	return 0;
}

int holding_check(const struct holding *h, const struct holding_want *w, struct ocu_error *err)
{
	if (h->size < 0 || (uint64_t)h->size != w->size || strcmp(h->sha256, w->sha256) != 0)
		return ocu_error_set(err, OCU_E_EXISTS, "the object in the archive has other bytes");
	int64_t put = curl_getdate(h->put, NULL), now = curl_getdate(h->now, NULL);
	if (put < 0 || now < 0)
		return lacks(err, "the store does not say when the object was put, or what time it is");
	int rc = strcmp(w->lock, "none") == 0 ? 0 : check_lock(h, w, put, now, err);
	if (rc)
		return rc;
	/* A clock of ours that jumps makes everything here look old; it does not move the store's. */
	if (now - put < (int64_t)w->hot_days * DAY)
		return lacks(err, "by the store's clock the object is not in the archive for hot_days");
	return 0;
}
