/*
 * store: volumes on disk. <volume_dir>/<filesystem_id>/data is what the guest sees, staging is where uploads
 * wait for their rename, stamp names its session and is touched while that is registered. A volume that is
 * let go is first renamed into <volume_dir>/trash, which takes it out of reach in one step, and then removed.
 * Its name there says whose it was, so that what a crash left is removed at the next start, and told of, as
 * anything else. Only brokerd writes below volume_dir.
 */
#ifndef BROKERD_STORE_H
#define BROKERD_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "libocu/id.h"

struct ocu_error;
struct store;

#define STORE_TRASH_MAX 128 /* "fs_....ses_...." and what makes it unique */

struct store_volume {
	int data; /* readable directory descriptors */
	int staging;
	bool existed; /* data from an earlier life of the daemon */
};

int store_open(struct store **ret, const char *path, struct ocu_error *err);
void store_close(struct store *s);
/* Makes or reopens a volume; staging is emptied. filesystem_id must be valid (ocu_id_valid). */
int store_volume_open(struct store *s, const char *filesystem_id, const char *session_id,
                      struct store_volume *ret, struct ocu_error *err);
void store_volume_close(struct store_volume *v);
/* Renames the volume out of reach, into the trash. OCU_E_NOT_FOUND when there is none. */
int store_discard(struct store *s, const char *filesystem_id, char trash_name[STORE_TRASH_MAX],
                  struct ocu_error *err);

struct store_sweep {
	uint64_t deadline; /* ocu_mono_ms, 0 never */
	uint64_t removed;  /* out: names, added up */
	/* Nothing of a volume is left on disk, for good. On failure (OCU_E_AUDIT) its empty folder stays, and
	 * a later sweep asks again. session_id is "" when it is not known. May be NULL. */
	int (*gone)(void *arg, const char *filesystem_id, const char *session_id, struct ocu_error *err);
	void *arg;
};
/* Removes one discarded volume. OCU_E_TIMEOUT when the deadline came first; another thread that removes is
 * waited for no longer, either. */
int store_scrub(struct store *s, const char *trash_name, struct store_sweep *w, struct ocu_error *err);
/* The same for everything in the trash. One that cannot be removed keeps no other. */
int store_empty_trash(struct store *s, struct store_sweep *w, struct ocu_error *err);
/* A discarded volume of the session that is not wholly removed. OCU_E_NOT_FOUND. */
int store_find_trash(struct store *s, const char *session_id, char trash_name[STORE_TRASH_MAX]);
/* Calls each for every volume on disk with the seconds since its stamp; it may discard it. */
int store_each(struct store *s, void (*each)(void *arg, const char *filesystem_id, int64_t age_s), void *arg,
               struct ocu_error *err);
/* The volume is in use. */
void store_touch(struct store *s, const char *filesystem_id);
/* The volume last registered for a session. OCU_E_NOT_FOUND. */
int store_find_session(struct store *s, const char *session_id, char filesystem_id[OCU_ID_MAX]);
int store_fd(const struct store *s);

#endif
