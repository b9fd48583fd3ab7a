/*
 * keyfile: how key material and key sets get to and from disk. New files are made with O_EXCL and reach the
 * disk before success is reported; a replaced file is swapped by rename, so that a reader sees the old one or
 * the new one and never half of it.
 */
#ifndef OCU_KEYFILE_H
#define OCU_KEYFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct ocu_error;

#define OCU_KEYFILE_MAX 262144 /* bytes */

/* The whole file, NUL-terminated, at most max bytes; the caller frees *ret (ocu_keyfile_free for secrets).
 * secret: refuses (OCU_E_CONFIG) a file that group or others can access, but for one of root's that only this
 * process's own group can read. OCU_E_IO, OCU_E_TOO_LARGE, OCU_E_NOT_FOUND. */
int ocu_keyfile_read(const char *path, size_t max, bool secret, char **ret, size_t *ret_len,
                     struct ocu_error *err);
/* Wipes and frees; takes NULL. */
void ocu_keyfile_free(char *data, size_t len);
/* OCU_E_EXISTS when something is there already. Synced to disk. */
int ocu_keyfile_create(const char *path, const void *data, size_t len, mode_t mode, struct ocu_error *err);
/* Writes "<path>.new" and renames it over path. Synced to disk. */
int ocu_keyfile_replace(const char *path, const void *data, size_t len, mode_t mode, struct ocu_error *err);

#endif
