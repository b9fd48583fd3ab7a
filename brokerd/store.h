/*
 * store: volumes on disk. <volume_dir>/<filesystem_id>/data is what the guest sees, staging is where uploads
 * wait for their rename, stamp names its session and is touched while that is registered. A volume that is
 * let go is first renamed into <volume_dir>/trash, which takes it out of reach in one step, and then removed;
 * what a crash left there is removed at the next start. Only brokerd writes below volume_dir.
 */
#ifndef BROKERD_STORE_H
#define BROKERD_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "libocu/id.h"

struct ocu_error;
struct store;

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
int store_discard(struct store *s, const char *filesystem_id, char trash_name[OCU_ID_MAX],
                  struct ocu_error *err);
/* Removes one discarded volume, until the deadline (ocu_mono_ms, 0 never); adds the names removed to *count.
 * OCU_E_TIMEOUT when something is left. Blocks while another thread removes. */
int store_scrub(struct store *s, const char *trash_name, uint64_t deadline, uint64_t *count,
                struct ocu_error *err);
/* The same for everything in the trash. */
int store_empty_trash(struct store *s, uint64_t deadline, uint64_t *count, struct ocu_error *err);
/* Calls each for every volume on disk with the seconds since its stamp; it may discard it. */
int store_each(struct store *s, void (*each)(void *arg, const char *filesystem_id, int64_t age_s), void *arg,
               struct ocu_error *err);
/* The volume is in use. */
void store_touch(struct store *s, const char *filesystem_id);
/* The volume last registered for a session. OCU_E_NOT_FOUND. */
int store_find_session(struct store *s, const char *session_id, char filesystem_id[OCU_ID_MAX]);
int store_fd(const struct store *s);

#endif
