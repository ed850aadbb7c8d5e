// The JSON scan with vectors of 32 bytes (x86-64, AVX2). See json_machine.h.
#if defined(__x86_64__)

#include <immintrin.h>

#include "wire/json_priv.h"

#define JSON_ISA __attribute__((target("avx2,bmi,bmi2")))
#define INLINE JSON_ISA static inline __attribute__((always_inline))
#define VEC 32
typedef __m256i vec;

INLINE uint64_t first(uint32_t mask)
{
    return _tzcnt_u32(mask); // 32 for 0
}

INLINE vec vec_load(const uint8_t *p)
{
    return _mm256_loadu_si256((const void *)p);
}

INLINE void copy32(uint8_t *to, const uint8_t *from)
{
    _mm256_storeu_si256((void *)to, vec_load(from));
}

INLINE void clear32(uint8_t *to)
{
    _mm256_storeu_si256((void *)to, _mm256_setzero_si256());
}

INLINE uint32_t vec_mask(vec v)
{
    return (uint32_t)_mm256_movemask_epi8(v);
}

INLINE vec vec_or(vec a, vec b)
{
    return _mm256_or_si256(a, b);
}

INLINE bool vec_any(vec v)
{
    return !_mm256_testz_si256(v, v);
}

// Lanes that are not zero.
INLINE uint32_t vec_nonzero(vec v)
{
    return ~vec_mask(_mm256_cmpeq_epi8(v, _mm256_setzero_si256()));
}

// The constants of special() and vec_stop(), kept in registers: left to itself the compiler makes them anew
// for each string, which costs more than the look at the string.
struct marks {
    vec flip, low, slash;
};

// Every lane c, by one instruction.
INLINE vec vec_all(const uint8_t *c)
{
    vec v;
    __asm__("vpbroadcastb %1, %0" : "=x"(v) : "m"(*c));
    return v;
}

INLINE struct marks marks(void)
{
    struct marks m = {_mm256_set1_epi8(2), _mm256_set1_epi8(0x21), _mm256_set1_epi8('\\')};
    __asm__("" : "+x"(m.flip), "+x"(m.low), "+x"(m.slash));
    return m;
}

// Controls, quote, backslash and what is not ASCII. With its bit 1 flipped a quote stands next to the
// controls, and a signed comparison takes the upper half along.
INLINE uint32_t special(const uint8_t *p, const struct marks *m)
{
    const vec low = _mm256_cmpgt_epi8(m->low, _mm256_xor_si256(m->flip, vec_load(p)));
    return vec_mask(_mm256_or_si256(low, _mm256_cmpeq_epi8(m->slash, vec_load(p))));
}

// None of 64 bytes is special. The smaller of two says of both whether one is too small.
INLINE bool plain64(const uint8_t *p, const struct marks *m)
{
    const vec a = vec_load(p), b = vec_load(p + 32);
    const vec low = _mm256_min_epi8(_mm256_xor_si256(m->flip, a), _mm256_xor_si256(m->flip, b));
    const vec slash = _mm256_or_si256(_mm256_cmpeq_epi8(m->slash, a), _mm256_cmpeq_epi8(m->slash, b));
    return !vec_any(_mm256_or_si256(_mm256_cmpgt_epi8(m->low, low), slash));
}

// The first special byte of 32, or 32.
INLINE uint64_t special_at(const uint8_t *p, const struct marks *m)
{
    return first(special(p, m));
}

// The same without what is not ASCII: lanes that are not zero.
INLINE vec vec_stop(vec v, const struct marks *m)
{
    const vec low = _mm256_subs_epu8(m->low, _mm256_xor_si256(v, m->flip));
    return _mm256_or_si256(low, _mm256_cmpeq_epi8(v, m->slash));
}

INLINE uint32_t digits(const uint8_t *p)
{
    static const uint8_t zero = '0', nine = 9;
    const vec v = _mm256_sub_epi8(vec_load(p), vec_all(&zero));
    return vec_mask(_mm256_cmpeq_epi8(_mm256_min_epu8(v, vec_all(&nine)), v));
}

// A byte is white space if it is what the table has for its low nibble.
INLINE uint32_t spaces(const uint8_t *p)
{
    const vec table = _mm256_setr_epi8(' ', 0, 0, 0, 0, 0, 0, 0, 0, '\t', '\n', 0, 0, '\r', 0, 0, ' ', 0, 0,
                                       0, 0, 0, 0, 0, 0, '\t', '\n', 0, 0, '\r', 0, 0);
    const vec v = vec_load(p);
    return vec_mask(_mm256_cmpeq_epi8(_mm256_shuffle_epi8(table, v), v));
}

INLINE uint32_t same(const uint8_t *p, const uint8_t *q)
{
    return vec_mask(_mm256_cmpeq_epi8(vec_load(p), vec_load(q)));
}

INLINE vec vec_zero(void)
{
    return _mm256_setzero_si256();
}

INLINE vec vec_table(const uint8_t table[16])
{
    return _mm256_broadcastsi128_si256(_mm_loadu_si128((const void *)table));
}

INLINE vec vec_look_up(vec table, vec nibbles)
{
    return _mm256_shuffle_epi8(table, nibbles);
}

INLINE vec vec_low_nibble(vec v)
{
    return _mm256_and_si256(v, _mm256_set1_epi8(0x0f));
}

INLINE vec vec_high_nibble(vec v)
{
    return vec_low_nibble(_mm256_srli_epi16(v, 4));
}

INLINE vec vec_and(vec a, vec b)
{
    return _mm256_and_si256(a, b);
}

INLINE vec vec_xor(vec a, vec b)
{
    return _mm256_xor_si256(a, b);
}

// a - b, not below 0.
INLINE vec vec_sub_floor(vec a, uint8_t b)
{
    return _mm256_subs_epu8(a, _mm256_set1_epi8((char)b));
}

INLINE vec vec_fill(uint8_t c)
{
    return _mm256_set1_epi8((char)c);
}

// The vectors that begin 1, 2 and 3 bytes in front of v, of which `prev` are the bytes before.
INLINE void vec_before(vec v, vec prev, vec ret[3])
{
    const vec seam = _mm256_permute2x128_si256(prev, v, 0x21);
    ret[0] = _mm256_alignr_epi8(v, seam, 15);
    ret[1] = _mm256_alignr_epi8(v, seam, 14);
    ret[2] = _mm256_alignr_epi8(v, seam, 13);
}

#include "wire/json_machine.h"

static bool usable(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
}

const struct json_way json_way_avx2 = {"avx2", usable, feed, quote, plain};

#else
typedef int json_avx2_is_empty; // a translation unit must declare something
#endif
