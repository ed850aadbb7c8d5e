// AES counter mode and GHASH on the cryptographic extension of ARMv8 (Arm Architecture Reference Manual, AESE, AESMC, PMULL).
//
// GHASH is reckoned as POLYVAL, see tls_aes_x86.c.
#include "tls/tls_aes_priv.h"

#if defined(__aarch64__)

// See crypto_arm.c.
#if defined(__clang__) && !defined(__ARM_FEATURE_AES)
#define __ARM_FEATURE_AES 1
#define __ARM_FEATURE_CRYPTO 1
#endif
#include <arm_neon.h>
#include <string.h>
#include <sys/auxv.h>

#ifndef HWCAP_AES
#define HWCAP_AES (1u << 3)
#endif
#ifndef HWCAP_PMULL
#define HWCAP_PMULL (1u << 4)
#endif

#if defined(__clang__)
#define AES_TARGET __attribute__((target("aes,crypto")))
#else
#define AES_TARGET __attribute__((target("+crypto")))
#endif

static bool usable(void)
{
    return (getauxval(AT_HWCAP) & (HWCAP_AES | HWCAP_PMULL)) == (HWCAP_AES | HWCAP_PMULL);
}

// --- Counter mode.

#define WIDE 8 // blocks under way at once
#define ROUNDS_MAX 14

struct keys {
    const br_block_ctr_class *vtable;
    uint8_t round[(ROUNDS_MAX + 1) * 16];
    uint32_t rounds;
};

static_assert(sizeof(struct keys) <= sizeof(br_aes_gen_ctr_keys), "where BearSSL keeps it");

// The S-box on each byte: AESE with a key of zeros; with four equal columns its ShiftRows moves nothing.
AES_TARGET static inline uint32_t sub_word(uint32_t w)
{
    return vgetq_lane_u32(
        vreinterpretq_u32_u8(vaeseq_u8(vreinterpretq_u8_u32(vdupq_n_u32(w)), vdupq_n_u8(0))), 0);
}

static uint32_t key_rounds(size_t len)
{
    return (uint32_t)len / 4 + 6;
}

// FIPS 197, section 5.2; words as they lie in memory.
AES_TARGET static void expand(struct keys *k, const uint8_t *key, size_t len)
{
    const uint32_t words = (uint32_t)len / 4, all = 4 * (key_rounds(len) + 1);
    uint32_t w[4 * (ROUNDS_MAX + 1)], constant = 1;
    k->rounds = key_rounds(len);
    memcpy(w, key, len);
    for (uint32_t i = words; i < all; i++) {
        uint32_t t = w[i - 1];
        if (i % words == 0) {
            t = sub_word(t >> 8 | t << 24) ^ constant;
            constant = constant << 1 ^ (constant >> 7) * 0x11b;
        } else if (words == 8 && i % 8 == 4) {
            t = sub_word(t);
        }
        w[i] = w[i - words] ^ t;
    }
    memcpy(k->round, w, 4 * all);
}

AES_TARGET static inline uint8x16_t counter_block(uint32x4_t base, uint32_t cc)
{
    return vreinterpretq_u8_u32(vsetq_lane_u32(__builtin_bswap32(cc), base, 3));
}

AES_TARGET static void eight(const struct keys *keys, uint32x4_t base, uint32_t cc, uint8_t *data)
{
    uint8x16_t b[WIDE];
    const uint32_t last = keys->rounds - 1;
#pragma GCC unroll 8
    for (uint32_t i = 0; i < WIDE; i++) b[i] = counter_block(base, cc + i);
    for (uint32_t r = 0; r < last; r++) {
        const uint8x16_t k = vld1q_u8(keys->round + 16 * r);
#pragma GCC unroll 8
        for (uint32_t i = 0; i < WIDE; i++) b[i] = vaesmcq_u8(vaeseq_u8(b[i], k));
    }
    const uint8x16_t k = vld1q_u8(keys->round + 16 * last), end = vld1q_u8(keys->round + 16 * (last + 1));
#pragma GCC unroll 8
    for (uint32_t i = 0; i < WIDE; i++) {
        b[i] = veorq_u8(vaeseq_u8(b[i], k), end);
        vst1q_u8(data + 16 * i, veorq_u8(b[i], vld1q_u8(data + 16 * i)));
    }
}

AES_TARGET static inline uint8x16_t one(const struct keys *keys, uint8x16_t b)
{
    const uint32_t last = keys->rounds - 1;
    for (uint32_t r = 0; r < last; r++) b = vaesmcq_u8(vaeseq_u8(b, vld1q_u8(keys->round + 16 * r)));
    return veorq_u8(vaeseq_u8(b, vld1q_u8(keys->round + 16 * last)), vld1q_u8(keys->round + 16 * (last + 1)));
}

AES_TARGET static uint32_t run(const br_block_ctr_class *const *ctx, const void *iv, uint32_t cc, void *data,
                               size_t len)
{
    const struct keys *keys = (const struct keys *)(const void *)ctx;
    uint8_t *p = data, first[16] = {0};
    memcpy(first, iv, 12);
    const uint32x4_t base = vreinterpretq_u32_u8(vld1q_u8(first));
    for (; len >= WIDE * 16; len -= WIDE * 16, p += WIDE * 16, cc += WIDE) eight(keys, base, cc, p);
    for (; len >= 16; len -= 16, p += 16)
        vst1q_u8(p, veorq_u8(one(keys, counter_block(base, cc++)), vld1q_u8(p)));
    if (len > 0) {
        uint8_t tail[16] = {0};
        memcpy(tail, p, len);
        vst1q_u8(tail, veorq_u8(one(keys, counter_block(base, cc++)), vld1q_u8(tail)));
        memcpy(p, tail, len);
    }
    return cc;
}

static void init(const br_block_ctr_class **ctx, const void *key, size_t len);

static const br_block_ctr_class ctr_class = {sizeof(struct keys), 16, 4, init, run};

static void init(const br_block_ctr_class **ctx, const void *key, size_t len)
{
    expand((struct keys *)(void *)ctx, key, len);
    *ctx = &ctr_class;
}

const br_block_ctr_class *tls_aes_arm_ctr(void)
{
    return usable() ? &ctr_class : NULL;
}

// --- GHASH.

#define POWERS 8
#define POLY UINT64_C(0xc200000000000000)

// The sum of products before it is reduced: 256 bits, the middle apart.
struct product {
    uint64x2_t low, middle, high;
};

AES_TARGET static inline uint64x2_t load_reversed(const uint8_t *p)
{
    const uint8x16_t v = vrev64q_u8(vld1q_u8(p));
    return vreinterpretq_u64_u8(vextq_u8(v, v, 8));
}

AES_TARGET static inline uint64x2_t clmul(uint64_t a, uint64_t b)
{
    return vreinterpretq_u64_p128(vmull_p64((poly64_t)a, (poly64_t)b));
}

AES_TARGET static inline uint64x2_t clmul_high(uint64x2_t a, uint64x2_t b)
{
    return vreinterpretq_u64_p128(vmull_high_p64(vreinterpretq_p64_u64(a), vreinterpretq_p64_u64(b)));
}

AES_TARGET static inline void add_product(struct product *m, uint64x2_t a, uint64x2_t b)
{
    const uint64x2_t turned = vextq_u64(b, b, 1);
    m->low = veorq_u64(m->low, clmul(vgetq_lane_u64(a, 0), vgetq_lane_u64(b, 0)));
    m->high = veorq_u64(m->high, clmul_high(a, b));
    m->middle = veorq_u64(m->middle, clmul(vgetq_lane_u64(a, 0), vgetq_lane_u64(turned, 0)));
    m->middle = veorq_u64(m->middle, clmul_high(a, turned));
}

AES_TARGET static inline uint64x2_t reduce(struct product m)
{
    const uint64x2_t zero = vdupq_n_u64(0);
    uint64x2_t low = veorq_u64(m.low, vextq_u64(zero, m.middle, 1));
    const uint64x2_t high = veorq_u64(m.high, vextq_u64(m.middle, zero, 1));
    low = veorq_u64(vextq_u64(low, low, 1), clmul(vgetq_lane_u64(low, 0), POLY));
    low = veorq_u64(vextq_u64(low, low, 1), clmul(vgetq_lane_u64(low, 0), POLY));
    return veorq_u64(low, high);
}

AES_TARGET static inline uint64x2_t multiply(uint64x2_t a, uint64x2_t b)
{
    struct product m = {vdupq_n_u64(0), vdupq_n_u64(0), vdupq_n_u64(0)};
    add_product(&m, a, b);
    return reduce(m);
}

// H times x.
AES_TARGET static inline uint64x2_t times_x(uint64x2_t h)
{
    const uint64_t low = vgetq_lane_u64(h, 0), high = vgetq_lane_u64(h, 1), out = 0 - (high >> 63);
    return vcombine_u64(vcreate_u64(low << 1 ^ (out & 1)),
                        vcreate_u64((high << 1 | low >> 63) ^ (out & POLY)));
}

AES_TARGET static void ghash(void *y_bytes, const void *h_bytes, const void *data, size_t len)
{
    const uint8_t *p = data;
    const uint64x2_t h = times_x(load_reversed(h_bytes));
    uint64x2_t y = load_reversed(y_bytes);
    if (len >= 2 * POWERS * 16) {
        uint64x2_t power[POWERS + 1];
        power[1] = h;
        for (uint32_t i = 2; i <= POWERS; i++) power[i] = multiply(power[i / 2], power[i - i / 2]);
        for (; len >= POWERS * 16; len -= POWERS * 16, p += POWERS * 16) {
            struct product m = {vdupq_n_u64(0), vdupq_n_u64(0), vdupq_n_u64(0)};
            add_product(&m, veorq_u64(y, load_reversed(p)), power[POWERS]);
#pragma GCC unroll 7
            for (uint32_t i = 1; i < POWERS; i++)
                add_product(&m, load_reversed(p + 16 * i), power[POWERS - i]);
            y = reduce(m);
        }
    }
    for (; len >= 16; len -= 16, p += 16) y = multiply(veorq_u64(y, load_reversed(p)), h);
    if (len > 0) {
        uint8_t last[16] = {0};
        memcpy(last, p, len);
        y = multiply(veorq_u64(y, load_reversed(last)), h);
    }
    const uint8x16_t out = vrev64q_u8(vreinterpretq_u8_u64(y));
    vst1q_u8(y_bytes, vextq_u8(out, out, 8));
}

br_ghash tls_aes_arm_ghash(void)
{
    return usable() ? ghash : NULL;
}

#else
// ISO C wants something in every file.
typedef int tls_aes_arm_not_here;
#endif
