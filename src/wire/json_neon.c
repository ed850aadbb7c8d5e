// The JSON scan with vectors of 16 bytes (AArch64, Advanced SIMD, which every processor of this kind has).
// See json_machine.h.
#if defined(__aarch64__)

#include <arm_neon.h>

#include "wire/json_priv.h"

#define JSON_ISA
#define INLINE static inline __attribute__((always_inline))
#define VEC 16
typedef uint8x16_t vec;

INLINE uint64_t first(uint32_t mask)
{
    return (uint32_t)(mask ? __builtin_ctz(mask) : 32); // which is what the instruction says of 0
}

INLINE vec vec_load(const uint8_t *p)
{
    return vld1q_u8(p);
}

INLINE void copy32(uint8_t *to, const uint8_t *from)
{
    memcpy(to, from, 32);
}

INLINE void clear32(uint8_t *to)
{
    memset(to, 0, 32);
}

// A bit for each lane of a and b (each all ones or zero): the lanes keep a bit of their own and are added
// up pair by pair.
INLINE uint32_t both(vec a, vec b)
{
    const vec bit = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
    vec sum = vpaddq_u8(vandq_u8(a, bit), vandq_u8(b, bit));
    sum = vpaddq_u8(sum, sum);
    sum = vpaddq_u8(sum, sum);
    return vgetq_lane_u32(vreinterpretq_u32_u8(sum), 0);
}

INLINE vec vec_zero(void)
{
    return vdupq_n_u8(0);
}

// Lanes are all ones or zero.
INLINE uint32_t vec_mask(vec v)
{
    return both(v, vec_zero());
}

INLINE vec vec_or(vec a, vec b)
{
    return vorrq_u8(a, b);
}

INLINE bool vec_any(vec v)
{
    return vmaxvq_u8(v) != 0;
}

INLINE uint32_t vec_nonzero(vec v)
{
    return vec_mask(vtstq_u8(v, v));
}

// See json_avx2.c.
struct marks {
    vec flip, low, slash;
};

INLINE struct marks marks(void)
{
    struct marks m = {vdupq_n_u8(2), vdupq_n_u8(0x21), vdupq_n_u8('\\')};
    __asm__("" : "+w"(m.flip), "+w"(m.low), "+w"(m.slash));
    return m;
}

INLINE vec vec_special(vec v, const struct marks *m)
{
    const int8x16_t flipped = vreinterpretq_s8_u8(veorq_u8(v, m->flip));
    return vorrq_u8(vcltq_s8(flipped, vreinterpretq_s8_u8(m->low)), vceqq_u8(v, m->slash));
}

INLINE uint32_t special(const uint8_t *p, const struct marks *m)
{
    return both(vec_special(vec_load(p), m), vec_special(vec_load(p + 16), m));
}

// None of 64 bytes is special. The smallest of four says of all of them whether one is too small.
INLINE bool plain64(const uint8_t *p, const struct marks *m)
{
    const vec a = vec_load(p), b = vec_load(p + 16), c = vec_load(p + 32), d = vec_load(p + 48);
    const int8x16_t low = vminq_s8(
        vminq_s8(vreinterpretq_s8_u8(veorq_u8(a, m->flip)), vreinterpretq_s8_u8(veorq_u8(b, m->flip))),
        vminq_s8(vreinterpretq_s8_u8(veorq_u8(c, m->flip)), vreinterpretq_s8_u8(veorq_u8(d, m->flip))));
    const vec slash = vorrq_u8(vorrq_u8(vceqq_u8(a, m->slash), vceqq_u8(b, m->slash)),
                               vorrq_u8(vceqq_u8(c, m->slash), vceqq_u8(d, m->slash)));
    const vec found = vorrq_u8(vcltq_s8(low, vreinterpretq_s8_u8(m->low)), slash);
    return vmaxvq_u32(vreinterpretq_u32_u8(found)) == 0;
}

// The first special byte of 32, or 32. Most keys and words end in the first half.
INLINE uint64_t special_at(const uint8_t *p, const struct marks *m)
{
    for (uint64_t half = 0; half < 32; half += 16) {
        // Four bits for each lane, in one narrowing shift.
        const uint8x8_t narrow = vshrn_n_u16(vreinterpretq_u16_u8(vec_special(vec_load(p + half), m)), 4);
        const uint64_t mask = vget_lane_u64(vreinterpret_u64_u8(narrow), 0);
        if (mask) return half + (uint64_t)__builtin_ctzll(mask) / 4;
    }
    return 32;
}

INLINE vec vec_stop(vec v, const struct marks *m)
{
    return vorrq_u8(vcltq_u8(veorq_u8(v, m->flip), m->low), vceqq_u8(v, m->slash));
}

INLINE vec vec_digits(vec v)
{
    return vcltq_u8(vsubq_u8(v, vdupq_n_u8('0')), vdupq_n_u8(10));
}

INLINE uint32_t digits(const uint8_t *p)
{
    return both(vec_digits(vec_load(p)), vec_digits(vec_load(p + 16)));
}

INLINE vec vec_spaces(vec v)
{
    const vec lines = vorrq_u8(vceqq_u8(v, vdupq_n_u8('\n')), vceqq_u8(v, vdupq_n_u8('\r')));
    return vorrq_u8(lines, vorrq_u8(vceqq_u8(v, vdupq_n_u8(' ')), vceqq_u8(v, vdupq_n_u8('\t'))));
}

INLINE uint32_t spaces(const uint8_t *p)
{
    return both(vec_spaces(vec_load(p)), vec_spaces(vec_load(p + 16)));
}

INLINE uint32_t same(const uint8_t *p, const uint8_t *q)
{
    return both(vceqq_u8(vec_load(p), vec_load(q)), vceqq_u8(vec_load(p + 16), vec_load(q + 16)));
}

INLINE vec vec_table(const uint8_t table[16])
{
    return vld1q_u8(table);
}

INLINE vec vec_look_up(vec table, vec nibbles)
{
    return vqtbl1q_u8(table, nibbles);
}

INLINE vec vec_low_nibble(vec v)
{
    return vandq_u8(v, vdupq_n_u8(0x0f));
}

INLINE vec vec_high_nibble(vec v)
{
    return vshrq_n_u8(v, 4);
}

INLINE vec vec_and(vec a, vec b)
{
    return vandq_u8(a, b);
}

INLINE vec vec_xor(vec a, vec b)
{
    return veorq_u8(a, b);
}

INLINE vec vec_sub_floor(vec a, uint8_t b)
{
    return vqsubq_u8(a, vdupq_n_u8(b));
}

INLINE vec vec_fill(uint8_t c)
{
    return vdupq_n_u8(c);
}

INLINE void vec_before(vec v, vec prev, vec ret[3])
{
    ret[0] = vextq_u8(prev, v, 15);
    ret[1] = vextq_u8(prev, v, 14);
    ret[2] = vextq_u8(prev, v, 13);
}

#include "wire/json_machine.h"

static bool usable(void)
{
    return true;
}

const struct json_way json_way_neon = {"neon", usable, feed, quote, plain};

#else
typedef int json_neon_is_empty; // a translation unit must declare something
#endif
