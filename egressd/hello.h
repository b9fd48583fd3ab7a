/*
 * hello: the server name in a TLS ClientHello, read from the guest's first bytes without taking part in the
 * handshake (RFC 8446 4.1.2, RFC 6066 3). Handles a hello split over records and over any number of reads.
 */
#ifndef EGRESSD_HELLO_H
#define EGRESSD_HELLO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "egressd/host.h"

struct ocu_error;

#define HELLO_MAX         16384u /* bytes on the wire that a hello may take */
#define HELLO_RECORDS_MAX 64u

struct hello {
	bool has_sni;
	bool
	    ech; /* carries an encrypted_client_hello extension (real or GREASE: they cannot be told apart) */
	char sni[HOST_MAX + 1];
	size_t size; /* bytes on the wire, records whole */
};

/* What a server has answered to a ClientHello. */
enum hello_reply {
	HELLO_REPLY_MORE, /* cannot be told yet */
	HELLO_REPLY_GOES_ON,
	HELLO_REPLY_RETRY, /* it takes another ClientHello: HelloRetryRequest, or one of before TLS 1.3 was
	                      done */
	HELLO_REPLY_NOT_TLS,
};

/* Whether a TLS server could take data, a connection's first bytes, for the beginning of a handshake, well
 * formed or not: any TLS record, or a ClientHello in the SSLv2 format (RFC 5246 E.2). 1 yes, 0 no, -1 not
 * enough yet. */
int hello_begins(const uint8_t *data, size_t len);
/* 1: more bytes are needed. 0: *ret filled. OCU_E_EGRESS_PROTOCOL: no ClientHello a server should accept;
 * OCU_E_EGRESS_SNI: a server name that is no name. Records behind the hello's are not looked at; a hello ends
 * its record. */
int hello_parse(const uint8_t *data, size_t len, struct hello *ret, struct ocu_error *err);
/* Reads the server's bytes from the first one behind the last ClientHello. *ret_size, for RETRY: how many
 * were read. */
enum hello_reply hello_reply(const uint8_t *data, size_t len, size_t *ret_size);

#endif
