/*
 * path: what a file may be called. The north face takes paths from clients and accepts only relative, clean
 * UTF-8 ones (NFR-SEC-31, NFR-SEC-43); the mount takes single names from the kernel and accepts any byte but
 * '/' and NUL. Paths in evidence are rendered so that no byte a guest chose can hide or forge text.
 */
#ifndef BROKERD_PATH_H
#define BROKERD_PATH_H

#include <stdbool.h>
#include <stddef.h>

struct ocu_error;

#define PATH_NORTH_MAX     1024 /* bytes of a north-face path */
#define PATH_COMPONENT_MAX 255  /* bytes of one name */
#define PATH_DEPTH_MAX     512  /* names from the root down; deeper is refused (ENAMETOOLONG) */
#define PATH_HANDLE_MAX    1024 /* bytes of a path as evidence shows it, NUL included */

/* One name as the kernel sends it: 1 to 255 bytes, no '/', neither "." nor "..". */
bool path_name_ok(const char *name);
/* The same as an errno: 0, ENAMETOOLONG or EINVAL. */
int path_name_error(const char *name);
/* A north-face path: relative, valid UTF-8, no control characters (C0, DEL, C1), no empty, "." or ".." part,
 * no scheme ("s3:/", "file://"), at most PATH_NORTH_MAX bytes and PATH_COMPONENT_MAX a part. OCU_E_PARAMS or
 * OCU_E_TOO_LARGE. */
int path_north_check(const char *path, struct ocu_error *err);
/* Whether a name of the volume can be addressed by the north face. */
bool path_north_name_ok(const char *name);
/* Offset of the last name of a checked path. */
size_t path_leaf(const char *path);
/* Evidence text of raw bytes: control bytes, backslash and invalid UTF-8 become \xNN; what is too long is cut
 * in the middle, marked by "\...". Always NUL-terminated. */
void path_handle(const char *raw, size_t len, char out[PATH_HANDLE_MAX]);

#endif
