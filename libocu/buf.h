/*
 * buf: a growing byte buffer with a declared maximum; content is always NUL-terminated beyond len.
 * An append that would pass the maximum fails with OCU_E_TOO_LARGE, changes nothing, and sticks in `failed`,
 * so that a run of appends can be checked once at the end.
 */
#ifndef OCU_BUF_H
#define OCU_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libocu/cleanup.h"

struct ocu_buf {
	char *data; /* NULL until the first append */
	size_t len;
	size_t cap;
	size_t max;
	int failed; /* 0, OCU_E_TOO_LARGE or OCU_E_NOMEM */
};

#define OCU_BUF_INIT(maximum) ((struct ocu_buf){.max = (maximum)})

void ocu_buf_init(struct ocu_buf *b, size_t max);
void ocu_buf_done(struct ocu_buf *b);
void ocu_buf_reset(struct ocu_buf *b); /* empty, keep the memory, clear failed */
int ocu_buf_put(struct ocu_buf *b, const void *data, size_t len);
int ocu_buf_puts(struct ocu_buf *b, const char *s);
int ocu_buf_putc(struct ocu_buf *b, char c);
int ocu_buf_printf(struct ocu_buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Append s as a JSON string, quotes included; invalid UTF-8 bytes become U+FFFD. */
int ocu_buf_json_string(struct ocu_buf *b, const char *s, size_t len);
/* Bytes of the UTF-8 sequence at s (RFC 3629, shortest form only), 0 when it is not one or len cuts it. */
size_t ocu_utf8_seq(const char *s, size_t len);
/* Append a whole regular file; OCU_E_NOT_FOUND, OCU_E_IO, or OCU_E_TOO_LARGE when it passes the maximum. */
struct ocu_error;
int ocu_buf_load_file(struct ocu_buf *b, const char *path, struct ocu_error *err);
void ocu_buf_consume(struct ocu_buf *b, size_t n); /* drop the first n bytes */
char *ocu_buf_steal(struct ocu_buf *b);            /* caller frees; "" when empty; NULL when failed */
#define OCU_BUF OCU_CLEANUP(ocu_buf_done)

#endif
