// The scan for usual lines with vectors of 16 bytes (x86-64, SSE4.2: what every machine of the last
// fifteen years has). See http_fields.h.
#if defined(__x86_64__)

#include <immintrin.h>

#include "wire/http_priv.h"

#define HTTP_ISA __attribute__((target("sse4.2")))
#define VEC 16
#define VEC_BITS 1
typedef uint32_t vec_mask;

HTTP_ISA static inline __m128i load(const void *p)
{
    return _mm_loadu_si128(p);
}

HTTP_ISA static inline vec_mask mask(__m128i v)
{
    return (vec_mask)_mm_movemask_epi8(v);
}

HTTP_ISA static inline __m128i is(__m128i v, char c)
{
    return _mm_cmpeq_epi8(v, _mm_set1_epi8(c));
}

HTTP_ISA static inline vec_mask vec_stop(const uint8_t *p)
{
    const __m128i v = load(p);
    const __m128i control = _mm_cmpeq_epi8(_mm_min_epu8(v, _mm_set1_epi8(0x1f)), v);
    return mask(_mm_or_si128(control, is(v, 0x7f)));
}

HTTP_ISA static inline vec_mask vec_outside(const uint8_t *p, const uint8_t nibbles[16])
{
    const __m128i v = load(p);
    const __m128i rows = load(nibbles);
    const __m128i bits = _mm_setr_epi8(1, 2, 4, 8, 16, 32, 64, -128, 0, 0, 0, 0, 0, 0, 0, 0);
    const __m128i high = _mm_and_si128(_mm_srli_epi16(v, 4), _mm_set1_epi8(0x0f));
    const __m128i in = _mm_and_si128(_mm_shuffle_epi8(rows, v), _mm_shuffle_epi8(bits, high));
    return mask(_mm_cmpeq_epi8(in, _mm_setzero_si128()));
}

HTTP_ISA static inline vec_mask vec_question(const uint8_t *p)
{
    return mask(is(load(p), '?'));
}

HTTP_ISA static inline vec_mask vec_differ(const uint8_t *a, const uint8_t *b)
{
    return mask(_mm_cmpeq_epi8(load(a), load(b))) ^ 0xffff;
}

HTTP_ISA static inline bool vec_same_2(const uint8_t *a, const uint8_t *b)
{
    const __m128i low = _mm_cmpeq_epi8(load(a), load(b));
    return mask(_mm_and_si128(low, _mm_cmpeq_epi8(load(a + 16), load(b + 16)))) == 0xffff;
}

HTTP_ISA static inline size_t name_colon(const uint8_t *p)
{
    const uint64_t m = mask(is(load(p), ':')) | (uint64_t)mask(is(load(p + 16), ':')) << 16;
    return (size_t)__builtin_ctzll(m | UINT64_C(1) << 32);
}

HTTP_ISA static inline vec_mask same(const uint8_t *p, const char *name)
{
    const __m128i bit = _mm_set1_epi8(0x20);
    return mask(_mm_cmpeq_epi8(_mm_or_si128(_mm_max_epu8(load(p), bit), bit), load(name)));
}

HTTP_ISA static inline bool name_is(const uint8_t *p, const struct http_row *row, size_t n)
{
    const uint64_t both = same(p, row->name) | (uint64_t)same(p + 16, row->name + 16) << 16;
    return (size_t)__builtin_ctzll(~both) > n;
}

static const uint8_t token_nibbles[16] = HTTP_NIBBLES(HTTP_IS_TOKEN);

HTTP_ISA static inline bool name_is_token(const uint8_t *p, size_t n)
{
    const vec_mask outside = vec_outside(p, token_nibbles) | vec_outside(p + 16, token_nibbles) << 16;
    return outside && (size_t)__builtin_ctz(outside) == n;
}

#include "wire/http_fields.h"

static bool usable(void)
{
    return __builtin_cpu_supports("sse4.2");
}

const struct http_way http_way_sse42 = {"sse4.2", usable, request, fields, differ, text};

#else
typedef int http_sse42_is_empty; // a translation unit must declare something
#endif
