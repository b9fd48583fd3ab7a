/*
 * trail_head: the signed statement of where the trail ends. It says how many records there are, the hash of
 * the last, and at which byte of which segment it ends; there is no way to state an earlier end without the
 * key.
 */
#include <stdio.h>
#include <string.h>

#include "libocu/err.h"
#include "libocu/jwt.h"
#include "libocu/trail_format.h"
#include "libocu/trail_scan.h"

int ocu_trail_sign(char *text, size_t size, size_t n, const struct ocu_signer *signer, size_t *ret_len,
                   struct ocu_error *err)
{
	static const char member[] = ",\"sig\":\"", end[] = "\"}";
	unsigned char sig[64];
	char sig_text[OCU_TRAIL_SIG + 8];
	if (n + sizeof member + OCU_TRAIL_SIG + sizeof end > size)
		return ocu_error_set(err, OCU_E_INTERNAL, "a line of the trail that does not fit");
	int rc = ocu_signer_sign(signer, text, n, sig, err);
	if (rc)
		return rc;
	ocu_b64url_encode(sig, sizeof sig, sig_text);
	*ret_len = n + (size_t)snprintf(text + n, size - n, "%s%s%s", member, sig_text, end);
	return 0;
}

int ocu_trail_head_put(char slot[OCU_TRAIL_SLOT], const struct ocu_trail_head *h,
                       const struct ocu_signer *signer, struct ocu_error *err)
{
	char text[OCU_TRAIL_SLOT];
	size_t len;
	int n = snprintf(text, sizeof text,
	                 "{\"head\":%llu,\"trail\":\"%s\",\"segment\":%llu,\"end\":%llu,\"last\":\"%s\","
	                 "\"generation\":%llu,\"state\":\"%s\",\"time\":\"%s\",\"kid\":\"%s\"",
	                 (unsigned long long)h->number, h->trail, (unsigned long long)h->segment,
	                 (unsigned long long)h->end, h->last.hex, (unsigned long long)h->generation,
	                 h->sealed ? "sealed" : "open", h->time, ocu_signer_kid(signer));
	int rc = ocu_trail_sign(text, sizeof text - 1, (size_t)n, signer, &len, err);
	if (rc)
		return rc;
	memcpy(slot, text, len);
	memset(slot + len, ' ', OCU_TRAIL_SLOT - len - 1);
	slot[OCU_TRAIL_SLOT - 1] = '\n';
	return 0;
}

static bool scan_state(struct ocu_scan *s, bool *sealed)
{
	*sealed = ocu_scan_lit(s, "sealed\"");
	return *sealed || ocu_scan_lit(s, "open\"");
}

static bool scan_padding(struct ocu_scan *s)
{
	if (s->p >= s->end || s->end[-1] != '\n')
		return false;
	for (; s->p < s->end - 1; s->p++)
		if (*s->p != ' ')
			return false;
	return true;
}

int ocu_trail_head_parse(struct ocu_trail_head *ret, const char slot[OCU_TRAIL_SLOT], size_t *signed_len,
                         unsigned char sig[64], struct ocu_error *err)
{
	struct ocu_scan s = {slot, slot + OCU_TRAIL_SLOT};
	struct ocu_trail_head h;
	const char *last, *time;
	if (!ocu_scan_lit(&s, "{\"head\":") || !ocu_scan_number(&s, &h.number) ||
	    !ocu_scan_lit(&s, ",\"trail\":\"") || !ocu_scan_copy(&s, sizeof h.trail, h.trail) ||
	    !ocu_scan_lit(&s, ",\"segment\":") || !ocu_scan_number(&s, &h.segment) ||
	    !ocu_scan_lit(&s, ",\"end\":") || !ocu_scan_number(&s, &h.end) ||
	    !ocu_scan_lit(&s, ",\"last\":\"") || !ocu_scan_hex(&s, &last) ||
	    !ocu_scan_lit(&s, ",\"generation\":") || !ocu_scan_number(&s, &h.generation) ||
	    !ocu_scan_lit(&s, ",\"state\":\"") || !scan_state(&s, &h.sealed) ||
	    !ocu_scan_lit(&s, ",\"time\":\"") || !ocu_scan_time(&s, &time) ||
	    !ocu_scan_lit(&s, ",\"kid\":\"") || !ocu_scan_copy(&s, sizeof h.kid, h.kid))
		goto malformed;
	*signed_len = (size_t)(s.p - slot);
	if (!ocu_scan_sig(&s, sig) || !ocu_scan_lit(&s, "}") || !scan_padding(&s))
		goto malformed;
	memcpy(h.last.hex, last, OCU_TRAIL_HEX);
	h.last.hex[OCU_TRAIL_HEX] = '\0';
	memcpy(h.time, time, OCU_TRAIL_TIME);
	h.time[OCU_TRAIL_TIME] = '\0';
	*ret = h;
	return 0;
malformed:
	ocu_error_set(err, OCU_E_PARSE, "not a well-formed head line");
	return OCU_E_PARSE;
}

int ocu_trail_head_verify(struct ocu_trail_head *ret, const char slot[OCU_TRAIL_SLOT],
                          const struct ocu_jwks *keys, struct ocu_error *err)
{
	struct ocu_trail_head h;
	unsigned char sig[64];
	size_t len;
	int rc = ocu_trail_head_parse(&h, slot, &len, sig, err);
	if (!rc)
		rc = ocu_jwks_verify_raw(keys, h.kid, slot, len, sig, sizeof sig, err);
	if (!rc)
		*ret = h;
	return rc;
}
