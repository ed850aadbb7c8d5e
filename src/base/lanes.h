// Sixteen bytes at once, by the compilers' portable vectors: SSE2, NEON or plain registers, whatever the machine has. For
// short texts that are copied and looked at; what is long has files of its own for each instruction set.
//
// Thread   any. No state.
#ifndef RINGWAY_BASE_LANES_H
#define RINGWAY_BASE_LANES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__SSE2__)
#include <emmintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

typedef uint8_t lanes __attribute__((vector_size(16)));
typedef uint64_t lane_pair __attribute__((vector_size(16)));

static inline lanes lanes_load(const void *p)
{
    lanes v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline void lanes_store(void *p, lanes v)
{
    memcpy(p, &v, sizeof v);
}

static inline uint64_t lanes_load8(const void *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline uint32_t lanes_load4(const void *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

// Is any lane not zero? For lanes that are all ones or zero, as comparisons give them.
static inline bool lanes_any(lanes found)
{
#if defined(__SSE2__)
    return _mm_movemask_epi8((__m128i)found) != 0;
#elif defined(__aarch64__)
    return vmaxvq_u32((uint32x4_t)found) != 0;
#else
    const lane_pair half = (lane_pair)found;
    return (half[0] | half[1]) != 0;
#endif
}

// The first lane that is not zero, or 16. For the same.
static inline uint32_t lanes_first(lanes found)
{
#if defined(__SSE2__)
    return (uint32_t)__builtin_ctz((uint32_t)_mm_movemask_epi8((__m128i)found) | 1u << 16);
#elif defined(__aarch64__)
    // Four bits for each lane.
    const uint8x8_t nibbles = vshrn_n_u16(vreinterpretq_u16_u8((uint8x16_t)found), 4);
    const uint64_t mask = vget_lane_u64(vreinterpret_u64_u8(nibbles), 0);
    return mask ? (uint32_t)__builtin_ctzll(mask) / 4 : 16;
#else
    uint32_t i = 0;
    while (i < 16 && !found[i]) i++;
    return i;
#endif
}

// The first c in p[0 .. n), or n. Without a call: most of what is searched is short.
static inline uint32_t lanes_find(const uint8_t *p, uint32_t n, uint8_t c)
{
    if (n >= 16) {
        for (uint32_t i = 0;;) {
            const uint32_t k = lanes_first((lanes)(lanes_load(p + i) == c));
            if (k < 16) return i + k;
            i += 16;
            if (i == n) return n;
            // The last vector looks at some once more.
            if (n - i < 16) i = n - 16;
        }
    }
    if (n >= 8) {
        const lanes both = (lanes)(lane_pair){lanes_load8(p), lanes_load8(p + n - 8)};
        const uint32_t k = lanes_first((lanes)(both == c));
        return k < 8 ? k : k < 16 ? n - 16 + k : n;
    }
    for (uint32_t i = 0; i < n; i++)
        if (p[i] == c) return i;
    return n;
}

// Copies n bytes, at most 64, that do not overlap: pieces that overlap in the middle.
static inline __attribute__((always_inline)) void lanes_copy_short(void *to, const void *from, size_t n)
{
    uint8_t *const t = (uint8_t *)to;
    const uint8_t *const f = (const uint8_t *)from;
    if (n >= 16) {
        const lanes tail = lanes_load(f + n - 16);
        for (size_t i = 0; i + 16 < n; i += 16) lanes_store(t + i, lanes_load(f + i));
        lanes_store(t + n - 16, tail);
    } else if (n >= 8) {
        const uint64_t head = lanes_load8(f), tail = lanes_load8(f + n - 8);
        memcpy(t, &head, 8);
        memcpy(t + n - 8, &tail, 8);
    } else if (n >= 4) {
        const uint32_t head = lanes_load4(f), tail = lanes_load4(f + n - 4);
        memcpy(t, &head, 4);
        memcpy(t + n - 4, &tail, 4);
    } else if (n > 0) {
        const uint8_t head = f[0], middle = f[n / 2], tail = f[n - 1];
        t[0] = head;
        t[n / 2] = middle;
        t[n - 1] = tail;
    }
}

// The same for any length, without a call for what is short.
static inline __attribute__((always_inline)) void lanes_copy(void *to, const void *from, size_t n)
{
    if (n > 64) memcpy(to, from, n);
    else lanes_copy_short(to, from, n);
}

#endif
