/*
 * host: destination names as the policy sees them. Every name that reaches a decision (rule, DNS question,
 * SNI, Host, CONNECT target) passes here first, so that two spellings of one name cannot be decided
 * differently and no spelling of an address passes for a name.
 */
#ifndef EGRESSD_HOST_H
#define EGRESSD_HOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ocu_error;

#define HOST_MAX 253 /* characters of a name without the trailing dot (RFC 1035 2.3.4) */

/* Lower-cases s and drops one trailing dot. Labels are 1..63 of letters, digits, '-' and '_', with no '-' at
 * either end; IDN only as A-labels, which are plain ASCII. OCU_E_EGRESS_RAW_ADDRESS for an address in any
 * spelling a resolver or URL parser takes for one (IPv6, dotted, decimal, octal, hexadecimal, short forms:
 * the last label is a number); OCU_E_EGRESS_PROTOCOL for anything else that is no name. out untouched on
 * failure. */
int host_parse(const char *s, size_t len, char out[HOST_MAX + 1], struct ocu_error *err);

/* "name" or "name:port". *port is 0 when there is none. User information, empty ports and ports out of range
 * are OCU_E_EGRESS_PROTOCOL. */
int host_parse_authority(const char *s, size_t len, char out[HOST_MAX + 1], uint16_t *port,
                         struct ocu_error *err);

#endif
