// CRC-32C (Castagnoli, as in RFC 3720 appendix B.4), on the instructions of the machine where it has them. For
// bytes that a power cut may have torn; no defence against anybody.
//
// Thread   any. Never suspends.
#ifndef RINGWAY_STORE_CRC_H
#define RINGWAY_STORE_CRC_H

#include <stddef.h>
#include <stdint.h>

uint32_t store_crc32c(const void *data, size_t n);
// Of bytes in pieces: crc is that of all before, 0 at the beginning.
uint32_t store_crc32c_more(uint32_t crc, const void *data, size_t n);
// The twin without instructions, that the other is tested against.
uint32_t store_crc32c_portable(const void *data, size_t n);

#endif
