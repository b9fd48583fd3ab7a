/*
 * tls_frame: where an SP message ends in nng's byte stream. nng writes a message in up to three pieces
 * (8-byte length, protocol header, body); the TLS engine holds them until the end so that they leave as one
 * TLS record. A stream starts with an 8-byte greeting, which counts as a frame. Private to the TLS engine.
 */
#ifndef OCU_TLS_FRAME_H
#define OCU_TLS_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ocu_tls_frame {
	bool greeted;
	unsigned have;   /* bytes seen of the 8-byte length */
	uint64_t length; /* of the frame, as far as read */
	uint64_t left;   /* bytes of the frame's content to come */
};

/* Moves over at most n bytes, never past the end of the frame; returns how many. *end says that the frame
 * ended with the last of them. */
size_t ocu_tls_frame_take(struct ocu_tls_frame *f, const uint8_t *data, size_t n, bool *end);

#endif
