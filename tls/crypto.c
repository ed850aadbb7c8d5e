// See crypto.h. Everything stands on one function, "compress whole blocks into a state", of which there are
// up to two on a machine; padding, buffering and HMAC exist once.
#include "tls/crypto.h"

#include <stdatomic.h>
#include <string.h>
#include <sys/random.h>

#include <bearssl.h>

#include "tls/crypto_priv.h"

static_assert(CRYPTO_SHA256_BYTES == br_sha256_SIZE, "one digest size");
static_assert(CRYPTO_SHA384_BYTES == br_sha384_SIZE && CRYPTO_SHA512_BYTES == br_sha512_SIZE, "likewise");

const uint32_t crypto_sha256_k[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static const uint32_t initial_state[8] = {
    0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
};

static void store_be32(uint8_t *out, uint32_t v)
{
    v = __builtin_bswap32(v);
    memcpy(out, &v, sizeof v);
}

static void store_words(uint8_t *out, const uint32_t state[8])
{
    for (uint32_t i = 0; i < 8; i++) store_be32(out + 4 * i, state[i]);
}

// --- Which way.

static bool always(void)
{
    return true;
}

static void portable_compress(uint32_t state[8], const uint8_t *data, size_t blocks)
{
    br_sha256_context hash;
    uint8_t bytes[CRYPTO_SHA256_BYTES];
    br_sha256_init(&hash); // for the vtable; BearSSL asks for it before set_state
    store_words(bytes, state);
    br_sha256_set_state(&hash, bytes, 0);
    br_sha256_update(&hash, data, blocks * CRYPTO_SHA256_BLOCK_BYTES);
    br_sha256_state(&hash, bytes);
    for (uint32_t i = 0; i < 8; i++) {
        uint32_t v;
        memcpy(&v, bytes + 4 * i, sizeof v);
        state[i] = __builtin_bswap32(v);
    }
}

static const struct crypto_sha256_way ways[] = {
#if defined(__x86_64__)
    {"sha-ni", crypto_x86_sha_usable, crypto_x86_sha_compress},
#elif defined(__aarch64__)
    {"armv8", crypto_arm_sha_usable, crypto_arm_sha_compress},
#endif
    {"portable", always, portable_compress},
};

#define WAYS (sizeof ways / sizeof ways[0])

const struct crypto_sha256_way *crypto_sha256_way(uint32_t index)
{
    return index < WAYS ? &ways[index] : NULL;
}

// The answer is the same for every thread that asks, so it does not matter who stores it first.
static _Atomic(const struct crypto_sha256_way *) chosen;

void crypto_sha256_choose(const struct crypto_sha256_way *way)
{
    MUST(way->usable());
    atomic_store_explicit(&chosen, way, memory_order_relaxed);
}

static const struct crypto_sha256_way *choose(void)
{
    const struct crypto_sha256_way *way = ways;
    while (!way->usable()) way++;
    crypto_sha256_choose(way);
    return way;
}

static inline const struct crypto_sha256_way *way(void)
{
    const struct crypto_sha256_way *w = atomic_load_explicit(&chosen, memory_order_relaxed);
    return RW_LIKELY(w != NULL) ? w : choose();
}

const char *crypto_sha256_name(void)
{
    return way()->name;
}

// --- SHA-256.

static inline void begin(struct crypto_sha256 *hash, const uint32_t state[8], uint64_t bytes)
{
    memcpy(hash->state, state, sizeof hash->state);
    hash->bytes = bytes;
}

void crypto_sha256_init(struct crypto_sha256 *hash)
{
    begin(hash, initial_state, 0);
}

void crypto_sha256_update(struct crypto_sha256 *hash, const void *data, size_t n)
{
    const uint8_t *p = data;
    const size_t held = hash->bytes % CRYPTO_SHA256_BLOCK_BYTES;
    if (n == 0) return;
    hash->bytes += n;
    if (held) {
        const size_t room = CRYPTO_SHA256_BLOCK_BYTES - held;
        const size_t take = n < room ? n : room;
        memcpy(hash->block + held, p, take);
        if (take < room) return;
        way()->compress(hash->state, hash->block, 1);
        p += take;
        n -= take;
    }
    const size_t blocks = n / CRYPTO_SHA256_BLOCK_BYTES;
    if (blocks) way()->compress(hash->state, p, blocks);
    p += blocks * CRYPTO_SHA256_BLOCK_BYTES;
    memcpy(hash->block, p, n % CRYPTO_SHA256_BLOCK_BYTES);
}

void crypto_sha256_final(struct crypto_sha256 *hash, uint8_t ret_digest[CRYPTO_SHA256_BYTES])
{
    const size_t length_at = CRYPTO_SHA256_BLOCK_BYTES - 8;
    size_t held = hash->bytes % CRYPTO_SHA256_BLOCK_BYTES;
    hash->block[held++] = 0x80;
    if (held > length_at) { // no room for the length: it goes into a block of its own
        memset(hash->block + held, 0, CRYPTO_SHA256_BLOCK_BYTES - held);
        way()->compress(hash->state, hash->block, 1);
        held = 0;
    }
    memset(hash->block + held, 0, length_at - held);
    const uint64_t bits = hash->bytes * 8;
    store_be32(hash->block + length_at, (uint32_t)(bits >> 32));
    store_be32(hash->block + length_at + 4, (uint32_t)bits);
    way()->compress(hash->state, hash->block, 1);
    store_words(ret_digest, hash->state);
}

void crypto_sha256(const void *data, size_t n, uint8_t ret_digest[CRYPTO_SHA256_BYTES])
{
    struct crypto_sha256 hash;
    crypto_sha256_init(&hash);
    crypto_sha256_update(&hash, data, n);
    crypto_sha256_final(&hash, ret_digest);
}

// --- SHA-384 and SHA-512.

void crypto_sha384(const void *data, size_t n, uint8_t ret_digest[CRYPTO_SHA384_BYTES])
{
    br_sha384_context hash;
    br_sha384_init(&hash);
    br_sha384_update(&hash, data, n);
    br_sha384_out(&hash, ret_digest);
}

void crypto_sha512(const void *data, size_t n, uint8_t ret_digest[CRYPTO_SHA512_BYTES])
{
    br_sha512_context hash;
    br_sha512_init(&hash);
    br_sha512_update(&hash, data, n);
    br_sha512_out(&hash, ret_digest);
}

// --- HMAC.

void crypto_hmac_key_init(struct crypto_hmac_key *key, const void *secret, size_t n)
{
    uint8_t block[CRYPTO_SHA256_BLOCK_BYTES] = {0};
    if (n > sizeof block) crypto_sha256(secret, n, block);
    else if (n) memcpy(block, secret, n);

    for (size_t i = 0; i < sizeof block; i++) block[i] ^= 0x36;
    memcpy(key->inner, initial_state, sizeof key->inner);
    way()->compress(key->inner, block, 1);

    for (size_t i = 0; i < sizeof block; i++) block[i] ^= 0x36 ^ 0x5c;
    memcpy(key->outer, initial_state, sizeof key->outer);
    way()->compress(key->outer, block, 1);
    crypto_wipe(block, sizeof block);
}

void crypto_hmac_init(struct crypto_hmac *hmac, const struct crypto_hmac_key *key)
{
    begin(&hmac->inner, key->inner, CRYPTO_SHA256_BLOCK_BYTES);
    memcpy(hmac->outer, key->outer, sizeof hmac->outer);
}

void crypto_hmac_update(struct crypto_hmac *hmac, const void *data, size_t n)
{
    crypto_sha256_update(&hmac->inner, data, n);
}

void crypto_hmac_final(struct crypto_hmac *hmac, uint8_t ret_mac[CRYPTO_SHA256_BYTES])
{
    uint8_t digest[CRYPTO_SHA256_BYTES];
    crypto_sha256_final(&hmac->inner, digest);
    begin(&hmac->inner, hmac->outer, CRYPTO_SHA256_BLOCK_BYTES);
    crypto_sha256_update(&hmac->inner, digest, sizeof digest);
    crypto_sha256_final(&hmac->inner, ret_mac);
    crypto_wipe(digest, sizeof digest);
    crypto_wipe(hmac, sizeof *hmac);
}

void crypto_hmac(const struct crypto_hmac_key *key, const void *data, size_t n,
                 uint8_t ret_mac[CRYPTO_SHA256_BYTES])
{
    struct crypto_hmac hmac;
    crypto_hmac_init(&hmac, key);
    crypto_hmac_update(&hmac, data, n);
    crypto_hmac_final(&hmac, ret_mac);
}

// --- HKDF.

void crypto_hkdf(struct span salt, struct span secret, struct span info, uint8_t *ret, size_t n)
{
    MUST(n <= CRYPTO_HKDF_BYTES_MAX);
    struct crypto_hmac_key key;
    struct crypto_hmac hmac;
    uint8_t block[CRYPTO_SHA256_BYTES];
    // An absent salt is a block of zeros, and so is the padding of an empty key.
    crypto_hmac_key_init(&key, salt.p, salt.n);
    crypto_hmac(&key, secret.p, secret.n, block);
    crypto_hmac_key_init(&key, block, sizeof block);
    size_t chained = 0;
    for (uint8_t i = 1; n > 0; i++) {
        const size_t take = n < sizeof block ? n : sizeof block;
        crypto_hmac_init(&hmac, &key);
        crypto_hmac_update(&hmac, block, chained);
        crypto_hmac_update(&hmac, info.p, info.n);
        crypto_hmac_update(&hmac, &i, 1);
        crypto_hmac_final(&hmac, block);
        memcpy(ret, block, take);
        ret += take;
        n -= take;
        chained = sizeof block;
    }
    crypto_wipe(&key, sizeof key);
    crypto_wipe(block, sizeof block);
}

// --- Secrets in memory.

bool crypto_equal(const void *a, const void *b, size_t n)
{
    const uint8_t *x = a, *y = b;
    uint64_t differ = 0;
    for (; n >= 8; n -= 8, x += 8, y += 8) {
        uint64_t u, v;
        memcpy(&u, x, 8);
        memcpy(&v, y, 8);
        differ |= u ^ v;
        // The compiler must not know what is in `differ`, or it may stop at the first difference.
        __asm__ volatile("" : "+r"(differ));
    }
    for (; n; n--, x++, y++) {
        differ |= (uint64_t)(*x ^ *y);
        __asm__ volatile("" : "+r"(differ));
    }
    return differ == 0;
}

void crypto_wipe(void *p, size_t n)
{
    if (n == 0) return;
    memset(p, 0, n);
    // The memory is "read" here, so the memset has to happen.
    __asm__ volatile("" : : "r"(p) : "memory");
}

void crypto_random(void *p, size_t n)
{
    uint8_t *out = p;
    while (n) {
        const ssize_t got = getrandom(out, n, 0);
        if (got < 0 && errno == EINTR) continue;
        MUST(got > 0);
        out += got;
        n -= (size_t)got;
    }
}
