// Hashes, keyed hashes, comparison in constant time, randomness, and the three text forms of bytes.
//
// SHA-256 (FIPS 180-4) runs on the instructions of the machine: SHA-NI on x86-64, the SHA2 extension on
// AArch64, found out at the first use; anywhere else on BearSSL's portable code. All give the same digests.
// HMAC-SHA-256 is RFC 2104. A key's two padded blocks are hashed once, in crypto_hmac_key_init(): after that
// a message of up to 55 bytes, such as an API key, costs two blocks. SHA-384 and SHA-512 are for signatures
// and run on portable code, 3 ns a byte.
//
// Owner    the caller; every struct is plain memory, may be copied to go two ways from the same beginning,
//          and needs no release. What held a secret is wiped by crypto_wipe().
// Thread   any, different structs at once. Never suspends. A block costs about 40 ns with instructions and
//          275 ns without: more than 256 KiB on a worker belongs in slices or in the offload pool.
// Errors   none but those of the decoders. crypto_random() aborts: without randomness there is no going on.
#ifndef RINGWAY_TLS_CRYPTO_H
#define RINGWAY_TLS_CRYPTO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/check.h"
#include "base/err.h"
#include "base/span.h"

#define CRYPTO_SHA256_BYTES 32
#define CRYPTO_SHA256_BLOCK_BYTES 64

// --- SHA-256.

struct crypto_sha256 {
    uint32_t state[8];
    uint64_t bytes; // hashed so far; the last bytes % 64 of them lie in block
    uint8_t block[CRYPTO_SHA256_BLOCK_BYTES];
};

void crypto_sha256_init(struct crypto_sha256 *hash);
void crypto_sha256_update(struct crypto_sha256 *hash, const void *data, size_t n);
// Afterwards *hash is used up; init it again or copy it before.
void crypto_sha256_final(struct crypto_sha256 *hash, uint8_t ret_digest[CRYPTO_SHA256_BYTES]);
void crypto_sha256(const void *data, size_t n, uint8_t ret_digest[CRYPTO_SHA256_BYTES]);

// "sha-ni", "armv8" or "portable": what runs here. For doctor and the log.
const char *crypto_sha256_name(void);

// --- SHA-384 and SHA-512 of a text that is at hand whole.

#define CRYPTO_SHA384_BYTES 48
#define CRYPTO_SHA512_BYTES 64

void crypto_sha384(const void *data, size_t n, uint8_t ret_digest[CRYPTO_SHA384_BYTES]);
void crypto_sha512(const void *data, size_t n, uint8_t ret_digest[CRYPTO_SHA512_BYTES]);

// --- HMAC-SHA-256.

// As secret as the key it was made from.
struct crypto_hmac_key {
    uint32_t inner[8];
    uint32_t outer[8];
};

struct crypto_hmac {
    struct crypto_sha256 inner;
    uint32_t outer[8];
};

// Any length of key, 0 included.
void crypto_hmac_key_init(struct crypto_hmac_key *key, const void *secret, size_t n);
void crypto_hmac(const struct crypto_hmac_key *key, const void *data, size_t n,
                 uint8_t ret_mac[CRYPTO_SHA256_BYTES]);

// For a message in pieces. After final *hmac is used up and wiped.
void crypto_hmac_init(struct crypto_hmac *hmac, const struct crypto_hmac_key *key);
void crypto_hmac_update(struct crypto_hmac *hmac, const void *data, size_t n);
void crypto_hmac_final(struct crypto_hmac *hmac, uint8_t ret_mac[CRYPTO_SHA256_BYTES]);

// --- HKDF with SHA-256 (RFC 5869): n bytes of key material out of a secret, different for every info.

#define CRYPTO_HKDF_BYTES_MAX (255 * CRYPTO_SHA256_BYTES)

// More than CRYPTO_HKDF_BYTES_MAX is a programmer error.
void crypto_hkdf(struct span salt, struct span secret, struct span info, uint8_t *ret, size_t n);

// --- Secrets in memory.

// In a time that depends on n only. For MACs, keys and tokens, where memcmp tells an attacker how far he got.
RW_WARN_UNUSED bool crypto_equal(const void *a, const void *b, size_t n);

// A memset to zero that the compiler keeps.
void crypto_wipe(void *p, size_t n);

// From the kernel's generator. Waits at early boot until it is seeded; aborts if it fails.
void crypto_random(void *p, size_t n);

// --- Bytes as text. No NUL is written or expected.

#define CRYPTO_HEX_CHARS(n) ((n)*2)
#define CRYPTO_BASE64_CHARS(n) (((n) + 2) / 3 * 4)
#define CRYPTO_BASE64URL_CHARS(n) (((n)*4 + 2) / 3)

// Lower case. Each encoder returns the number of characters, or RW_E_TOO_LARGE, and nothing written, if they
// do not fit cap.
RW_WARN_UNUSED int64_t crypto_hex_encode(const void *data, size_t n, char *out, size_t cap);
// RFC 4648 section 4, with padding.
RW_WARN_UNUSED int64_t crypto_base64_encode(const void *data, size_t n, char *out, size_t cap);
// RFC 4648 section 5, without padding.
RW_WARN_UNUSED int64_t crypto_base64url_encode(const void *data, size_t n, char *out, size_t cap);

// Number of bytes; RW_E_BAD for anything but what the encoder would write (a foreign character, padding
// missing or misplaced, unused bits that are not zero), so two texts never stand for the same bytes;
// RW_E_TOO_LARGE if the bytes do not fit cap. On an error out may hold a beginning.
RW_WARN_UNUSED int64_t crypto_base64_decode(const char *text, size_t n, void *out, size_t cap);
RW_WARN_UNUSED int64_t crypto_base64url_decode(const char *text, size_t n, void *out, size_t cap);

#endif
