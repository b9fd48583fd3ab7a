/* text: strings from peers before they are stored, shown or written to the trail. */
#ifndef OPERATORD_TEXT_H
#define OPERATORD_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/* Valid UTF-8 without control characters, at most max bytes. "" is. */
bool text_ok(const char *s, size_t max);
/* Copies what is such text, whole characters only, up to size - 1 bytes; anything else becomes '?'. */
void text_copy(char *out, size_t size, const char *s);

#endif
