// The scan for usual lines with vectors of 16 bytes (AArch64, Advanced SIMD: every such machine has it).
// There is no instruction that gathers one bit of each byte; a narrowing shift gathers four. See
// http_fields.h.
#if defined(__aarch64__)

#include <arm_neon.h>

#include "wire/http_priv.h"

#define HTTP_ISA
#define VEC 16
#define VEC_BITS 4
typedef uint64_t vec_mask;

static inline vec_mask mask(uint8x16_t v)
{
    return vget_lane_u64(vreinterpret_u64_u8(vshrn_n_u16(vreinterpretq_u16_u8(v), 4)), 0);
}

static inline vec_mask vec_stop(const uint8_t *p)
{
    const uint8x16_t v = vld1q_u8(p);
    return mask(vorrq_u8(vcltq_u8(v, vdupq_n_u8(0x20)), vceqq_u8(v, vdupq_n_u8(0x7f))));
}

static inline vec_mask vec_outside(const uint8_t *p, const uint8_t nibbles[16])
{
    static const uint8_t bits[16] = {1, 2, 4, 8, 16, 32, 64, 128};
    const uint8x16_t v = vld1q_u8(p);
    const uint8x16_t rows = vqtbl1q_u8(vld1q_u8(nibbles), vandq_u8(v, vdupq_n_u8(0x0f)));
    return ~mask(vtstq_u8(rows, vqtbl1q_u8(vld1q_u8(bits), vshrq_n_u8(v, 4))));
}

static inline vec_mask vec_question(const uint8_t *p)
{
    return mask(vceqq_u8(vld1q_u8(p), vdupq_n_u8('?')));
}

static inline vec_mask vec_differ(const uint8_t *a, const uint8_t *b)
{
    return ~mask(vceqq_u8(vld1q_u8(a), vld1q_u8(b)));
}

static inline bool vec_same_2(const uint8_t *a, const uint8_t *b)
{
    const uint8x16_t low = vceqq_u8(vld1q_u8(a), vld1q_u8(b));
    return vminvq_u8(vandq_u8(low, vceqq_u8(vld1q_u8(a + 16), vld1q_u8(b + 16)))) == 0xff;
}

static inline size_t name_colon(const uint8_t *p)
{
    const uint8x16_t colon = vdupq_n_u8(':');
    const vec_mask low = mask(vceqq_u8(vld1q_u8(p), colon));
    if (low) return (size_t)__builtin_ctzll(low) / VEC_BITS;
    const vec_mask high = mask(vceqq_u8(vld1q_u8(p + 16), colon));
    return high ? 16 + (size_t)__builtin_ctzll(high) / VEC_BITS : 32;
}

// Up to four times the number of leading bytes that are set; 64 if all are.
static inline size_t leading(vec_mask m)
{
    return ~m ? (size_t)__builtin_ctzll(~m) : 64;
}

static inline size_t same(const uint8_t *p, const char *name)
{
    const uint8x16_t bit = vdupq_n_u8(0x20);
    const uint8x16_t lower = vorrq_u8(vmaxq_u8(vld1q_u8(p), bit), bit);
    return leading(mask(vceqq_u8(lower, vld1q_u8((const uint8_t *)name))));
}

static inline bool name_is(const uint8_t *p, const struct http_row *row, size_t n)
{
    const size_t low = same(p, row->name);
    if (n < 16) return low > n * VEC_BITS;
    return low == 64 && same(p + 16, row->name + 16) > (n - 16) * VEC_BITS;
}

static const uint8_t token_nibbles[16] = HTTP_NIBBLES(HTTP_IS_TOKEN);

static inline bool name_is_token(const uint8_t *p, size_t n)
{
    const vec_mask low = vec_outside(p, token_nibbles);
    if (low) return (size_t)__builtin_ctzll(low) / VEC_BITS == n;
    const vec_mask high = vec_outside(p + 16, token_nibbles);
    return high && 16 + (size_t)__builtin_ctzll(high) / VEC_BITS == n;
}

#include "wire/http_fields.h"

static bool usable(void)
{
    return true;
}

const struct http_way http_way_neon = {"neon", usable, request, fields, differ, text};

#else
typedef int http_neon_is_empty; // a translation unit must declare something
#endif
