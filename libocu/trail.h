/*
 * trail: the on-disk form of the evidence, shared by auditd, which appends, and by whoever verifies. The
 * design of the records is in docs/audit.md. Verification needs nothing but the files and the public envelope
 * key.
 *
 * A trail is a folder of segments 00000001.jsonl, 00000002.jsonl, ... Only what the newest signed head covers
 * counts: whole records after it exist while auditd is in the middle of a batch that nobody was answered for,
 * are reported as unsigned, and never reach a caller of ocu_trail_each().
 */
#ifndef OCU_TRAIL_H
#define OCU_TRAIL_H

#include <stdint.h>

struct ocu_error;
struct ocu_jwks;

struct ocu_trail_report {
	uint64_t records; /* covered by the signed head */
	uint64_t sources;
	unsigned char head[32]; /* hash of the last record, or of the opening line when there is none */
	uint64_t
	    bad_record;    /* number of the first record that does not verify, when broken; 0: not a record */
	char why[256];     /* what is broken; when verified, a note about unsigned bytes, or "" */
	uint64_t segments; /* number of the last */
	uint64_t archived_segments; /* so many from the first on are not here: the anchor says so */
	uint64_t archived_records; /* in those; they are counted in records, but only their end was checked */
	uint64_t unsigned_records; /* well-formed records after the signed head */
	uint64_t unsigned_bytes;   /* all bytes after the signed head that are not preallocation */
	uint64_t bytes;            /* read and checked */
	char trail[40];            /* the trail's id, "" when not even that could be read */
	char head_time[32];        /* when the head was signed */
};

/* Verifies every segment of the folder, from the first on or from where the signed anchor says that all
 * before is in an archive (trail_anchor): each record's hash, the link to the one before it, the per-source
 * sequence without gap, and the signed head against the last record (so that removal at the end shows).
 * 0, or OCU_E_CHAIN_BROKEN with ret filled. Works on a folder that auditd is appending to and on a copy of
 * one; memory does not grow with the trail. */
int ocu_trail_verify(const char *dir, const struct ocu_jwks *envelope_keys, struct ocu_trail_report *ret,
                     struct ocu_error *err);
enum ocu_trail_state {
	OCU_TRAIL_RUNNING, /* as above: what follows the head is reported, and does not count */
	OCU_TRAIL_AT_REST, /* nobody writes to it: nothing may follow the head */
	/* A copy of the sealed segments alone, as an archive has it: the last one must be sealed, and what
	 * follows it is not asked for. That nothing after it is missing this cannot say. */
	OCU_TRAIL_SEALED,
};
int ocu_trail_verify_as(const char *dir, enum ocu_trail_state state, const struct ocu_jwks *envelope_keys,
                        struct ocu_trail_report *ret, struct ocu_error *err);
/* Calls each for every record in order: the number, the source's component name (with "/<instance>" when it
 * has one), and the event's JSON. A non-zero return stops and is returned. Checks form and numbering, not
 * hashes. */
int ocu_trail_each(const char *dir,
                   int (*each)(void *arg, uint64_t number, const char *source, const char *event,
                               uint64_t len),
                   void *arg, struct ocu_error *err);

#endif
