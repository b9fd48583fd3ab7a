/* id: ULID identifiers (Crockford base32, 26 characters, monotonic within a millisecond) with a type prefix.
 */
#ifndef OCU_ID_H
#define OCU_ID_H

#include <stdbool.h>
#include <stddef.h>

#define OCU_ID_MAX 40 /* longest prefix + 26 + NUL */

#define OCU_ID_SESSION    "ses_"
#define OCU_ID_CONTAINER  "ocu-"
#define OCU_ID_FILESYSTEM "fs_"
#define OCU_ID_TRACE      "trc_" /* the correlation id of one request */
#define OCU_ID_TOKEN      "tok_" /* jti */

/* New id from getrandom(2); aborts only when the kernel has no randomness. Thread-safe. */
void ocu_id_new(const char *prefix, char out[OCU_ID_MAX]);
/* Exactly prefix + 26 Crockford characters. */
bool ocu_id_valid(const char *prefix, const char *s);

#endif
