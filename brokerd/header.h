/*
 * header: the conditional and range headers of HTTP (RFC 9110 sections 13 and 14), and the parameters of a
 * listing. All input is a client's.
 */
#ifndef BROKERD_HEADER_H
#define BROKERD_HEADER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "brokerd/path.h"

struct ocu_error;

#define ETAG_SIZE 35 /* quotes, 32 hexadecimal digits, NUL */

/* A strong validator: changes whenever the file is another one or its bytes may have changed. */
void header_etag(const struct stat *st, char out[ETAG_SIZE]);
/* Whether a list of entity tags, or "*", names this one. Weak tags only match when weak is allowed. */
bool header_etag_listed(const char *list, const char *etag, bool weak);

enum range_kind { RANGE_NONE, RANGE_PART, RANGE_UNSATISFIABLE };
/* One byte range; several, another unit, or what is no range at all count as none. */
enum range_kind header_range(const char *value, uint64_t size, uint64_t *ret_from, uint64_t *ret_len);

#define LIST_LIMIT     200
#define LIST_LIMIT_MAX 1000
#define CURSOR_MAX     1400 /* base64url of a path */

struct list_query {
	char path[PATH_NORTH_MAX + 1]; /* "" the root */
	bool recursive;
	unsigned limit;
	char after[PATH_NORTH_MAX +
	           1]; /* the last path of the page before, relative to path; "" from the start */
};
/* Each may be NULL. OCU_E_PARAMS or OCU_E_TOO_LARGE. */
int header_list_query(struct list_query *ret, const char *path, const char *recursive, const char *limit,
                      const char *cursor, struct ocu_error *err);
void header_cursor(const char *last, char out[CURSOR_MAX]);

#endif
