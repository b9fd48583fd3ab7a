/* trail_anchor: the one signed line, and what a folder's list of segments means with it. */
#include "libocu/trail_anchor.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "libocu/cleanup.h"
#include "libocu/err.h"
#include "libocu/jwt.h"
#include "libocu/trail_scan.h"
#include "libocu/trail_segment.h"

#define LIST_TRIES 3

int ocu_trail_anchor_put(char out[OCU_TRAIL_ANCHOR_MAX], const struct ocu_trail_anchor *a,
                         const struct ocu_signer *signer, struct ocu_error *err)
{
	size_t len;
	int n = snprintf(out, OCU_TRAIL_ANCHOR_MAX,
	                 "{\"archived\":%" PRIu64 ",\"trail\":\"%s\",\"records\":%" PRIu64
	                 ",\"last\":\"%s\",\"time\":\"%s\",\"kid\":\"%s\"",
	                 a->segment, a->trail, a->records, a->last.hex, a->time, ocu_signer_kid(signer));
	int rc = ocu_trail_sign(out, OCU_TRAIL_ANCHOR_MAX - 2, (size_t)n, signer, &len, err);
	if (!rc)
		memcpy(out + len, "\n", 2);
	return rc;
}

static bool scan(struct ocu_scan *s, struct ocu_trail_anchor *a, size_t *signed_len, unsigned char sig[64])
{
	const char *begin = s->p, *last, *time;
	if (!ocu_scan_lit(s, "{\"archived\":") || !ocu_scan_number(s, &a->segment) ||
	    !ocu_scan_lit(s, ",\"trail\":\"") || !ocu_scan_copy(s, sizeof a->trail, a->trail) ||
	    !ocu_scan_lit(s, ",\"records\":") || !ocu_scan_number(s, &a->records) ||
	    !ocu_scan_lit(s, ",\"last\":\"") || !ocu_scan_hex(s, &last) || !ocu_scan_lit(s, ",\"time\":\"") ||
	    !ocu_scan_time(s, &time) || !ocu_scan_lit(s, ",\"kid\":\"") ||
	    !ocu_scan_copy(s, sizeof a->kid, a->kid))
		return false;
	*signed_len = (size_t)(s->p - begin);
	memcpy(a->last.hex, last, OCU_TRAIL_HEX);
	memcpy(a->time, time, OCU_TRAIL_TIME);
	return ocu_scan_sig(s, sig) && ocu_scan_lit(s, "}\n") && s->p == s->end && a->segment > 0;
}

int ocu_trail_anchor_parse(struct ocu_trail_anchor *ret, const char *text, size_t len,
                           const struct ocu_jwks *keys, struct ocu_error *err)
{
	struct ocu_scan s = {text, text + len};
	struct ocu_trail_anchor a = {0};
	struct ocu_error why = {0};
	unsigned char sig[64];
	size_t signed_len;
	if (!scan(&s, &a, &signed_len, sig))
		return ocu_error_set(err, OCU_E_CHAIN_BROKEN, "the anchor is malformed");
	if (keys && ocu_jwks_verify_raw(keys, a.kid, text, signed_len, sig, sizeof sig, &why))
		return ocu_error_set(err, OCU_E_CHAIN_BROKEN, "the anchor does not verify: %.150s", why.text);
	*ret = a;
	return 0;
}

int ocu_trail_anchor_read(int dirfd, const struct ocu_jwks *keys, struct ocu_trail_anchor *ret,
                          struct ocu_error *err)
{
	char text[OCU_TRAIL_ANCHOR_MAX + 1];
	OCU_CLOSE int fd = openat(dirfd, OCU_TRAIL_ANCHOR, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return ocu_error_errno(err, errno == ENOENT ? OCU_E_NOT_FOUND : OCU_E_IO, errno,
		                       "the anchor");
	ssize_t n;
	do
		n = read(fd, text, sizeof text);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return ocu_error_errno(err, OCU_E_IO, errno, "reading the anchor");
	return ocu_trail_anchor_parse(ret, text, (size_t)n, keys, err);
}

static int check_beginning(const struct ocu_trail_span *s, struct ocu_error *err)
{
	uint64_t wanted = s->anchored ? s->anchor.segment + 1 : 1;
	if (s->first == 0 && !s->anchored)
		return 0;
	if (s->first == 0)
		return ocu_error_set(err, OCU_E_CHAIN_BROKEN, "segment %" PRIu64 " is missing", wanted);
	if (s->first > wanted)
		return ocu_error_set(
		    err, OCU_E_CHAIN_BROKEN,
		    "segment %" PRIu64 " is missing, and %s that it is in the archive", wanted,
		    s->anchored ? "the anchor does not say" : "there is no anchor that says");
	if (s->first > 1 && s->last < s->anchor.segment)
		return ocu_error_set(err, OCU_E_CHAIN_BROKEN,
		                     "segment %" PRIu64 " is missing, which the anchor is of",
		                     s->anchor.segment);
	return 0;
}

int ocu_trail_span(int dirfd, const struct ocu_jwks *keys, struct ocu_trail_span *ret, struct ocu_error *err)
{
	struct ocu_trail_span s = {0};
	struct ocu_error why = {0};
	/* The list first: auditd writes the anchor before it removes what the anchor is of. Two removals
	 * while a list is made can look like a gap in it. */
	int rc, tries = 0;
	do
		rc = ocu_trail_list(dirfd, &s.first, &s.last, err);
	while (rc == OCU_E_CHAIN_BROKEN && ++tries < LIST_TRIES);
	if (rc)
		return rc;
	rc = ocu_trail_anchor_read(dirfd, keys, &s.anchor, &why);
	if (rc && rc != OCU_E_NOT_FOUND)
		return ocu_error_set(err, rc, "%s", why.text);
	s.anchored = rc == 0;
	rc = check_beginning(&s, err);
	if (!rc)
		*ret = s;
	return rc;
}
