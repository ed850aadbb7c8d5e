// AES counter mode and GHASH on vectors of two blocks: VAES and VPCLMULQDQ with AVX2 (Software Developer's Manual).
//
// GHASH is reckoned as POLYVAL (RFC 8452, appendix A): the blocks with their bytes reversed, H reversed and times x. Then no bit
// is ever reversed, and a product is reduced by two multiplications with one constant. Eight blocks are multiplied with eight
// powers of H and summed before one reduction.
#include "tls/tls_aes_priv.h"

#if defined(__x86_64__)

#include <cpuid.h>
#include <immintrin.h>
#include <string.h>

#define CPUID_7_ECX_VAES (1u << 9)
#define CPUID_7_ECX_VPCLMULQDQ (1u << 10)

#define VAES_TARGET __attribute__((target("vaes,avx2,aes")))
#define VCLMUL_TARGET __attribute__((target("vpclmulqdq,avx2,pclmul,sse4.1")))

static bool usable(void)
{
    // clang 14 does not know "vaes" by name. avx2 says that the kernel keeps the wide registers, too.
    uint32_t a, b, c, d;
    if (!__builtin_cpu_supports("avx2") || !br_aes_x86ni_ctr_get_vtable() || !br_ghash_pclmul_get())
        return false;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return false;
    return (c & (CPUID_7_ECX_VAES | CPUID_7_ECX_VPCLMULQDQ)) == (CPUID_7_ECX_VAES | CPUID_7_ECX_VPCLMULQDQ);
}

// --- Counter mode. The keys are BearSSL's, its context, too.

#define WIDE 8 // vectors under way at once, of two blocks each
#define WIDE_BYTES (WIDE * 32)

VAES_TARGET static inline __m256i add_counter(__m256i counters, uint32_t n)
{
    const __m256i step = _mm256_set_epi32((int)n, 0, 0, 0, (int)n, 0, 0, 0);
    return _mm256_add_epi32(counters, step);
}

// The counter is the last word, the lowest byte last.
VAES_TARGET static inline __m256i as_blocks(__m256i counters)
{
    const __m256i order = _mm256_setr_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 15, 14, 13, 12, //
                                           0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 15, 14, 13, 12);
    return _mm256_shuffle_epi8(counters, order);
}

VAES_TARGET static void eight(const __m256i *key, unsigned rounds, __m256i counters, uint8_t *data)
{
    __m256i b[WIDE];
#pragma GCC unroll 8
    for (uint32_t i = 0; i < WIDE; i++)
        b[i] = _mm256_xor_si256(as_blocks(add_counter(counters, 2 * i)), key[0]);
    for (unsigned r = 1; r < rounds; r++) {
        const __m256i k = key[r];
#pragma GCC unroll 8
        for (uint32_t i = 0; i < WIDE; i++) b[i] = _mm256_aesenc_epi128(b[i], k);
    }
#pragma GCC unroll 8
    for (uint32_t i = 0; i < WIDE; i++) {
        __m256i *at = (__m256i *)(void *)(data + 32 * i);
        b[i] = _mm256_aesenclast_epi128(b[i], key[rounds]);
        _mm256_storeu_si256(at, _mm256_xor_si256(b[i], _mm256_loadu_si256(at)));
    }
}

VAES_TARGET static uint32_t run(const br_block_ctr_class *const *ctx, const void *iv, uint32_t cc, void *data,
                                size_t len)
{
    const br_aes_x86ni_ctr_keys *keys = (const br_aes_x86ni_ctr_keys *)(const void *)ctx;
    const unsigned rounds = keys->num_rounds;
    uint8_t *p = data, first[16];
    __m256i key[15];
    for (unsigned i = 0; i <= rounds; i++)
        key[i] = _mm256_broadcastsi128_si256(
            _mm_loadu_si128((const __m128i *)(const void *)(keys->skey.skni + 16 * i)));
    memcpy(first, iv, 12);
    memcpy(first + 12, &cc, 4);
    const __m256i both = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)first));
    __m256i counters = _mm256_add_epi32(both, _mm256_set_epi32(1, 0, 0, 0, 0, 0, 0, 0));
    const uint32_t blocks = (uint32_t)((len + 15) / 16);
    for (; len >= WIDE_BYTES; len -= WIDE_BYTES, p += WIDE_BYTES) {
        eight(key, rounds, counters, p);
        counters = add_counter(counters, 2 * WIDE);
    }
    if (len > 64) {
        uint8_t tail[WIDE_BYTES] = {0};
        memcpy(tail, p, len);
        eight(key, rounds, counters, tail);
        memcpy(p, tail, len);
    } else {
        for (; len > 0; counters = add_counter(counters, 2)) {
            uint8_t tail[32] = {0};
            const size_t n = len < 32 ? len : 32;
            __m256i b = _mm256_xor_si256(as_blocks(counters), key[0]);
            for (unsigned r = 1; r < rounds; r++) b = _mm256_aesenc_epi128(b, key[r]);
            b = _mm256_aesenclast_epi128(b, key[rounds]);
            memcpy(tail, p, n);
            b = _mm256_xor_si256(b, _mm256_loadu_si256((const __m256i *)(const void *)tail));
            _mm256_storeu_si256((__m256i *)(void *)tail, b);
            memcpy(p, tail, n);
            p += n;
            len -= n;
        }
    }
    return cc + blocks;
}

static void init(const br_block_ctr_class **ctx, const void *key, size_t len);

static const br_block_ctr_class ctr_class = {sizeof(br_aes_x86ni_ctr_keys), 16, 4, init, run};

static void init(const br_block_ctr_class **ctx, const void *key, size_t len)
{
    br_aes_x86ni_ctr_init((br_aes_x86ni_ctr_keys *)(void *)ctx, key, len);
    *ctx = &ctr_class;
}

const br_block_ctr_class *tls_aes_x86_ctr(void)
{
    return usable() ? &ctr_class : NULL;
}

// --- GHASH.

#define POWERS 8

// The sum of products before it is reduced: 256 bits, the middle apart.
struct product {
    __m128i low, middle, high;
};

VCLMUL_TARGET static inline __m128i reverse(__m128i v)
{
    return _mm_shuffle_epi8(v, _mm_setr_epi8(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0));
}

VCLMUL_TARGET static inline __m128i load_reversed(const uint8_t *p)
{
    return reverse(_mm_loadu_si128((const __m128i *)(const void *)p));
}

VCLMUL_TARGET static inline __m128i reduce(struct product m)
{
    const __m128i poly = _mm_set_epi32((int)0xc2000000, 0, 0, 1);
    __m128i low = _mm_xor_si128(m.low, _mm_slli_si128(m.middle, 8));
    const __m128i high = _mm_xor_si128(m.high, _mm_srli_si128(m.middle, 8));
    low = _mm_xor_si128(_mm_shuffle_epi32(low, 0x4e), _mm_clmulepi64_si128(low, poly, 0x10));
    low = _mm_xor_si128(_mm_shuffle_epi32(low, 0x4e), _mm_clmulepi64_si128(low, poly, 0x10));
    return _mm_xor_si128(low, high);
}

VCLMUL_TARGET static inline __m128i multiply(__m128i a, __m128i b)
{
    return reduce((struct product){
        .low = _mm_clmulepi64_si128(a, b, 0x00),
        .middle = _mm_xor_si128(_mm_clmulepi64_si128(a, b, 0x01), _mm_clmulepi64_si128(a, b, 0x10)),
        .high = _mm_clmulepi64_si128(a, b, 0x11),
    });
}

// H times x.
VCLMUL_TARGET static inline __m128i times_x(__m128i h)
{
    const __m128i carries =
        _mm_srli_epi64(h, 63); // of the low half into the high, of the high into the polynomial
    const __m128i shifted = _mm_or_si128(_mm_slli_epi64(h, 1), _mm_slli_si128(carries, 8));
    const __m128i out =
        _mm_sub_epi64(_mm_setzero_si128(), _mm_unpackhi_epi64(carries, carries)); // all ones, or none
    return _mm_xor_si128(shifted, _mm_and_si128(out, _mm_set_epi32((int)0xc2000000, 0, 0, 1)));
}

VCLMUL_TARGET static inline __m128i both_lanes(__m256i v)
{
    return _mm_xor_si128(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
}

// y and eight blocks at p.
VCLMUL_TARGET static inline __m128i eight_blocks(__m128i y, const __m256i pair[POWERS / 2], const uint8_t *p)
{
    const __m256i order =
        _mm256_broadcastsi128_si256(_mm_setr_epi8(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0));
    __m256i low = _mm256_setzero_si256(), middle = low, high = low;
#pragma GCC unroll 4
    for (uint32_t i = 0; i < POWERS / 2; i++) {
        __m256i x = _mm256_loadu_si256((const __m256i *)(const void *)(p + 32 * i));
        x = _mm256_shuffle_epi8(x, order);
        if (i == 0) x = _mm256_xor_si256(x, _mm256_zextsi128_si256(y));
        low = _mm256_xor_si256(low, _mm256_clmulepi64_epi128(x, pair[i], 0x00));
        high = _mm256_xor_si256(high, _mm256_clmulepi64_epi128(x, pair[i], 0x11));
        middle = _mm256_xor_si256(middle, _mm256_clmulepi64_epi128(x, pair[i], 0x01));
        middle = _mm256_xor_si256(middle, _mm256_clmulepi64_epi128(x, pair[i], 0x10));
    }
    return reduce((struct product){both_lanes(low), both_lanes(middle), both_lanes(high)});
}

VCLMUL_TARGET static void ghash(void *y_bytes, const void *h_bytes, const void *data, size_t len)
{
    const uint8_t *p = data;
    const __m128i h = times_x(load_reversed(h_bytes));
    __m128i y = load_reversed(y_bytes);
    if (len >= 2 * POWERS * 16) {
        __m128i power[POWERS + 1];
        __m256i pair[POWERS / 2];
        power[1] = h;
        for (uint32_t i = 2; i <= POWERS; i++) power[i] = multiply(power[i / 2], power[i - i / 2]);
        for (uint32_t i = 0; i < POWERS / 2; i++)
            pair[i] = _mm256_set_m128i(power[POWERS - 2 * i - 1], power[POWERS - 2 * i]);
        for (; len >= POWERS * 16; len -= POWERS * 16, p += POWERS * 16) y = eight_blocks(y, pair, p);
    }
    for (; len >= 16; len -= 16, p += 16) y = multiply(_mm_xor_si128(y, load_reversed(p)), h);
    if (len > 0) {
        uint8_t last[16] = {0};
        memcpy(last, p, len);
        y = multiply(_mm_xor_si128(y, load_reversed(last)), h);
    }
    _mm_storeu_si128((__m128i *)y_bytes, reverse(y));
}

br_ghash tls_aes_x86_ghash(void)
{
    return usable() ? ghash : NULL;
}

#else
// ISO C wants something in every file.
typedef int tls_aes_x86_not_here;
#endif
