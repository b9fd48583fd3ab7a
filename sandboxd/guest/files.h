/*
 * files: view, create and edit files as the sandbox itself sees them. Only regular files are read or written
 * (and folders listed): nothing that could block or have an effect by being opened. Sizes are bounded
 * everywhere.
 */
#ifndef OCU_GUEST_FILES_H
#define OCU_GUEST_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "proto/agent.pb-c.h"

struct fail;

#define FILES_SCAN_MAX  (64u << 20) /* bytes looked at for one view */
#define FILES_EDIT_MAX  (8u << 20)  /* largest file that can be edited */
#define FILES_VIEW_MAX  (1u << 20)  /* bytes returned by one view */
#define FILES_LIST_MAX  4096        /* entries of one listing */
#define FILES_DEPTH_MAX 128         /* folders made for one file */

int files_view(uint64_t request, const Ocu__Agent__View *r, struct fail *f);
int files_create(uint64_t request, const Ocu__Agent__CreateFile *r, struct fail *f);
int files_str_replace(uint64_t request, const Ocu__Agent__StrReplace *r, struct fail *f);

/* The parts they share. */

/* Absolute, no NUL inside (protobuf-c has cut there), not too long. */
int files_check_path(const char *path, struct fail *f);
/* Opens a regular file for reading: never blocks, never becomes a terminal's owner. fd, or a negative code.
 */
int files_open(const char *path, off_t *size, struct fail *f);
/* A folder's entries, two levels, one path a line, into a new buffer of at most max bytes. */
int files_list(const char *path, size_t max, unsigned char **ret, size_t *len, bool *truncated,
               struct fail *f);
/* Replaces or makes the file with these bytes: in a temporary file beside it that is renamed over it, in
 * place where that cannot be. */
int files_store(const char *path, const void *data, size_t len, bool *replaced, struct fail *f);

#endif
