/*
 * magic: a content type from the first bytes of a file, never from its name. What is not recognised, and
 * everything a browser could run, is application/octet-stream or text/plain.
 */
#ifndef BROKERD_MAGIC_H
#define BROKERD_MAGIC_H

#include <stddef.h>

#define MAGIC_BYTES 512 /* as many as are looked at */

const char *magic_type(const void *data, size_t len);

#endif
