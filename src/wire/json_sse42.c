// The JSON scan with vectors of 16 bytes (x86-64, SSE4.2). See json_machine.h.
#if defined(__x86_64__)

#include <immintrin.h>

#include "wire/json_priv.h"

#define JSON_ISA __attribute__((target("sse4.2")))
#define INLINE JSON_ISA static inline __attribute__((always_inline))
#define VEC 16
typedef __m128i vec;

INLINE uint64_t first(uint32_t mask)
{
    return mask ? (uint64_t)__builtin_ctz(mask) : 32;
}

INLINE vec vec_load(const uint8_t *p)
{
    return _mm_loadu_si128((const void *)p);
}

INLINE void copy32(uint8_t *to, const uint8_t *from)
{
    memcpy(to, from, 32);
}

INLINE void clear32(uint8_t *to)
{
    memset(to, 0, 32);
}

INLINE uint32_t vec_mask(vec v)
{
    return (uint32_t)_mm_movemask_epi8(v);
}

INLINE vec vec_or(vec a, vec b)
{
    return _mm_or_si128(a, b);
}

INLINE bool vec_any(vec v)
{
    return !_mm_testz_si128(v, v);
}

INLINE uint32_t vec_nonzero(vec v)
{
    return vec_mask(_mm_cmpeq_epi8(v, _mm_setzero_si128())) ^ 0xffffu;
}

// See json_avx2.c.
struct marks {
    vec flip, low, slash;
};

INLINE struct marks marks(void)
{
    struct marks m = {_mm_set1_epi8(2), _mm_set1_epi8(0x21), _mm_set1_epi8('\\')};
    __asm__("" : "+x"(m.flip), "+x"(m.low), "+x"(m.slash));
    return m;
}

INLINE uint32_t both(vec a, vec b)
{
    return vec_mask(a) | vec_mask(b) << 16;
}

INLINE vec vec_special(vec v, const struct marks *m)
{
    return _mm_or_si128(_mm_cmplt_epi8(_mm_xor_si128(v, m->flip), m->low), _mm_cmpeq_epi8(v, m->slash));
}

INLINE uint32_t special(const uint8_t *p, const struct marks *m)
{
    return both(vec_special(vec_load(p), m), vec_special(vec_load(p + 16), m));
}

// None of 64 bytes is special. The smallest of four says of all of them whether one is too small.
INLINE bool plain64(const uint8_t *p, const struct marks *m)
{
    const vec a = vec_load(p), b = vec_load(p + 16), c = vec_load(p + 32), d = vec_load(p + 48);
    const vec low = _mm_min_epi8(_mm_min_epi8(_mm_xor_si128(a, m->flip), _mm_xor_si128(b, m->flip)),
                                 _mm_min_epi8(_mm_xor_si128(c, m->flip), _mm_xor_si128(d, m->flip)));
    const vec slash = _mm_or_si128(_mm_or_si128(_mm_cmpeq_epi8(a, m->slash), _mm_cmpeq_epi8(b, m->slash)),
                                   _mm_or_si128(_mm_cmpeq_epi8(c, m->slash), _mm_cmpeq_epi8(d, m->slash)));
    return !vec_any(_mm_or_si128(_mm_cmplt_epi8(low, m->low), slash));
}

// The first special byte of 32, or 32.
INLINE uint64_t special_at(const uint8_t *p, const struct marks *m)
{
    return first(special(p, m));
}

INLINE vec vec_stop(vec v, const struct marks *m)
{
    return _mm_or_si128(_mm_subs_epu8(m->low, _mm_xor_si128(v, m->flip)), _mm_cmpeq_epi8(v, m->slash));
}

INLINE vec vec_digits(vec v)
{
    v = _mm_sub_epi8(v, _mm_set1_epi8('0'));
    return _mm_cmpeq_epi8(_mm_min_epu8(v, _mm_set1_epi8(9)), v);
}

INLINE uint32_t digits(const uint8_t *p)
{
    return both(vec_digits(vec_load(p)), vec_digits(vec_load(p + 16)));
}

INLINE vec vec_spaces(vec v)
{
    const vec table = _mm_setr_epi8(' ', 0, 0, 0, 0, 0, 0, 0, 0, '\t', '\n', 0, 0, '\r', 0, 0);
    return _mm_cmpeq_epi8(_mm_shuffle_epi8(table, v), v);
}

INLINE uint32_t spaces(const uint8_t *p)
{
    return both(vec_spaces(vec_load(p)), vec_spaces(vec_load(p + 16)));
}

INLINE uint32_t same(const uint8_t *p, const uint8_t *q)
{
    return both(_mm_cmpeq_epi8(vec_load(p), vec_load(q)), _mm_cmpeq_epi8(vec_load(p + 16), vec_load(q + 16)));
}

INLINE vec vec_zero(void)
{
    return _mm_setzero_si128();
}

INLINE vec vec_table(const uint8_t table[16])
{
    return _mm_loadu_si128((const void *)table);
}

INLINE vec vec_look_up(vec table, vec nibbles)
{
    return _mm_shuffle_epi8(table, nibbles);
}

INLINE vec vec_low_nibble(vec v)
{
    return _mm_and_si128(v, _mm_set1_epi8(0x0f));
}

INLINE vec vec_high_nibble(vec v)
{
    return vec_low_nibble(_mm_srli_epi16(v, 4));
}

INLINE vec vec_and(vec a, vec b)
{
    return _mm_and_si128(a, b);
}

INLINE vec vec_xor(vec a, vec b)
{
    return _mm_xor_si128(a, b);
}

INLINE vec vec_sub_floor(vec a, uint8_t b)
{
    return _mm_subs_epu8(a, _mm_set1_epi8((char)b));
}

INLINE vec vec_fill(uint8_t c)
{
    return _mm_set1_epi8((char)c);
}

INLINE void vec_before(vec v, vec prev, vec ret[3])
{
    ret[0] = _mm_alignr_epi8(v, prev, 15);
    ret[1] = _mm_alignr_epi8(v, prev, 14);
    ret[2] = _mm_alignr_epi8(v, prev, 13);
}

#include "wire/json_machine.h"

static bool usable(void)
{
    return __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("ssse3");
}

const struct json_way json_way_sse42 = {"sse4.2", usable, feed, quote, plain};

#else
typedef int json_sse42_is_empty; // a translation unit must declare something
#endif
