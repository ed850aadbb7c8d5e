// The scan for usual lines with vectors of 32 bytes (x86-64, AVX2). See http_fields.h.
#if defined(__x86_64__)

#include <immintrin.h>

#include "wire/http_priv.h"

#define HTTP_ISA __attribute__((target("avx2,bmi,bmi2")))
#define VEC 32
#define VEC_BITS 1
typedef uint32_t vec_mask;

HTTP_ISA static inline __m256i load(const void *p)
{
    return _mm256_loadu_si256(p);
}

HTTP_ISA static inline vec_mask mask(__m256i v)
{
    return (vec_mask)_mm256_movemask_epi8(v);
}

HTTP_ISA static inline __m256i is(__m256i v, char c)
{
    return _mm256_cmpeq_epi8(v, _mm256_set1_epi8(c));
}

HTTP_ISA static inline vec_mask vec_stop(const uint8_t *p)
{
    const __m256i v = load(p);
    const __m256i control = _mm256_cmpeq_epi8(_mm256_min_epu8(v, _mm256_set1_epi8(0x1f)), v);
    return mask(_mm256_or_si256(control, is(v, 0x7f)));
}

HTTP_ISA static inline vec_mask vec_outside(const uint8_t *p, const uint8_t nibbles[16])
{
    const __m256i v = load(p);
    const __m256i rows = _mm256_broadcastsi128_si256(_mm_loadu_si128((const void *)nibbles));
    const __m256i bits = _mm256_setr_epi8(1, 2, 4, 8, 16, 32, 64, -128, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 4, 8,
                                          16, 32, 64, -128, 0, 0, 0, 0, 0, 0, 0, 0);
    const __m256i high = _mm256_and_si256(_mm256_srli_epi16(v, 4), _mm256_set1_epi8(0x0f));
    const __m256i in = _mm256_and_si256(_mm256_shuffle_epi8(rows, v), _mm256_shuffle_epi8(bits, high));
    return mask(_mm256_cmpeq_epi8(in, _mm256_setzero_si256()));
}

HTTP_ISA static inline vec_mask vec_question(const uint8_t *p)
{
    return mask(is(load(p), '?'));
}

HTTP_ISA static inline vec_mask vec_differ(const uint8_t *a, const uint8_t *b)
{
    return ~mask(_mm256_cmpeq_epi8(load(a), load(b)));
}

HTTP_ISA static inline bool vec_same_2(const uint8_t *a, const uint8_t *b)
{
    const __m256i low = _mm256_cmpeq_epi8(load(a), load(b));
    return mask(_mm256_and_si256(low, _mm256_cmpeq_epi8(load(a + 32), load(b + 32)))) == UINT32_MAX;
}

HTTP_ISA static inline size_t name_colon(const uint8_t *p)
{
    return _tzcnt_u32(mask(is(load(p), ':')));
}

HTTP_ISA static inline bool name_is(const uint8_t *p, const struct http_row *row, size_t n)
{
    const __m256i bit = _mm256_set1_epi8(0x20);
    const __m256i lower = _mm256_or_si256(_mm256_max_epu8(load(p), bit), bit);
    const vec_mask differs = ~mask(_mm256_cmpeq_epi8(lower, load(row)));
    return _tzcnt_u32(differs) > n;
}

static const uint8_t token_nibbles[16] = HTTP_NIBBLES(HTTP_IS_TOKEN);

HTTP_ISA static inline bool name_is_token(const uint8_t *p, size_t n)
{
    return _tzcnt_u32(vec_outside(p, token_nibbles)) == n;
}

#include "wire/http_fields.h"

static bool usable(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
}

const struct http_way http_way_avx2 = {"avx2", usable, request, fields, differ, text};

#else
typedef int http_avx2_is_empty; // a translation unit must declare something
#endif
