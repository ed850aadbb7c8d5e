// AES-GCM of records on the instructions of the machine: which ways there are, and which is taken.
//
// A way is a counter mode and a GHASH as BearSSL's record code calls them. "vaes": AES and carry-less products on vectors of 256
// bits, four times what BearSSL has on x86-64; "aes-ni": BearSSL's own; "armv8": AESE and PMULL, which BearSSL has not;
// "portable": BearSSL's, in constant time, fifty times slower. All give the same bytes.
//
// Thread   any; chosen at the first use, the same for every thread.
#ifndef RINGWAY_TLS_TLS_AES_H
#define RINGWAY_TLS_TLS_AES_H

#include <stddef.h>

#include "tls/tls.h"

// The name of what runs here. For doctor and the log.
const char *tls_aes_name(void);
// Is it faster than ChaCha20?
bool tls_aes_is_fast(void);

// --- For tests and benchmarks.

// Best first, those that this machine has not included; NULL behind the last.
const char *tls_aes_way(uint32_t index);
// Handshakes and tls_aes_records() from now on go that way. False: not on this machine. Not while others use it.
bool tls_aes_choose(const char *name);
// Records of AES-GCM in both directions without a handshake, as the ends of a connection have them that use key and iv both ways.
void tls_aes_records(struct tls_records *ret, const uint8_t *key, size_t key_n, const uint8_t iv[4]);

#endif
