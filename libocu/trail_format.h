/*
 * trail_format: the three kinds of line a segment is made of, rendered and parsed in one place, so that what
 * auditd writes and what a verifier accepts cannot drift apart. Parsing is strict: one byte that the renderer
 * would not have put there refuses the line.
 *
 *   head slots   two of 4096 bytes at the start of the file, one signed line each, padded with spaces
 *   opening      one line: trail, segment, first record, the sources' sequences so far, link to the segment
 * before records      one line each
 *
 * An opening's or record's hash is SHA-256 over the line's own bytes up to `,"hash":`; a head's signature is
 * over its bytes up to `,"sig":`. So sed and sha256sum can check by hand what this file does.
 */
#ifndef OCU_TRAIL_FORMAT_H
#define OCU_TRAIL_FORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libocu/ocsf.h"
#include "libocu/trail_sources.h"

struct ocu_buf;
struct ocu_error;
struct ocu_jwks;
struct ocu_signer;

#define OCU_TRAIL_SLOT       ((size_t)4096)
#define OCU_TRAIL_HEADER     (2 * OCU_TRAIL_SLOT)
#define OCU_TRAIL_HEX        64
#define OCU_TRAIL_ID_PREFIX  "trl_"
#define OCU_TRAIL_ID_MAX     40
#define OCU_TRAIL_RECORD_MAX (OCU_EVENT_MAX + 512)
/* The longest line is an opening that lists every source. */
#define OCU_TRAIL_LINE_MAX (OCU_TRAIL_SOURCES_MAX * (OCU_TRAIL_SOURCE_MAX + 32) + 1024)

/* A link of the chain, as it stands in the file: lower-case hexadecimal, NUL-terminated. */
struct ocu_trail_hash {
	char hex[OCU_TRAIL_HEX + 1];
};
#define OCU_TRAIL_HASH_ZERO                                                                                  \
	((struct ocu_trail_hash){"0000000000000000000000000000000000000000000000000000000000000000"})

/* Reusable SHA-256; not thread-safe. */
struct ocu_trail_hasher;
int ocu_trail_hasher_new(struct ocu_trail_hasher **ret, struct ocu_error *err);
void ocu_trail_hasher_free(struct ocu_trail_hasher *h);
int ocu_trail_hash(struct ocu_trail_hasher *h, const void *data, size_t len, struct ocu_trail_hash *ret);
void ocu_trail_hash_bytes(const struct ocu_trail_hash *h, unsigned char out[32]);

/* A parsed record points into its line. */
struct ocu_trail_record {
	uint64_t number;
	uint64_t sequence;
	const char *time; /* 24 bytes, RFC 3339 */
	const char *source;
	size_t source_len;
	const char *prev; /* 64 bytes */
	const char *event;
	size_t event_len;
	const char *hash; /* 64 bytes */
	size_t hashed;    /* how much of the line the hash covers */
};

struct ocu_trail_opening {
	char trail[OCU_TRAIL_ID_MAX];
	uint64_t segment;
	uint64_t first; /* number its first record has or will have */
	char time[32];
	const char *prev;
	const char *hash;
	size_t hashed;
};

struct ocu_trail_head {
	uint64_t number; /* records covered; 0 when there is none yet */
	char trail[OCU_TRAIL_ID_MAX];
	uint64_t segment;
	uint64_t end; /* offset behind the last covered line of the segment */
	struct ocu_trail_hash last;
	uint64_t generation; /* one more with every head; its lowest bit names the slot */
	bool sealed;         /* another segment follows */
	char time[32];
	char kid[64];
};

/* Appends one record line, newline included, and gives its hash. `time` is 24 bytes. Line breaks and tabs
 * between the event's tokens become spaces. The event must have been parsed as JSON before: nothing else
 * keeps a line one line. */
struct ocu_trail_new {
	uint64_t number;
	uint64_t sequence;
	const char *time;
	const char *source;
	const char *event;
	size_t event_len;
};
int ocu_trail_record_put(struct ocu_buf *out, struct ocu_trail_hasher *h, const struct ocu_trail_new *r,
                         const struct ocu_trail_hash *prev, struct ocu_trail_hash *ret,
                         struct ocu_error *err);
/* line without its newline. OCU_E_PARSE. */
int ocu_trail_record_parse(struct ocu_trail_record *ret, const char *line, size_t len, struct ocu_error *err);

/* Renders trail, segment, first and time of o, the sources that have records, and the link. */
int ocu_trail_opening_put(struct ocu_buf *out, struct ocu_trail_hasher *h, const struct ocu_trail_opening *o,
                          const struct ocu_trail_sources *sources, const struct ocu_trail_hash *prev,
                          struct ocu_trail_hash *ret, struct ocu_error *err);
/* Adds the sources it names to `sources`, which must be empty. */
int ocu_trail_opening_parse(struct ocu_trail_opening *ret, struct ocu_trail_sources *sources,
                            const char *line, size_t len, struct ocu_error *err);

/* Fills one slot, padding and newline included. */
int ocu_trail_head_put(char slot[OCU_TRAIL_SLOT], const struct ocu_trail_head *h,
                       const struct ocu_signer *signer, struct ocu_error *err);
/* Strict form only; sets *signed_len to how many bytes the signature covers and copies the signature. */
int ocu_trail_head_parse(struct ocu_trail_head *ret, const char slot[OCU_TRAIL_SLOT], size_t *signed_len,
                         unsigned char sig[64], struct ocu_error *err);
/* Form and signature: OCU_E_PARSE, or what ocu_jwks_verify_raw() says. */
int ocu_trail_head_verify(struct ocu_trail_head *ret, const char slot[OCU_TRAIL_SLOT],
                          const struct ocu_jwks *keys, struct ocu_error *err);

#endif
