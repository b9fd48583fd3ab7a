/* siphash: SipHash-2-4 (Aumasson, Bernstein 2012), the keyed hash for tables whose keys a guest chooses. */
#ifndef BROKERD_SIPHASH_H
#define BROKERD_SIPHASH_H

#include <stddef.h>
#include <stdint.h>

uint64_t siphash(const uint64_t key[2], const void *data, size_t len);

#endif
