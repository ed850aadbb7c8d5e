// Between crypto.c, the files with the instructions of one architecture, and the tests that compare them.
#ifndef RINGWAY_TLS_CRYPTO_PRIV_H
#define RINGWAY_TLS_CRYPTO_PRIV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// One way to compress `blocks` whole blocks of 64 bytes into the state.
struct crypto_sha256_way {
    const char *name;
    bool (*usable)(void); // on this machine
    void (*compress)(uint32_t state[8], const uint8_t *data, size_t blocks);
};

#if defined(__x86_64__)
bool crypto_x86_sha_usable(void);
void crypto_x86_sha_compress(uint32_t state[8], const uint8_t *data, size_t blocks);
#elif defined(__aarch64__)
bool crypto_arm_sha_usable(void);
void crypto_arm_sha_compress(uint32_t state[8], const uint8_t *data, size_t blocks);
#endif

// The round constants K of FIPS 180-4, section 4.2.2.
extern const uint32_t crypto_sha256_k[64];

// Best first; the last is portable and always usable. NULL beyond it.
const struct crypto_sha256_way *crypto_sha256_way(uint32_t index);

// Everything after this goes that way. For tests and benchmarks, while no other thread hashes.
void crypto_sha256_choose(const struct crypto_sha256_way *way);

#endif
