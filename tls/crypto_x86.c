// SHA-256 on Intel's SHA extensions (Software Developer's Manual, SHA256RNDS2, SHA256MSG1, SHA256MSG2). The
// instructions want the eight words of the state as two vectors, ABEF and CDGH from the highest lane down,
// and do two rounds each; four words of the message schedule live in one vector, four vectors are a window
// that slides over the 64 rounds.
#include "tls/crypto_priv.h"

#if defined(__x86_64__)

#include <cpuid.h>
#include <immintrin.h>

#define CPUID_1_ECX_SSSE3 (1u << 9)
#define CPUID_1_ECX_SSE41 (1u << 19)
#define CPUID_7_EBX_SHA (1u << 29)

bool crypto_x86_sha_usable(void)
{
    // Not __builtin_cpu_supports: clang 14 does not know "sha". The instructions use SSE registers only, so
    // there is no state that the kernel would have to enable.
    uint32_t a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d)) return false;
    if ((c & (CPUID_1_ECX_SSSE3 | CPUID_1_ECX_SSE41)) != (CPUID_1_ECX_SSSE3 | CPUID_1_ECX_SSE41))
        return false;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return false;
    return (b & CPUID_7_EBX_SHA) != 0;
}

#define SHA_TARGET __attribute__((target("sha,sse4.1,ssse3")))

struct halves {
    __m128i abef, cdgh;
};

SHA_TARGET static inline struct halves four_rounds(struct halves s, __m128i w, uint32_t round)
{
    __m128i wk = _mm_add_epi32(w, _mm_loadu_si128((const __m128i *)(const void *)(crypto_sha256_k + round)));
    const __m128i cdgh = _mm_sha256rnds2_epu32(s.cdgh, s.abef, wk);
    const __m128i abef = _mm_sha256rnds2_epu32(s.abef, cdgh, _mm_shuffle_epi32(wk, 0x0e));
    return (struct halves){.abef = abef, .cdgh = cdgh};
}

// The next four words of the schedule from the sixteen before them, oldest vector first.
SHA_TARGET static inline __m128i schedule(__m128i w0, __m128i w1, __m128i w2, __m128i w3)
{
    const __m128i minus_7 = _mm_alignr_epi8(w3, w2, 4);
    return _mm_sha256msg2_epu32(_mm_add_epi32(_mm_sha256msg1_epu32(w0, w1), minus_7), w3);
}

SHA_TARGET static inline __m128i load_words(const uint8_t *data)
{
    const __m128i big_endian = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
    return _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(const void *)data), big_endian);
}

SHA_TARGET void crypto_x86_sha_compress(uint32_t state[8], const uint8_t *data, size_t blocks)
{
    // From ABCD, EFGH in memory order to the two vectors, and back at the end.
    const __m128i dcba = _mm_loadu_si128((const __m128i *)(const void *)state);
    const __m128i hgfe = _mm_loadu_si128((const __m128i *)(const void *)(state + 4));
    const __m128i cdab = _mm_shuffle_epi32(dcba, 0xb1);
    const __m128i efgh = _mm_shuffle_epi32(hgfe, 0x1b);
    struct halves s = {.abef = _mm_alignr_epi8(cdab, efgh, 8), .cdgh = _mm_blend_epi16(efgh, cdab, 0xf0)};

    for (; blocks; blocks--, data += 64) {
        const struct halves before = s;
        __m128i w0 = load_words(data), w1 = load_words(data + 16);
        __m128i w2 = load_words(data + 32), w3 = load_words(data + 48);
        for (uint32_t round = 0;; round += 16) {
            s = four_rounds(s, w0, round);
            s = four_rounds(s, w1, round + 4);
            s = four_rounds(s, w2, round + 8);
            s = four_rounds(s, w3, round + 12);
            if (round == 48) break;
            w0 = schedule(w0, w1, w2, w3);
            w1 = schedule(w1, w2, w3, w0);
            w2 = schedule(w2, w3, w0, w1);
            w3 = schedule(w3, w0, w1, w2);
        }
        s.abef = _mm_add_epi32(s.abef, before.abef);
        s.cdgh = _mm_add_epi32(s.cdgh, before.cdgh);
    }

    const __m128i feba = _mm_shuffle_epi32(s.abef, 0x1b);
    const __m128i dchg = _mm_shuffle_epi32(s.cdgh, 0xb1);
    _mm_storeu_si128((__m128i *)(void *)state, _mm_blend_epi16(feba, dchg, 0xf0));
    _mm_storeu_si128((__m128i *)(void *)(state + 4), _mm_alignr_epi8(dchg, feba, 8));
}

#else
// ISO C wants something in every file.
typedef int crypto_x86_not_here;
#endif
